/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Batches that wait for the server, oldest first, in memory. Each has its label, under
 * whose identity it is sent again and again until it is stored. It is there as an encoded
 * body, or, the first one, held as it is by the queue's owner; it may also be a file in
 * the spool, and is a copy then that can be dropped without loss. One thread.
 */

#include "pcc/label.h"

struct queue_item {
    struct buf body;
    uint64_t held_bytes; /* 0: the batch is the body; else it is held in so many bytes */
    struct label label;
    uint64_t file;  /* its number in the spool; 0: it is in memory only */
    bool in_flight; /* its bytes are being sent: it must stay */
    struct queue_item *next;
};

struct queue {
    struct queue_item *head;
    struct queue_item *last;
    struct queue_item *spares; /* the memory of some that left, the last one first */
    size_t n_spares;
    size_t n;
    uint64_t bytes;
};

void queue_init(struct queue *q);
void queue_done(struct queue *q);

/* What a new item is filled with; its range must hold measurements. */
struct queue_batch {
    struct span body;    /* borrows; copied */
    uint64_t held_bytes; /* not 0: it has no body; only in an empty queue */
    struct label label;
};

/* Adds a batch at the end. Return: 0; -ENOMEM. */
PC_MUST_CHECK int queue_push(struct queue *q, const struct queue_batch *batch);

/* The oldest batch that may leave before it is stored: neither in flight nor alone. NULL
 * if there is none. */
struct queue_item *queue_oldest_idle(const struct queue *q);

/* Drops a batch. */
void queue_drop(struct queue *q, const struct queue_item *item);
/* Drops the first batch. */
void queue_pop(struct queue *q);

/**
 * queue_split() - put two batches into the place of the first one
 *
 * Return: 0; -ENOMEM: nothing has changed.
 */
PC_MUST_CHECK int queue_split(struct queue *q, const struct queue_batch halves[2]);

/* The lowest SEQ of a session that waits here; UINT64_MAX if none does. */
uint64_t queue_floor(const struct queue *q, uint64_t session);

/* Measurements in all batches; those that are in no file. */
uint64_t queue_measurements(const struct queue *q);
uint64_t queue_unfiled(const struct queue *q);
/* The first moment of those in no file, gaps that they tell of too; 0 for none. */
uint64_t queue_unfiled_first_ns(const struct queue *q);
