/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * A measurement is what one source said at one moment; a batch is the measurements of
 * one host in the order taken, whole ticks, over one buffer of bytes. A batch is made
 * to be reused: reset keeps its memory. It belongs to one thread at a time.
 */

#include "common/buf.h"
#include "common/err.h"
#include "common/span.h"
#include "proto/limits.h"

#include <stdbool.h>
#include <stdint.h>

struct measurement {
    uint64_t time_ns; /* since the Unix epoch, UTC */
    struct span subsystem;
    struct span text; /* any bytes */
};

/* What a batch may hold. */
struct batch_limits {
    size_t measurements;
    size_t text_bytes;      /* of one measurement's text */
    size_t subsystem_bytes; /* of one measurement's subsystem */
    size_t bytes;           /* of all subsystems and texts */
    size_t nesting;         /* of its encoding; 0 or more than LIMIT_NESTING mean that */
};

/* The defaults of the protocol. */
extern const struct batch_limits batch_limits_default;

struct batch_item {
    uint64_t time_ns;
    size_t subsystem_at; /* offsets into bytes */
    size_t subsystem_n;
    size_t text_at;
    size_t text_n;
    bool starts_tick;
};

struct batch {
    struct batch_limits limits;
    struct buf bytes;
    struct batch_item *items;
    size_t n_items;
    size_t cap_items;
    size_t n_ticks;
    bool tick_begins; /* the next item starts a tick whatever its time */
    bool is_open;     /* between batch_open() and batch_close() */
    struct batch_item open;
    uint8_t identifier[LIMIT_IDENTIFIER_BYTES];
    size_t identifier_n;
};

/* Sets up an empty batch; allocates nothing. @limits is copied. */
void batch_init(struct batch *b, const struct batch_limits *limits);
/* Frees everything; also takes a zeroed batch. */
void batch_done(struct batch *b);
/* Empties it, identifier included, and keeps the memory. */
void batch_reset(struct batch *b);

/**
 * batch_reserve() - allocate ahead, so that filling allocates nothing
 *
 * Return: 0; E_TOO_LARGE beyond the limits; -ENOMEM.
 */
PC_MUST_CHECK int batch_reserve(struct batch *b, size_t measurements, size_t bytes);

/**
 * identifier_check() - is this 1 to 128 bytes of UTF-8 without control characters?
 *
 * Return: 0; E_MALFORMED.
 */
PC_MUST_CHECK int identifier_check(struct span identifier);

/**
 * batch_set_identifier() - say which host the batch is of
 * @identifier: borrows; copied
 *
 * Return: 0; E_MALFORMED as identifier_check(), the batch unchanged.
 */
PC_MUST_CHECK int batch_set_identifier(struct batch *b, struct span identifier);

static inline struct span batch_identifier(const struct batch *b)
{
    return span_of(b->identifier, b->identifier_n);
}

/**
 * batch_append() - add a measurement at the end
 * @m: borrows; copied; must not point into the batch
 *
 * The measurement starts a tick if it is the first, its time differs from the one
 * before, or batch_begin_tick() was called.
 *
 * Return: 0; E_TOO_LARGE over a limit of the batch; -ENOMEM. Unchanged but for 0.
 */
PC_MUST_CHECK int batch_append(struct batch *b, const struct measurement *m);

/* The next measurement starts a tick even if its time is that of the one before. */
void batch_begin_tick(struct batch *b);

/**
 * batch_open() - begin a measurement whose text is then built in place
 * @subsystem: borrows; copied; must not point into the batch
 *
 * The caller appends the text to @b->bytes, then calls batch_close() or batch_cancel().
 * Neither another measurement nor a reset may come in between.
 *
 * Return: as batch_append().
 */
PC_MUST_CHECK int batch_open(struct batch *b, uint64_t time_ns, struct span subsystem);

/**
 * batch_close() - end the measurement that batch_open() began
 *
 * Return: 0; E_TOO_LARGE if its text is over the limit: it is cancelled then.
 */
PC_MUST_CHECK int batch_close(struct batch *b);

/* Takes back what batch_open() began. */
void batch_cancel(struct batch *b);

/* The measurement at @i < n_items; its spans live until the batch changes. */
struct measurement batch_get(const struct batch *b, size_t i);

/* Changes when the measurement at @i < n_items was taken; ticks stay as they are marked.
 */
void batch_set_time(struct batch *b, size_t i, uint64_t time_ns);

/**
 * batch_append_range() - add measurements of another batch, tick marks included
 * @from, @n: the first and how many; must lie in @other
 *
 * Return: as batch_append(); unchanged but for 0.
 */
PC_MUST_CHECK int batch_append_range(struct batch *b, const struct batch *other,
                                     size_t from, size_t n);

/* Takes back all measurements from @n <= n_items on. */
void batch_truncate(struct batch *b, size_t n);

/**
 * batch_middle_tick() - where to cut a batch in two halves of whole ticks
 *
 * Return: the index of the first measurement of the second half, 0 if there is only
 *         one tick.
 */
size_t batch_middle_tick(const struct batch *b);

/**
 * measurement_check_time() - is this number of seconds one that the protocol takes?
 *
 * Return: 0; E_MALFORMED outside the years 2000 to 2200.
 */
PC_MUST_CHECK int measurement_check_time(int64_t seconds);
