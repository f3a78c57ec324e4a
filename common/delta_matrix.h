/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * From the changes of one sample after the other to the differences of one column after
 * the other. For the encoder of delta alone; memory is reused.
 */

#include "common/delta_predict.h"

/* A column that changed in a sample. */
struct delta_cell {
    uint32_t column;
    uint32_t sample;
    uint64_t difference; /* modulo 2^64 */
};

/* Cells of consecutive samples; borrows. */
struct delta_cells {
    const struct delta_cell *at;
    size_t n;
    size_t first; /* sample */
    size_t n_samples;
};

/* Zeroed at first. */
struct delta_work {
    uint64_t *marks; /* a bit a column; all 0 between calls */
    size_t cap_marks;
    uint32_t *rows_of; /* column to row, where marked */
    size_t cap_rows_of;
    uint32_t *columns;
    size_t cap_columns;
    uint64_t *differences;
    size_t cap_differences;
};

void delta_work_done(struct delta_work *w);

/**
 * delta_matrix_make() - the matrix of the columns that have a cell or a predictor
 * @n_columns: of the shape
 * @source:    whose predictors' columns come in too; may be NULL
 *
 * Return: 0, and *ret borrows from @w until the next call; E_TOO_LARGE; -ENOMEM.
 */
PC_MUST_CHECK int delta_matrix_make(struct delta_work *w, const struct delta_cells *cells,
                                    size_t n_columns, const struct delta_source *source,
                                    struct delta_matrix *ret);

/* The row of a column; NULL where it has none: nothing in it changed. For the matrix made
 * last. */
uint64_t *delta_matrix_row(const struct delta_work *w, const struct delta_matrix *m,
                           uint32_t column);
