/* SPDX-License-Identifier: MIT */
#include "common/delta_changes.h"

#include "common/varint.h"

#include <errno.h>
#include <stdlib.h>

/* Predictors are chosen by so many samples at most. */
#define SEARCH_SAMPLES 64u

int delta_reserve(void *array, size_t *cap, size_t n, size_t size)
{
    void **at = array;
    size_t more = n + n / 2;

    if (n <= *cap)
        return 0;
    void *moved = reallocarray(*at, more, size);
    if (!moved)
        return -ENOMEM;
    *at = moved;
    *cap = more;
    return 0;
}

/* The residuals of a row, from its differences. @pace: the predictor's; moved on. */
static void make_residuals(const struct delta_writer *w, const struct delta_matrix *m,
                           size_t row, const struct delta_predictor *p, uint64_t *pace,
                           uint64_t *to)
{
    size_t n = m->n_samples;

    memcpy(to, m->differences + row * n, n * sizeof *to);
    for (size_t i = 0; p && i < p->n_terms; i++) {
        const uint64_t *term = delta_matrix_row(&w->work, m, p->terms[i]);
        bool minus = p->minus >> i & 1;
        for (size_t j = 0; term && j < n; j++)
            to[j] = minus ? to[j] + term[j] : to[j] - term[j];
    }
    for (size_t j = 0; p && p->keeps_pace && j < n; j++) {
        uint64_t step = to[j];
        to[j] = step - *pace;
        *pace = step;
    }
}

static uint8_t common_shift(const uint64_t *row, size_t n, uint8_t most)
{
    uint64_t all = UINT64_C(1) << most;

    for (size_t i = 0; i < n; i++)
        all |= row[i];
    return (uint8_t)__builtin_ctzll(all);
}

/* An entry of the list of predictors; @before: the column of the entry before, plus 1. */
static int write_predictor(const struct delta_predictor *p, uint32_t before,
                           struct buf *to)
{
    unsigned byte = p->keeps_pace ? DELTA_PACE : 0;
    int r = varint_append(p->column - before, to);

    byte |= (unsigned)p->n_terms << DELTA_TERMS_AT | p->minus * DELTA_MINUS |
            (unsigned)p->shift << DELTA_SHIFT_AT;
    if (r == 0)
        r = buf_append_byte(to, (uint8_t)byte);
    for (size_t i = 0; i < p->n_terms && r == 0; i++)
        r = varint_append(p->column - p->terms[i], to);
    return r;
}

/*
 * Residuals of all rows, in place of the differences. They are made from the last row on,
 * for terms lie before. A shift that doesn't hold is made smaller: that predictor is
 * marked as one to be written, by a pace of its own from 0.
 */
static size_t make_all_residuals(struct delta_writer *w, struct delta_source *s,
                                 const struct delta_matrix *m, uint64_t *rows)
{
    size_t n_changed = 0;
    size_t predictor = s->n_predictors;

    for (size_t row = m->n_columns; row-- > 0;) {
        struct delta_predictor *p = NULL;
        while (predictor > 0 && s->predictors[predictor - 1].column > m->columns[row])
            predictor--;
        if (predictor > 0 && s->predictors[predictor - 1].column == m->columns[row])
            p = &s->predictors[predictor - 1];
        uint64_t pace = p ? p->pace : 0;
        make_residuals(w, m, row, p, &pace, w->residuals);
        uint8_t shift = p ? common_shift(w->residuals, m->n_samples, p->shift) : 0;
        if (p && shift < p->shift) {
            pace = 0;
            make_residuals(w, m, row, p, &pace, w->residuals);
            p->shift = common_shift(w->residuals, m->n_samples, shift) & DELTA_SHIFT_MAX;
            p->is_changed = true;
            n_changed++;
        }
        if (p)
            p->pace = pace;
        for (size_t i = 0; i < m->n_samples; i++) /* an exact division, of a signed one */
            rows[row * m->n_samples + i] =
                (uint64_t)((int64_t)w->residuals[i] >> (p ? p->shift : 0));
    }
    return n_changed;
}

