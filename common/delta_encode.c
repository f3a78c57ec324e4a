/* SPDX-License-Identifier: MIT */
#include "common/delta.h"

#include "common/delta_changes.h"
#include "common/delta_since.h"
#include "common/msgpack_pack.h"
#include "common/units.h"
#include "common/varint.h"
#include "proto/wire.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

/* Samples after which predictors are chosen. A batch that stands alone has no later ones
 * that would pay for waiting. */
#define PREDICT_AFTER 12u
#define PREDICT_AFTER_ALONE 3u
/* What the texts and columns of a state may take before the largest goes raw: a server
 * counts its own texts, which a threshold can make longer than ours. */
#define STATE_MAX (LIMIT_DELTA_STATE_BYTES - LIMIT_DELTA_STATE_BYTES / 16)
#define TIMES_MAX (LIMIT_MEASUREMENTS * VARINT_MAX)

/* A chain, or what stands in for one while a batch that stands alone is written. */
struct chain {
    struct delta_state state;
    struct delta_track *tracks; /* one a subsystem */
    size_t cap_tracks;
    size_t n_named; /* subsystems that the server knows; the rest are spelled out */
};

struct delta_encoder {
    struct delta_writer writer;
    struct chain chain;
    struct chain alone;
    struct buf times;
    struct buf order;
    struct buf ticks; /* a group's bitmap */
    /* A row an item of the batch. */
    uint32_t *source_of;
    size_t cap_source_of;
    uint32_t *group_of;
    size_t cap_group_of;
    /* A row an item of one subsystem. */
    struct span *texts;
    size_t cap_texts;
    uint32_t *items;
    size_t cap_items;
    uint32_t *groups;
    size_t cap_groups;
    /* The subsystems of the batch, in the order of their first items. */
    uint32_t *sources;
    size_t cap_sources;
    size_t n_sources;
};

int delta_encoder_new(const struct delta_encoder_conf *conf, struct delta_encoder **ret)
{
    struct delta_encoder *e = calloc(1, sizeof *e);

    if (!e)
        return -ENOMEM;
    delta_writer_init(&e->writer, conf->threshold_millionths);
    buf_init(&e->times, TIMES_MAX);
    buf_init(&e->order, 2 * TIMES_MAX);
    buf_init(&e->ticks, LIMIT_MEASUREMENTS);
    int r = delta_sources_init(&e->chain.state.sources);
    if (r == 0)
        r = delta_sources_init(&e->alone.state.sources);
    if (r) {
        delta_encoder_free(e);
        return r;
    }
    *ret = e;
    return 0;
}

static void free_chain(struct chain *c)
{
    for (size_t i = 0; i < c->cap_tracks; i++)
        delta_track_done(&c->tracks[i]);
    free(c->tracks);
    delta_sources_done(&c->state.sources);
}

void delta_encoder_free(struct delta_encoder *e)
{
    if (!e)
        return;
    delta_writer_done(&e->writer);
    free_chain(&e->chain);
    free_chain(&e->alone);
    buf_done(&e->times);
    buf_done(&e->order);
    buf_done(&e->ticks);
    free(e->source_of);
    free(e->group_of);
    free(e->texts);
    free(e->items);
    free(e->groups);
    free(e->sources);
    free(e);
}

void delta_encoder_forget(struct delta_encoder *e)
{
    e->chain.state.begun = false;
}

/* Begins anew with an empty state. */
static void reset_chain(struct chain *c)
{
    for (size_t i = 0; i < c->cap_tracks; i++)
        delta_track_forget(&c->tracks[i]);
    delta_sources_reset(&c->state.sources);
    c->n_named = c->state.sources.n;
}

/* Texts that were too large may be shorter by now. */
static void begin_chain(struct chain *c)
{
    for (size_t i = 0; i < c->cap_tracks; i++)
        c->tracks[i].is_too_large = false;
    reset_chain(c);
}

