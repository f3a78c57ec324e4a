/* SPDX-License-Identifier: MIT */
#include "common/delta_plan.h"

#include "common/delta_changes.h"
#include "common/units.h"
#include "common/utf8.h"
#include "common/varint.h"
#include "proto/wire.h"

#include <errno.h>
#include <stdlib.h>

#define ENDS(name) name " ends too early"
#define TEXTS(name)                                                                      \
    {                                                                                    \
        ENDS(name), name " is longer than what the groups read of it"                    \
    }

/* What is wrong with a stream that is too short, or too long. */
static const struct stream_texts {
    const char *ends;
    const char *goes_on;
} texts[DELTA_STREAMS] = {
    [DELTA_SHAPES] = TEXTS(WIRE_DELTA_SHAPES),
    [DELTA_BASE_VALUES] = TEXTS(WIRE_DELTA_BASE_VALUES),
    [DELTA_PREDICTOR_LISTS] = TEXTS(WIRE_DELTA_PREDICTORS),
    [DELTA_BITMAPS] = TEXTS(WIRE_DELTA_BITMAPS),
    [DELTA_CHANGES] = TEXTS(WIRE_DELTA_CHANGES),
    [DELTA_RAW_TEXTS] = TEXTS(WIRE_DELTA_RAW),
};

/* Planning: cursors over the streams, the first failure of any of which is told. */
struct planning {
    struct delta_message *m;
    const struct delta_state *state;
    struct cursor streams[DELTA_STREAMS];
    int r;
    const char *what;
    const uint8_t *at; /* NULL: unknown */
    size_t group;      /* the one at hand; ERR_AT_UNKNOWN: none */
    size_t n_samples;  /* of all parts */
};

static void refuse(struct planning *p, int r, const char *what, const uint8_t *at)
{
    if (p->r)
        return;
    p->r = r;
    p->what = what;
    p->at = at;
}

/* Tells the cursor's failure as one of the whole. @ended: what it is where the cursor
 * came to its end. Return: is all well? */
static bool check(struct planning *p, const struct cursor *c, const char *ended)
{
    if (c->r)
        refuse(p, c->r, c->r == E_TRUNCATED ? ended : c->why.what,
               c->start ? c->start + c->why.offset : NULL);
    return p->r == 0;
}

static bool check_stream(struct planning *p, enum delta_stream stream)
{
    return check(p, &p->streams[stream], texts[stream].ends);
}

static void plan_times(struct planning *p)
{
    struct delta_message *m = p->m;
    struct cursor c;
    const struct delta_place *place = &m->head.place;
    bool alone = !place->chained || place->number == 0;
    uint64_t unit = m->in_seconds ? SEC : 1;
    uint64_t time = (alone ? m->base_s * SEC : p->state->last_ns) / unit;
    uint64_t step = 0;

    if (!alone && m->in_seconds && p->state->last_ns % SEC)
        refuse(p, E_MALFORMED, "times in seconds behind one that is no whole second",
               NULL);
    cursor_init(&c, m->times_span);
    while (p->r == 0 && cursor_left(&c) > 0) {
        step = unzigzag(varint_take(&c)) + (m->n_ticks > 1 ? step : 0);
        time += step;
        if (!check(p, &c,
                   m->in_seconds ? ENDS(WIRE_DELTA_SECONDS)
                                 : ENDS(WIRE_DELTA_NANOSECONDS)))
            return;
        if (m->n_ticks == m->limits.measurements)
            refuse(p, E_TOO_LARGE, "more ticks than measurements allowed", c.at);
        else if (time / (SEC / unit) < LIMIT_TIMESTAMP_MIN ||
                 time / (SEC / unit) > LIMIT_TIMESTAMP_MAX)
            refuse(p, E_MALFORMED, "a time outside the years 2000 to 2200", c.at);
        else if (delta_reserve(&m->times, &m->cap_times, m->n_ticks + 1,
                               sizeof(uint64_t)))
            refuse(p, -ENOMEM, NULL, NULL);
        else
            m->times[m->n_ticks++] = time * unit;
    }
}

static const char *read_group(const msgpack_object *o, struct delta_part *ret,
                              struct span *ret_ticks)
{
    const msgpack_object *source = o;

