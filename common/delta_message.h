/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * A delta message: its members read and checked, and room for what delta_plan.h makes of
 * its groups. For the decoder alone.
 */

#include "common/cursor.h"
#include "common/delta.h"
#include "common/delta_state.h"
#include "common/shape_code.h"

#include <msgpack.h>

/* Where a group's parts lie; spans and pointers borrow from the message. */
struct delta_part {
    uint32_t source;
    uint8_t flags;
    bool is_named; /* it brings this name: */
    struct span name;
    const uint8_t *ticks; /* bitmap; NULL: each one, or as the order says */
    size_t n_samples;
    size_t n_coded;
    struct span shape;
    struct shape_size size; /* of the new shape; columns: of the one that it has */
    const uint8_t *base_values;
    uint64_t n_predictors;
    struct span predictors; /* so many entries */
    const uint8_t *columns; /* bitmap; NULL where nothing is coded */
    const uint8_t *samples; /* bitmaps of the columns in it */
    const uint8_t *changes;
    const uint8_t *raw;
    /* How far decoding got. */
    bool has_begun;
    size_t n_taken;
    size_t first_active;
    size_t n_active;
};

/* What is planned of a subsystem, group by group. */
struct delta_plan {
    size_t n_columns;
    bool has_shape;
    uint32_t last_part; /* of the parts taken so far, plus 1 */
};

struct delta_message {
    msgpack_unpacked unpacked;
    struct span in;
    struct batch_limits limits;
    struct delta_head head;
    const msgpack_object *groups;
    uint64_t base_s;
    bool in_seconds;
    struct span times_span;
    struct span order_span;
    struct span stream_spans[DELTA_STREAMS];
    /* Filled in by delta_plan_make(). */
    uint64_t *times; /* of the ticks, ns */
    size_t n_ticks;
    size_t cap_times;
    struct delta_part *parts;
    size_t n_parts;
    size_t cap_parts;
    struct delta_plan *plans;
    size_t n_plans;
    size_t cap_plans;
    size_t least_text;   /* bytes that the texts of all new shapes take */
    struct cursor order; /* for the second time */
};

/* @m: zeroed at first. Return and @reterr_at as delta_decoder_open(). */
PC_MUST_CHECK int delta_message_open(struct delta_message *m, struct span in,
                                     const struct batch_limits *limits,
                                     struct err_at *reterr_at);
/* Forgets the message; keeps memory. */
void delta_message_close(struct delta_message *m);
void delta_message_done(struct delta_message *m);
