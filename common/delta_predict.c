/* SPDX-License-Identifier: MIT */
#include "common/delta_predict.h"

#include "common/varint.h"

#include <errno.h>
#include <stdlib.h>

/*
 * Costs are half bits, about what deflate makes of a residual. Measured on recorded
 * hosts: proto/README.md, "What was tried".
 */
#define COST_ZERO 1u
#define COST_VALUE 5u /* and two a bit of it */
#define COST_ENTRY 16u
#define COST_TERM 16u
/* A shift that few values show is chance. */
#define SHIFT_SEEN 4u
/* Where terms are looked for: the columns closest before, and the first ones, which are
 * often totals. */
#define NEAR 64u
#define FIRST 32u
/* First terms that are tried with each second one. */
#define BEST 3u
/* Rows for which terms are looked for, which takes some 40 us each. Hosts with more
 * columns that change are rare; those after get a pace and a shift alone. */
#define SEARCHED 2048u

/* A way to predict a column; indexes are rows of the matrix. */
struct way {
    uint32_t cost;
    uint32_t terms[DELTA_TERMS];
    uint8_t n_terms;
    uint8_t minus;
    uint8_t shift;
    bool keeps_pace;
};

void delta_search_done(struct delta_search *s)
{
    free(s->residuals);
    *s = (struct delta_search){0};
}

static uint32_t cost_of(uint64_t residual)
{
    if (residual == 0)
        return COST_ZERO;
    return COST_VALUE + 2 * (64 - (uint32_t)__builtin_clzll(zigzag(residual)));
}

/* What a row of residuals costs, and the shift that they all have. It is given up where
 * even that shift couldn't bring it under @bound. */
static uint32_t cost_row(const uint64_t *row, size_t n, uint32_t bound,
                         uint8_t *ret_shift)
{
    uint64_t all = 0;
    uint32_t cost = 0;
    uint32_t seen = 0;

    for (size_t i = 0; i < n; i++) {
        cost += cost_of(row[i]);
        all |= row[i];
        seen += row[i] != 0;
        if (cost > (uint64_t)bound + 2 * DELTA_SHIFT_MAX * seen)
            return UINT32_MAX;
    }
    *ret_shift = 0;
    if (seen < SHIFT_SEEN)
        return cost;
    uint32_t shift = (uint32_t)__builtin_ctzll(all);
    *ret_shift = (uint8_t)(shift < DELTA_SHIFT_MAX ? shift : DELTA_SHIFT_MAX);
    return cost - 2 * *ret_shift * seen;
}

static const uint64_t *row_of(const struct delta_matrix *m, size_t row)
{
    return m->differences + row * m->n_samples;
}

static void subtract(const uint64_t *from, const uint64_t *term, bool minus, size_t n,
                     uint64_t *to)
{
    for (size_t i = 0; i < n; i++)
        to[i] = minus ? from[i] + term[i] : from[i] - term[i];
}

/* Takes the way if it is cheaper than @best. */
static void consider(const uint64_t *row, size_t n, struct way way, struct way *best)
{
    uint32_t entry = COST_ENTRY + COST_TERM * (way.n_terms > 1 ? way.n_terms - 1u : 0);
    uint32_t bound = best->cost;

    way.cost = cost_row(row, n, bound, &way.shift);
    if (way.cost == UINT32_MAX)
        return;
    if (way.n_terms || way.shift || way.keeps_pace)
        way.cost += entry;
    if (way.cost < best->cost)
        *best = way;
}

/* Rows that may be terms of a row, nearest first. Return: false at the end. */
static bool next_term(size_t row, size_t *term)
{
    if (*term == 0)
        return false;
    --*term;
    if (row - *term > NEAR && *term >= FIRST)
        *term = FIRST - 1;
    return true;
}

static void keep_best(struct way best[BEST], const struct way *way)
{
    size_t at = BEST;

    while (at > 0 && way->cost < best[at - 1].cost)
        at--;
    if (at == BEST)
        return;
    memmove(&best[at + 1], &best[at], (BEST - 1 - at) * sizeof *best);
    best[at] = *way;
}

static void try_one_term(const struct delta_matrix *m, size_t row, uint64_t *work,
                         struct way firsts[BEST])
{
    size_t term = row;

