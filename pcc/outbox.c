/* SPDX-License-Identifier: MIT */
#include "pcc/outbox.h"

#include "common/io.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>

struct outbox {
    struct outbox_slot slots[OUTBOX_SLOTS];
    struct outbox_slot *open; /* the sampler's alone */
    size_t n;                 /* what a batch is made for: measurements, */
    size_t bytes;             /* and their names and texts */
    struct counters *counters;
    outbox_noted *noted; /* or NULL */
    void *noted_arg;
    int wake_fd;
    _Atomic bool held;
    pthread_mutex_t lock;
    /* guarded by lock, which is held for moves of pointers and small sums only */
    struct outbox_slot *sealed[OUTBOX_SLOTS]; /* oldest first */
    size_t n_sealed;
    struct outbox_slot *free[OUTBOX_SLOTS];
    size_t n_free;
    struct outbox_slot *taken; /* by the sender */
    struct gap_set gaps;
    uint64_t collected_ns[GAP_IDS]; /* the first moment of those that the sampler has
                                     * and no sealed batch tells of; 0: none */
};

int outbox_reserve(const struct outbox *o, struct batch *b)
{
    return batch_reserve(b, o->n, o->bytes);
}

int outbox_new(size_t slots, size_t n, size_t bytes, struct counters *counters,
               struct outbox **ret)
{
    struct outbox *o = calloc(1, sizeof *o);
    if (!o)
        return -ENOMEM;
    o->n = n;
    o->bytes = bytes;
    o->counters = counters;
    int locked = pthread_mutex_init(&o->lock, NULL);
    assert(locked == 0); /* glibc's can't fail without attributes */
    (void)locked;
    o->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int r = o->wake_fd < 0 ? -errno : 0;
    assert(slots >= 3 && slots <= OUTBOX_SLOTS);
    for (size_t i = 0; i < slots && r == 0; i++) {
        batch_init(&o->slots[i].batch, &batch_limits_default);
        r = outbox_reserve(o, &o->slots[i].batch);
        o->free[o->n_free++] = &o->slots[i];
    }
    if (r) {
        outbox_free(o);
        return r;
    }
    o->open = o->free[--o->n_free];
    *ret = o;
    return 0;
}

void outbox_free(struct outbox *o)
{
    if (!o)
        return;
    for (size_t i = 0; i < OUTBOX_SLOTS; i++)
        batch_done(&o->slots[i].batch);
    io_close(&o->wake_fd);
    (void)pthread_mutex_destroy(&o->lock); /* nobody holds it: both threads have ended */
    free(o);
}

struct outbox_slot *outbox_open(struct outbox *o)
{
    return o->open;
}

/* Is the lock ours now? The only place where the sampler might have to wait. */
static bool enter(struct outbox *o, enum outbox_seal how)
{
    if (how == OUTBOX_WAIT)
        return pthread_mutex_lock(&o->lock) == 0;
    return pthread_mutex_trylock(&o->lock) == 0;
}

static void leave(struct outbox *o)
{
    (void)pthread_mutex_unlock(&o->lock); /* can't fail: it is held */
}

static struct outbox_slot *pop_oldest(struct outbox *o)
{
    struct outbox_slot *slot = o->sealed[0];

    o->n_sealed--;
    for (size_t i = 0; i < o->n_sealed; i++)
        o->sealed[i] = o->sealed[i + 1];
    return slot;
}

/* The lower of two moments, of which 0 is none. */
static uint64_t first_of(uint64_t a_ns, uint64_t b_ns)
{
    return a_ns == 0 || (b_ns != 0 && b_ns < a_ns) ? b_ns : a_ns;
}

/* What the recycled batch told of is told again by a later one. */
static struct outbox_slot *recycle_oldest(struct outbox *o)
{
    struct outbox_slot *slot = pop_oldest(o);
    struct gap_note lost = gaps_of_batch(&slot->batch);

