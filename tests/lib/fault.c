/* SPDX-License-Identifier: MIT */
#include "tests/lib/fault.h"

#include <stdatomic.h>
#include <stddef.h>

static long countdown = -1;
static bool fired;
static _Atomic uint64_t allocations; /* by any thread */

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void *__real_reallocarray(void *p, size_t n, size_t size);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);
void *__wrap_reallocarray(void *p, size_t n, size_t size);

void fault_arm(long nth)
{
    countdown = nth;
    fired = false;
}

bool fault_disarm(void)
{
    countdown = -1;
    return fired;
}

uint64_t fault_allocations(void)
{
    return atomic_load_explicit(&allocations, memory_order_relaxed);
}

static bool fails_now(void)
{
    atomic_fetch_add_explicit(&allocations, 1, memory_order_relaxed);
    if (countdown < 0 || countdown-- > 0)
        return false;
    fired = true;
    return true;
}

void *__wrap_malloc(size_t n)
{
    return fails_now() ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return fails_now() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t n)
{
    return fails_now() ? NULL : __real_realloc(p, n);
}

void *__wrap_reallocarray(void *p, size_t n, size_t size)
{
    return fails_now() ? NULL : __real_reallocarray(p, n, size);
}
