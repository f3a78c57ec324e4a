/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Batches that wait for the server, oldest first, in memory, under a limit of bytes. Past
 * it the oldest go, but never the one that is being sent. Each batch has its identity
 * (session and SEQ), under which it is sent again and again until it is stored, and the
 * number that its first tick has in the session. It is there as an encoded body, or, the
 * first one, held as it is by the queue's owner. One thread.
 */

#include "pcc/form.h"
#include "pcc/gaps.h"

struct queue_item {
    struct buf body;
    struct form form;
    uint64_t held_bytes; /* 0: the batch is the body; else it is held in so many bytes */
    uint64_t session;
    uint64_t seq;
    uint64_t first_tick;
    struct gap_note range;  /* when, how many ticks, how many measurements */
    struct gap_set carried; /* the gaps that it tells of */
    bool in_flight;         /* its bytes are being sent: it must stay */
    bool is_half;           /* of a batch that was split */
    struct queue_item *next;
};

struct queue {
    struct queue_item *head;
    struct queue_item *last;
    struct queue_item *spare; /* the memory of the last one that left */
    size_t n;
    uint64_t bytes;
    uint64_t max_bytes;
    uint64_t session;
    uint64_t next_seq;
    uint64_t next_tick;
};

/* @session: drawn at random. */
void queue_init(struct queue *q, uint64_t max_bytes, uint64_t session);
void queue_done(struct queue *q);

/* New batches get SEQs from 1 and ticks from 0 in this session; those that wait keep
 * their identity. */
void queue_new_session(struct queue *q, uint64_t session);

/* What a new item is filled with; @range.measurements must not be 0. */
struct queue_batch {
    struct span body; /* borrows; copied */
    struct form form;
    uint64_t held_bytes; /* not 0: it has no body; only in an empty queue */
    struct gap_note range;
    struct gap_set carried;
};

/* Adds a batch at the end with the next SEQ and the next ticks. Return: 0; -ENOMEM. */
PC_MUST_CHECK int queue_push(struct queue *q, const struct queue_batch *batch);

/**
 * queue_trim() - while the limit is passed, drop the oldest but one in flight or alone
 * @lost: every loss is added, with the gaps that the batch told of
 *
 * Return: how many measurements were lost.
 */
uint64_t queue_trim(struct queue *q, struct gap_set *lost);

/* Drops the first batch. */
void queue_pop(struct queue *q);

/**
 * queue_split() - put two batches with new SEQs into the place of the first one
 *
 * The gaps that the first told of stay with the first half: they stand in its first tick.
 * Ticks are numbered from queue_split_tick() on.
 *
 * Return: 0; -ENOMEM: nothing has changed.
 */
PC_MUST_CHECK int queue_split(struct queue *q, const struct queue_batch halves[2]);

/* The number of the first tick of the halves: that of the first batch, or, if that is of
 * an earlier session, the next of this one, whose SEQs they get. */
uint64_t queue_split_tick(const struct queue *q);

/* The lowest SEQ of the first batch's session that may still be sent. */
uint64_t queue_floor(const struct queue *q);

/* Measurements in all batches. */
uint64_t queue_measurements(const struct queue *q);