static int reserve_tracks(struct chain *c, size_t n)
{
    size_t cap = c->cap_tracks;
    int r = delta_reserve(&c->tracks, &c->cap_tracks, n, sizeof *c->tracks);

    if (c->cap_tracks > cap)
        memset(c->tracks + cap, 0, (c->cap_tracks - cap) * sizeof *c->tracks);
    return r;
}

/* The number of a subsystem, added where it has none. @hint: looked at first. */
static int find_source(struct chain *c, struct span name, size_t hint, uint32_t *ret)
{
    struct delta_sources *s = &c->state.sources;
    size_t i = delta_sources_find(s, name, hint);

    *ret = (uint32_t)i;
    if (i < s->n && i == hint) /* its track was made when it was found first */
        return 0;
    int r = i == s->n ? delta_sources_add(s, name) : 0;
    if (r == 0)
        r = reserve_tracks(c, s->n);
    if (r == 0)
        r = delta_sources_get(s, i, &c->tracks[i].source);
    return r;
}

/* Says of each item which subsystem it is of. */
static int sort_out(struct delta_encoder *e, struct chain *c, const struct batch *b)
{
    size_t follower = 0; /* of the item at hand in the tick before */
    int r = delta_reserve(&e->source_of, &e->cap_source_of, b->n_items, sizeof(uint32_t));

    if (r == 0)
        r = delta_reserve(&e->group_of, &e->cap_group_of, b->n_items, sizeof(uint32_t));
    if (r == 0)
        r = delta_reserve(&e->sources, &e->cap_sources, b->n_items, sizeof(uint32_t));
    e->n_sources = 0;
    for (size_t i = 0; i < b->n_items && r == 0; i++) {
        struct measurement m = batch_get(b, i);
        follower = b->items[i].starts_tick ? 0 : follower + 1;
        size_t hint = follower < e->n_sources ? e->sources[follower] : SIZE_MAX;
        r = find_source(c, m.subsystem, hint, &e->source_of[i]);
        if (r == 0 && e->source_of[i] != hint) {
            size_t known = 0;
            while (known < e->n_sources && e->sources[known] != e->source_of[i])
                known++;
            if (known == e->n_sources)
                e->sources[e->n_sources++] = e->source_of[i];
            follower = known;
        }
    }
    return r;
}

static bool is_gap(struct span name)
{
    return span_equal(name, SPAN(WIRE_SUBSYSTEM_PCC_GAP)) ||
           span_equal(name, SPAN(WIRE_SUBSYSTEM_PCD_GAP));
}

/* Writes the @n texts of a subsystem that were collected. */
static int write_texts(struct delta_encoder *e, struct chain *c, uint32_t number,
                       size_t n)
{
    struct delta_track *t = &c->tracks[number];
    size_t longest = 0;
    int r = E_UNSUPPORTED;

    for (size_t i = 0; i < n; i++)
        if (e->texts[i].n > longest)
            longest = e->texts[i].n;
    /* A gap's text is hardly ever alike the one before. */
    if (!t->is_too_large && longest <= STATE_MAX &&
        !is_gap(delta_sources_name(&c->state.sources, number)))
        r = delta_write_shaped(&e->writer, t, number, e->texts, n, e->groups);
    if (r == E_UNSUPPORTED)
        r = delta_write_raw(&e->writer, t, number, e->texts, n, e->groups);
    return r;
}

static int write_source(struct delta_encoder *e, struct chain *c, const struct batch *b,
                        uint32_t number)
{
    size_t n = 0;
    int r = delta_reserve(&e->texts, &e->cap_texts, b->n_items, sizeof *e->texts);

    if (r == 0)
        r = delta_reserve(&e->items, &e->cap_items, b->n_items, sizeof(uint32_t));
    if (r == 0)
        r = delta_reserve(&e->groups, &e->cap_groups, b->n_items, sizeof(uint32_t));
    for (size_t i = 0; i < b->n_items && r == 0; i++) {
        if (e->source_of[i] != number)
            continue;
        e->texts[n] = batch_get(b, i).text;
        e->items[n++] = (uint32_t)i;
    }
    if (r == 0)
        r = write_texts(e, c, number, n);
    for (size_t i = 0; i < n && r == 0; i++)
        e->group_of[e->items[i]] = e->groups[i];
    return r;
}

