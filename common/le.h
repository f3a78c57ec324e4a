/* SPDX-License-Identifier: MIT */
#pragma once

/* Numbers of a fixed size, least significant byte first; cursor_le() reads them. */

#include <stdint.h>

/* Writes the lowest @n (1 to 8) bytes of a number to @to. Return: the byte behind them.
 */
static inline uint8_t *le_write(uint64_t value, unsigned n, uint8_t *to)
{
    for (unsigned i = 0; i < n; i++)
        *to++ = (uint8_t)(value >> 8 * i);
    return to;
}
