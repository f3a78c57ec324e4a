/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Recorded measurements as the bodies that many hosts send, made before any is sent: the
 * ticks of a collection over and over, one a second, cut into batches. A body then
 * differs from the one before as a real host's do. Hosts start at different places, so
 * their clocks differ; what else differs is the identifier, which each puts into a copy
 * of the body's beginning. In gzip that beginning is a stored block, and its checksum is
 * joined to that of the rest.
 *
 * Deltas build on each other: from each place a chain of its own is made, which begins
 * with a snapshot. Other forms need one row of bodies for all places. After the last body
 * comes the first again.
 *
 * Immutable once made.
 */

#include "common/codec.h"

struct tape_conf {
    const struct codec *codec;
    bool gzip;
    size_t n_ticks;         /* in a batch; at least 1 */
    const char *collection; /* its path */
    size_t cpus;            /* give the hosts so many; 0: as recorded */
    size_t identifier_n;    /* bytes of each host's identifier */
    uint64_t time_ns;       /* of the first tick at the first place */
    size_t n_places;        /* that hosts may start from */
    size_t n_batches;       /* before the first comes again */
};

struct tape_body {
    size_t at; /* offset of its bytes */
    size_t identifier_at;
    size_t head_n; /* up to the end of the identifier */
    size_t tail_n; /* what follows, as sent */
    size_t plain_n;
    uint32_t tail_crc;
    size_t n_measurements;
};

struct tape {
    struct tape_conf conf;
    struct buf bytes;
    struct tape_body *bodies;
    size_t n_bodies;
    size_t plain_bytes; /* of all bodies, not compressed, */
    size_t sent_bytes;  /* and as sent */
    uint64_t
        making_ns; /* CPU that it took to encode and compress them, as an agent would */
};

/**
 * tape_init() - read the collection and make the bodies
 * @conf: borrows its pointers for the life of the tape
 *
 * Return: 0, for tape_done(); E_GONE where the collection is empty; E_TOO_LARGE; a
 *         decoder's verdict on a line of it; -errno.
 */
PC_MUST_CHECK int tape_init(struct tape *t, const struct tape_conf *conf);
void tape_done(struct tape *t);

/* Which body a host that started at @place sends as its @number-th, from 0. */
const struct tape_body *tape_body(const struct tape *t, size_t place, uint64_t number);

/* Does this body of a host build on those before? */
bool tape_is_chained(const struct tape *t, uint64_t number);

/* A body as one host sends it: what goes before the shared tail, and after it. */
#define TAPE_END_BYTES 8u
struct tape_cut {
    struct span tail; /* borrows from the tape */
    uint8_t end[TAPE_END_BYTES];
    size_t end_n;
};

/**
 * tape_cut() - append a host's own beginning of a body, and say what follows it
 * @identifier: of the length that the tape was made for
 *
 * Return: 0; E_TOO_LARGE, -ENOMEM as buf_append().
 */
PC_MUST_CHECK int tape_cut(const struct tape *t, const struct tape_body *body,
                           struct span identifier, struct buf *to, struct tape_cut *ret);

/* Bytes of the whole body as it is sent. */
size_t tape_sent_n(const struct tape *t, const struct tape_body *body);