    *ret = (struct delta_part){0};
    *ret_ticks = span_of(NULL, 0);
    if (o->type == MSGPACK_OBJECT_ARRAY) {
        const msgpack_object *row = o->via.array.ptr;
        size_t n = o->via.array.size;
        if (n < 2 || n > 3)
            return "not an array of two or three";
        source = &row[0];
        if (row[1].type != MSGPACK_OBJECT_POSITIVE_INTEGER ||
            row[1].via.u64 > DELTA_RAW) /* which stands alone */
            return "the flags are not a number from 0 to 4";
        ret->flags = (uint8_t)row[1].via.u64;
        if (n == 3 && row[2].type != MSGPACK_OBJECT_BIN)
            return "ticks are not a bin";
        if (n == 3)
            *ret_ticks = span_of(row[2].via.bin.ptr, row[2].via.bin.size);
        if (n == 3 && row[2].via.bin.size == 0)
            return "ticks are empty";
    }
    if (source->type == MSGPACK_OBJECT_STR) {
        ret->is_named = true;
        ret->name = span_of(source->via.str.ptr, source->via.str.size);
        return utf8_valid(ret->name) ? NULL : "the subsystem is not valid UTF-8";
    }
    if (source->type != MSGPACK_OBJECT_POSITIVE_INTEGER)
        return "the subsystem is neither a number nor a name";
    ret->source = source->via.u64 > UINT32_MAX ? UINT32_MAX : (uint32_t)source->via.u64;
    return NULL;
}

/* Bits of a bitmap of @n; those beyond are refused. Return: how many are 1. */
static size_t count_bits(struct planning *p, const uint8_t *bitmap, size_t n)
{
    size_t count = 0;

    for (size_t i = 0; i < (n + 7) / 8; i++)
        count += (size_t)__builtin_popcount(bitmap[i]);
    if (n % 8 && bitmap[n / 8] >> n % 8)
        refuse(p, E_MALFORMED, "bits beyond the end of a bitmap", bitmap + n / 8);
    return count;
}

/* Which subsystem a group is of: its plan. */
static struct delta_plan *plan_source(struct planning *p, struct delta_part *part)
{
    struct delta_message *m = p->m;

    if (part->is_named) {
        if (m->n_plans == LIMIT_DELTA_SUBSYSTEMS)
            refuse(p, E_MALFORMED, "more subsystems than allowed", part->name.data);
        else if (part->name.n > m->limits.subsystem_bytes)
            refuse(p, E_TOO_LARGE, "the subsystem is longer than allowed",
                   part->name.data);
        else if (delta_reserve(&m->plans, &m->cap_plans, m->n_plans + 1,
                               sizeof *m->plans))
            refuse(p, -ENOMEM, NULL, NULL);
        if (p->r)
            return NULL;
        part->source = (uint32_t)m->n_plans;
        m->plans[m->n_plans++] = (struct delta_plan){0};
    }
    if (part->source >= m->n_plans) {
        refuse(p, E_MALFORMED, "no subsystem has that number", NULL);
        return NULL;
    }
    struct delta_plan *plan = &m->plans[part->source];
    plan->last_part = (uint32_t)m->n_parts + 1;
    return plan;
}

static void plan_samples(struct planning *p, struct delta_part *part, struct span ticks)
{
    struct delta_message *m = p->m;

    if (ticks.n > 0) {
        if (ticks.n != (m->n_ticks + 7) / 8)
            refuse(p, E_MALFORMED, "ticks are of the wrong length", ticks.data);
        else if (m->order_span.n > 0)
            refuse(p, E_MALFORMED, "ticks beside " WIRE_DELTA_ORDER, ticks.data);
        if (p->r)
            return;
        part->ticks = ticks.data;
        part->n_samples = count_bits(p, ticks.data, m->n_ticks);
    } else if (m->order_span.n == 0) {
        part->n_samples = m->n_ticks;
    }
    if (part->n_samples == 0)
        refuse(p, E_MALFORMED, "no measurements", NULL);
    if (part->n_samples > m->limits.measurements - p->n_samples)
        refuse(p, E_TOO_LARGE, "more measurements than allowed", NULL);
    p->n_samples += part->n_samples;
}

static void plan_raw(struct planning *p, struct delta_part *part)
{
    struct cursor *c = &p->streams[DELTA_RAW_TEXTS];

    part->raw = c->at;
    for (size_t i = 0; i < part->n_samples && c->r == 0; i++)
        (void)cursor_bytes(c, varint_take(c));
    (void)check_stream(p, DELTA_RAW_TEXTS);
}

