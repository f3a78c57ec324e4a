/* SPDX-License-Identifier: MIT */
#include "common/delta_matrix.h"

#include "common/size.h"

#include <errno.h>
#include <stdlib.h>

void delta_work_done(struct delta_work *w)
{
    free(w->marks);
    free(w->rows_of);
    free(w->columns);
    free(w->differences);
    *w = (struct delta_work){0};
}

/* Makes an array as long as @n; new memory is zeroed. */
static int grow(void *array, size_t *cap, size_t n, size_t size)
{
    void **at = array;

    if (n <= *cap)
        return 0;
    void *more = calloc(n + n / 4, size);
    if (!more)
        return -ENOMEM;
    free(*at);
    *at = more;
    *cap = n + n / 4;
    return 0;
}

static void mark(struct delta_work *w, uint32_t column)
{
    w->marks[column / 64] |= UINT64_C(1) << column % 64;
}

/* Makes a row of each column that is marked, and takes the marks back. */
static size_t take_marks(struct delta_work *w, size_t n_columns)
{
    size_t n = 0;

    for (size_t i = 0; i < (n_columns + 63) / 64; i++) {
        for (uint64_t left = w->marks[i]; left; left &= left - 1) {
            uint32_t column = (uint32_t)(i * 64) + (uint32_t)__builtin_ctzll(left);
            w->rows_of[column] = (uint32_t)n;
            w->columns[n++] = column;
        }
        w->marks[i] = 0;
    }
    return n;
}

static int grow_for(struct delta_work *w, size_t n_columns)
{
    int r = grow(&w->marks, &w->cap_marks, (n_columns + 63) / 64, sizeof *w->marks);

    if (r == 0)
        r = grow(&w->rows_of, &w->cap_rows_of, n_columns, sizeof *w->rows_of);
    if (r == 0)
        r = grow(&w->columns, &w->cap_columns, n_columns, sizeof *w->columns);
    return r;
}

int delta_matrix_make(struct delta_work *w, const struct delta_cells *cells,
                      size_t n_columns, const struct delta_source *source,
                      struct delta_matrix *ret)
{
    size_t n_samples = cells->n_samples;
    size_t size = 0;

    int r = grow_for(w, n_columns);
    if (r)
        return r;
    for (size_t i = 0; i < cells->n; i++)
        mark(w, cells->at[i].column);
    for (size_t i = 0; source && i < source->n_predictors; i++)
        mark(w, source->predictors[i].column);
    size_t n_rows = take_marks(w, n_columns);

    r = size_mul(n_rows, n_samples, &size);
    if (r == 0)
        r = grow(&w->differences, &w->cap_differences, size, sizeof *w->differences);
    if (r)
        return r;
    if (size > 0)
        memset(w->differences, 0, size * sizeof *w->differences);
    for (size_t i = 0; i < cells->n; i++) {
        const struct delta_cell *cell = &cells->at[i];
        size_t row = w->rows_of[cell->column];
        w->differences[row * n_samples + cell->sample - cells->first] = cell->difference;
    }
    *ret = (struct delta_matrix){w->columns, n_rows, n_samples, w->differences};
    return 0;
}

uint64_t *delta_matrix_row(const struct delta_work *w, const struct delta_matrix *m,
                           uint32_t column)
{
    size_t row = w->rows_of[column];

    if (row >= m->n_columns || m->columns[row] != column)
        return NULL;
    return w->differences + row * m->n_samples;
}
