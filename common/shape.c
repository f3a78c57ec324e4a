/* SPDX-License-Identifier: MIT */
#include "common/shape.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <stdlib.h>

/* Room for one more in so many. */
#define COLUMNS_SLACK 16u

_Static_assert(sizeof(struct shape_column) == LIMIT_DELTA_COLUMN_BYTES,
               "the protocol counts what a column takes");

void shape_done(struct shape *s)
{
    free(s->columns);
    *s = (struct shape){0};
}

int shape_reserve(struct shape *s, size_t n)
{
    size_t cap = n + n / COLUMNS_SLACK; /* far from wrapping: texts are bounded */

    if (n <= s->cap)
        return 0;
    struct shape_column *columns = reallocarray(s->columns, cap, sizeof *columns);
    if (!columns)
        return -ENOMEM;
    s->columns = columns;
    s->cap = cap;
    return 0;
}

int shape_copy(struct shape *s, const struct shape *from)
{
    int r = shape_reserve(s, from->n);

    if (r)
        return r;
    if (from->n > 0)
        memcpy(s->columns, from->columns, from->n * sizeof *from->columns);
    s->n = from->n;
    return 0;
}

static bool is_digit(uint8_t byte)
{
    return byte >= '0' && byte <= '9';
}

/* Where the run of digits from @at on ends. */
static size_t digits_end(struct span text, size_t at)
{
    while (at < text.n && is_digit(text.data[at]))
        at++;
    return at;
}

/* The column that a run of digits is by the cutting rule. Return: false if the run is
 * literal. */
static bool cut_run(struct span text, size_t start, size_t end, struct shape_column *ret)
{
    size_t n = end - start;
    size_t blanks = 0;
    uint64_t value;

    *ret = (struct shape_column){.end = (uint32_t)end, .n = (uint8_t)n};
    if (decimal_read(text.data + start, n, &value))
        return false;
    if ((start > 0 && text.data[start - 1] == '.') ||
        (n > 1 && text.data[start] == '0')) {
        ret->kind = SHAPE_ZERO;
        ret->width = (uint8_t)n;
        return n <= LIMIT_DELTA_WIDTH;
    }
    while (start > blanks && text.data[start - blanks - 1] == ' ')
        blanks++;
    if (blanks >= 2 && blanks + n <= LIMIT_DELTA_WIDTH) {
        ret->kind = SHAPE_RIGHT;
        ret->width = ret->n = (uint8_t)(blanks + n);
    }
    return true;
}

/* Columns of the text, written to @to unless that is NULL. Return: how many. */
static size_t cut(struct span text, struct shape_column *to)
{
    size_t n = 0;

    for (size_t at = 0; at < text.n; at++) {
        struct shape_column column;
        if (!is_digit(text.data[at]))
            continue;
        size_t end = digits_end(text, at);
        if (cut_run(text, at, end, &column)) {
            if (to)
                to[n] = column;
            n++;
        }
        at = end - 1;
    }
    return n;
}

int shape_cut(struct shape *s, struct span text)
{
    if (text.n > LIMIT_DELTA_STATE_BYTES)
        return E_TOO_LARGE;
    int r = shape_reserve(s, cut(text, NULL));
    if (r == 0)
        s->n = cut(text, s->columns);
    return r;
}

/*
 * The number in eight bytes, the last digit in the highest; a blank counts as 0. Pairs of
 * digits are added up, then pairs of pairs, all at once.
 */
static uint64_t value_of_eight(uint64_t bytes)
{
    uint64_t digits = bytes & UINT64_C(0x0f0f0f0f0f0f0f0f);
    uint64_t pairs = digits * 10 + (digits >> 8);

    return ((pairs & UINT64_C(0x000000ff000000ff)) * UINT64_C(0x000f424000000064) +
            (pairs >> 16 & UINT64_C(0x000000ff000000ff)) *
                UINT64_C(0x0000271000000001)) >>
           32;
}

/* The last eight bytes of @n at the end, or all with zeros before them. */
static uint64_t last_eight(const uint8_t *end, size_t n)
{
    uint64_t bytes;

    memcpy(&bytes, end - sizeof bytes, sizeof bytes);
    bytes = le64toh(bytes);
    return n < sizeof bytes ? bytes & UINT64_MAX << 8 * (sizeof bytes - n) : bytes;
}