static void plan_shape(struct planning *p, struct delta_part *part)
{
    struct delta_message *m = p->m;
    struct cursor *c = &p->streams[DELTA_SHAPES];
    struct cursor code;

    part->shape = cursor_bytes(c, varint_take(c));
    if (!check_stream(p, DELTA_SHAPES))
        return;
    cursor_init(&code, part->shape);
    shape_code_measure(&code, m->limits.bytes - m->least_text, &part->size);
    if (!check(p, &code, "a shape ends too early"))
        return;
    m->least_text += part->size.least;
    if (part->size.columns * LIMIT_DELTA_COLUMN_BYTES > LIMIT_DELTA_STATE_BYTES)
        refuse(p, E_MALFORMED, "more columns than a state holds", part->shape.data);
    c = &p->streams[DELTA_BASE_VALUES];
    part->base_values = c->at;
    for (size_t i = 0; i < part->size.columns && c->r == 0; i++)
        (void)varint_take(c);
    (void)check_stream(p, DELTA_BASE_VALUES);
}

void delta_plan_predictor(struct cursor *c, size_t n_columns, uint64_t *before,
                          struct delta_predictor *ret)
{
    uint64_t column = varint_take(c);
    uint8_t byte = cursor_u8(c);
    unsigned n_terms = byte >> DELTA_TERMS_AT & 3u;

    *ret = (struct delta_predictor){0};
    if (c->r == 0 && (column >= n_columns || *before >= n_columns - column))
        cursor_fail(c, E_MALFORMED, "a predictor of a column that there is not");
    if (c->r == 0 && n_terms > DELTA_TERMS)
        cursor_fail(c, E_MALFORMED, "a predictor of more than two terms");
    if (c->r == 0 && (byte / DELTA_MINUS & 3u) >> n_terms)
        cursor_fail(c, E_MALFORMED, "a predictor subtracts a term that it does not have");
    if (c->r)
        return;
    ret->column = (uint32_t)(*before + column);
    ret->n_terms = n_terms & 3u;
    ret->minus = byte / DELTA_MINUS & 3u;
    ret->shift = byte >> DELTA_SHIFT_AT & DELTA_SHIFT_MAX;
    ret->keeps_pace = byte & DELTA_PACE;
    for (unsigned i = 0; i < n_terms; i++) {
        uint64_t back = varint_take(c);
        if (c->r == 0 && (back == 0 || back > ret->column))
            cursor_fail(c, E_MALFORMED, "a term of a predictor does not lie before it");
        ret->terms[i] = ret->column - (uint32_t)back;
    }
    *before = (uint64_t)ret->column + 1;
}

static void plan_predictors(struct planning *p, struct delta_part *part)
{
    struct cursor *c = &p->streams[DELTA_PREDICTOR_LISTS];
    struct delta_predictor predictor;
    uint64_t before = 0;

    part->n_predictors = varint_take(c);
    const uint8_t *start = c->at;
    for (uint64_t i = 0; i < part->n_predictors && c->r == 0; i++)
        delta_plan_predictor(c, part->size.columns, &before, &predictor);
    part->predictors = span_of(start, (size_t)(c->at - start));
    (void)check_stream(p, DELTA_PREDICTOR_LISTS);
}

/* Passes over @n varints. They are checked when they are read. */
static void skip_varints(struct cursor *c, size_t n)
{
    while (n > 0 && c->at < c->end)
        n -= *c->at++ < 0x80;
    if (n > 0)
        cursor_fail(c, E_TRUNCATED, texts[DELTA_CHANGES].ends);
}

static void plan_changes(struct planning *p, struct delta_part *part)
{
    struct cursor *bitmaps = &p->streams[DELTA_BITMAPS];
    struct cursor *changes = &p->streams[DELTA_CHANGES];
    size_t width = (part->n_coded + 7) / 8;
    size_t n_changes = 0;

    if (part->n_coded == 0)
        return;
    part->columns = cursor_bytes(bitmaps, (part->size.columns + 7) / 8).data;
    if (!check_stream(p, DELTA_BITMAPS))
        return;
    size_t n = count_bits(p, part->columns, part->size.columns);
    part->samples = cursor_bytes(bitmaps, (uint64_t)n * width).data;
    if (!check_stream(p, DELTA_BITMAPS))
        return;
    for (size_t i = 0; i < n && p->r == 0; i++)
        n_changes += count_bits(p, part->samples + i * width, part->n_coded);
    part->changes = changes->at;
    skip_varints(changes, n_changes);
    (void)check_stream(p, DELTA_CHANGES);
}

