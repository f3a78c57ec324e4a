/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Finding predictors: which columns follow from others. A guess that costs bytes where
 * it is bad, never a number. For delta_encode.c alone.
 */

#include "common/delta_state.h"

/* Differences by column: row @i has those of columns[i], a value for each sample. */
struct delta_matrix {
    const uint32_t *columns; /* ascending */
    size_t n_columns;
    size_t n_samples;
    const uint64_t *differences;
};

/* Working memory of a search, reused; zeroed at first. */
struct delta_search {
    uint64_t *residuals; /* a few rows */
    size_t cap;
};

void delta_search_done(struct delta_search *s);

/**
 * delta_predict() - choose a predictor for each column that is worth one
 * @to: without predictors; gets those found
 *
 * Return: 0; -ENOMEM.
 */
PC_MUST_CHECK int delta_predict(struct delta_search *s, const struct delta_matrix *m,
                                struct delta_source *to);
