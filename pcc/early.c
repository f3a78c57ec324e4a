/* SPDX-License-Identifier: MIT */
#include "pcc/early.h"

#include "pcc/grid.h"

#include <errno.h>
#include <stdlib.h>

bool early_has(const struct batch *b)
{
    for (size_t i = 0; i < b->n_items; i++) {
        if (early_is(b->items[i].time_ns))
            return true;
    }
    return false;
}

void early_restamp(struct batch *b, uint64_t interval_ns, uint64_t offset_ns)
{
    for (size_t i = 0; i < b->n_items; i++) {
        uint64_t time_ns = b->items[i].time_ns;
        if (early_is(time_ns))
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

uint64_t early_first_ns(const struct early *e)
{
    struct gap_set all = {0};

    for (const struct early_batch *held = e->head; held; held = held->next) {
        struct gap_note note = gaps_of_batch(&held->slot.batch);
        gaps_add(&all, GAP_UNDATED, &note);
        gaps_fold(&all, &held->slot.carried);
    }
    return gaps_first_ns(&all);
}
