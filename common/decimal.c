/* SPDX-License-Identifier: MIT */
#include "common/decimal.h"

#include <string.h>

unsigned decimal_size(uint64_t value)
{
    static const uint64_t powers[] = {
        0,
        UINT64_C(10),
        UINT64_C(100),
        UINT64_C(1000),
        UINT64_C(10000),
        UINT64_C(100000),
        UINT64_C(1000000),
        UINT64_C(10000000),
        UINT64_C(100000000),
        UINT64_C(1000000000),
        UINT64_C(10000000000),
        UINT64_C(100000000000),
        UINT64_C(1000000000000),
        UINT64_C(10000000000000),
        UINT64_C(100000000000000),
        UINT64_C(1000000000000000),
        UINT64_C(10000000000000000),
        UINT64_C(100000000000000000),
        UINT64_C(1000000000000000000),
        UINT64_C(10000000000000000000),
    };
    /* 1233 / 4096 is a little more than the logarithm of 2: one too many at most. */
    unsigned bits = 64 - (unsigned)__builtin_clzll(value | 1);
    unsigned guess = bits * 1233 >> 12;

    return guess + (value >= powers[guess]);
}

void decimal_write(uint64_t value, unsigned n, uint8_t *to)
{
    static const char pairs[] = "00010203040506070809101112131415161718192021222324"
                                "25262728293031323334353637383940414243444546474849"
                                "50515253545556575859606162636465666768697071727374"
                                "75767778798081828384858687888990919293949596979899";

    for (; n >= 2; n -= 2) {
        memcpy(to + n - 2, pairs + 2 * (value % 100), 2);
        value /= 100;
    }
    if (n > 0)
        to[0] = (uint8_t)('0' + value);
}

int decimal_read(const uint8_t *digits, size_t n, uint64_t *ret)
{
    uint64_t value = 0;
    size_t i = 0;

    for (; i < n && i < DECIMAL_MAX - 1; i++) /* can't wrap yet */
        value = value * 10 + (uint64_t)(digits[i] - '0');
    for (; i < n; i++) {
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(digits[i] - '0'), &value))
            return E_TOO_LARGE;
    }
    *ret = value;
    return 0;
}
