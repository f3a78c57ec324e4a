/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * In which form a batch is encoded, and the chain of delta. A batch stands alone, or is
 * the next of the chain: which is begun anew after whatever isn't "stored, and just now",
 * in another session, and after a number of ticks (PCC_SNAPSHOT_INTERVAL).
 *
 * A batch that delta can't hold, one of more subsystems than a state takes, goes in the
 * next form down. If it was to be the next of the chain, that begins anew behind it.
 * Thread: sender.
 */

#include "common/delta.h"
#include "pcc/label.h"
#include "pcc/options.h"

struct encoding;

/* Return: 0, and gives *ret for encoding_free(); -ENOMEM. */
PC_MUST_CHECK int encoding_new(const struct pcc_conf *conf, struct encoding **ret);
void encoding_free(struct encoding *e);

/* What to encode a batch in: the form that is agreed on, or what delta can't hold in the
 * other one. */
struct forms {
    struct form best;
    struct form but_delta;
};

struct forms encoding_forms(const struct agreement *a, uint64_t now_ns);

/**
 * encoding_alone() - a batch as a body that stands alone
 * @b: its identifier is set
 * @label: its number of the first tick is set; gets the form
 * @to: reset first; empty on failure
 *
 * Return: 0; E_TOO_LARGE beyond the maximum of @to or our own; -ENOMEM.
 */
PC_MUST_CHECK int encoding_alone(struct encoding *e, const struct batch *b,
                                 const struct forms *forms, struct label *label,
                                 struct buf *to);

/**
 * encoding_next() - a batch as a body, in delta as the next of the chain
 * @label: its session, ticks and their first number are set; gets the form
 * @ret:   where in the chain it stands, if it does
 *
 * Return: as encoding_alone().
 */
PC_MUST_CHECK int encoding_next(struct encoding *e, const struct batch *b,
                                const struct forms *forms, struct label *label,
                                struct buf *to, struct delta_place *ret);
/* The batch before wasn't stored, or not just now. */
void encoding_break_chain(struct encoding *e);

/**
 * encoding_again() - a body in another form
 * @label: what the body is; unchanged
 * @ret:   the form
 *
 * Return: 0; E_TOO_LARGE; -ENOMEM; what recode_decode() gives.
 */
PC_MUST_CHECK int encoding_again(struct encoding *e, struct span body,
                                 const struct label *label, const struct forms *forms,
                                 struct buf *to, struct form *ret);

/* For reading bodies back, and encoding in a form that is known. */
struct recoder *encoding_recoder(struct encoding *e);
