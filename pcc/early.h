/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Ticks from before the clock was set: a board without a clock of its own boots in 1970
 * and learns the time from the network, later. Such ticks, and the gaps noted meanwhile,
 * are stamped by the boot clock, which can't be mistaken for a date, and held until the
 * wall clock has been stepped: then it is known when they were.
 *
 * What may be passed on as it is, is never held: a batch with no tick of that kind.
 * Thread: sender, but for the pure functions.
 */

#include "pcc/outbox.h"

/* 2025-01-01: no host that runs this lives before it. */
#define EARLY_END UINT64_C(1735689600000000000)

/* Is this no date, but a time of the boot clock? */
static inline bool early_is(uint64_t time_ns)
{
    return time_ns < EARLY_END;
}

/* What the time is now: by the wall clock or, while that isn't set, the boot clock. */
static inline uint64_t early_clock(uint64_t boot_ns, uint64_t wall_ns)
{
    return early_is(wall_ns) ? boot_ns : wall_ns;
}

/* Has the batch a measurement from before the clock was set? */
bool early_has(const struct batch *b);

/**
 * early_restamp() - date such measurements
 * @interval_ns: of their grid; timestamps get its precision
 * @offset_ns:   how far the wall clock is ahead of the boot clock; 0 leaves them in 1970
 */
void early_restamp(struct batch *b, uint64_t interval_ns, uint64_t offset_ns);

struct early_batch {
    struct outbox_slot slot;
    struct early_batch *next;
};

/* Zeroed but for max_bytes is empty. */
struct early {
    uint64_t max_bytes;
    uint64_t bytes;
    uint64_t measurements;
    struct early_batch *head; /* the oldest */
    struct early_batch *last;
};

/* Copies a sealed batch to the end. Return: 0; -ENOMEM. */
PC_MUST_CHECK int early_hold(struct early *e, const struct outbox_slot *slot);

/* The oldest, or NULL; early_pop() drops it. */
static inline struct outbox_slot *early_oldest(const struct early *e)
{
    return e->head ? &e->head->slot : NULL;
}

void early_pop(struct early *e);

/* The first moment of all that is held, gaps that it tells of too; 0 for none. */
uint64_t early_first_ns(const struct early *e);

/* Is the limit passed, by more than a single batch? */
static inline bool early_full(const struct early *e)
{
    return e->bytes > e->max_bytes && e->head != e->last;
}
