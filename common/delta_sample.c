/* SPDX-License-Identifier: MIT */
#include "common/delta_sample.h"

#include "common/delta_changes.h"
#include "common/varint.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

/* Columns that are listed as active before those of groups that are over are dropped. The
 * groups under way have no more than half of them, as those are of one state: half is
 * free again each time. */
#define ACTIVE_MAX (2 * DELTA_COLUMNS_MAX)
#define NONE UINT32_MAX

/* The rest of a stream. What is read from it was gone over once, so it is there. */
static struct span stream_from(const struct delta_decoding *g, enum delta_stream stream,
                               const uint8_t *from)
{
    struct span all = g->d->message.stream_spans[stream];

    return from ? span_of(from, (size_t)(all.data + all.n - from)) : all;
}

struct span delta_sample_text(const struct delta_decoding *g,
                              const struct delta_source *s, uint32_t source)
{
    const struct text_place *place = &g->d->places[source];

    if (!place->in_batch)
        return buf_span(&s->text);
    /* Without bytes in the whole batch there may be no memory to point into. */
    return place->n > 0 ? span_of(g->batch->bytes.data + place->at, place->n)
                        : span_of(NULL, 0);
}

/* Ends a measurement that was opened in the batch. */
static int close_text(struct delta_decoding *g, uint32_t source)
{
    struct batch *b = g->batch;
    int r = batch_close(b);

    if (r)
        return delta_decoding_refuse(g, r, "a text is longer than allowed");
    const struct batch_item *item = &b->items[b->n_items - 1];
    g->d->places[source] = (struct text_place){true, item->text_at, item->text_n};
    return 0;
}

/*
 * Working room for a text of @most bytes at most: the batch's own, or where it is so near
 * its limit that only the text itself may fit, another. Return: 0 and *ret; -ENOMEM.
 */
static int begin_text(struct delta_decoding *g, size_t most, struct buf **ret)
{
    *ret = &g->batch->bytes;
    int r = buf_reserve(*ret, most);
    if (r != E_TOO_LARGE)
        return r;
    *ret = &g->d->text;
    buf_reset(*ret);
    return buf_reserve(*ret, most);
}

/* Takes the @n bytes of text that were written there into the batch. */
static int take_text(struct delta_decoding *g, struct buf *from, size_t n)
{
    struct buf *bytes = &g->batch->bytes;

    if (from == bytes) {
        buf_commit(bytes, n);
        return 0;
    }
    int r = buf_append(bytes, span_of(buf_tail(from), n));
    return r == E_TOO_LARGE
               ? delta_decoding_refuse(g, r, "more bytes of text in all than allowed")
               : r;
}

/* Values of a new shape: what is written, and those of the shape before if it has as
 * many columns. */
static int take_values(struct delta_decoding *g, const struct delta_part *part,
                       const struct delta_source *s)
{
    struct delta_decoder *d = g->d;
    size_t n = part->size.columns;
    bool goes_on = s->has_shape && s->shape.n == n;
    struct span text = delta_sample_text(g, s, part->source);
    struct cursor c;

    int r = delta_reserve(&d->values, &d->cap_values, n, sizeof *d->values);
    if (r)
        return r;
    cursor_init(&c, stream_from(g, DELTA_BASE_VALUES, part->base_values));
    for (size_t i = 0; i < n; i++)
        d->values[i] =
            unzigzag(varint_take(&c)) + (goes_on ? shape_value(&s->shape, text, i) : 0);
    return 0;
}

/* The first measurement of a group with a new shape. */
static int take_shape(struct delta_decoding *g, struct delta_part *part,
                      struct delta_source *s)
{
    struct buf *to;
    size_t columns = part->size.columns;
    bool goes_on = s->has_shape && s->shape.n == columns;
    size_t n = 0;

    g->d->n_columns -= s->has_shape ? s->shape.n : 0;
    if (columns > DELTA_COLUMNS_MAX - g->d->n_columns)
        return delta_decoding_refuse(g, E_MALFORMED,
                                     "more columns at a time than a state holds");
    g->d->n_columns += columns;
    int r = take_values(g, part, s);
    if (!goes_on)
        s->n_predictors = 0;
    delta_source_trim(s, columns);
    if (r == 0)
        r = begin_text(g, part->size.most, &to);
    if (r == 0)
        r = shape_code_build(part->shape, &part->size, g->d->values, &s->shape,
                             buf_tail(to), &n);
    if (r == 0)
        r = take_text(g, to, n);
    if (r)
        return r;
    s->has_shape = true;
    return 0;
}

/*
 * Merges the predictors of a group with those that there are, which are moved to the end
 * of the memory first. Both are in the order of their columns: it takes one pass however
 * they lie.
 */