static int write_predictors(struct delta_writer *w, const struct delta_source *s)
{
    struct buf *to = &w->streams[DELTA_PREDICTOR_LISTS];
    uint64_t n = 0;
    uint32_t before = 0;

    for (size_t i = 0; i < s->n_predictors; i++)
        n += s->predictors[i].is_changed;
    int r = varint_append(n, to);
    for (size_t i = 0; i < s->n_predictors && r == 0; i++) {
        struct delta_predictor *p = &s->predictors[i];
        if (!p->is_changed)
            continue;
        r = write_predictor(p, before, to);
        before = p->column + 1;
        p->is_changed = false;
    }
    return r;
}

static bool row_is_zero(const uint64_t *row, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (row[i])
            return false;
    return true;
}

/* Appends a bitmap of zeros. Return: where it begins; NULL without room or bits. */
static uint8_t *add_bitmap(struct buf *to, size_t bits, int *r)
{
    size_t at = to->len;

    *r = buf_append_zeros(to, (bits + 7) / 8);
    return *r || bits == 0 ? NULL : to->data + at;
}

static void set_bit(uint8_t *bitmap, size_t bit)
{
    bitmap[bit / 8] |= (uint8_t)(1u << bit % 8);
}

static int write_row(struct delta_writer *w, const uint64_t *row, size_t n)
{
    struct buf *changes = &w->streams[DELTA_CHANGES];
    int r;
    uint8_t *bitmap = add_bitmap(&w->streams[DELTA_BITMAPS], n, &r);

    for (size_t i = 0; i < n && r == 0; i++) {
        if (row[i] == 0)
            continue;
        set_bit(bitmap, i);
        r = varint_append(zigzag(row[i]) - 1, changes);
    }
    return r;
}

static int write_rows(struct delta_writer *w, const struct delta_matrix *m,
                      const uint64_t *rows, size_t n_columns)
{
    struct buf *bitmaps = &w->streams[DELTA_BITMAPS];
    size_t at = bitmaps->len; /* the memory may move */
    int r;

    (void)add_bitmap(bitmaps, n_columns, &r);
    for (size_t row = 0; row < m->n_columns && r == 0; row++) {
        const uint64_t *residuals = rows + row * m->n_samples;
        if (row_is_zero(residuals, m->n_samples))
            continue;
        set_bit(bitmaps->data + at, m->columns[row]);
        r = write_row(w, residuals, m->n_samples);
    }
    return r;
}

/* The cells of the last @n samples. */
static struct delta_cells last_cells(const struct delta_track *t, size_t n)
{
    size_t first = t->n_seen - n;
    size_t from = t->n_cells;

    while (from > 0 && t->cells[from - 1].sample >= first)
        from--;
    const struct delta_cell *at = from < t->n_cells ? t->cells + from : NULL;
    return (struct delta_cells){at, t->n_cells - from, first, n};
}

/* Chooses predictors by what was seen so far, the last samples of it. */
static int choose_predictors(struct delta_writer *w, struct delta_track *t)
{
    struct delta_cells cells =
        last_cells(t, t->n_seen < SEARCH_SAMPLES ? t->n_seen : SEARCH_SAMPLES);
    struct delta_matrix m;

    int r = delta_matrix_make(&w->work, &cells, t->source->shape.n, NULL, &m);
    if (r == 0)
        r = delta_predict(&w->search, &m, t->source);
    for (size_t i = 0; i < t->source->n_predictors; i++)
        t->source->predictors[i].is_changed = true;
    t->is_predicted = r == 0;
    return r;
}

int delta_write_changes(struct delta_writer *w, struct delta_track *t, size_t n)
{
    struct delta_source *s = t->source;
    struct delta_matrix m;
    size_t n_changed = 0;
    int r = 0;

    if (n == 0)
        return 0;
    struct delta_cells cells = last_cells(t, n);
    if (!t->is_predicted && t->n_seen >= w->predict_after) {
        r = choose_predictors(w, t);
        n_changed = s->n_predictors;
    }
    if (r == 0)
        r = delta_matrix_make(&w->work, &cells, s->shape.n, s, &m);
    if (r == 0)
        r = delta_reserve(&w->residuals, &w->cap_residuals, n, sizeof *w->residuals);
    if (r)
        return r;
    n_changed += make_all_residuals(w, s, &m, w->work.differences);
    if (n_changed > 0) {
        w->groups[w->n_groups - 1].flags |= DELTA_PREDICTORS;
        r = write_predictors(w, s);
    }
    if (r == 0)
        r = write_rows(w, &m, w->work.differences, s->shape.n);
    if (t->is_predicted)
        t->n_cells = t->n_seen = 0;
    return r;
}
