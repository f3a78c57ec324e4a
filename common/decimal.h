/* SPDX-License-Identifier: MIT */
#pragma once

/* Decimal digits of unsigned 64-bit numbers, where each nanosecond counts. Pure. */

#include "common/err.h"

#include <stdint.h>

#define DECIMAL_MAX 20u /* digits of 2^64-1 */

/* How many digits the number has: 1 to DECIMAL_MAX. */
unsigned decimal_size(uint64_t value);

/* Writes the @n digits of a number of which decimal_size() is @n. */
void decimal_write(uint64_t value, unsigned n, uint8_t *to);

/*
 * The eight digits of a number below DECIMAL_EIGHT, as bytes from 0 to 9: the first
 * digit, which may be a zero in front, in the lowest byte. All pairs are divided at once,
 * by multiplications with 1/100 and 1/10 that are exact for numbers so small.
 */
#define DECIMAL_EIGHT UINT64_C(100000000)
static inline uint64_t decimal_eight(uint64_t value)
{
    uint64_t fours = value / 10000 | value % 10000 << 32;
    uint64_t hundreds = fours * 10486 >> 20 & UINT64_C(0x0000007f0000007f);
    uint64_t pairs = hundreds | (fours - hundreds * 100) << 16;
    uint64_t tens = pairs * 103 >> 10 & UINT64_C(0x000f000f000f000f);

    return tens | (pairs - tens * 10) << 8;
}

/**
 * decimal_read() - the value of a run of digits
 * @digits: borrows; digits only
 * @n:      any number of them, zeros in front included
 *
 * Return: 0; E_TOO_LARGE past 2^64-1.
 */
PC_MUST_CHECK int decimal_read(const uint8_t *digits, size_t n, uint64_t *ret);
