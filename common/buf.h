/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Growable bytes with a hard maximum, meant to be reused: reset keeps the memory.
 * The struct is open for reading; only this module changes it. A failed call leaves
 * a buffer exactly as it was. Spans into a buffer die when it grows.
 */

#include "common/err.h"
#include "common/span.h"

#include <stdint.h>

struct buf {
    uint8_t *data;
    size_t len;
    size_t cap;
    size_t max;
};

/* Sets up an empty buffer that never grows beyond @max bytes; allocates nothing. */
void buf_init(struct buf *b, size_t max);
/* Frees the memory; the buffer is empty afterwards and keeps its maximum. */
void buf_done(struct buf *b);

static inline void buf_reset(struct buf *b)
{
    b->len = 0;
}

static inline struct span buf_span(const struct buf *b)
{
    return span_of(b->data, b->len);
}

/**
 * buf_reserve() - make room for @more bytes behind those that are there
 *
 * Grows by doubling and never beyond the maximum given to buf_init().
 *
 * Return: 0; E_TOO_LARGE if the maximum would be passed; -ENOMEM.
 */
PC_MUST_CHECK int buf_reserve(struct buf *b, size_t more);

/* Where the next bytes go; room for them must have been reserved. NULL where none were
 * ever asked for. */
static inline uint8_t *buf_tail(struct buf *b)
{
    return b->len > 0 ? b->data + b->len : b->data;
}

/* Takes @n bytes that were written at buf_tail() into the buffer. */
void buf_commit(struct buf *b, size_t n);

/**
 * buf_append() - copy bytes to the end
 * @bytes: borrows; must not point into @b
 *
 * Return: 0; E_TOO_LARGE; -ENOMEM, as buf_reserve().
 */
PC_MUST_CHECK int buf_append(struct buf *b, struct span bytes);
PC_MUST_CHECK int buf_append_byte(struct buf *b, uint8_t byte);
PC_MUST_CHECK int buf_append_zeros(struct buf *b, size_t n);
/* Appends formatted text without its terminator. Return as buf_append(). */
PC_MUST_CHECK int buf_printf(struct buf *b, const char *format, ...) PC_PRINTF(2, 3);
/* Appends the decimal digits of @value. Return as buf_append(). */
PC_MUST_CHECK int buf_append_u64(struct buf *b, uint64_t value);

/* Cuts the buffer back to @len bytes, which must not be more than it holds. */
void buf_truncate(struct buf *b, size_t len);

/**
 * buf_shrink() - give memory back that a rare large use left behind
 * @keep: a buffer with a capacity of at most this is left alone
 *
 * Only for an empty buffer; a larger one is freed.
 */
void buf_shrink(struct buf *b, size_t keep);

/* Moves the memory from @from to @to, which must hold none; @from is empty after. */
void buf_take(struct buf *to, struct buf *from);
