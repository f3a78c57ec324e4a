/* SPDX-License-Identifier: MIT */

/*
 * What a tick of pcc takes: all sources appended to a batch, as the sampler does it.
 *
 *     tick hot [BLOCKS [TICKS]]      CPU time, in a loop. Blocks of ticks and of bare
 * reads (tests/bench/bare.h) take turns, so that both suffer the same noise: a line each,
 * "ns of a tick, bare ns" tick wall [TICKS [MS]]         wall time, at 1 s: a line each,
 * "ns late, ns taken", and those of bare reads, half an interval later
 */

#include "common/clock.h"
#include "common/units.h"
#include "pcc/early.h"
#include "pcc/grid.h"
#include "pcc/source.h"
#include "tests/bench/bare.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* pcc's defaults. */
#define SUBSYSTEMS "/proc/stat,/proc/meminfo,/proc/net/dev,/proc/diskstats,statfs[*]"
#define BATCH_SIZE 100u
#define BATCH_BYTES (2 * MIB)
#define ANSWER (200 * MSEC)

struct sampling {
    struct sources *sources;
    struct batch batch;
    struct gap_set gaps;
    struct bare bare;
    uint64_t ticks;
};

static int sampling_init(struct sampling *s)
{
    memset(s, 0, sizeof *s);
    batch_init(&s->batch, &batch_limits_default);
    int r = sources_new(SUBSYSTEMS, "", &s->sources);
    if (r == 0)
        r = batch_reserve(&s->batch, 2 * BATCH_SIZE, BATCH_BYTES);
    return r ? r : bare_init(&s->bare);
}

static uint64_t cpu_ns(void)
{
    struct timespec t;

    if (clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t))
        return 0;
    return (uint64_t)t.tv_sec * SEC + (uint64_t)t.tv_nsec;
}

/* As take_tick() in pcc/sampler.c. */
static void take_tick(struct sampling *s)
{
    uint64_t boot_ns = clock_boot_ns();
    uint64_t time_ns = grid_timestamp(SEC, early_clock(boot_ns, clock_wall_ns()));

    if (s->batch.n_items >= BATCH_SIZE)
        batch_reset(&s->batch);
    batch_begin_tick(&s->batch);
    (void)sources_append(s->sources, &s->batch, time_ns, boot_ns + ANSWER, &s->gaps);
    s->ticks++;
}

static uint64_t block_of_ticks(struct sampling *s, uint64_t n)
{
    uint64_t begin_ns = cpu_ns();

    for (uint64_t i = 0; i < n; i++)
        take_tick(s);
    return cpu_ns() - begin_ns;
}

static int block_of_bare(struct sampling *s, uint64_t n, uint64_t *ret_ns)
{
    uint64_t begin_ns = cpu_ns();
    int r = 0;

    for (uint64_t i = 0; i < n && r == 0; i++)
        r = bare_tick(&s->bare);
    *ret_ns = cpu_ns() - begin_ns;
    return r;
}

static int run_hot(struct sampling *s, uint64_t blocks, uint64_t n)
{
    int r = 0;

    (void)block_of_ticks(s, n); /* to warm up */
    for (uint64_t i = 0; i < blocks && r == 0; i++) {
        uint64_t tick_ns = i % 2 ? 0 : block_of_ticks(s, n);
        uint64_t bare_ns;
        r = block_of_bare(s, n, &bare_ns);
        if (i % 2)
            tick_ns = block_of_ticks(s, n);
        printf("%" PRIu64 "\t%" PRIu64 "\n", tick_ns / n, bare_ns / n);
    }
    return r;
}

static void wait_until(uint64_t ns)
{
    const struct timespec at = {.tv_sec = (time_t)(ns / SEC),
                                .tv_nsec = (long)(ns % SEC)};

    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL))
        ;
}

static int run_wall(struct sampling *s, uint64_t n, uint64_t interval_ns)
{
    uint64_t due_ns = clock_monotonic_ns() + interval_ns;
    int r = 0;

    for (uint64_t i = 0; i < n && r == 0; i++, due_ns += interval_ns) {
        wait_until(due_ns);
        uint64_t begin_ns = clock_monotonic_ns();
        take_tick(s);
        uint64_t end_ns = clock_monotonic_ns();
        printf("%" PRIu64 "\t%" PRIu64, begin_ns - due_ns, end_ns - begin_ns);
        wait_until(due_ns + interval_ns / 2);
        begin_ns = clock_monotonic_ns();
        r = bare_tick(&s->bare);
        end_ns = clock_monotonic_ns();
        printf("\t%" PRIu64 "\t%" PRIu64 "\n", begin_ns - due_ns - interval_ns / 2,
               end_ns - begin_ns);
    }
    return r;
}

static uint64_t argument(int argc, char **argv, int i, uint64_t dflt)
{
    return argc > i ? strtoull(argv[i], NULL, 10) : dflt;
}

int main(int argc, char **argv)
{
    static struct sampling s; /* too much for a stack */
    int r = sampling_init(&s);

    if (r == 0 && argc > 1 && strcmp(argv[1], "hot") == 0)
        r = run_hot(&s, argument(argc, argv, 2, 11), argument(argc, argv, 3, 2000));
    else if (r == 0 && argc > 1 && strcmp(argv[1], "wall") == 0)
        r = run_wall(&s, argument(argc, argv, 2, 600),
                     argument(argc, argv, 3, 1000) * MSEC);
    else if (r == 0)
        r = E_MALFORMED;
    if (r)
        fprintf(stderr, "tick: %s\n", err_text(r));
    sources_free(s.sources);
    batch_done(&s.batch);
    return r ? EXIT_FAILURE : EXIT_SUCCESS;
}
