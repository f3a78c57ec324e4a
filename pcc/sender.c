/* SPDX-License-Identifier: MIT */
#include "pcc/sender.h"

#include "common/clock.h"
#include "common/io.h"
#include "common/log.h"
#include "common/units.h"
#include "pcc/early.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/epoll.h>

#define LOG_EVERY (10 * SEC)
/* Those who ask for the status at once; more are told with the next. */
#define ASKERS_MAX 64

struct sender {
    struct sender_parts parts;
    pthread_t thread;
    int wake_fd; /* readable when the outbox is, or somebody asks */
    struct buf told;
    _Atomic bool stopping;
    _Atomic bool reloads;
    uint64_t within_ns;     /* written before stopping */
    uint64_t deadline_ns;   /* boot clock; 0 while not stopping */
    uint64_t lost;          /* at the end */
    uint64_t behind_told;   /* how much of counters.behind was logged */
    uint64_t unwritable_ns; /* since when the collection is, and that was logged */
    bool undated;           /* ticks were held, and that was logged */
    struct log_limit behind_limit;
    struct early early;
    uint64_t offset_ns; /* with which early ticks are dated now; 0: ask the clocks */
};

static void note_lost(struct sender *s, const struct outbox_slot *slot, enum gap_id why)
{
    struct gap_set lost = slot->carried;
    struct gap_note note = gaps_of_batch(&slot->batch);

    gaps_add(&lost, why, &note);
    s->parts.counters->dropped += note.measurements;
    s->parts.counters->lost[why] += note.measurements;
    outbox_note_gaps(s->parts.outbox, &lost);
}

static void append_to_collection(struct sender *s, const struct outbox_slot *slot,
                                 const struct batch *batch)
{
    int r = collection_append(s->parts.collection, batch);

    if (r == 0)
        s->parts.counters->appended += batch->n_items;
    else if (!s->parts.delivery) /* then the collection is all there is */
        note_lost(s, slot, GAP_UNWRITTEN);
    if (r && !s->unwritable_ns) {
        log_event(LOG_ERROR, "collection_unwritable", LOG_RESULT("error", r));
        s->unwritable_ns = clock_boot_ns();
    } else if (!r && s->unwritable_ns) {
        log_event(LOG_INFO, "collection_writable");
        s->unwritable_ns = 0;
    }
}

static void pass_on(struct sender *s, struct outbox_slot *slot, uint64_t now_ns)
{
    const struct batch *batch = &slot->batch;

    tracker_handed(s->parts.tracker, slot);
    if (s->parts.delivery)
        batch = delivery_add(s->parts.delivery, slot, now_ns);
    if (s->parts.collection)
        append_to_collection(s, slot, batch);
}

/* Delivery may keep the batch, and the outbox gets back what delivery has: so it is one
 * with as much room as those. */
static void pass_held(struct sender *s, const struct outbox_slot *held, uint64_t now_ns)
{
    struct outbox_slot slot = {.carried = held->carried};
    batch_init(&slot.batch, &batch_limits_default);
    int r = outbox_reserve(s->parts.outbox, &slot.batch);

    if (r == 0)
        r = batch_append_range(&slot.batch, &held->batch, 0, held->batch.n_items);
    if (r)
        note_lost(s, held, GAP_UNENCODED);
    else
        pass_on(s, &slot, now_ns);
    batch_done(&slot.batch);
}

/* One for all that are dated together, for clocks drift. */
static uint64_t offset_now(struct sender *s)
{
    if (s->offset_ns == 0)
        s->offset_ns = clock_wall_ns() - clock_boot_ns();
    return s->offset_ns;
}

/* Now it is known when the ticks that were held were. */
static void release_held(struct sender *s, uint64_t now_ns)
{
    struct outbox_slot *slot;

    if (!early_oldest(&s->early))
        return;
    log_event(LOG_INFO, "clock_set", LOG_U64("measurements", s->early.measurements));
    s->undated = false;
    while ((slot = early_oldest(&s->early))) {
        early_restamp(&slot->batch, s->parts.interval_ns, offset_now(s));
        pass_held(s, slot, now_ns);
        early_pop(&s->early);
    }
}

