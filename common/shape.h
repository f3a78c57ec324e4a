/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * A text as a shape and numbers: proto/README.md, "Shapes and columns". A shape says
 * where in a text its columns (the numbers) lie; everything else there is literal. The
 * text itself is the caller's to keep; one shape goes with one text, and moves on to the
 * next by shape_read() (an encoder, which has the next text) or shape_step() (a decoder,
 * which makes it). For any bytes: what is cut and put together again is the same.
 */

#include "common/decimal.h"
#include "common/span.h"
#include "proto/limits.h"

enum shape_kind {
    SHAPE_PLAIN, /* its digits */
    SHAPE_RIGHT, /* blanks, at least one, and digits: right-aligned in its width */
    SHAPE_ZERO,  /* digits, with zeros before them up to its width */
};

/* Sizes are those that the protocol counts: LIMIT_DELTA_COLUMN_BYTES. */
struct shape_column {
    uint32_t end;  /* where its place in the text ends */
    uint8_t n;     /* bytes of its place, blanks included */
    uint8_t width; /* 1 to LIMIT_DELTA_WIDTH; 0 where plain */
    uint8_t kind;  /* enum shape_kind */
};

struct shape {
    struct shape_column *columns;
    size_t n;
    size_t cap;
};

/* A column whose value is another one in the next text. */
struct shape_change {
    uint32_t column;
    uint32_t n; /* bytes of its place in the next text */
    uint64_t before;
    uint64_t after;
};

/* Frees the memory; also takes a zeroed one. */
void shape_done(struct shape *s);

/* Makes room for @n columns in all. Return: 0; -ENOMEM. */
PC_MUST_CHECK int shape_reserve(struct shape *s, size_t n);

/* Makes a shape the same as another. Return: 0; -ENOMEM: it is as it was. */
PC_MUST_CHECK int shape_copy(struct shape *s, const struct shape *from);

/**
 * shape_cut() - find the columns of a text by the cutting rule
 * @text: borrows
 *
 * Return: 0; E_TOO_LARGE for a text over LIMIT_DELTA_STATE_BYTES; -ENOMEM. The shape is
 *         as it was on anything but 0.
 */
PC_MUST_CHECK int shape_cut(struct shape *s, struct span text);

/* The value of column @i in the shape's text. */
uint64_t shape_value(const struct shape *s, struct span text, size_t i);

/**
 * shape_read() - read the next text by the shape of this one
 * @text:    the shape's text; @next: the next one; borrows both
 * @changes: room for as many as the shape has columns
 * @ret_n:   how many columns changed; in their order
 *
 * Return: true, and the shape is that of @next; false if @next doesn't fit: unchanged.
 */
PC_MUST_CHECK bool shape_read(struct shape *s, struct span text, struct span next,
                              struct shape_change *changes, size_t *ret_n);

struct shape_edit {
    uint32_t column;
    uint64_t difference; /* what is added to its value, modulo 2^64 */
};

/* Bytes behind the end of what is written that may be written to as well. */
#define SHAPE_SLACK 16u

/* Room that shape_step() needs for a text made by @n edits of one with @text_n bytes. */
static inline size_t shape_step_room(size_t text_n, size_t n)
{
    /* A place grows by the digits of 2^64-1 at most. */
    return text_n + n * DECIMAL_MAX + SHAPE_SLACK;
}

/**
 * shape_step() - make the next text of this one
 * @text:  the shape's text; borrows
 * @edits: @n of them, in the order of their columns
 * @to:    shape_step_room() bytes; must not overlap @text
 *
 * Return: how many bytes the next text has; the shape is that of it.
 */
size_t shape_step(struct shape *s, struct span text, const struct shape_edit *edits,
                  size_t n, uint8_t *to);

/* Writes a value into a column of this kind and width, which need room for the larger of
 * @width and DECIMAL_MAX + 1, and SHAPE_SLACK. Return: bytes of its place. */
size_t shape_write_value(uint8_t kind, uint8_t width, uint64_t value, uint8_t *to);