static uint64_t value_of_digits(const uint8_t *at, const uint8_t *end)
{
    uint64_t value = 0;

    for (; at < end; at++) /* it fits: it was one once */
        if (*at != ' ')
            value = value * 10 + (uint64_t)(*at - '0');
    return value;
}

/* The value in a column's place: blanks, then digits. */
static inline uint64_t value_in(const struct shape_column *c, const uint8_t *text)
{
    const uint8_t *end = text + c->end;

    if (c->n <= 8 && c->end >= 8)
        return value_of_eight(last_eight(end, c->n));
    if (c->n > 8 && c->n <= 16 && c->end >= 16)
        return value_of_eight(last_eight(end, 8)) +
               value_of_eight(last_eight(end - 8, c->n - 8u)) * DECIMAL_EIGHT;
    return value_of_digits(end - c->n, end);
}

uint64_t shape_value(const struct shape *s, struct span text, size_t i)
{
    assert(i < s->n);
    return value_in(&s->columns[i], text.data);
}

/* How many bytes at the start of both are the same. */
static size_t same_bytes(const uint8_t *a, const uint8_t *b, size_t n)
{
    size_t i = 0;

    for (; n - i >= sizeof(uint64_t); i += sizeof(uint64_t)) {
        uint64_t x, y;
        memcpy(&x, a + i, sizeof x);
        memcpy(&y, b + i, sizeof y);
        if (x != y)
            return i + (size_t)__builtin_ctzll(le64toh(x ^ y)) / 8;
    }
    while (i < n && a[i] == b[i])
        i++;
    return i;
}