/* A collection takes any time. */
static void give_up_oldest(struct sender *s)
{
    struct outbox_slot *slot = early_oldest(&s->early);

    if (s->parts.collection) {
        early_restamp(&slot->batch, s->parts.interval_ns, 0);
        append_to_collection(s, slot, &slot->batch);
    }
    if (s->parts.delivery)
        note_lost(s, slot, GAP_UNDATED);
    early_pop(&s->early);
}

static void hold(struct sender *s, const struct outbox_slot *slot)
{
    if (!s->undated)
        log_event(LOG_WARNING, "clock_not_set",
                  LOG_STR("what", "ticks wait until it is known when they were"));
    s->undated = true;
    s->offset_ns = 0;
    tracker_handed(s->parts.tracker, slot);
    if (early_hold(&s->early, slot))
        note_lost(s, slot, GAP_UNENCODED);
    while (early_full(&s->early))
        give_up_oldest(s);
}

static void take(struct sender *s, struct outbox_slot *slot, bool is_set, uint64_t now_ns)
{
    bool early = early_has(&slot->batch);

    if (early && !is_set) {
        hold(s, slot);
        return;
    }
    if (early)
        early_restamp(&slot->batch, s->parts.interval_ns, offset_now(s));
    else
        s->offset_ns = 0;
    pass_on(s, slot, now_ns);
}

static void drain(struct sender *s, uint64_t now_ns)
{
    struct outbox_slot *slot;
    bool is_set = !early_is(clock_wall_ns());

    if (is_set)
        release_held(s, now_ns);
    while ((slot = outbox_take(s->parts.outbox))) {
        take(s, slot, is_set, now_ns);
        outbox_release(s->parts.outbox, slot);
    }
}

/* The sampler doesn't log: what it noted is told here. */
static void report(struct sender *s, uint64_t now_ns)
{
    uint64_t behind = s->parts.counters->behind;
    uint64_t suppressed = 0;

    sources_log_changes(s->parts.sources);
    if (behind == s->behind_told ||
        !log_limit_pass(&s->behind_limit, now_ns, &suppressed))
        return;
    log_event(LOG_WARNING, "sender_behind",
              LOG_U64("measurements", behind - s->behind_told),
              LOG_U64("suppressed", suppressed));
    s->behind_told = behind;
}

/* Return: is all done, or the time for it over? */
static bool ended(const struct sender *s, uint64_t now_ns)
{
    const struct delivery *d = s->parts.delivery;

    return !d || delivery_done(d) || now_ns >= s->deadline_ns;
}

static void begin_to_stop(struct sender *s, uint64_t now_ns)
{
    if (s->deadline_ns)
        return;
    s->deadline_ns = now_ns + s->within_ns;
    if (s->parts.delivery)
        delivery_hurry(s->parts.delivery, now_ns);
}

static void tell_status(struct sender *s, uint64_t now_ns)
{
    struct status status = *s->parts.about;

    status.now_ns = now_ns;
    status.undated = s->early.measurements;
    if (s->unwritable_ns) {
        status.failing = true;
        status.last_error = "the collection can't be written";
        status.error_ns = s->unwritable_ns;
    }
    if (s->parts.delivery)
        delivery_tell(s->parts.delivery, now_ns, &status);
    buf_reset(&s->told);
    int r = status_append(&status, &s->told);
    (void)r; /* without memory for it nothing is told */
}

static void answer_askers(struct sender *s, uint64_t now_ns)
{
    for (int i = 0; s->parts.status && i < ASKERS_MAX; i++) {
        int fd = status_socket_accept(s->parts.status);
        if (fd < 0)
            break;
        tell_status(s, now_ns);
        status_socket_tell(fd, buf_span(&s->told));
    }
}

static struct tracker_unsafe unsafe_now(const struct sender *s)
{
    struct tracker_unsafe unsafe = {0};

