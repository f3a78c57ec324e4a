/* SPDX-License-Identifier: MIT */
#include "pcc/early.h"

#include "common/units.h"
#include "pcc/grid.h"

#include <errno.h>
#include <stdlib.h>

/* Where in its second a tick is safe from its own jitter; a tick is late, never early. */
#define EDGE_FROM (100 * MSEC)
#define EDGE_TO (800 * MSEC)

bool early_has(const struct batch *b)
{
    for (size_t i = 0; i < b->n_items; i++) {
        if (early_is(b->items[i].time_ns))
            return true;
    }
    return false;
}

/* All ticks of a grid of whole seconds lie in the same part of theirs: this one's tells
 * of them all. Its own second stays what it is. */
static uint64_t off_the_edge(uint64_t offset_ns, uint64_t time_ns)
{
    uint64_t fraction = (time_ns + offset_ns) % SEC;

    if (fraction < EDGE_FROM)
        return offset_ns + (EDGE_FROM - fraction);
    if (fraction > EDGE_TO)
        return offset_ns - (fraction - EDGE_TO);
    return offset_ns;
}

void early_restamp(struct batch *b, uint64_t interval_ns, uint64_t offset_ns)
{
    bool first = true;

    for (size_t i = 0; i < b->n_items; i++) {
        uint64_t time_ns = b->items[i].time_ns;
        if (!early_is(time_ns))
            continue;
        if (first && interval_ns % SEC == 0)
            offset_ns = off_the_edge(offset_ns, time_ns);
        first = false;
        batch_set_time(b, i, grid_timestamp(interval_ns, time_ns + offset_ns));
    }
}

static uint64_t memory_of(const struct early_batch *held)
{
    const struct batch *b = &held->slot.batch;

    return sizeof *held + b->bytes.cap + b->cap_items * sizeof *b->items;
}

static void free_batch(struct early_batch *held)
{
    batch_done(&held->slot.batch);
    free(held);
}

int early_hold(struct early *e, const struct outbox_slot *slot)
{
    const struct batch *from = &slot->batch;
    struct early_batch *held = calloc(1, sizeof *held);
    if (!held)
        return -ENOMEM;
    struct batch *b = &held->slot.batch;
    batch_init(b, &from->limits);
    int r = batch_reserve(b, from->n_items, from->bytes.len);
    if (r == 0)
        r = batch_append_range(b, from, 0, from->n_items);
    if (r) {
        free_batch(held);
        return r;
    }
    held->slot.carried = slot->carried;
    if (e->last)
        e->last->next = held;
    else
        e->head = held;
    e->last = held;
    e->bytes += memory_of(held);
    e->measurements += b->n_items;
    return 0;
}

void early_pop(struct early *e)
{
    struct early_batch *held = e->head;

    e->head = held->next;
    if (!e->head)
        e->last = NULL;
    e->bytes -= memory_of(held);
    e->measurements -= held->slot.batch.n_items;
    free_batch(held);
}