    gaps_add(&slot->carried, GAP_BEHIND, &lost);
    gaps_fold(&o->gaps, &slot->carried);
    o->counters->behind += lost.measurements;
    o->counters->lost[GAP_BEHIND] += lost.measurements;
    batch_reset(&slot->batch);
    slot->carried = (struct gap_set){0};
    return slot;
}

int outbox_seal(struct outbox *o, enum outbox_seal how)
{
    assert(o->open->batch.n_items > 0);
    if (!enter(o, how))
        return E_PENDING;
    if (how == OUTBOX_IF_IDLE && (o->taken || o->n_sealed > 0)) {
        leave(o);
        return E_PENDING;
    }
    for (size_t id = 0; id < GAP_IDS; id++)
        if (!gap_note_is_empty(&o->open->carried.notes[id]))
            o->collected_ns[id] = 0;
    o->sealed[o->n_sealed++] = o->open;
    o->open = o->n_free > 0 ? o->free[--o->n_free] : recycle_oldest(o);
    leave(o);
    outbox_wake(o);
    return 0;
}

void outbox_collect_gaps(struct outbox *o, enum outbox_seal how, struct gap_set *to)
{
    if (!enter(o, how))
        return;
    gaps_fold(to, &o->gaps);
    for (size_t id = 0; id < GAP_IDS; id++)
        o->collected_ns[id] = first_of(o->collected_ns[id], o->gaps.notes[id].from_ns);
    o->gaps = (struct gap_set){0};
    leave(o);
}

void outbox_wake(struct outbox *o)
{
    /* Fails only when 2^64-2 wake-ups wait: then one does. */
    (void)eventfd_write(o->wake_fd, 1);
}

struct outbox_slot *outbox_take(struct outbox *o)
{
    (void)enter(o, OUTBOX_WAIT);
    assert(!o->taken);
    if (o->n_sealed > 0)
        o->taken = pop_oldest(o);
    struct outbox_slot *slot = o->taken;
    leave(o);
    return slot;
}

void outbox_release(struct outbox *o, struct outbox_slot *slot)
{
    batch_reset(&slot->batch);
    slot->carried = (struct gap_set){0};
    (void)enter(o, OUTBOX_WAIT);
    assert(o->taken == slot);
    o->taken = NULL;
    o->free[o->n_free++] = slot;
    leave(o);
}

void outbox_exchange(struct outbox *o, struct batch *b)
{
    (void)enter(o, OUTBOX_WAIT);
    if (o->n_free > 0) {
        struct batch *next = &o->free[o->n_free - 1]->batch;
        const struct batch batch = *next;

        *next = *b;
        *b = batch;
    }
    leave(o);
}

void outbox_note_gaps(struct outbox *o, const struct gap_set *gaps)
{
    (void)enter(o, OUTBOX_WAIT);
    gaps_fold(&o->gaps, gaps);
    leave(o);
    if (o->noted)
        o->noted(o->noted_arg);
}

void outbox_watch(struct outbox *o, outbox_noted *noted, void *arg)
{
    o->noted = noted;
    o->noted_arg = arg;
}

uint64_t outbox_untold_ns(struct outbox *o)
{
    (void)enter(o, OUTBOX_WAIT);
    uint64_t untold_ns = gaps_first_ns(&o->gaps);
    for (size_t id = 0; id < GAP_IDS; id++)
        untold_ns = first_of(untold_ns, o->collected_ns[id]);
    for (size_t i = 0; i < o->n_sealed; i++)
        untold_ns = first_of(untold_ns, gaps_first_ns(&o->sealed[i]->carried));
    leave(o);
    return untold_ns;
}

void outbox_hold(struct outbox *o, bool hold)
{
    o->held = hold;
}

bool outbox_held(const struct outbox *o)
{
    return o->held;
}

int outbox_fd(const struct outbox *o)
{
    return o->wake_fd;
}

void outbox_clear(struct outbox *o)
{
    eventfd_t n;

    /* EAGAIN when there was none: quiet already. */
    (void)eventfd_read(o->wake_fd, &n);
}
