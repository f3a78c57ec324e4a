/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The way of batches from the sampler to the sender, who may block for as long as it
 * likes: the sampler never waits for it. Some batches are allocated ahead; one is open
 * and belongs to the sampler, at most one is out with the sender, the rest are sealed or
 * free. When the sampler needs a batch and none is free, the oldest sealed one is
 * recycled, counted, and becomes a gap.
 *
 * Batches used last are used again first: one that was never needed is address space that
 * no page stands behind.
 */

#include "common/measurement.h"
#include "pcc/counters.h"
#include "pcc/gaps.h"

/* At most. At ticks of 10 ms and 5 sources in batches of 100 these last 2.8 s, in which a
 * sender that waits for a slow disk to sync comes back. */
#define OUTBOX_SLOTS 16u

struct outbox;

struct outbox_slot {
    struct batch batch;
    struct gap_set carried; /* the gaps that the batch itself tells of */
};

/* When the sampler hands over. */
enum outbox_seal {
    OUTBOX_IF_IDLE, /* only if the sender has nothing at all to do */
    OUTBOX_TRY,     /* unless the lock is held right now */
    OUTBOX_WAIT,    /* at the end, when no tick can be late any more */
};

/**
 * outbox_new() - allocate the batches and what they need for @n measurements of @bytes
 * @slots:     how many batches, 3 to OUTBOX_SLOTS
 * @n, @bytes: beyond these, filling a batch may allocate
 * @counters:  outlives the outbox
 *
 * Return: 0, and gives *ret for outbox_free(); -ENOMEM; -errno.
 */
PC_MUST_CHECK int outbox_new(size_t slots, size_t n, size_t bytes,
                             struct counters *counters, struct outbox **ret);
void outbox_free(struct outbox *o);

/* Allocates for an empty batch, which may then take the place of a slot's, what the
 * outbox's own have. Any thread. Return: 0; -ENOMEM. */
PC_MUST_CHECK int outbox_reserve(const struct outbox *o, struct batch *b);

/* Thread: sender. Exchanges a batch, which must be empty and have what outbox_reserve()
 * gives, for the one of the slot that is opened next, so that its memory is used again
 * soon. */
void outbox_exchange(struct outbox *o, struct batch *b);

/* Thread: sampler. The batch that is being filled, until the next outbox_seal(). */
struct outbox_slot *outbox_open(struct outbox *o);

/**
 * outbox_seal() - hand the open batch, which must not be empty, over and open another
 *
 * Thread: sampler. Wakes the sender.
 *
 * Return: 0; E_PENDING if not now: the batch stays open.
 */
PC_MUST_CHECK int outbox_seal(struct outbox *o, enum outbox_seal how);

/* Thread: sampler. Moves the gaps that were noted into @to; without waiting unless @how
 * is OUTBOX_WAIT: those that can't be had now stay for the next call. */
void outbox_collect_gaps(struct outbox *o, enum outbox_seal how, struct gap_set *to);

/* Any thread. Wakes the sender, as if a batch had been sealed. */
void outbox_wake(struct outbox *o);

/* Thread: sender. The oldest sealed batch, or NULL. The one before must be back. */
struct outbox_slot *outbox_take(struct outbox *o);
/* Thread: sender. Gives back what outbox_take() gave. */
void outbox_release(struct outbox *o, struct outbox_slot *slot);
/* Thread: sender. Should the sampler take no more ticks for now? */
void outbox_hold(struct outbox *o, bool hold);
/* Any thread. */
bool outbox_held(const struct outbox *o);
/* Thread: sender. Notes gaps for the sampler to tell of in the next batch. */
void outbox_note_gaps(struct outbox *o, const struct gap_set *gaps);
/* Who wants to know, in the same thread and before the call returns; NULL for nobody. Set
 * while no other thread uses the outbox. */
typedef void outbox_noted(void *arg);
void outbox_watch(struct outbox *o, outbox_noted *noted, void *arg);

/* Any thread. The first moment that a gap covers which was noted here, or which a sealed
 * batch tells of, and stands in no batch that was taken since; 0 for none. */
uint64_t outbox_untold_ns(struct outbox *o);

/* Readable after a wake-up; outbox_clear() before looking makes it quiet again. */
int outbox_fd(const struct outbox *o);
void outbox_clear(struct outbox *o);
