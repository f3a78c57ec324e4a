/* SPDX-License-Identifier: MIT */
#include "common/delta.h"

#include "common/delta_changes.h"
#include "common/delta_sample.h"
#include "common/units.h"
#include "common/varint.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

/* Memory that is kept for the next message. */
#define KEEP_MAX (256 * KIB)

int delta_decoder_new(struct delta_decoder **ret)
{
    struct delta_decoder *d = calloc(1, sizeof *d);

    if (!d)
        return -ENOMEM;
    int r = delta_state_new(&d->alone);
    if (r) {
        free(d);
        return r;
    }
    msgpack_unpacked_init(&d->message.unpacked);
    buf_init(&d->text, SIZE_MAX);
    *ret = d;
    return 0;
}

void delta_decoder_free(struct delta_decoder *d)
{
    if (!d)
        return;
    delta_message_done(&d->message);
    delta_state_free(d->alone);
    free(d->active);
    free(d->edits);
    free(d->values);
    free(d->places);
    free(d->turns);
    free(d->turns_at);
    buf_done(&d->text);
    free(d);
}

static void shrink(void *array, size_t *cap, size_t size)
{
    void **at = array;

    if (*cap * size <= KEEP_MAX)
        return;
    free(*at);
    *at = NULL;
    *cap = 0;
}

void delta_decoder_reset(struct delta_decoder *d)
{
    delta_message_close(&d->message);
    d->is_open = false;
    buf_reset(&d->text);
    buf_shrink(&d->text, KEEP_MAX);
    shrink(&d->message.times, &d->message.cap_times, sizeof *d->message.times);
    shrink(&d->message.parts, &d->message.cap_parts, sizeof *d->message.parts);
    shrink(&d->message.plans, &d->message.cap_plans, sizeof *d->message.plans);
    shrink(&d->active, &d->cap_active, sizeof *d->active);
    shrink(&d->edits, &d->cap_edits, sizeof *d->edits);
    shrink(&d->values, &d->cap_values, sizeof *d->values);
    shrink(&d->places, &d->cap_places, sizeof *d->places);
    shrink(&d->turns, &d->cap_turns, sizeof *d->turns);
    shrink(&d->turns_at, &d->cap_turns_at, sizeof *d->turns_at);
    if (delta_state_bytes(d->alone) > KEEP_MAX) {
        delta_sources_done(&d->alone->sources);
        int r = delta_sources_init(&d->alone->sources);
        (void)r; /* without memory the next run asks again */
    }
}

int delta_decoder_open(struct delta_decoder *d, struct span in,
                       const struct batch_limits *limits, struct delta_head *ret,
                       struct err_at *reterr_at)
{
    int r = delta_message_open(&d->message, in, limits, reterr_at);

    d->is_open = r == 0;
    if (r == 0)
        *ret = d->message.head;
    return r;
}

/* The first tick from @tick on in which a group has a measurement; @n: there is none. */
static size_t next_turn(const struct delta_part *part, size_t tick, size_t n)
{
    while (part->ticks && tick < n) {
        unsigned left = (unsigned)part->ticks[tick / 8] >> tick % 8;
        if (left)
            return tick + (size_t)__builtin_ctz(left);
        tick += 8 - tick % 8;
    }
    return tick < n ? tick : n;
}

/*
 * Sorts the groups by the ticks in which they have measurements, so that nobody has to
 * ask each group in each tick: messages may have a great many of both.
 */
static int list_turns(struct delta_decoding *g)
{
    struct delta_decoder *d = g->d;
    const struct delta_message *m = &d->message;
    size_t n_ticks = m->n_ticks;
    size_t n = 0;

    int r = delta_reserve(&d->turns_at, &d->cap_turns_at, n_ticks + 1, sizeof(size_t));
    if (r)
        return r;
    memset(d->turns_at, 0, (n_ticks + 1) * sizeof(size_t));
    for (size_t i = 0; i < m->n_parts; i++)
        for (size_t t = next_turn(&m->parts[i], 0, n_ticks); t < n_ticks;
             t = next_turn(&m->parts[i], t + 1, n_ticks))
            d->turns_at[t]++;
    for (size_t t = 0; t <= n_ticks; t++)
        d->turns_at[t] = n += d->turns_at[t];
    r = delta_reserve(&d->turns, &d->cap_turns, n, sizeof(uint32_t));
    /* From the last group on, each tick's end moves to its beginning. */
    for (size_t i = m->n_parts; i-- > 0 && r == 0;)
        for (size_t t = next_turn(&m->parts[i], 0, n_ticks); t < n_ticks;
             t = next_turn(&m->parts[i], t + 1, n_ticks))
            d->turns[--d->turns_at[t]] = (uint32_t)i;
    return r;
}

