/* SPDX-License-Identifier: MIT */

/*
 * The cheapest agent that there could be: it reads, on a grid, and does nothing with it.
 * For tests/bench/parts/agent_cpu.py, which measures it from outside. Ends when killed.
 *
 *     bare_agent [MILLISECONDS]      of the grid, 1000 by default
 */

#include "common/clock.h"
#include "common/units.h"
#include "tests/bench/bare.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static void wait_until(uint64_t ns)
{
    const struct timespec at = {.tv_sec = (time_t)(ns / SEC),
                                .tv_nsec = (long)(ns % SEC)};

    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL))
        ;
}

int main(int argc, char **argv)
{
    uint64_t interval_ns = (argc > 1 ? strtoull(argv[1], NULL, 10) : 1000) * MSEC;
    struct bare bare;
    int r = interval_ns ? bare_init(&bare) : E_MALFORMED;

    for (uint64_t due_ns = clock_monotonic_ns(); r == 0; due_ns += interval_ns) {
        wait_until(due_ns);
        r = bare_tick(&bare);
    }
    fprintf(stderr, "bare_agent: %s\n", err_text(r));
    return EXIT_FAILURE;
}
