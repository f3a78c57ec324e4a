/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Keeps the agent's mark (pcc/mark.h): tells of what was lost with the agent before this
 * one, as a gap, and writes down what would be lost with this one. A gap that is still to
 * be told is part of that from the moment when it is noted with the outbox, until the
 * batch that tells of it is safe.
 *
 * Thread: sender, once it runs.
 */

#include "pcc/counters.h"
#include "pcc/mark.h"
#include "pcc/outbox.h"

struct tracker;

/**
 * tracker_open() - begin to track, and note the loss before with the outbox
 * @folder: where the mark is
 * @start:  as mark_open()
 * @outbox, @counters: outlive it
 *
 * Logs the loss. Return: 0, and gives *ret for tracker_free(); as mark_open().
 */
PC_MUST_CHECK int tracker_open(const char *folder, const struct mark_start *start,
                               struct outbox *outbox, struct counters *counters,
                               struct tracker **ret);
/* NULL is fine. */
void tracker_free(struct tracker *t);

/* A batch, not empty, was handed over by the sampler: what it tells of is unsafe until
 * tracker_note() says otherwise. NULL is fine for @t. */
void tracker_handed(struct tracker *t, const struct outbox_slot *slot);

/* What is in memory only, of all that was handed over. */
struct tracker_unsafe {
    uint64_t first_ns; /* the first moment of it, gaps that it tells of too; 0 for none */
    uint64_t measurements;
};

/* Adds what is first in one more place. */
void tracker_add(struct tracker_unsafe *u, uint64_t first_ns, uint64_t measurements);

/* Writes the mark; logs once that it can't be written. NULL is fine for @t. */
void tracker_note(struct tracker *t, const struct tracker_unsafe *unsafe);
/* The same for the last time, when the sampler has ended and nothing more follows. */
void tracker_end(struct tracker *t, const struct tracker_unsafe *unsafe);