static int take_predictors(struct delta_part *part, struct delta_source *s)
{
    struct cursor c;
    struct delta_predictor p;
    uint64_t before = 0;
    size_t most = (size_t)part->n_predictors; /* each has a column of its own */
    size_t n = 0;

    int r = delta_source_reserve(s, s->n_predictors + most);
    if (r || most == 0)
        return r;
    size_t old = most;
    size_t end = most + s->n_predictors;
    memmove(s->predictors + old, s->predictors, s->n_predictors * sizeof p);
    cursor_init(&c, part->predictors);
    while (cursor_left(&c) > 0) {
        delta_plan_predictor(&c, s->shape.n, &before, &p);
        assert(c.r == 0); /* it was planned with */
        while (old < end && s->predictors[old].column < p.column)
            s->predictors[n++] = s->predictors[old++];
        old += old < end && s->predictors[old].column == p.column;
        s->predictors[n++] = p;
    }
    memmove(s->predictors + n, s->predictors + old, (end - old) * sizeof p);
    s->n_predictors = n + (end - old);
    return 0;
}

static bool bit(const uint8_t *bitmap, size_t i)
{
    return bitmap[i / 8] >> i % 8 & 1;
}

/* The index of a column among those active from @first on; NONE if it can't change. */
static uint32_t find_active(const struct delta_decoder *d, size_t first, uint32_t column)
{
    size_t low = first;
    size_t high = d->n_active;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (d->active[middle].column < column)
            low = middle + 1;
        else
            high = middle;
    }
    return low < d->n_active && d->active[low].column == column ? (uint32_t)(low - first)
                                                                : NONE;
}

/* Drops the active columns of groups that are over. Return: 0; -ENOMEM. */
static int drop_active(struct delta_decoder *d)
{
    struct delta_message *m = &d->message;
    size_t n = 0;
    struct delta_active *active = reallocarray(NULL, ACTIVE_MAX, sizeof *active);

    if (!active)
        return -ENOMEM;
    for (size_t i = 0; i < m->n_parts; i++) {
        struct delta_part *part = &m->parts[i];
        if (part->n_active == 0 || part->n_taken == part->n_samples)
            continue;
        memcpy(active + n, d->active + part->first_active,
               part->n_active * sizeof *active);
        part->first_active = n;
        n += part->n_active;
    }
    free(d->active);
    d->active = active;
    d->n_active = n;
    d->cap_active = ACTIVE_MAX;
    return 0;
}

static int add_active(struct delta_decoding *g, struct delta_part *part,
                      const struct delta_source *s, struct delta_active a)
{
    struct delta_decoder *d = g->d;

    int r = delta_reserve(&d->active, &d->cap_active, d->n_active + 1, sizeof *d->active);
    if (r)
        return r;
    a.terms[0] = a.terms[1] = NONE;
    if (a.predictor != NONE)
        for (size_t i = 0; i < s->predictors[a.predictor].n_terms; i++)
            a.terms[i] =
                find_active(d, part->first_active, s->predictors[a.predictor].terms[i]);
    d->active[d->n_active++] = a;
    return 0;
}

/* Passes over the residuals of a column. */
static const uint8_t *skip_changes(const uint8_t *changes, const uint8_t *samples,
                                   size_t n)
{
    size_t left = 0;

    for (size_t i = 0; i < (n + 7) / 8; i++)
        left += (size_t)__builtin_popcount(samples[i]);
    while (left > 0)
        left -= *changes++ < 0x80;
    return changes;
}

/* Lists the columns of a group that can change, in their order. */
static int list_active(struct delta_decoding *g, struct delta_part *part,
                       const struct delta_source *s)
{
    const uint8_t *samples = part->samples;
    const uint8_t *changes = part->changes;
    size_t width = (part->n_coded + 7) / 8;
    size_t predictor = 0;
    int r = 0;

    if (s->shape.n > ACTIVE_MAX - g->d->n_active)
        r = drop_active(g->d);
    part->first_active = g->d->n_active;
    for (size_t column = 0; column < s->shape.n && r == 0; column++) {
        struct delta_active a = {.column = (uint32_t)column, .predictor = NONE};
        if (column % 8 == 0 && part->columns[column / 8] == 0 &&
            (predictor == s->n_predictors ||
             s->predictors[predictor].column >= column + 8)) {
            column += 7; /* nothing in these eight */
            continue;
        }
        if (predictor < s->n_predictors && s->predictors[predictor].column == column)
            a.predictor = (uint32_t)predictor++;
        if (bit(part->columns, column)) {
            a.samples = samples;
            a.changes = changes;
            changes = skip_changes(changes, samples, part->n_coded);
            samples += width;
        }
        if (a.samples || a.predictor != NONE)
            r = add_active(g, part, s, a);
    }
    part->n_active = g->d->n_active - part->first_active;
    return r;
}

/* Begins a group: it is the first that takes a measurement of those left of its
 * subsystem. */
static int begin_part(struct delta_decoding *g, struct delta_part *part,
                      struct delta_source *s)
{
    struct delta_message *m = &g->d->message;
    struct delta_plan *plan = &m->plans[part->source];
    size_t index = (size_t)(part - m->parts);
    int r = 0;

