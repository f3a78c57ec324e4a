/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The gaps that pcc knows of and has yet to tell: one note a kind, into which later ones
 * of the same kind are merged, so that the set never grows. Open and pure: whoever holds
 * a set guards it.
 */

#include "common/measurement.h"

#include <stdbool.h>
#include <stdint.h>

enum gap_id {
    GAP_MISSED,    /* ticks whose place on the grid passed */
    GAP_MOUNT,     /* a filesystem that didn't answer */
    GAP_BEHIND,    /* batches recycled because the sender was behind */
    GAP_FULL,      /* batches dropped from a full queue */
    GAP_REJECTED,  /* batches that the server will never take */
    GAP_UNWRITTEN, /* batches that the collection file didn't take */
    GAP_UNENCODED, /* batches for which memory ran out */
    GAP_UNDATED,   /* batches from before the clock was set, for which it came too late */
    GAP_UNSENT,    /* batches that could not be delivered when the agent ended */
    GAP_KILLED,    /* what was lost with an agent that came to no end */
    GAP_SPOOL_FULL, /* batches dropped from a full spool */
    GAP_DAMAGED,    /* batches whose file in the spool was damaged */
    GAP_HELD,       /* ticks not taken while there was no room for them */
    GAP_IDS,
};

struct gap_note {
    uint64_t from_ns; /* wall clock */
    uint64_t to_ns;
    uint64_t ticks; /* an empty note has neither ticks nor measurements */
    uint64_t measurements;
};

static inline bool gap_note_is_empty(const struct gap_note *note)
{
    return note->ticks == 0 && note->measurements == 0;
}

/* Zeroed is empty. */
struct gap_set {
    struct gap_note notes[GAP_IDS];
};

/* A word or two for the cause: behind, queue_full … */
const char *gaps_name(enum gap_id id);

/* What the loss of a batch, which must not be empty, amounts to. */
struct gap_note gaps_of_batch(const struct batch *b);

/* Makes one note of two; @note may be empty. */
void gaps_merge(struct gap_note *to, const struct gap_note *note);
/* Is this the measurement with which gaps_emit() tells of such a note? */
bool gaps_tells(const struct measurement *m, enum gap_id id);

/* Merges @note into the set. */
void gaps_add(struct gap_set *set, enum gap_id id, const struct gap_note *note);
/* Merges all of @from into @to. */
void gaps_fold(struct gap_set *to, const struct gap_set *from);
/* Moves every time in the set that lies before @end_ns by @delta_ns. */
void gaps_shift(struct gap_set *set, uint64_t end_ns, uint64_t delta_ns);
/* The first moment that any of them covers; 0 for none. */
uint64_t gaps_first_ns(const struct gap_set *set);
bool gaps_empty(const struct gap_set *set);

/**
 * gaps_emit() - append each note as a `pcc/gap` measurement
 * @pending: notes that were appended leave it; those for which there was no room stay
 * @carried: and are merged into this one, which belongs to the batch
 * @time_ns: the timestamp of the measurements
 */
void gaps_emit(struct gap_set *pending, struct gap_set *carried, struct batch *b,
               uint64_t time_ns);
