/* SPDX-License-Identifier: MIT */
#include "common/delta_changes.h"

#include "common/shape_code.h"
#include "common/varint.h"

#include <stdlib.h>

/* Of a message before compression; a server takes no more. */
#define STREAM_MAX LIMIT_DECODED_BYTES
/* More samples than this are written as several groups, for the sake of memory. */
#define SAMPLES_MAX 4096u
#define MILLION 1000000u

void delta_writer_init(struct delta_writer *w, uint64_t threshold_millionths)
{
    *w = (struct delta_writer){.threshold_millionths = threshold_millionths};
    for (size_t i = 0; i < DELTA_STREAMS; i++)
        buf_init(&w->streams[i], STREAM_MAX);
    buf_init(&w->plain, STREAM_MAX);
    buf_init(&w->code, STREAM_MAX);
}

void delta_writer_done(struct delta_writer *w)
{
    for (size_t i = 0; i < DELTA_STREAMS; i++)
        buf_done(&w->streams[i]);
    buf_done(&w->plain);
    buf_done(&w->code);
    shape_done(&w->cut);
    free(w->groups);
    free(w->changes);
    free(w->residuals);
    delta_work_done(&w->work);
    delta_search_done(&w->search);
}

void delta_writer_reset(struct delta_writer *w)
{
    for (size_t i = 0; i < DELTA_STREAMS; i++)
        buf_reset(&w->streams[i]);
    w->n_groups = 0;
}

void delta_track_done(struct delta_track *t)
{
    free(t->values);
    free(t->cells);
    *t = (struct delta_track){0};
}

void delta_track_forget(struct delta_track *t)
{
    if (t->source)
        delta_source_forget(t->source);
    t->n_cells = t->n_seen = 0;
    t->is_predicted = false;
}

static int begin_group(struct delta_writer *w, uint32_t source, unsigned flags)
{
    int r = delta_reserve(&w->groups, &w->cap_groups, w->n_groups + 1, sizeof *w->groups);

    if (r == 0)
        w->groups[w->n_groups++] = (struct delta_group){source, (uint8_t)flags, 0};
    return r;
}

/*
 * May the change of a column be left out? Only where its number stands between blanks:
 * not in a name, and not as a part of a fraction.
 */
static bool may_stay(const struct delta_writer *w, struct span text,
                     const struct shape_column *c, uint64_t known, uint64_t now)
{
    uint64_t larger = known > now ? known : now;
    uint64_t apart = known > now ? known - now : now - known;
    size_t start = c->end - c->n;
    uint8_t before = start > 0 ? text.data[start - 1] : ' ';
    uint8_t behind = c->end < text.n ? text.data[c->end] : ' ';

    if (c->kind == SHAPE_ZERO || (behind != ' ' && behind != '\t' && behind != '\n'))
        return false;
    if (c->kind == SHAPE_PLAIN && before != ' ' && before != '\t' && before != '\n')
        return false;
    return (unsigned __int128)apart * MILLION <
           (unsigned __int128)larger * w->threshold_millionths;
}

/* Notes what changed as cells of the sample; in @t->values too where those count. */
static int add_cells(struct delta_writer *w, struct delta_track *t, struct span text,
                     size_t n_changes, size_t sample)
{
    int r =
        delta_reserve(&t->cells, &t->cap_cells, t->n_cells + n_changes, sizeof *t->cells);

    for (size_t i = 0; i < n_changes && r == 0; i++) {
        const struct shape_change *c = &w->changes[i];
        uint64_t known = c->before;
        if (w->threshold_millionths) {
            known = t->values[c->column];
            if (known == c->after ||
                may_stay(w, text, &t->source->shape.columns[c->column], known, c->after))
                continue;
            t->values[c->column] = c->after;
        }
        t->cells[t->n_cells++] =
            (struct delta_cell){c->column, (uint32_t)sample, c->after - known};
    }
    return r;
}

static uint64_t known_value(const struct delta_writer *w, const struct delta_track *t,
                            size_t column)
{
    return w->threshold_millionths ? t->values[column]
                                   : shape_value(&t->source->shape, t->text, column);
}

/* Writes the values of a new shape as differences to those of the shape before. */
static int write_base(struct delta_writer *w, struct delta_track *t,
                      const struct shape *shape, struct span text)
{
    struct buf *to = &w->streams[DELTA_BASE_VALUES];
    bool goes_on = t->source->has_shape && t->source->shape.n == shape->n;
    int r = 0;

    if (w->threshold_millionths)
        r = delta_reserve(&t->values, &t->cap_values, shape->n, sizeof *t->values);
    for (size_t i = 0; i < shape->n && r == 0; i++) {
        uint64_t value = shape_value(shape, text, i);
        uint64_t before = goes_on ? known_value(w, t, i) : 0;
        r = varint_append(zigzag(value - before), to);
        if (w->threshold_millionths)
            t->values[i] = value;
    }
    return r;
}

