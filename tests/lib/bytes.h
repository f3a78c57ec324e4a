/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Bytes that tests write down, put together and throw dice for. A call that fails here
 * fails the test.
 */

#include "common/buf.h"
#include "common/span.h"

#include <check.h>
#include <stdlib.h>

#define N_OF(array) (sizeof(array) / sizeof(array)[0])

/* Enough room for any buffer of a small test. */
#define BYTES_ROOM (1u << 20)

/* The bytes that a hexadecimal text stands for, in a heap block of exactly their size. */
static inline struct span bytes_of_hex(const char *digits)
{
    size_t n = strlen(digits) / 2;
    uint8_t *bytes = malloc(n);

    ck_assert_ptr_nonnull(bytes);
    for (size_t i = 0; i < n; i++) {
        const char pair[3] = {digits[2 * i], digits[2 * i + 1], '\0'};
        char *end;
        bytes[i] = (uint8_t)strtoul(pair, &end, 16);
        ck_assert_msg(*end == '\0', "not hexadecimal: %s", digits);
    }
    return span_of(bytes, n);
}

/* Frees what bytes_of_hex() or suite_exact() made; for CLEANUP. */
static inline void bytes_drop(struct span *s)
{
    free((void *)(uintptr_t)s->data);
}

static inline void bytes_put(struct buf *to, struct span bytes)
{
    ck_assert_int_eq(buf_append(to, bytes), 0);
}

static inline void bytes_put_one(struct buf *to, unsigned byte)
{
    ck_assert_int_eq(buf_append_byte(to, (uint8_t)byte), 0);
}

/* Numbers that look random and are the same in every run (SplitMix64). */
static inline uint64_t bytes_random(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}