/* The measurements of a tick, in the usual order. */
static int take_usual(struct delta_decoding *g, size_t tick)
{
    struct delta_decoder *d = g->d;
    struct delta_message *m = &d->message;
    size_t end = d->turns_at[tick + 1];
    int r = 0;

    if (d->turns_at[tick] == end)
        return delta_decoding_refuse(g, E_MALFORMED, "a tick without measurements");
    for (size_t i = d->turns_at[tick]; i < end && r == 0; i++)
        r = delta_sample_take(g, &m->parts[d->turns[i]], m->times[tick]);
    return r;
}

static int take_ordered(struct delta_decoding *g, size_t tick)
{
    struct delta_message *m = &g->d->message;
    int r = 0;

    for (uint64_t n = varint_take(&m->order); n > 0 && r == 0; n--)
        r = delta_sample_take(g, &m->parts[varint_take(&m->order)], m->times[tick]);
    return r;
}

/* New subsystems get their numbers, in the order of the groups. */
static int add_names(struct delta_decoding *g)
{
    struct delta_decoder *d = g->d;
    int r = 0;

    for (size_t i = 0; i < d->message.n_parts && r == 0; i++) {
        const struct delta_part *part = &d->message.parts[i];
        if (part->is_named)
            r = delta_sources_add(&g->state->sources, part->name);
    }
    size_t n = g->state->sources.n;
    if (r == 0)
        r = delta_reserve(&d->places, &d->cap_places, n, sizeof *d->places);
    if (r)
        return r;
    memset(d->places, 0, n * sizeof *d->places);
    for (size_t i = 0; i < n; i++)
        d->message.plans[i].last_part = 0;
    return 0;
}

/* The state's texts are those that the batch ends with. */
static int keep_texts(struct delta_decoding *g)
{
    struct delta_sources *sources = &g->state->sources;
    int r = 0;

    g->is_at_end = true;
    for (size_t i = 0; i < sources->n && r == 0; i++) {
        struct delta_source *s = sources->at[i];
        if (s && s->has_shape && g->d->places[i].in_batch)
            r = delta_source_keep(s, delta_sample_text(g, s, (uint32_t)i));
    }
    if (r == 0 && delta_sources_size(sources) > LIMIT_DELTA_STATE_BYTES)
        r = delta_decoding_refuse(g, E_MALFORMED,
                                  "more texts and columns than a state holds");
    delta_sources_trim(sources);
    return r;
}

static int decode(struct delta_decoding *g)
{
    struct delta_decoder *d = g->d;
    struct delta_message *m = &d->message;

    d->n_active = 0;
    d->n_columns = delta_sources_columns(&g->state->sources);
    int r = add_names(g);
    if (r == 0)
        r = batch_set_identifier(g->batch, m->head.identifier);
    if (r == 0 && m->order_span.n == 0)
        r = list_turns(g);
    for (size_t tick = 0; tick < m->n_ticks && r == 0; tick++) {
        batch_begin_tick(g->batch);
        r = m->order_span.n > 0 ? take_ordered(g, tick) : take_usual(g, tick);
    }
    return r ? r : keep_texts(g);
}

static void settle_state(struct delta_state *s, const struct delta_message *m)
{
    const struct delta_place *place = &m->head.place;

    if (m->n_ticks > 0)
        s->last_ns = m->times[m->n_ticks - 1];
    else if (place->number == 0)
        s->last_ns = m->base_s * SEC;
    s->begun = place->chained;
    s->snapshot = place->snapshot;
    s->number = place->number;
}

int delta_decoder_run(struct delta_decoder *d, struct delta_state *s, struct batch *ret,
                      struct err_at *reterr_at)
{
    assert(d->is_open);
    const struct delta_place *place = &d->message.head.place;
    bool alone = !place->chained || place->number == 0;
    struct delta_decoding g = {
        .d = d, .state = place->chained && s ? s : d->alone, .batch = ret};
    int r = 0;

    if (!alone && (!s || !delta_state_fits(s, place))) {
        if (reterr_at)
            *reterr_at = ERR_AT_NOWHERE;
        return E_CONFLICT;
    }
    if (!g.state->sources.at)
        r = delta_sources_init(&g.state->sources);
    if (r == 0 && alone)
        delta_sources_reset(&g.state->sources);
    g.state->begun = false; /* unless all goes well */
    if (r == 0)
        r = delta_plan_make(&d->message, g.state, reterr_at);
    if (r == 0) {
        r = decode(&g);
        if (r && reterr_at)
            *reterr_at = (struct err_at){
                .what = g.what,
                .offset = ERR_AT_UNKNOWN,
                .item = g.is_at_end ? ERR_AT_UNKNOWN : ret->n_items,
            };
    }
    if (r)
        batch_reset(ret);
    else
        settle_state(g.state, &d->message);
    return r;
}