static void plan_part(struct planning *p, struct delta_part *part, struct span ticks)
{
    struct delta_plan *plan = plan_source(p, part);

    if (plan)
        plan_samples(p, part, ticks);
    if (p->r)
        return;
    if (part->flags & DELTA_RAW) {
        plan->has_shape = false;
        plan_raw(p, part);
        return;
    }
    part->n_coded = part->n_samples - (part->flags & DELTA_NEW_SHAPE ? 1 : 0);
    if (part->flags & DELTA_NEW_SHAPE)
        plan_shape(p, part);
    else if (!plan->has_shape)
        refuse(p, E_MALFORMED, "the subsystem has no shape", NULL);
    else
        part->size.columns = plan->n_columns;
    plan->has_shape = true;
    plan->n_columns = part->size.columns;
    if (p->r == 0 && part->flags & DELTA_PREDICTORS)
        plan_predictors(p, part);
    if (p->r == 0)
        plan_changes(p, part);
}

/* Counts the measurements of each group, where the order is written out. */
static void plan_order(struct planning *p)
{
    struct delta_message *m = p->m;
    struct cursor c;

    cursor_init(&c, m->order_span);
    for (size_t tick = 0; tick < m->n_ticks && p->r == 0; tick++) {
        uint64_t n = varint_take(&c);
        if (c.r == 0 && n == 0)
            cursor_fail(&c, E_MALFORMED, "a tick without measurements");
        for (; n > 0 && c.r == 0; n--) {
            uint64_t part = varint_take(&c);
            if (c.r == 0 && part >= m->n_parts)
                cursor_fail(&c, E_MALFORMED,
                            WIRE_DELTA_ORDER " names a group that there is not");
            if (c.r == 0)
                m->parts[part].n_samples++;
        }
        (void)check(p, &c, ENDS(WIRE_DELTA_ORDER));
    }
    if (p->r == 0 && cursor_left(&c) > 0)
        refuse(p, E_MALFORMED, WIRE_DELTA_ORDER " goes on behind the last tick", c.at);
    cursor_init(&m->order, m->order_span);
}

static int begin_plans(struct delta_message *m, const struct delta_state *s)
{
    int r = delta_reserve(&m->plans, &m->cap_plans, s->sources.n, sizeof *m->plans);

    for (size_t i = 0; i < s->sources.n && r == 0; i++) {
        const struct delta_source *source = s->sources.at[i];
        m->plans[i] = (struct delta_plan){0};
        if (source)
            m->plans[i] = (struct delta_plan){source->shape.n, source->has_shape, 0};
    }
    m->n_plans = s->sources.n;
    return r;
}

/* In the usual order no tick may be empty: whether any is, decoding finds out. */
static void plan_groups(struct planning *p)
{
    struct delta_message *m = p->m;
    size_t n = m->groups->via.array.size;

    if (n > m->limits.measurements)
        refuse(p, E_TOO_LARGE, "more groups than measurements allowed", NULL);
    else if (delta_reserve(&m->parts, &m->cap_parts, n, sizeof *m->parts))
        refuse(p, -ENOMEM, NULL, NULL);
    if (p->r)
        return;
    if (n > 0)
        memset(m->parts, 0, n * sizeof *m->parts);
    m->n_parts = n;
    if (m->order_span.n > 0)
        plan_order(p);
    m->n_parts = 0;
    for (size_t i = 0; i < n && p->r == 0; i++) {
        struct span ticks;
        struct delta_part part;
        p->group = i;
        const char *why = read_group(&m->groups->via.array.ptr[i], &part, &ticks);
        if (why)
            refuse(p, E_MALFORMED, why, NULL);
        part.n_samples = m->parts[i].n_samples;
        if (p->r == 0)
            plan_part(p, &part, ticks);
        m->parts[m->n_parts++] = part;
    }
    if (p->r == 0)
        p->group = ERR_AT_UNKNOWN;
}

int delta_plan_make(struct delta_message *m, const struct delta_state *s,
                    struct err_at *reterr_at)
{
    struct planning p = {.m = m, .state = s, .group = ERR_AT_UNKNOWN};

    m->n_ticks = m->n_parts = m->least_text = 0;
    for (size_t i = 0; i < DELTA_STREAMS; i++)
        cursor_init(&p.streams[i], m->stream_spans[i]);
    if (begin_plans(m, s))
        refuse(&p, -ENOMEM, NULL, NULL);
    plan_times(&p);
    if (p.r == 0)
        plan_groups(&p);
    for (size_t i = 0; i < DELTA_STREAMS && p.r == 0; i++)
        if (cursor_left(&p.streams[i]) > 0)
            refuse(&p, E_MALFORMED, texts[i].goes_on, p.streams[i].at);
    if (p.r && reterr_at)
        *reterr_at = (struct err_at){
            .what = p.what,
            .offset = p.at ? (size_t)(p.at - m->in.data) : ERR_AT_UNKNOWN,
            .item = p.group,
            .in_group = true,
        };
    return p.r;
}