    tracker_add(&unsafe, early_first_ns(&s->early), s->early.measurements);
    if (s->parts.delivery)
        tracker_add(&unsafe, delivery_unsecured_first_ns(s->parts.delivery),
                    delivery_unsecured(s->parts.delivery));
    return unsafe;
}

static void wait_for_work(struct sender *s, uint64_t now_ns)
{
    struct pollfd wake = {.fd = s->wake_fd, .events = POLLIN};

    if (s->parts.delivery)
        delivery_wait(s->parts.delivery, wake.fd, now_ns,
                      s->deadline_ns ? s->deadline_ns : UINT64_MAX);
    else
        (void)poll(&wake, 1, -1); /* interrupted: looks once more in vain */
}

/* Thread: sender. */
static void *sender_run(void *arg)
{
    struct sender *s = arg;

    for (;;) {
        uint64_t now_ns = clock_boot_ns();
        /* Looked at first: what the sampler sealed before the stop is then drained. */
        bool stopping = s->stopping;
        outbox_clear(s->parts.outbox);
        if (s->reloads && s->parts.delivery) {
            s->reloads = false;
            delivery_reload_key(s->parts.delivery, now_ns);
        }
        drain(s, now_ns);
        if (stopping)
            begin_to_stop(s, now_ns);
        report(s, now_ns);
        if (s->parts.delivery)
            delivery_step(s->parts.delivery, now_ns);
        const struct tracker_unsafe unsafe = unsafe_now(s);
        tracker_note(s->parts.tracker, &unsafe);
        answer_askers(s, now_ns);
        if (stopping && ended(s, now_ns))
            break;
        wait_for_work(s, now_ns);
    }
    while (early_oldest(&s->early))
        give_up_oldest(s);
    const struct tracker_unsafe unsafe = unsafe_now(s);
    tracker_end(s->parts.tracker, &unsafe);
    if (s->parts.delivery)
        s->lost = delivery_unsecured(s->parts.delivery);
    return NULL;
}

static int watch(const struct sender *s, int fd, uint32_t events)
{
    struct epoll_event event = {.events = events};

    return epoll_ctl(s->wake_fd, EPOLL_CTL_ADD, fd, &event) ? -errno : 0;
}

static int make_wake_fd(struct sender *s)
{
    s->wake_fd = epoll_create1(EPOLL_CLOEXEC);
    if (s->wake_fd < 0)
        return -errno;
    int r = watch(s, outbox_fd(s->parts.outbox), EPOLLIN);
    /* By its edge: one who can't be accepted for lack of descriptors wakes nobody twice.
     */
    if (r == 0 && s->parts.status)
        r = watch(s, status_socket_fd(s->parts.status), EPOLLIN | EPOLLET);
    return r;
}

static void sender_free(struct sender *s)
{
    io_close(&s->wake_fd);
    buf_done(&s->told);
    free(s);
}

int sender_start(const struct sender_parts *parts, struct sender **ret)
{
    struct sender *s = calloc(1, sizeof *s);
    if (!s)
        return -ENOMEM;
    s->parts = *parts;
    s->behind_limit.every_ns = LOG_EVERY;
    s->early.max_bytes = parts->early_max_bytes;
    buf_init(&s->told, STATUS_MAX);
    int r = make_wake_fd(s);
    if (r == 0) {
        const struct tracker_unsafe none = {0};
        tracker_note(parts->tracker, &none);
        r = -pthread_create(&s->thread, NULL, sender_run, s);
    }
    if (r) {
        sender_free(s);
        return r;
    }
    (void)pthread_setname_np(s->thread, "pcc-sender");
    *ret = s;
    return 0;
}

void sender_reload(struct sender *s)
{
    if (!s)
        return;
    s->reloads = true;
    outbox_wake(s->parts.outbox);
}

uint64_t sender_stop(struct sender *s, uint64_t within_ns)
{
    if (!s)
        return 0;
    s->within_ns = within_ns;
    s->stopping = true;
    outbox_wake(s->parts.outbox);
    (void)pthread_join(s->thread, NULL);
    uint64_t lost = s->lost;
    sender_free(s);
    return lost;
}
