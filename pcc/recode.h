/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Batches to bodies and back, in any form, with one compressor, one decompressor and one
 * set of buffers that are reused. One thread at a time.
 */

#include "pcc/form.h"

struct recoder;

/* @level: of gzip, 1 to 9. Return: 0, and gives *ret for recode_free(); -ENOMEM. */
PC_MUST_CHECK int recode_new(int level, struct recoder **ret);
void recode_free(struct recoder *r);

/**
 * recode_encode() - a batch as the body of a request
 * @to: reset first; empty on failure
 *
 * Return: 0; E_TOO_LARGE beyond the maximum of @to or our own; -ENOMEM.
 */
PC_MUST_CHECK int recode_encode(struct recoder *r, const struct batch *b,
                                struct form form, struct buf *to);

/**
 * recode_decode() - a body that recode_encode() made, as a batch
 * @ret: an empty batch
 *
 * Return: 0; -ENOMEM; E_MALFORMED: the one thing that encoders take and decoders don't is
 *         a time outside the years that the protocol knows.
 */
PC_MUST_CHECK int recode_decode(struct recoder *r, struct span body, struct form form,
                                struct batch *ret);
