/* SPDX-License-Identifier: MIT */
#pragma once

/* Batches that tests fill and compare. A call that fails here fails the test. */

#include "common/measurement.h"

#include <check.h>

static inline void batches_add(struct batch *b, uint64_t time_ns, struct span subsystem,
                               struct span text)
{
    struct measurement m = {.time_ns = time_ns, .subsystem = subsystem, .text = text};

    ck_assert_int_eq(batch_append(b, &m), 0);
}

static inline void batches_assert_same(const struct batch *a, const struct batch *b)
{
    ck_assert(span_equal(batch_identifier(a), batch_identifier(b)));
    ck_assert_uint_eq(a->n_items, b->n_items);
    for (size_t i = 0; i < a->n_items; i++) {
        struct measurement x = batch_get(a, i);
        struct measurement y = batch_get(b, i);
        ck_assert_uint_eq(x.time_ns, y.time_ns);
        ck_assert(span_equal(x.subsystem, y.subsystem));
        ck_assert(span_equal(x.text, y.text));
    }
}

/* Empty as batch_reset() leaves it? */
static inline void batches_assert_reset(const struct batch *b)
{
    ck_assert_uint_eq(b->n_items, 0);
    ck_assert_uint_eq(b->n_ticks, 0);
    ck_assert_uint_eq(b->bytes.len, 0);
    ck_assert_uint_eq(b->identifier_n, 0);
}
