/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * A tick as what it changes since a base, the state that a snapshot leaves: so it can be
 * read whatever became of the ticks between, and changes no state. Content of datagrams:
 * proto/README.md, chapter "Datagrams", is the format.
 *
 * A base is a copy, and doesn't change. The working memory belongs to one thread at a
 * time; after warm-up nothing allocates.
 */

#include "common/delta.h"

/* Parts of a tick at most. */
#define DELTA_SINCE_PARTS 16u

struct delta_base;

/**
 * delta_base_of_encoder() - what the server's state is, if it took all that was encoded
 *
 * Where an encoder leaves changes out (its threshold), the server has other values: such
 * a one gives no base.
 *
 * Return: 0, and gives *ret for delta_base_free(); E_GONE where the next batch of the
 *         chain will be a snapshot; E_UNSUPPORTED with a threshold; -ENOMEM.
 */
PC_MUST_CHECK int delta_base_of_encoder(const struct delta_encoder *e,
                                        struct delta_base **ret);
/* Return: 0, and gives *ret for delta_base_free(); E_GONE of a state that is empty;
 * -ENOMEM. */
PC_MUST_CHECK int delta_base_of_state(const struct delta_state *s,
                                      struct delta_base **ret);
void delta_base_free(struct delta_base *b);
/* The ss of its snapshot. */
uint64_t delta_base_snapshot(const struct delta_base *b);
/* The memory that it takes. */
size_t delta_base_bytes(const struct delta_base *b);

/* Working memory for both directions. */
struct delta_since;

/* Return: 0, and gives *ret for delta_since_free(); -ENOMEM. */
PC_MUST_CHECK int delta_since_new(struct delta_since **ret);
void delta_since_free(struct delta_since *w);

/* What is to be written. */
struct delta_tick {
    const struct batch *batch; /* borrows */
    size_t first;              /* item; the tick is all from there to the last */
    uint64_t number;           /* in the session, at most INT64_MAX */
    size_t most; /* bytes of a part; a measurement that alone takes more has its own */
};

/* Contents, one behind the other. */
struct delta_parts {
    size_t ends[DELTA_SINCE_PARTS]; /* in the buffer */
    size_t n;
};

/**
 * delta_since_encode() - write a tick
 * @to: gets the parts; unchanged on failure
 *
 * Return: 0; E_CONFLICT where the base doesn't have such texts: only a new one helps;
 *         E_TOO_LARGE for more than DELTA_SINCE_PARTS, or beyond the maximum of @to;
 *         -ENOMEM.
 */
PC_MUST_CHECK int delta_since_encode(struct delta_since *w, const struct delta_base *base,
                                     const struct delta_tick *tick, struct buf *to,
                                     struct delta_parts *ret);

/* Which part of which tick. */
struct delta_since_head {
    uint64_t number;
    unsigned part; /* from 0 */
    unsigned n_parts;
};

/**
 * delta_since_decode() - read a part of a tick
 * @in:  borrows
 * @ret: gets its measurements behind those it has, which belong to other ticks; unchanged
 *       on failure
 *
 * Return: 0; E_TRUNCATED, E_MALFORMED, E_TOO_LARGE with *reterr_at (may be NULL);
 *         -ENOMEM.
 */
PC_MUST_CHECK int delta_since_decode(struct delta_since *w, const struct delta_base *base,
                                     struct span in, struct batch *ret,
                                     struct delta_since_head *ret_head,
                                     struct err_at *reterr_at);