/* What a state counts of a subsystem: its last text, and of all texts of the batch the
 * most columns. */
static size_t size_of(const struct delta_track *t)
{
    size_t text = t->source && t->source->has_shape ? t->source->text.len : 0;

    return text + t->most_columns * LIMIT_DELTA_COLUMN_BYTES;
}

/* Is there room for all in a state, in mid-batch too? */
static bool fits_state(const struct chain *c)
{
    size_t size = 0;

    for (size_t i = 0; i < c->cap_tracks; i++)
        size += size_of(&c->tracks[i]);
    return size <= STATE_MAX;
}

/* The largest subsystem goes raw from now on. */
static void leave_out_largest(struct chain *c)
{
    struct delta_track *largest = &c->tracks[0];

    for (size_t i = 1; i < c->cap_tracks; i++)
        if (size_of(&c->tracks[i]) > size_of(largest))
            largest = &c->tracks[i];
    largest->is_too_large = true;
}

/* Counting columns begins with those that a subsystem has before the batch. */
static void begin_counting(struct chain *c)
{
    for (size_t i = 0; i < c->cap_tracks; i++) {
        struct delta_track *t = &c->tracks[i];
        t->most_columns = t->source && t->source->has_shape ? t->source->shape.n : 0;
    }
}

/* Writes all groups and their streams. */
static int write_groups(struct delta_encoder *e, struct chain *c, const struct batch *b)
{
    delta_writer_reset(&e->writer);
    begin_counting(c);
    int r = sort_out(e, c, b);
    for (size_t i = 0; i < e->n_sources && r == 0; i++)
        r = write_source(e, c, b, e->sources[i]);
    return r;
}

/* Times in seconds where all are whole, else in nanoseconds. Return: the key for them. */
static const char *write_times(struct delta_encoder *e, const struct batch *b,
                               uint64_t base_ns, int *ret_r)
{
    uint64_t unit = SEC;
    uint64_t before = base_ns;
    uint64_t step = 0;
    size_t tick = 0;
    int r = 0;

    if (base_ns % SEC)
        unit = 1;
    for (size_t i = 0; i < b->n_items; i++)
        if (b->items[i].time_ns % SEC)
            unit = 1;
    buf_reset(&e->times);
    for (size_t i = 0; i < b->n_items && r == 0; i++) {
        if (!b->items[i].starts_tick)
            continue;
        uint64_t now = b->items[i].time_ns;
        uint64_t next = now / unit - before / unit;
        r = varint_append(zigzag(tick < 2 ? next : next - step), &e->times);
        step = next;
        before = now;
        tick++;
    }
    *ret_r = r;
    return unit == SEC ? WIRE_DELTA_SECONDS : WIRE_DELTA_NANOSECONDS;
}

/* Does each tick hold groups in their order, none twice? */
static bool order_is_usual(const struct delta_encoder *e, const struct batch *b)
{
    for (size_t i = 1; i < b->n_items; i++)
        if (!b->items[i].starts_tick && e->group_of[i] <= e->group_of[i - 1])
            return false;
    return true;
}

static int write_order(struct delta_encoder *e, const struct batch *b)
{
    size_t n = 0;
    int r = 0;

    buf_reset(&e->order);
    for (size_t i = 0; i < b->n_items && r == 0; i += n) {
        n = 1;
        while (i + n < b->n_items && !b->items[i + n].starts_tick)
            n++;
        r = varint_append(n, &e->order);
        for (size_t j = i; j < i + n && r == 0; j++)
            r = varint_append(e->group_of[j], &e->order);
    }
    return r;
}

