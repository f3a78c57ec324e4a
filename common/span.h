/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Borrowed bytes: counted, never terminated, owned by somebody else. Whoever hands a
 * span out says how long it lives.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct span {
    const uint8_t *data;
    size_t n;
};

/* A span of a string literal, without its terminator. */
#define SPAN(literal)                                                                    \
    ((struct span){(const uint8_t *)("" literal ""), sizeof(literal) - 1})

static inline struct span span_of(const void *data, size_t n)
{
    return (struct span){data, n};
}

static inline struct span span_of_str(const char *s)
{
    return (struct span){(const uint8_t *)s, strlen(s)};
}

static inline bool span_equal(struct span a, struct span b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.data, b.data, a.n) == 0);
}

static inline bool span_equal_str(struct span a, const char *s)
{
    return span_equal(a, span_of_str(s));
}

/* The part from byte from on; empty where that lies past the end. */
static inline struct span span_from(struct span s, size_t from)
{
    if (from >= s.n)
        return (struct span){s.data, 0};
    return (struct span){s.data + from, s.n - from};
}

/* ASCII only: A and a are equal, nothing else is folded. */
bool span_equal_nocase(struct span a, struct span b);
bool span_starts_with(struct span s, struct span prefix);
/* Without the blanks and tabs at both ends. */
struct span span_trim(struct span s);