/* The first column from @from on whose place ends at @at or behind it. */
static size_t first_reaching(const struct shape *s, size_t from, size_t at)
{
    size_t low = from;
    size_t step = 1;

    while (low + step <= s->n && s->columns[low + step - 1].end < at) {
        low += step;
        step *= 2;
    }
    size_t high = low + step <= s->n ? low + step - 1 : s->n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (s->columns[middle].end < at)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/*
 * Reads a column from @at on. Only what shape_write_value() would write is taken.
 * Return: bytes of its place; 0 if it isn't one.
 */
static size_t read_column(const struct shape_column *c, struct span text, size_t at,
                          uint64_t *ret_value)
{
    size_t start = at;

    if (c->kind == SHAPE_RIGHT)
        while (start < text.n && text.data[start] == ' ')
            start++;
    size_t end = digits_end(text, start);
    size_t digits = end - start;
    size_t n = end - at;
    if (digits == 0 || decimal_read(text.data + start, digits, ret_value))
        return 0;
    bool zero_in_front = digits > 1 && text.data[start] == '0';
    if (c->kind == SHAPE_ZERO)
        return digits == c->width || (digits > c->width && !zero_in_front) ? n : 0;
    if (zero_in_front)
        return 0;
    if (c->kind == SHAPE_PLAIN)
        return n;
    return n == (digits < c->width ? c->width : digits + 1) ? n : 0;
}

/* Moves the columns to where they are in the text with the changes. */
static void move_columns(struct shape *s, const struct shape_change *changes, size_t n)
{
    uint32_t shift = 0; /* modulo 2^32 */
    size_t at = n > 0 ? changes[0].column : s->n;

    for (size_t i = 0; i < n; i++) {
        const struct shape_change *c = &changes[i];
        if (shift)
            for (; at < c->column; at++)
                s->columns[at].end += shift;
        struct shape_column *column = &s->columns[c->column];
        shift += c->n - column->n;
        column->n = (uint8_t)c->n;
        column->end += shift;
        at = c->column + 1;
    }
    if (shift)
        for (; at < s->n; at++)
            s->columns[at].end += shift;
}

bool shape_read(struct shape *s, struct span text, struct span next,
                struct shape_change *changes, size_t *ret_n)
{
    size_t at = 0;      /* in text */
    size_t next_at = 0; /* in next */
    size_t column = 0;
    size_t n = 0;

    for (;;) {
        size_t left = text.n - at < next.n - next_at ? text.n - at : next.n - next_at;
        size_t same = 0;
        if (left > 0) /* an empty text may have no bytes to point at */
            same = same_bytes(text.data + at, next.data + next_at, left);
        if (at + same == text.n && next_at + same == next.n)
            break;
        /* What ends before the difference is the same, the byte behind it too. */
        column = first_reaching(s, column, at + same);
        if (column == s->n)
            return false;
        const struct shape_column *c = &s->columns[column];
        if (at + same < c->end - c->n) /* literal bytes differ */
            return false;
        uint64_t after;
        next_at += c->end - c->n - at;
        size_t place = read_column(c, next, next_at, &after);
        if (place == 0)
            return false;
        changes[n++] = (struct shape_change){(uint32_t)column, (uint32_t)place,
                                             value_in(c, text.data), after};
        at = c->end;
        next_at += place;
        column++;
    }
    move_columns(s, changes, n);
    *ret_n = n;
    return true;
}

/* Writes the blanks or zeros before a number: mostly a few. Return: how many. */
static inline size_t write_padding(uint8_t kind, uint8_t width, unsigned digits,
                                   uint8_t *to)
{
    uint8_t byte = kind == SHAPE_ZERO ? '0' : ' ';
    size_t n = 0;

    if (kind == SHAPE_RIGHT)
        n = digits < width ? width - digits : 1;
    else if (kind == SHAPE_ZERO && digits < width)
        n = width - digits;
    if (n <= SHAPE_SLACK)
        memset(to, byte, SHAPE_SLACK);
    else
        memset(to, byte, n);
    return n;
}

size_t shape_write_value(uint8_t kind, uint8_t width, uint64_t value, uint8_t *to)
{
    if (value >= DECIMAL_EIGHT) {
        unsigned digits = decimal_size(value);
        size_t before = write_padding(kind, width, digits, to);
        decimal_write(value, digits, to + before);
        return before + digits;
    }
    uint64_t eight = decimal_eight(value);
    /* Bits of the bytes of zeros in front, but for the last, which is a digit always. */
    unsigned zeros = (unsigned)__builtin_ctzll(eight | UINT64_C(1) << 56) & ~7u;
    unsigned digits = 8 - zeros / 8;
    size_t before = write_padding(kind, width, digits, to);
    uint64_t bytes = htole64((eight | UINT64_C(0x3030303030303030)) >> zeros);
    memcpy(to + before, &bytes, sizeof bytes);
    return before + digits;
}

/* Copies in pieces, most of which are short: up to SHAPE_SLACK bytes behind the
 * end are written too, and read where they are the text's own. */
static void copy_piece(uint8_t *to, const uint8_t *from, size_t n, size_t readable)
{
    if (n <= SHAPE_SLACK && readable >= SHAPE_SLACK)
        memcpy(to, from, SHAPE_SLACK);
    else
        memcpy(to, from, n);
}

size_t shape_step(struct shape *s, struct span text, const struct shape_edit *edits,
                  size_t n, uint8_t *to)
{
    size_t at = 0;      /* in text */
    size_t to_at = 0;   /* in to */
    uint32_t shift = 0; /* modulo 2^32 */
    size_t moved = 0;   /* columns before this one are in their places */

    for (size_t i = 0; i < n; i++) {
        struct shape_column *c = &s->columns[edits[i].column];
        size_t start = c->end - c->n;
        uint64_t value = value_in(c, text.data) + edits[i].difference;
        uint32_t end = c->end;

        copy_piece(to + to_at, text.data + at, start - at, text.n - at);
        to_at += start - at;
        size_t place = shape_write_value(c->kind, c->width, value, to + to_at);
        to_at += place;
        if (shift)
            for (; moved < edits[i].column; moved++)
                s->columns[moved].end += shift;
        moved = edits[i].column + 1;
        shift += (uint32_t)place - c->n;
        c->n = (uint8_t)place;
        c->end = end + shift;
        at = end;
    }
    if (text.n > at)
        memcpy(to + to_at, text.data + at, text.n - at);
    to_at += text.n - at;
    if (shift)
        for (; moved < s->n; moved++)
            s->columns[moved].end += shift;
    return to_at;
}