/* The bitmap of the ticks that a group is in. */
static int write_ticks(struct delta_encoder *e, const struct batch *b, size_t group)
{
    size_t tick = 0;

    buf_reset(&e->ticks);
    int r = buf_append_zeros(&e->ticks, (b->n_ticks + 7) / 8);
    if (r)
        return r;
    for (size_t i = 0; i < b->n_items; i++) {
        tick += i > 0 && b->items[i].starts_tick;
        if (e->group_of[i] == group)
            e->ticks.data[tick / 8] |= (uint8_t)(1u << tick % 8);
    }
    return 0;
}

static void pack_source(struct packing *p, struct chain *c, uint32_t number)
{
    if (number < c->n_named) {
        msgpack_pack_uint32(&p->packer, number);
        return;
    }
    /* Groups come in the order in which their subsystems got their numbers. */
    assert(number == c->n_named);
    c->n_named++;
    packing_str(p, delta_sources_name(&c->state.sources, number));
}

static void pack_group(struct packing *p, struct delta_encoder *e, struct chain *c,
                       const struct batch *b, size_t i)
{
    const struct delta_group *g = &e->writer.groups[i];
    bool usual = e->order.len == 0;
    bool every_tick = !usual || g->n_samples == b->n_ticks;

    if (g->flags == 0 && every_tick) {
        pack_source(p, c, g->source);
        return;
    }
    msgpack_pack_array(&p->packer, every_tick ? 2 : 3);
    pack_source(p, c, g->source);
    msgpack_pack_uint8(&p->packer, g->flags);
    if (every_tick)
        return;
    int r = write_ticks(e, b, i);
    if (p->r == 0)
        p->r = r;
    packing_bin(p, buf_span(&e->ticks));
}

static void pack_bin_unless_empty(struct packing *p, const char *key, const struct buf *b)
{
    if (b->len == 0)
        return;
    packing_key(p, key);
    packing_bin(p, buf_span(b));
}

static void pack_unsigned(struct packing *p, const char *key, uint64_t value)
{
    packing_key(p, key);
    msgpack_pack_uint64(&p->packer, value);
}

static void pack_head(struct packing *p, const struct batch *b,
                      const struct delta_place *place, uint64_t first_tick,
                      uint64_t base_s)
{
    pack_unsigned(p, WIRE_DELTA_VERSION, DELTA_VERSION);
    packing_key(p, WIRE_DELTA_IDENTIFIER);
    packing_str(p, batch_identifier(b));
    if (place->chained) {
        pack_unsigned(p, WIRE_DELTA_SNAPSHOT, place->snapshot);
        pack_unsigned(p, WIRE_DELTA_BATCH, place->number);
    }
    pack_unsigned(p, WIRE_DELTA_TICK, first_tick);
    if (!place->chained || place->number == 0) {
        packing_key(p, WIRE_DELTA_HEADER);
        msgpack_pack_map(&p->packer, 1);
        pack_unsigned(p, WIRE_DELTA_BASE_TIME, base_s);
    }
}

static const char *const stream_keys[DELTA_STREAMS] = {
    [DELTA_SHAPES] = WIRE_DELTA_SHAPES,
    [DELTA_BASE_VALUES] = WIRE_DELTA_BASE_VALUES,
    [DELTA_PREDICTOR_LISTS] = WIRE_DELTA_PREDICTORS,
    [DELTA_BITMAPS] = WIRE_DELTA_BITMAPS,
    [DELTA_CHANGES] = WIRE_DELTA_CHANGES,
    [DELTA_RAW_TEXTS] = WIRE_DELTA_RAW,
};