    while (next_term(row, &term)) {
        for (unsigned minus = 0; minus < 2; minus++) {
            struct way way = {.terms = {(uint32_t)term}, .n_terms = 1};
            struct way found = {.cost = firsts[BEST - 1].cost};
            way.minus = (uint8_t)minus;
            subtract(row_of(m, row), row_of(m, term), minus, m->n_samples, work);
            consider(work, m->n_samples, way, &found);
            if (found.n_terms)
                keep_best(firsts, &found);
        }
    }
}

static void try_second_term(const struct delta_matrix *m, size_t row,
                            const struct way *first, uint64_t *work, struct way *best)
{
    size_t n = m->n_samples;
    uint64_t *rest = work + n;
    size_t term = row;

    subtract(row_of(m, row), row_of(m, first->terms[0]), first->minus & 1, n, work);
    while (next_term(row, &term)) {
        for (unsigned minus = 0; minus < 2 && term != first->terms[0]; minus++) {
            struct way way = *first;
            way.terms[1] = (uint32_t)term;
            way.n_terms = 2;
            way.minus = (uint8_t)(first->minus | minus << 1);
            subtract(work, row_of(m, term), minus, n, rest);
            consider(rest, n, way, best);
        }
    }
}

static void try_pace(const struct delta_matrix *m, size_t row, struct way way,
                     uint64_t *work, struct way *best)
{
    size_t n = m->n_samples;
    uint64_t before = 0;

    memcpy(work, row_of(m, row), n * sizeof *work);
    for (size_t i = 0; i < way.n_terms; i++)
        subtract(work, row_of(m, way.terms[i]), way.minus >> i & 1, n, work);
    for (size_t i = 0; i < n; i++) {
        uint64_t step = work[i];
        work[i] = step - before;
        before = step;
    }
    way.keeps_pace = true;
    consider(work, n, way, best);
}

static void try_terms(const struct delta_matrix *m, size_t row, uint64_t *work,
                      struct way *best)
{
    const struct way none = {.cost = UINT32_MAX - 1};
    struct way firsts[BEST] = {none, none, none};

    try_one_term(m, row, work, firsts);
    for (size_t i = 0; i < BEST && firsts[i].n_terms; i++) {
        if (firsts[i].cost < best->cost)
            *best = firsts[i];
    }
    for (size_t i = 0; i < BEST && firsts[i].n_terms; i++)
        try_second_term(m, row, &firsts[i], work, best);
}

static struct way best_way(const struct delta_matrix *m, size_t row, uint64_t *work)
{
    struct way best = {.cost = UINT32_MAX};

    consider(row_of(m, row), m->n_samples, (struct way){0}, &best);
    if (best.cost <= COST_ENTRY + COST_ZERO * m->n_samples)
        return best;
    if (row < SEARCHED)
        try_terms(m, row, work, &best);
    struct way with = best;
    try_pace(m, row, (struct way){0}, work, &best);
    if (with.n_terms)
        try_pace(m, row, with, work, &best);
    return best;
}

static struct delta_predictor predictor_of(const struct delta_matrix *m, size_t row,
                                           const struct way *way)
{
    struct delta_predictor p = {
        .column = m->columns[row],
        .n_terms = way->n_terms & 3u,
        .minus = way->minus & 3u,
        .shift = way->shift & DELTA_SHIFT_MAX,
        .keeps_pace = way->keeps_pace,
    };

    for (size_t i = 0; i < way->n_terms; i++)
        p.terms[i] = m->columns[way->terms[i]];
    return p;
}

int delta_predict(struct delta_search *s, const struct delta_matrix *m,
                  struct delta_source *to)
{
    if (s->cap < 2 * m->n_samples) {
        uint64_t *residuals =
            reallocarray(s->residuals, m->n_samples, 2 * sizeof *residuals);
        if (!residuals)
            return -ENOMEM;
        s->residuals = residuals;
        s->cap = 2 * m->n_samples;
    }
    int r = delta_source_reserve(to, m->n_columns);
    if (r)
        return r;
    for (size_t row = 0; row < m->n_columns; row++) {
        struct way way = best_way(m, row, s->residuals);
        if (way.n_terms == 0 && way.shift == 0 && !way.keeps_pace)
            continue;
        to->predictors[to->n_predictors++] = predictor_of(m, row, &way);
    }
    return 0;
}
