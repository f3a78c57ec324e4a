/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * A bounded reader of untrusted bytes. Its first failure sticks: later reads yield
 * nothing and zero, so one test at the end covers every field. The struct is open for
 * reading; a decoder that scans for itself may move @at within [start, end].
 */

#include "common/err.h"
#include "common/span.h"

struct cursor {
    const uint8_t *start;
    const uint8_t *at;
    const uint8_t *end;
    int r; /* 0, or the verdict of the first failure */
    struct err_at why;
};

void cursor_init(struct cursor *c, struct span input);

static inline size_t cursor_left(const struct cursor *c)
{
    return (size_t)(c->end - c->at);
}

static inline size_t cursor_offset(const struct cursor *c)
{
    return (size_t)(c->at - c->start);
}

/**
 * cursor_fail() - stop here, unless stopped before
 * @r:    a verdict
 * @what: a literal that names the reason
 *
 * The offset kept is that of the cursor, which then has nothing left to read.
 */
void cursor_fail(struct cursor *c, int r, const char *what);

/* The next byte without taking it; -1 at the end, which is no failure. */
static inline int cursor_peek(const struct cursor *c)
{
    return c->at < c->end ? *c->at : -1;
}

/* The next byte; fails with E_TRUNCATED at the end. */
uint8_t cursor_u8(struct cursor *c);
/* An unsigned number of @n (1 to 8) bytes, most (be) or least (le) significant first. */
uint64_t cursor_be(struct cursor *c, unsigned n);
uint64_t cursor_le(struct cursor *c, unsigned n);
/* The next @n bytes, borrowed from the input; empty on failure. */
struct span cursor_bytes(struct cursor *c, uint64_t n);
