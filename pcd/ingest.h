/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * From the bytes of a body to a batch on its way into the store: decompress, decode,
 * ask whether it is a replay, format as lines of a collection, hand over. Knows nothing
 * of HTTP.
 *
 * A delta is decoded after it was asked whether it is a replay, for that changes no
 * state; and on the state that it alone has until its fate is known (chains.h).
 *
 * In two steps, since the second may wait for the disk or for another request:
 *   ingest_read()    in the caller's time; the batch is then in the scratch, or the
 *                    message where it is a delta
 *   ingest_submit()  ends in exactly one call of settled(), by whichever thread knows
 *                    the batch's fate, perhaps before it returns
 */

#include "common/delta.h"
#include "common/gzip.h"
#include "common/media.h"
#include "pcd/auth.h"
#include "pcd/chains.h"
#include "pcd/keys.h"
#include "pcd/service.h"

struct pcd_conf;

/* What a worker decodes into, reused from batch to batch. One thread at a time. */
struct scratch {
    struct inflater *inflater;
    struct gunzip *gunzip; /* tried first; may be NULL */
    struct buf decoded;
    struct batch batch;
    struct delta_decoder *delta;
    struct delta_head head; /* of the message that it has open */
};

PC_MUST_CHECK int scratch_init(struct scratch *s, const struct pcd_conf *conf);
/* Also takes a zeroed one. */
void scratch_done(struct scratch *s);
/* Empties it, and gives memory back that only a rare large batch needed. */
void scratch_reset(struct scratch *s);

/**
 * scratch_inflate() - undo a body's coding
 * @to:  an empty buffer, used where there is a coding to undo
 * @ret: borrows from @body or @to
 *
 * Return: 0; E_TRUNCATED, E_MALFORMED, E_TOO_LARGE as inflater_run(); -ENOMEM.
 */
PC_MUST_CHECK int scratch_inflate(struct scratch *s, enum coding coding, struct span body,
                                  struct buf *to, struct span *ret,
                                  struct err_at *reterr_at);

struct ingest {
    /* Set by the caller. */
    struct service *service;
    const struct auth_grant *grant; /* of the key that was shown */
    enum media_form form;
    enum coding coding;
    bool has_key;
    struct key key;
    void (*settled)(struct ingest *i);

    /* Results, for settled() and after. */
    int r;          /* 0: stored; E_REPLAY: stored before; else it is not */
    bool keys_full; /* E_FULL for the session's ranges, not for want of memory or disk */
    bool has_at;    /* r is a decoder's verdict, and at says why and where */
    struct err_at at;
    size_t n_measurements;

    /* Its own. */
    struct keys_waiter waiter;
    struct chain *chain; /* taken for it; NULL: none */
    uint64_t pushed_ns;
    uint64_t decode_ns;
};

/**
 * ingest_parse_key() - read Idempotency-Key and Idempotency-Floor
 * @key, @floor: the headers' values; {NULL, 0}: absent
 *
 * Return: 0, and *ret_has says whether there is a key; E_MALFORMED with *reterr_what, a
 *         literal.
 */
PC_MUST_CHECK int ingest_parse_key(struct span key, struct span floor, bool *ret_has,
                                   struct key *ret, const char **reterr_what);

/**
 * ingest_read() - decode a body into the scratch
 *
 * A delta is only opened; and refused where it builds on others without a key.
 *
 * Return: 0; E_UNSUPPORTED for another version of delta; E_TRUNCATED, E_MALFORMED,
 *         E_TOO_LARGE; all with *reterr_at; E_DENIED: the key may not write as the
 *         batch's identifier; -ENOMEM.
 */
PC_MUST_CHECK int ingest_read(struct ingest *i, struct scratch *s, struct span body,
                              struct err_at *reterr_at);

/* The identifier of what ingest_read() decoded; also after E_DENIED. Borrows from @s. */
struct span ingest_identifier(const struct ingest *i, const struct scratch *s);

/* Hands over the batch that ingest_read() left in the scratch, which is free when this
 * returns. @i must stay until settled() was called. */
void ingest_submit(struct ingest *i, struct scratch *s);
