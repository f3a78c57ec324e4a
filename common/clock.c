/* SPDX-License-Identifier: MIT */
#include "common/clock.h"

#include "common/units.h"

#include <assert.h>
#include <errno.h>
#include <sys/random.h>
#include <time.h>

static uint64_t read_clock(clockid_t id)
{
    struct timespec ts;
    int r = clock_gettime(id, &ts);

    assert(r == 0);
    (void)r;
    return (uint64_t)ts.tv_sec * SEC + (uint64_t)ts.tv_nsec;
}

uint64_t clock_boot_ns(void)
{
    return read_clock(CLOCK_BOOTTIME);
}

uint64_t clock_monotonic_ns(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

uint64_t clock_wall_ns(void)
{
    return read_clock(CLOCK_REALTIME);
}

uint64_t clock_random_u64(void)
{
    uint64_t value = 0;

    /* Up to 256 bytes come whole once the pool is ready (getrandom(2)); before
     * that a signal may interrupt the wait. */
    while (getrandom(&value, sizeof value, 0) != sizeof value)
        assert(errno == EINTR);
    return value;
}
