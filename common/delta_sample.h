/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The measurements of a planned message, one after the other: what a group's residuals,
 * base values or raw texts make of the text before, written into the batch. For
 * delta_decode.c alone, whose working memory it shares.
 */

#include "common/delta_plan.h"

/* A column of a group that can change: it has residuals, or a predictor. */
struct delta_active {
    uint32_t column;
    uint32_t predictor; /* index; UINT32_MAX: none */
    uint32_t
        terms[DELTA_TERMS]; /* as indexes into the group's active columns; likewise */
    const uint8_t *samples; /* bitmap; NULL: no residuals */
    const uint8_t *changes; /* the next residual */
    uint64_t difference;    /* in the sample at hand */
};

/* Where a subsystem's last text lies: in the batch, or in the state. */
struct text_place {
    bool in_batch;
    size_t at;
    size_t n;
};

struct delta_decoder {
    struct delta_message message;
    bool is_open;
    struct delta_state *alone; /* for what no state is kept of */
    struct delta_active *active;
    size_t n_active;
    size_t cap_active;
    struct shape_edit *edits;
    size_t cap_edits;
    uint64_t *values;
    size_t cap_values;
    struct buf text;           /* the one that is made, near a batch's limit */
    struct text_place *places; /* a row a subsystem */
    size_t cap_places;
    size_t n_columns; /* of all subsystems, where decoding is */
    /* In the usual order: the groups that have a turn, tick by tick, */
    uint32_t *turns;
    size_t cap_turns;
    size_t *turns_at; /* and where those of a tick begin */
    size_t cap_turns_at;
};

/* One run of a decoder. */
struct delta_decoding {
    struct delta_decoder *d;
    struct delta_state *state;
    struct batch *batch;
    bool is_at_end; /* all measurements are taken */
    const char *what;
};

/* What failed, and why. Return: @r. */
static inline int delta_decoding_refuse(struct delta_decoding *g, int r, const char *what)
{
    g->what = what;
    return r;
}

/* The last text of a subsystem, in the batch as it lies now, or in the state. */
struct span delta_sample_text(const struct delta_decoding *g,
                              const struct delta_source *s, uint32_t source);

/**
 * delta_sample_take() - decode the next measurement of a group into the batch
 *
 * Return: 0; E_MALFORMED, E_TOO_LARGE with @g->what; -ENOMEM.
 */
PC_MUST_CHECK int delta_sample_take(struct delta_decoding *g, struct delta_part *part,
                                    uint64_t time_ns);