    if (plan->last_part > 0) {
        const struct delta_part *last = &m->parts[plan->last_part - 1];
        if (plan->last_part - 1 > index || last->n_taken < last->n_samples)
            return delta_decoding_refuse(g, E_MALFORMED,
                                         "a group begins before the one before it ends");
    }
    plan->last_part = (uint32_t)index + 1;
    part->has_begun = true;
    if (part->flags & DELTA_RAW) {
        g->d->n_columns -= s->has_shape ? s->shape.n : 0;
        delta_source_drop(s);
        return 0;
    }
    if (part->flags & DELTA_NEW_SHAPE)
        r = take_shape(g, part, s);
    if (r == 0 && part->flags & DELTA_PREDICTORS)
        r = take_predictors(part, s);
    if (r == 0 && part->n_coded > 0)
        r = list_active(g, part, s);
    return r;
}

static int take_residual(struct delta_decoding *g, struct delta_active *a,
                         const uint8_t *end, uint64_t *ret)
{
    uint64_t z;

    if (varint_read(&a->changes, end, &z))
        return delta_decoding_refuse(g, E_MALFORMED, "a number of more than 64 bits");
    if (z == UINT64_MAX)
        return delta_decoding_refuse(g, E_MALFORMED, "a residual that there is not");
    *ret = unzigzag(z + 1);
    return 0;
}

/* The difference that a column's predictor makes of its residual. @active: the group's,
 * those before the column done. */
static uint64_t predicted(const struct delta_active *active, struct delta_predictor *p,
                          const struct delta_active *a, uint64_t residual)
{
    uint64_t step = residual << p->shift;

    if (p->keeps_pace)
        step = p->pace += step;
    for (size_t i = 0; i < p->n_terms; i++) {
        uint64_t term = a->terms[i] == NONE ? 0 : active[a->terms[i]].difference;
        step += p->minus >> i & 1 ? 0 - term : term;
    }
    return step;
}

/* The differences of a measurement, as edits of the text before. */
static int take_edits(struct delta_decoding *g, struct delta_part *part,
                      struct delta_source *s, size_t *ret_n)
{
    struct delta_active *active =
        part->n_active > 0 ? &g->d->active[part->first_active] : NULL;
    struct shape_edit *edits = g->d->edits;
    struct span changes = g->d->message.stream_spans[DELTA_CHANGES];
    const uint8_t *end = changes.n > 0 ? changes.data + changes.n : changes.data;
    size_t sample = part->n_taken - (part->n_samples - part->n_coded);
    size_t n = 0;
    int r = 0;

    for (size_t i = 0; i < part->n_active && r == 0; i++) {
        struct delta_active *a = &active[i];
        uint64_t difference = 0;
        if (a->samples && bit(a->samples, sample))
            r = take_residual(g, a, end, &difference);
        if (a->predictor != NONE)
            difference = predicted(active, &s->predictors[a->predictor], a, difference);
        a->difference = difference;
        edits[n] = (struct shape_edit){a->column, difference};
        n += difference != 0; /* no branch, for nobody could guess it */
    }
    *ret_n = n;
    return r;
}

static int take_change(struct delta_decoding *g, struct delta_part *part,
                       struct delta_source *s)
{
    struct buf *to;
    size_t n = 0;

    int r = delta_reserve(&g->d->edits, &g->d->cap_edits, part->n_active,
                          sizeof *g->d->edits);
    if (r == 0)
        r = take_edits(g, part, s, &n);
    if (r == 0)
        r = begin_text(g, shape_step_room(delta_sample_text(g, s, part->source).n, n),
                       &to);
    if (r)
        return r;
    /* Only now, for the batch may have moved. */
    struct span text = delta_sample_text(g, s, part->source);
    return take_text(g, to, shape_step(&s->shape, text, g->d->edits, n, buf_tail(to)));
}

static int take_raw(struct delta_decoding *g, struct delta_part *part)
{
    struct cursor c;

    cursor_init(&c, stream_from(g, DELTA_RAW_TEXTS, part->raw));
    struct span text = cursor_bytes(&c, varint_take(&c));
    part->raw = c.at;
    int r = buf_append(&g->batch->bytes, text);
    return r == E_TOO_LARGE
               ? delta_decoding_refuse(g, r, "more bytes of text in all than allowed")
               : r;
}

int delta_sample_take(struct delta_decoding *g, struct delta_part *part, uint64_t time_ns)
{
    struct delta_source *s;
    bool is_first = !part->has_begun;

    int r = delta_sources_get(&g->state->sources, part->source, &s);
    if (r)
        return r;
    r = batch_open(g->batch, time_ns,
                   delta_sources_name(&g->state->sources, part->source));
    if (r)
        return r == E_TOO_LARGE
                   ? delta_decoding_refuse(
                         g, r, "more measurements or bytes of text than allowed")
                   : r;
    if (is_first)
        r = begin_part(g, part, s);
    if (r == 0 && part->flags & DELTA_RAW)
        r = take_raw(g, part);
    else if (r == 0 && !(is_first && part->flags & DELTA_NEW_SHAPE))
        r = take_change(g, part, s);
    if (r == 0)
        r = close_text(g, part->source);
    part->n_taken++;
    return r;
}
