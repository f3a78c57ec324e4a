/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Unsigned numbers in LEB128: seven bits a byte, the least significant first, the high
 * bit where another byte follows; signed ones zig-zag, so that small ones stay short.
 */

#include "common/buf.h"
#include "common/cursor.h"

#define VARINT_MAX 10u /* bytes of a 64-bit number */

static inline uint64_t zigzag(uint64_t n)
{
    return n << 1 ^ (0 - (n >> 63));
}

static inline uint64_t unzigzag(uint64_t z)
{
    return z >> 1 ^ (0 - (z & 1));
}

/* Writes a number to room for VARINT_MAX bytes. Return: the byte behind it. */
static inline uint8_t *varint_write(uint64_t value, uint8_t *to)
{
    for (; value >= 0x80; value >>= 7)
        *to++ = (uint8_t)(value | 0x80);
    *to++ = (uint8_t)value;
    return to;
}

/* Return as buf_append(). */
PC_MUST_CHECK static inline int varint_append(uint64_t value, struct buf *to)
{
    int r = buf_reserve(to, VARINT_MAX);

    if (r == 0)
        buf_commit(to, (size_t)(varint_write(value, buf_tail(to)) - buf_tail(to)));
    return r;
}

/* Reads a number at *@at, which moves behind it. Return: 0; E_TRUNCATED at @end,
 * E_MALFORMED over 64 bits. */
PC_MUST_CHECK static inline int varint_read(const uint8_t **at, const uint8_t *end,
                                            uint64_t *ret)
{
    uint64_t value = 0;

    for (unsigned shift = 0; *at < end; shift += 7) {
        uint8_t byte = *(*at)++;
        if (shift == 63 && byte > 1)
            return E_MALFORMED;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            *ret = value;
            return 0;
        }
    }
    return E_TRUNCATED;
}

/* The next number. Fails as varint_read(). */
static inline uint64_t varint_take(struct cursor *c)
{
    uint64_t value = 0;

    int r = varint_read(&c->at, c->end, &value);
    if (r)
        cursor_fail(c, r,
                    r == E_TRUNCATED ? "the input ends too early"
                                     : "a number of more than 64 bits");
    return value;
}
