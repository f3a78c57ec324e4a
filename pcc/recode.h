/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Batches to bodies and back, in any form, with one compressor, one decompressor, one
 * delta encoder and one set of buffers that are reused. One thread at a time.
 */

#include "common/delta.h"
#include "pcc/form.h"

struct recoder;

/* @level: of gzip, 1 to 9. @threshold_millionths: as struct delta_encoder_conf says.
 * Return: 0, and gives *ret for recode_free(); -ENOMEM. */
PC_MUST_CHECK int recode_new(int level, uint64_t threshold_millionths,
                             struct recoder **ret);
void recode_free(struct recoder *r);

/**
 * recode_encode() - a batch as the body of a request; in delta it stands alone
 * @b:          its identifier is set
 * @first_tick: number of its first tick in the session
 * @to:         reset first; empty on failure
 *
 * Return: 0; E_TOO_LARGE beyond the maximum of @to or our own; -ENOMEM.
 */
PC_MUST_CHECK int recode_encode(struct recoder *r, const struct batch *b,
                                struct form form, uint64_t first_tick, struct buf *to);

/**
 * recode_encode_chained() - a batch as the next of the chain of delta
 * @ret: where in the chain it stands
 *
 * Otherwise as recode_encode(). The chain goes on as if the server had taken it: after
 * anything else call recode_forget(). After a failure the next one is a snapshot.
 */
PC_MUST_CHECK int recode_encode_chained(struct recoder *r, const struct batch *b,
                                        enum coding coding, uint64_t first_tick,
                                        struct buf *to, struct delta_place *ret);
/* The next one of the chain will be a snapshot. */
void recode_forget(struct recoder *r);

/**
 * recode_decode() - a body that recode_encode() made, as a batch
 * @ret: an empty batch
 *
 * Return: 0; -ENOMEM; E_MALFORMED: the one thing that encoders take and decoders don't is
 *         a time outside the years that the protocol knows.
 */
PC_MUST_CHECK int recode_decode(struct recoder *r, struct span body, struct form form,
                                struct batch *ret);
