/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * What the clients of a fleet send, made cheap: every batch is a marker, one measurement
 * that names the client's session and the batch's number, and after it measurements that
 * are the same for everybody. So a body is a short head, made for each batch, and a long
 * tail, encoded and compressed once (gzip members may follow each other). What pcd must
 * then hold on disk is known byte by byte. Of a delta only that is so: its bodies are
 * made one by one.
 *
 * Immutable once made.
 */

#include "common/codec.h"

/* A head ends in the batch's number, this many decimal digits. */
#define PAYLOAD_SEQ_DIGITS 12u

struct payload_conf {
    const struct codec *codec;
    bool gzip;
    size_t n_measurements; /* in a batch, the marker among them; at least 1 */
    const char
        *collection;  /* measurements to replay; NULL: what this host's /proc says */
    uint64_t time_ns; /* of the marker and of the first measurement after it */
};

struct payload {
    struct payload_conf conf;
    struct batch batch;   /* the marker's place is its first measurement */
    struct buf tail;      /* of every body, as sent; of a delta: nothing */
    size_t plain_tail_n;  /* its length before compression */
    struct buf json_tail; /* as pcd stores it: the lines after the marker's */
    size_t stored_n; /* bytes of a batch as pcd stores it, the marker's line included */
};

/**
 * payload_init() - collect the measurements and encode them
 * @conf: borrows its pointers for the life of the payload
 *
 * A collection with fewer measurements than wanted is repeated.
 *
 * Return: 0, for payload_done(); E_GONE where there is nothing to send; a decoder's
 *         verdict on a line of the collection; -errno.
 */
PC_MUST_CHECK int payload_init(struct payload *p, const struct payload_conf *conf);
void payload_done(struct payload *p);

/* Fills an empty batch with a client's batch. Return: 0; E_MALFORMED for an identifier
 * the protocol doesn't take; E_TOO_LARGE over the batch's limits; -ENOMEM. */
PC_MUST_CHECK int payload_batch(const struct payload *p, struct span identifier,
                                uint64_t session, uint64_t seq, struct batch *ret);

/**
 * payload_head() - append the head of a client's bodies, not compressed
 *
 * It ends in PAYLOAD_SEQ_DIGITS zeros, for payload_number() to fill in.
 *
 * Return: 0; E_MALFORMED for an identifier the protocol doesn't take; -ENOMEM.
 */
PC_MUST_CHECK int payload_head(struct payload *p, struct span identifier,
                               uint64_t session, struct buf *to);

/* Writes a batch's number at the end of a head. */
void payload_number(struct buf *head, uint64_t seq);

/* Appends the line that pcd stores for the marker of a batch. Return: 0; -ENOMEM. */
PC_MUST_CHECK int payload_marker_line(const struct payload *p, uint64_t session,
                                      uint64_t seq, struct buf *to);
