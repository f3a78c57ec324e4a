/* SPDX-License-Identifier: MIT */
#include "common/delta_message.h"

#include "common/msgpack_read.h"
#include "common/size.h"
#include "proto/wire.h"

#include <stdlib.h>

/* Objects of a message: a group is an array of three at most. */
#define NODES_PER_GROUP 4u
#define NODES_BESIDE 128u

static const struct member version =
    MEMBER(WIRE_DELTA_VERSION, WIRE_DELTA_VERSION, WIRE_DELTA_VERSION);
static const struct member identifier =
    MEMBER(WIRE_DELTA_IDENTIFIER, WIRE_DELTA_IDENTIFIER, WIRE_DELTA_IDENTIFIER);
static const struct member snapshot =
    MEMBER(WIRE_DELTA_SNAPSHOT, WIRE_DELTA_SNAPSHOT, WIRE_DELTA_SNAPSHOT);
static const struct member number =
    MEMBER(WIRE_DELTA_BATCH, WIRE_DELTA_BATCH, WIRE_DELTA_BATCH);
static const struct member first_tick =
    MEMBER(WIRE_DELTA_TICK, WIRE_DELTA_TICK, WIRE_DELTA_TICK);
static const struct member header =
    MEMBER(WIRE_DELTA_HEADER, WIRE_DELTA_HEADER, WIRE_DELTA_HEADER);
static const struct member base_time =
    MEMBER(WIRE_DELTA_BASE_TIME, WIRE_DELTA_BASE_TIME, WIRE_DELTA_BASE_TIME);
static const struct member seconds =
    MEMBER(WIRE_DELTA_SECONDS, WIRE_DELTA_SECONDS, WIRE_DELTA_SECONDS);
static const struct member nanoseconds =
    MEMBER(WIRE_DELTA_NANOSECONDS, WIRE_DELTA_NANOSECONDS, WIRE_DELTA_NANOSECONDS);
static const struct member order =
    MEMBER(WIRE_DELTA_ORDER, WIRE_DELTA_ORDER, WIRE_DELTA_ORDER);
static const struct member groups =
    MEMBER(WIRE_DELTA_GROUPS, WIRE_DELTA_GROUPS, WIRE_DELTA_GROUPS);
static const struct member streams[DELTA_STREAMS] = {
    [DELTA_SHAPES] = MEMBER(WIRE_DELTA_SHAPES, WIRE_DELTA_SHAPES, WIRE_DELTA_SHAPES),
    [DELTA_BASE_VALUES] =
        MEMBER(WIRE_DELTA_BASE_VALUES, WIRE_DELTA_BASE_VALUES, WIRE_DELTA_BASE_VALUES),
    [DELTA_PREDICTOR_LISTS] =
        MEMBER(WIRE_DELTA_PREDICTORS, WIRE_DELTA_PREDICTORS, WIRE_DELTA_PREDICTORS),
    [DELTA_BITMAPS] = MEMBER(WIRE_DELTA_BITMAPS, WIRE_DELTA_BITMAPS, WIRE_DELTA_BITMAPS),
    [DELTA_CHANGES] = MEMBER(WIRE_DELTA_CHANGES, WIRE_DELTA_CHANGES, WIRE_DELTA_CHANGES),
    [DELTA_RAW_TEXTS] = MEMBER(WIRE_DELTA_RAW, WIRE_DELTA_RAW, WIRE_DELTA_RAW),
};

void delta_message_close(struct delta_message *m)
{
    msgpack_unpacked_destroy(&m->unpacked);
    msgpack_unpacked_init(&m->unpacked);
    m->n_ticks = m->n_parts = m->n_plans = 0;
}

void delta_message_done(struct delta_message *m)
{
    msgpack_unpacked_destroy(&m->unpacked);
    free(m->times);
    free(m->parts);
    free(m->plans);
}

/* The read_ functions give NULL, or why the message is malformed. */

