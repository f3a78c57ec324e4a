/* SPDX-License-Identifier: MIT */
#include "common/delta_state.h"

#include "common/delta.h"
#include "proto/wire.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

static const char *const well_known[] = {WIRE_DELTA_WELL_KNOWN};

#define N_WELL_KNOWN (sizeof well_known / sizeof well_known[0])

/* Capacities beyond what is there: a text that grows by a few digits fits. */
#define TEXT_SLACK 32u
#define COLUMNS_SLACK 32u

int delta_sources_init(struct delta_sources *s)
{
    *s = (struct delta_sources){0};
    s->at = calloc(N_WELL_KNOWN, sizeof(struct delta_source *));
    if (!s->at)
        return -ENOMEM;
    s->n = s->n_made = s->cap = N_WELL_KNOWN;
    return 0;
}

static void free_source(struct delta_source *s)
{
    if (!s)
        return;
    buf_done(&s->name);
    buf_done(&s->text);
    shape_done(&s->shape);
    free(s->predictors);
    free(s);
}

void delta_sources_done(struct delta_sources *s)
{
    for (size_t i = 0; i < s->n_made; i++)
        free_source(s->at[i]);
    free(s->at);
    *s = (struct delta_sources){0};
}

void delta_source_forget(struct delta_source *s)
{
    s->has_shape = false;
    s->shape.n = 0;
    s->n_predictors = 0;
    buf_reset(&s->text);
}

void delta_source_drop(struct delta_source *s)
{
    delta_source_forget(s);
    buf_done(&s->text);
    shape_done(&s->shape);
    free(s->predictors);
    s->predictors = NULL;
    s->cap_predictors = 0;
}

void delta_source_trim(struct delta_source *s, size_t n)
{
    if (s->shape.cap / 2 > n + COLUMNS_SLACK)
        shape_done(&s->shape);
    if (s->n_predictors > 0 || s->cap_predictors / 2 <= n + COLUMNS_SLACK)
        return;
    free(s->predictors);
    s->predictors = NULL;
    s->cap_predictors = 0;
}

void delta_sources_reset(struct delta_sources *s)
{
    for (size_t i = 0; i < s->n; i++)
        if (s->at[i])
            delta_source_forget(s->at[i]);
    s->n = N_WELL_KNOWN;
}

struct span delta_sources_name(const struct delta_sources *s, size_t i)
{
    assert(i < s->n);
    return i < N_WELL_KNOWN ? span_of_str(well_known[i]) : buf_span(&s->at[i]->name);
}

size_t delta_sources_find(const struct delta_sources *s, struct span name, size_t hint)
{
    size_t i = 0;

    if (hint < s->n && span_equal(delta_sources_name(s, hint), name))
        return hint;
    while (i < s->n && !span_equal(delta_sources_name(s, i), name))
        i++;
    return i;
}

static int make(struct delta_source **at)
{
    if (*at)
        return 0;
    *at = calloc(1, sizeof **at);
    if (!*at)
        return -ENOMEM;
    buf_init(&(*at)->name, SIZE_MAX);
    return 0;
}

int delta_sources_get(struct delta_sources *s, size_t i, struct delta_source **ret)
{
    assert(i < s->n);
    int r = make(&s->at[i]);
    if (r == 0)
        *ret = s->at[i];
    return r;
}

static int reserve_rows(struct delta_sources *s, size_t n)
{
    if (n <= s->cap)
        return 0;
    size_t cap = s->cap * 2;
    struct delta_source **at = reallocarray(s->at, cap, sizeof(struct delta_source *));
    if (!at)
        return -ENOMEM;
    s->at = at;
    s->cap = cap;
    return 0;
}

int delta_sources_add(struct delta_sources *s, struct span name)
{
    if (s->n == LIMIT_DELTA_SUBSYSTEMS)
        return E_TOO_LARGE;
    int r = reserve_rows(s, s->n + 1);
    if (r)
        return r;
    if (s->n == s->n_made)
        s->at[s->n_made++] = NULL;
    r = make(&s->at[s->n]);
    if (r)
        return r;
    struct delta_source *source = s->at[s->n];
    buf_reset(&source->name);
    r = buf_append(&source->name, name);
    if (r == 0)
        s->n++;
    return r;
}

size_t delta_sources_size(const struct delta_sources *s)
{
    size_t size = 0;

    for (size_t i = 0; i < s->n; i++)
        if (s->at[i] && s->at[i]->has_shape)
            size += s->at[i]->text.len + s->at[i]->shape.n * LIMIT_DELTA_COLUMN_BYTES;
    return size;
}

size_t delta_sources_columns(const struct delta_sources *s)
{
    size_t n = 0;

    for (size_t i = 0; i < s->n; i++)
        if (s->at[i] && s->at[i]->has_shape)
            n += s->at[i]->shape.n;
    return n;
}

void delta_sources_trim(struct delta_sources *s)
{
    for (size_t i = 0; i < s->n_made; i++)
        if (s->at[i] && !s->at[i]->has_shape)
            delta_source_drop(s->at[i]);
}

size_t delta_sources_memory(const struct delta_sources *s)
{
    size_t bytes = s->cap * sizeof(struct delta_source *);

    for (size_t i = 0; i < s->n_made; i++) {
        const struct delta_source *source = s->at[i];
        if (source)
            bytes += sizeof *source + source->name.cap + source->text.cap +
                     source->shape.cap * sizeof(struct shape_column) +
                     source->cap_predictors * sizeof(struct delta_predictor);
    }
    return bytes;
}

int delta_source_keep(struct delta_source *s, struct span text)
{
    if (s->text.cap < text.n || s->text.cap / 4 > text.n + TEXT_SLACK) {
        struct buf exact;

        /* A buffer grows by doubling, but never past its maximum. */
        buf_init(&exact, text.n + TEXT_SLACK);
        int r = buf_reserve(&exact, text.n + TEXT_SLACK);
        if (r)
            return r;
        buf_done(&s->text);
        s->text = exact;
    }
    buf_reset(&s->text);
    int r = buf_append(&s->text, text);
    assert(r == 0); /* there is room */
    return r;
}

int delta_source_reserve(struct delta_source *s, size_t n)
{
    if (n <= s->cap_predictors)
        return 0;
    struct delta_predictor *predictors =
        reallocarray(s->predictors, n, sizeof(struct delta_predictor));
    if (!predictors)
        return -ENOMEM;
    s->predictors = predictors;
    s->cap_predictors = n;
    return 0;
}

int delta_state_new(struct delta_state **ret)
{
    struct delta_state *s = calloc(1, sizeof *s);

    if (!s)
        return -ENOMEM;
    int r = delta_sources_init(&s->sources);
    if (r) {
        free(s);
        return r;
    }
    *ret = s;
    return 0;
}

void delta_state_free(struct delta_state *s)
{
    if (!s)
        return;
    delta_sources_done(&s->sources);
    free(s);
}

size_t delta_state_bytes(const struct delta_state *s)
{
    return sizeof *s + delta_sources_memory(&s->sources);
}

bool delta_state_fits(const struct delta_state *s, const struct delta_place *place)
{
    return place->chained && place->number > 0 && s->begun &&
           s->snapshot == place->snapshot && s->number == place->number - 1;
}