static int write_shape(struct delta_writer *w, const struct shape *shape,
                       struct span text)
{
    struct buf *to = &w->streams[DELTA_SHAPES];

    buf_reset(&w->code);
    int r = shape_code_append(shape, text, &w->plain, &w->code);
    if (r == 0)
        r = varint_append(w->code.len, to);
    return r ? r : buf_append(to, buf_span(&w->code));
}

/* Begins a group with a new shape, that of the text. It is cut aside, for the values are
 * written as differences to those of the shape before. */
static int begin_shape(struct delta_writer *w, struct delta_track *t, uint32_t number,
                       struct span text)
{
    struct delta_source *s = t->source;
    struct shape *cut = &w->cut;

    int r = shape_cut(cut, text);
    if (r == 0 && cut->n > t->most_columns)
        t->most_columns = cut->n;
    if (r == 0)
        r = begin_group(w, number, DELTA_NEW_SHAPE);
    if (r == 0)
        r = write_base(w, t, cut, text);
    if (r == 0)
        r = write_shape(w, cut, text);
    bool keeps_columns = s->has_shape && s->shape.n == cut->n;
    if (r == 0)
        r = shape_copy(&s->shape, cut);
    if (r)
        return r;
    if (!keeps_columns) {
        s->n_predictors = 0;
        t->n_cells = t->n_seen = 0;
        t->is_predicted = false;
    }
    s->has_shape = true;
    return 0;
}

/* What is written of one subsystem, and what it can be taken back to. */
struct shaping {
    struct delta_track *track;
    uint32_t number;
    size_t n_coded; /* in the last group */
    bool in_group;
    size_t n_broken; /* texts that didn't fit the shape that there was */
};

static int shape_text(struct delta_writer *w, struct shaping *s, struct span text)
{
    struct delta_track *t = s->track;
    struct delta_source *source = t->source;
    size_t n_changes = 0;
    int r = 0;

    if (source->has_shape)
        r = delta_reserve(&w->changes, &w->cap_changes, source->shape.n,
                          sizeof *w->changes);
    if (r)
        return r;
    bool fits = source->has_shape &&
                shape_read(&source->shape, t->text, text, w->changes, &n_changes);
    if (s->in_group && (!fits || s->n_coded == SAMPLES_MAX)) {
        r = delta_write_changes(w, t, s->n_coded);
        s->in_group = false;
        s->n_coded = 0;
    }
    s->n_broken += !fits && source->has_shape;
    if (r == 0 && !s->in_group)
        r = fits ? begin_group(w, s->number, 0) : begin_shape(w, t, s->number, text);
    s->in_group = true;
    if (r == 0 && fits) {
        r = add_cells(w, t, text, n_changes, t->n_seen++);
        s->n_coded++;
    }
    if (r)
        return r;
    t->text = text;
    w->groups[w->n_groups - 1].n_samples++;
    return 0;
}

/* Takes back what was written since. */
static void take_back(struct delta_writer *w, const size_t lengths[DELTA_STREAMS],
                      size_t n_groups)
{
    for (size_t i = 0; i < DELTA_STREAMS; i++)
        buf_truncate(&w->streams[i], lengths[i]);
    w->n_groups = n_groups;
}

int delta_write_shaped(struct delta_writer *w, struct delta_track *t, uint32_t number,
                       const struct span *texts, size_t n, uint32_t *ret_group_of)
{
    struct shaping s = {.track = t, .number = number};
    size_t lengths[DELTA_STREAMS];
    size_t n_groups = w->n_groups;
    int r = 0;

    for (size_t i = 0; i < DELTA_STREAMS; i++)
        lengths[i] = w->streams[i].len;
    t->text = buf_span(&t->source->text);
    for (size_t i = 0; i < n && r == 0; i++) {
        r = shape_text(w, &s, texts[i]);
        ret_group_of[i] = (uint32_t)w->n_groups - 1;
        if (r == 0 && s.n_broken > n / 2)
            r = E_UNSUPPORTED;
    }
    if (r == 0)
        r = delta_write_changes(w, t, s.n_coded);
    if (r == 0)
        r = delta_source_keep(t->source, t->text);
    if (r)
        take_back(w, lengths, n_groups);
    return r;
}

int delta_write_raw(struct delta_writer *w, struct delta_track *t, uint32_t number,
                    const struct span *texts, size_t n, uint32_t *ret_group_of)
{
    struct buf *to = &w->streams[DELTA_RAW_TEXTS];
    size_t before = to->len;

    delta_track_forget(t);
    int r = begin_group(w, number, DELTA_RAW);
    for (size_t i = 0; i < n && r == 0; i++) {
        r = varint_append(texts[i].n, to);
        if (r == 0)
            r = buf_append(to, texts[i]);
        ret_group_of[i] = (uint32_t)w->n_groups - 1;
        w->groups[w->n_groups - 1].n_samples++;
    }
    if (r)
        buf_truncate(to, before);
    return r;
}
