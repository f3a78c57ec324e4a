/* SPDX-License-Identifier: MIT */
#include "pcd/admit.h"

#include <assert.h>
#include <stdatomic.h>

int admit_charge(struct admit *a, uint64_t bytes)
{
    uint64_t held = atomic_load_explicit(&a->bytes, memory_order_relaxed);

    do {
        if (held > a->max_bytes || bytes > a->max_bytes - held)
            return E_FULL;
    } while (!atomic_compare_exchange_weak_explicit(
        &a->bytes, &held, held + bytes, memory_order_relaxed, memory_order_relaxed));
    return 0;
}

void admit_release(struct admit *a, uint64_t bytes)
{
    uint64_t held = atomic_fetch_sub_explicit(&a->bytes, bytes, memory_order_relaxed);

    assert(held >= bytes);
    (void)held;
}
