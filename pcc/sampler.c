/* SPDX-License-Identifier: MIT */
#include "pcc/sampler.h"

#include "common/clock.h"
#include "common/io.h"
#include "common/units.h"
#include "pcc/early.h"
#include "pcc/grid.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/timerfd.h>
#include <unistd.h>

/* A mount that doesn't answer in this part of the interval, or time, is left out. */
#define ANSWER_SHARE 5u
#define ANSWER_MAX (250 * MSEC)

struct sampler {
    struct seal_rule rule;
    struct sources *sources;
    struct outbox *outbox;
    struct counters *counters;
    struct grid grid;
    struct gap_set gaps;     /* noted here, not told of yet */
    uint64_t first_ns;       /* boot clock: the open batch's first tick */
    uint64_t last_timestamp; /* of the last tick */
    pthread_t thread;
    int timer_fd;      /* expires at the grid's points */
    uint64_t armed_ns; /* boot clock: the point that it is set to expire at next */
    atomic_bool stops;
};

bool sampler_must_seal(const struct seal_rule *rule, size_t measurements, size_t bytes,
                       uint64_t next_age_ns)
{
    return measurements >= rule->measurements || bytes >= rule->bytes ||
           next_age_ns >= rule->flush_ns;
}

/* A tick's moment. */
struct moment {
    uint64_t boot_ns;
    uint64_t time_ns; /* by the wall clock, or, while that isn't set, the boot clock */
};

static struct moment moment_now(void)
{
    uint64_t boot_ns = clock_boot_ns();

    return (struct moment){boot_ns, early_clock(boot_ns, clock_wall_ns())};
}

/* Gaps travel in a batch's first tick, so that a long one isn't told of at each, and in
 * its last one, so that none stays behind in memory, where a kill would find it. */
static void tell_of_gaps(struct sampler *s, const struct moment *now)
{
    struct outbox_slot *slot = outbox_open(s->outbox);

    if (early_is(now->time_ns))
        return;
    outbox_collect_gaps(s->outbox, OUTBOX_TRY, &s->gaps);
    gaps_shift(&s->gaps, EARLY_END, now->time_ns - now->boot_ns);
    gaps_emit(&s->gaps, &slot->carried, &slot->batch, s->last_timestamp);
}

/* Is the open batch to be handed over? */
static bool is_full(const struct sampler *s, uint64_t boot_ns)
{
    const struct batch *b = &outbox_open(s->outbox)->batch;
    uint64_t due_ns = grid_due(&s->grid);
    uint64_t next_ns = due_ns > boot_ns ? due_ns : boot_ns;

    return b->n_items > 0 &&
           sampler_must_seal(&s->rule, b->n_items, b->bytes.len, next_ns - s->first_ns);
}

/* If not now, the batch takes in the next tick and is sealed after that one. */
static void seal(struct sampler *s, enum outbox_seal how)
{
    int later = outbox_seal(s->outbox, how);

    (void)later;
}

static void take_tick(struct sampler *s, const struct moment *now)
{
    struct batch *b = &outbox_open(s->outbox)->batch;
    const size_t before = b->n_items;
    uint64_t wait_ns = s->grid.interval_ns / ANSWER_SHARE;

    s->last_timestamp = early_is(now->time_ns)
                            ? grid_boot_time(&s->grid, now->boot_ns)
                            : grid_timestamp(s->grid.interval_ns, now->time_ns);
    batch_begin_tick(b);
    if (sources_append(s->sources, b, s->last_timestamp,
                       now->boot_ns + (wait_ns < ANSWER_MAX ? wait_ns : ANSWER_MAX),
                       &s->gaps))
        outbox_wake(s->outbox);
    if (before == 0) {
        s->first_ns = now->boot_ns;
        tell_of_gaps(s, now);
    }
    const bool full = is_full(s, now->boot_ns);
    if (full)
        tell_of_gaps(s, now);
    s->counters->ticks++;
    s->counters->last_tick_ns = now->boot_ns;
    s->counters->measurements += b->n_items - before;
    if (full)
        seal(s, OUTBOX_TRY);
    else if (s->rule.each_tick && b->n_items > 0)
        seal(s, OUTBOX_IF_IDLE);
}

static void note_missed(struct sampler *s, enum gap_id why, uint64_t missed,
                        uint64_t first_ns)
{
    struct gap_note note = {
        .from_ns = first_ns,
        .to_ns = first_ns + (missed - 1) * s->grid.interval_ns,
        .ticks = missed,
        .measurements = missed * sources_count(s->sources),
    };

    gaps_add(&s->gaps, why, &note);
    s->counters->missed += missed;
    s->counters->lost[why] += note.measurements;
}

