/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The measurements of one subsystem as groups of a message and what those read from its
 * streams: proto/README.md, "The message". For delta_encode.c alone.
 */

#include "common/delta_matrix.h"

/* A group as the message will name it. */
struct delta_group {
    uint32_t source; /* its number */
    uint8_t flags;
    uint32_t n_samples;
};

/* What an encoder knows of a subsystem beside what the decoder does. */
struct delta_track {
    struct delta_source *source;
    struct span text; /* the last one, while a batch is encoded */
    uint64_t *values; /* that the decoder has, where they may differ from the text's */
    size_t cap_values;
    struct delta_cell *cells; /* since the shape was new, until predictors are chosen; */
    size_t n_cells;           /* then those of the group at hand */
    size_t cap_cells;
    size_t n_seen;       /* samples in cells */
    bool is_predicted;   /* predictors were chosen */
    bool is_too_large;   /* its texts would not fit into a state */
    size_t most_columns; /* of any text of the batch, and of the one before it */
};

struct delta_writer {
    uint64_t threshold_millionths;
    size_t predict_after; /* samples */
    struct buf streams[DELTA_STREAMS];
    struct delta_group *groups;
    size_t n_groups;
    size_t cap_groups;
    /* Working memory. */
    struct buf plain;
    struct buf code;
    struct shape cut; /* a new one */
    struct shape_change *changes;
    size_t cap_changes;
    uint64_t *residuals; /* of a row */
    size_t cap_residuals;
    struct delta_work work;
    struct delta_search search;
};

void delta_writer_init(struct delta_writer *w, uint64_t threshold_millionths);
void delta_writer_done(struct delta_writer *w);
/* Empties the streams and the groups. */
void delta_writer_reset(struct delta_writer *w);

void delta_track_done(struct delta_track *t);
/* As if nothing had been sent of it. */
void delta_track_forget(struct delta_track *t);

/**
 * delta_write_shaped() - write texts by their shape, as one group or, where it changes,
 *                        several
 * @number: of the subsystem
 * @texts:  @n of them, at least one
 * @ret_group_of: room for @n; the index of the group of each
 *
 * Return: 0; E_UNSUPPORTED where the shape doesn't hold: nothing was written, and the
 *         track must be forgotten; E_TOO_LARGE; -ENOMEM.
 */
PC_MUST_CHECK int delta_write_shaped(struct delta_writer *w, struct delta_track *t,
                                     uint32_t number, const struct span *texts, size_t n,
                                     uint32_t *ret_group_of);

/* Writes texts raw, as one group. Otherwise as delta_write_shaped(). */
PC_MUST_CHECK int delta_write_raw(struct delta_writer *w, struct delta_track *t,
                                  uint32_t number, const struct span *texts, size_t n,
                                  uint32_t *ret_group_of);
