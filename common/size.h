/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Sums and products of sizes that may come from outside: done, or E_TOO_LARGE with
 * nothing written.
 */

#include "common/err.h"

#include <stddef.h>

PC_MUST_CHECK static inline int size_add(size_t a, size_t b, size_t *ret)
{
    size_t sum;

    if (__builtin_add_overflow(a, b, &sum))
        return E_TOO_LARGE;
    *ret = sum;
    return 0;
}

PC_MUST_CHECK static inline int size_mul(size_t a, size_t b, size_t *ret)
{
    size_t product;

    if (__builtin_mul_overflow(a, b, &product))
        return E_TOO_LARGE;
    *ret = product;
    return 0;
}