/* Notes what was due before the last point that has come. */
static void arrive(struct sampler *s, const struct moment *now)
{
    uint64_t due_time_ns = now->time_ns - (now->boot_ns - grid_due(&s->grid));
    uint64_t missed = grid_arrive(&s->grid, now->boot_ns);

    if (missed > 0)
        note_missed(s, GAP_MISSED, missed, due_time_ns);
}

/* Sets the timer to expire at @due_ns of the boot clock and each @interval_ns after. */
static void arm(int timer_fd, uint64_t due_ns, uint64_t interval_ns)
{
    const struct itimerspec at = {
        .it_value = {.tv_sec = (time_t)(due_ns / SEC), .tv_nsec = (long)(due_ns % SEC)},
        .it_interval = {.tv_sec = (time_t)(interval_ns / SEC),
                        .tv_nsec = (long)(interval_ns % SEC)}};
    int r = timerfd_settime(timer_fd, TFD_TIMER_ABSTIME, &at, NULL);

    assert(r == 0);
    (void)r;
}

/* Waits for the point that is due: one system call, as long as the grid stays where it
 * is. Return: is it time for a tick? Else to stop. */
static bool wait_due(struct sampler *s)
{
    uint64_t due_ns = grid_due(&s->grid);
    uint64_t expired;

    if (due_ns != s->armed_ns)
        arm(s->timer_fd, due_ns, s->grid.interval_ns);
    s->armed_ns = due_ns + s->grid.interval_ns;
    /* It may still tell of a point that had come when the last tick was taken. Asked
     * after it was armed: whoever wants it to stop arms it later than that, or is seen.
     */
    while (!s->stops) {
        ssize_t n = read(s->timer_fd, &expired, sizeof expired);
        assert(n == sizeof expired || (n < 0 && errno == EINTR));
        (void)n;
        if (clock_boot_ns() >= due_ns)
            break;
    }
    return !s->stops;
}

/* What is left when it ends: no tick can be late any more, so locks may be waited for. */
static void finish(struct sampler *s)
{
    struct outbox_slot *slot = outbox_open(s->outbox);

    const size_t before = slot->batch.n_items;

    outbox_collect_gaps(s->outbox, OUTBOX_WAIT, &s->gaps);
    gaps_emit(&s->gaps, &slot->carried, &slot->batch, s->last_timestamp);
    s->counters->measurements += slot->batch.n_items - before;
    if (slot->batch.n_items > 0) {
        int r = outbox_seal(s->outbox, OUTBOX_WAIT);
        assert(r == 0); /* it waits */
        (void)r;
    }
}

/* Thread: sampler. */
static void *sampler_run(void *arg)
{
    struct sampler *s = arg;
    struct moment now = moment_now();

    grid_init(&s->grid, s->grid.interval_ns, now.boot_ns, now.time_ns,
              clock_random_u64());
    take_tick(s, &now);
    while (wait_due(s)) {
        now = moment_now();
        arrive(s, &now);
        /* The clock may have been stepped: the next point, on it, as of now. */
        (void)grid_realign(&s->grid, now.time_ns,
                           now.time_ns + (grid_due(&s->grid) - now.boot_ns));
        if (outbox_held(s->outbox))
            note_missed(s, GAP_HELD, 1, now.time_ns);
        else
            take_tick(s, &now);
    }
    now = moment_now();
    arrive(s, &now);
    finish(s);
    return NULL;
}

static void sampler_free(struct sampler *s)
{
    io_close(&s->timer_fd);
    free(s);
}

int sampler_start(uint64_t interval_ns, const struct seal_rule *rule,
                  struct sources *sources, struct outbox *outbox,
                  struct counters *counters, struct sampler **ret)
{
    struct sampler *s = calloc(1, sizeof *s);
    if (!s)
        return -ENOMEM;
    s->rule = *rule;
    s->sources = sources;
    s->outbox = outbox;
    s->counters = counters;
    s->grid.interval_ns = interval_ns;
    s->timer_fd = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC);
    int r = s->timer_fd < 0 ? -errno : 0;
    if (r == 0)
        r = -pthread_create(&s->thread, NULL, sampler_run, s);
    if (r) {
        sampler_free(s);
        return r;
    }
    (void)pthread_setname_np(s->thread, "pcc-sampler");
    *ret = s;
    return 0;
}

void sampler_stop(struct sampler *s)
{
    if (!s)
        return;
    s->stops = true;
    arm(s->timer_fd, 1, 0); /* long ago: it expires at once */
    (void)pthread_join(s->thread, NULL);
    sampler_free(s);
}
