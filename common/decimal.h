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

/**
 * decimal_read() - the value of a run of digits
 * @digits: borrows; digits only
 * @n:      any number of them, zeros in front included
 *
 * Return: 0; E_TOO_LARGE past 2^64-1.
 */
PC_MUST_CHECK int decimal_read(const uint8_t *digits, size_t n, uint64_t *ret);
