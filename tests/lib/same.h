/* SPDX-License-Identifier: MIT */
#pragma once

/* Are two batches the same? For programs without check; tests have batches.h. */

#include "common/measurement.h"

static inline bool same_measurement(struct measurement a, struct measurement b)
{
    return a.time_ns == b.time_ns && span_equal(a.subsystem, b.subsystem) &&
           span_equal(a.text, b.text);
}

/* Identifiers, measurements and their order. */
static inline bool same_batch(const struct batch *a, const struct batch *b)
{
    if (!span_equal(batch_identifier(a), batch_identifier(b)) || a->n_items != b->n_items)
        return false;
    for (size_t i = 0; i < a->n_items; i++)
        if (!same_measurement(batch_get(a, i), batch_get(b, i)))
            return false;
    return true;
}

/* Do the same measurements start a tick? For batches that are the same. */
static inline bool same_ticks(const struct batch *a, const struct batch *b)
{
    if (a->n_ticks != b->n_ticks)
        return false;
    for (size_t i = 0; i < a->n_items; i++)
        if (a->items[i].starts_tick != b->items[i].starts_tick)
            return false;
    return true;
}