static const char *read_place(const msgpack_object *map, struct delta_place *ret)
{
    const char *why;

    *ret = (struct delta_place){.chained = msgpack_read_find(map, &snapshot)};
    if (!ret->chained)
        return msgpack_read_find(map, &number) ? WIRE_DELTA_BATCH
                   " without " WIRE_DELTA_SNAPSHOT
                                               : NULL;
    why = msgpack_read_unsigned(map, &snapshot, &ret->snapshot);
    return why ? why : msgpack_read_unsigned(map, &number, &ret->number);
}

static const char *read_header(const msgpack_object *map, struct delta_message *m)
{
    const struct delta_place *place = &m->head.place;
    bool alone = !place->chained || place->number == 0;
    const msgpack_object *h = msgpack_read_find(map, &header);
    int64_t base = 0;

    if (!h)
        return alone ? header.missing : NULL;
    if (!alone)
        return WIRE_DELTA_HEADER " in a batch that builds on another";
    if (h->type != MSGPACK_OBJECT_MAP)
        return header.mistyped;
    const char *why = msgpack_read_integer(h, &base_time, &base);
    if (!why && (base < 0 || base > (int64_t)LIMIT_TIMESTAMP_MAX))
        why = base_time.out_of_range;
    m->base_s = (uint64_t)base;
    return why;
}

static const char *read_times(const msgpack_object *map, struct delta_message *m)
{
    bool in_seconds = msgpack_read_find(map, &seconds);

    m->in_seconds = in_seconds;
    if (in_seconds && msgpack_read_find(map, &nanoseconds))
        return "both " WIRE_DELTA_SECONDS " and " WIRE_DELTA_NANOSECONDS;
    if (!in_seconds && !msgpack_read_find(map, &nanoseconds))
        return "neither " WIRE_DELTA_SECONDS " nor " WIRE_DELTA_NANOSECONDS;
    return msgpack_read_bin(map, in_seconds ? &seconds : &nanoseconds, &m->times_span);
}

static const char *read_members(const msgpack_object *map, struct delta_message *m)
{
    const char *why = msgpack_read_string(map, &identifier, &m->head.identifier);

    if (!why && identifier_check(m->head.identifier))
        why = WIRE_DELTA_IDENTIFIER
            " is not 1 to 128 bytes of UTF-8 without control characters";
    if (!why)
        why = read_place(map, &m->head.place);
    if (!why)
        why = msgpack_read_unsigned(map, &first_tick, &m->head.first_tick);
    if (!why)
        why = read_header(map, m);
    if (!why)
        why = read_times(map, m);
    if (!why)
        why = msgpack_read_bin(map, &order, &m->order_span);
    for (size_t i = 0; i < DELTA_STREAMS && !why; i++)
        why = msgpack_read_bin(map, &streams[i], &m->stream_spans[i]);
    m->groups = msgpack_read_find(map, &groups);
    if (!why && !m->groups)
        why = groups.missing;
    if (!why && m->groups->type != MSGPACK_OBJECT_ARRAY)
        why = groups.mistyped;
    return why;
}

int delta_message_open(struct delta_message *m, struct span in,
                       const struct batch_limits *limits, struct err_at *reterr_at)
{
    size_t nodes;
    uint64_t v = 0;

    delta_message_close(m);
    m->in = in;
    m->limits = *limits;
    if (size_mul(limits->measurements, NODES_PER_GROUP, &nodes) ||
        size_add(nodes, NODES_BESIDE, &nodes))
        nodes = SIZE_MAX;
    size_t nesting = limits->nesting ? limits->nesting : LIMIT_NESTING;
    int r = msgpack_read_map(in, nodes, nesting, &m->unpacked, reterr_at);
    if (r)
        return r;
    const msgpack_object *map = &m->unpacked.data;
    const char *why = msgpack_read_unsigned(map, &version, &v);
    r = E_MALFORMED;
    if (!why && v != DELTA_VERSION) {
        r = E_UNSUPPORTED;
        why = "a version of delta other than 1";
    }
    if (!why)
        why = read_members(map, m);
    return why ? msgpack_read_refuse(r, why, ERR_AT_UNKNOWN, reterr_at) : 0;
}