static int pack_message(struct delta_encoder *e, struct chain *c, const struct batch *b,
                        const struct delta_place *place, uint64_t first_tick,
                        struct buf *to)
{
    bool alone = !place->chained || place->number == 0;
    uint64_t first_ns = b->n_items > 0 ? b->items[0].time_ns : c->state.last_ns;
    uint64_t base_ns = alone ? first_ns / SEC * SEC : c->state.last_ns;
    size_t n_keys = 5u + 2u * place->chained + alone; /* v i k, times, groups */
    struct packing p;
    int r;

    buf_reset(&e->order);
    const char *times = write_times(e, b, base_ns, &r);
    if (r == 0 && !order_is_usual(e, b))
        r = write_order(e, b);
    if (r)
        return r;
    n_keys += e->order.len > 0;
    for (size_t i = 0; i < DELTA_STREAMS; i++)
        n_keys += e->writer.streams[i].len > 0;

    packing_begin(&p, to);
    msgpack_pack_map(&p.packer, n_keys);
    pack_head(&p, b, place, first_tick, base_ns / SEC);
    packing_key(&p, times);
    packing_bin(&p, buf_span(&e->times));
    pack_bin_unless_empty(&p, WIRE_DELTA_ORDER, &e->order);
    packing_key(&p, WIRE_DELTA_GROUPS);
    msgpack_pack_array(&p.packer, e->writer.n_groups);
    for (size_t i = 0; i < e->writer.n_groups && p.r == 0; i++)
        pack_group(&p, e, c, b, i);
    for (size_t i = 0; i < DELTA_STREAMS; i++)
        pack_bin_unless_empty(&p, stream_keys[i], &e->writer.streams[i]);
    return packing_end(&p);
}

/*
 * What does not fit into a state is tried from an empty one, as a snapshot; what doesn't
 * fit there either goes raw, the largest first. Only then do numbers of subsystems stay
 * the same from one try to the next.
 */
static int encode(struct delta_encoder *e, struct chain *c, const struct batch *b,
                  struct delta_place *place)
{
    int r = write_groups(e, c, b);

    while (r == 0 || (r == E_TOO_LARGE && place->number > 0)) {
        if (r == 0 && fits_state(c))
            return 0;
        if (place->number > 0) {
            place->snapshot++;
            place->number = 0;
            begin_chain(c);
        } else {
            leave_out_largest(c);
            reset_chain(c);
        }
        r = write_groups(e, c, b);
    }
    return r;
}

int delta_encode_chained(struct delta_encoder *e, const struct batch *b,
                         uint64_t first_tick, struct buf *to, struct delta_place *ret)
{
    struct delta_state *s = &e->chain.state;
    struct delta_place place = {
        .chained = true,
        .snapshot = s->begun ? s->snapshot : s->snapshot + 1,
        .number = s->begun ? s->number + 1 : 0,
    };

    if (!s->begun)
        begin_chain(&e->chain);
    s->begun = false; /* unless all goes well */
    e->writer.predict_after = PREDICT_AFTER;
    int r = encode(e, &e->chain, b, &place);
    if (r == 0)
        r = pack_message(e, &e->chain, b, &place, first_tick, to);
    s->snapshot = place.snapshot;
    if (r)
        return r;
    s->begun = true;
    s->number = place.number;
    if (b->n_items > 0)
        s->last_ns = b->items[b->n_items - 1].time_ns;
    else if (place.number == 0)
        s->last_ns = s->last_ns / SEC * SEC;
    *ret = place;
    return 0;
}

int delta_encode_alone(struct delta_encoder *e, const struct batch *b,
                       uint64_t first_tick, struct buf *to)
{
    struct delta_place place = {.chained = false};

    begin_chain(&e->alone);
    e->writer.predict_after = PREDICT_AFTER_ALONE;
    int r = encode(e, &e->alone, b, &place);
    return r ? r : pack_message(e, &e->alone, b, &place, first_tick, to);
}

int delta_base_of_encoder(const struct delta_encoder *e, struct delta_base **ret)
{
    return e->writer.threshold_millionths ? E_UNSUPPORTED
                                          : delta_base_of_state(&e->chain.state, ret);
}
