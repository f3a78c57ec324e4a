/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The way of batches from memory to the spool: what is tried, and what is done where it
 * doesn't take them. Thread: sender.
 */

#include "pcc/loss.h"
#include "pcc/options.h"
#include "pcc/queue.h"
#include "pcc/spool.h"

struct spooler {
    struct spool *spool; /* NULL: there is none */
    struct loss *loss;
    struct outbox *outbox;
    enum pcc_spool_full full;
    uint64_t max_bytes;  /* of the queue in memory */
    uint64_t keep_bytes; /* what the queue keeps of that when the spool takes batches */
    bool refused;        /* the spool didn't take the batch it was given last */
    bool waiting;        /* there are batches on disk only, and that was logged */
    struct log_limit limit;
};

/* What is given outlives it. */
void spooler_init(struct spooler *s, const struct pcc_conf *conf, struct spool *spool,
                  struct outbox *outbox, struct loss *loss);

/**
 * spooler_put() - make a file of a batch that is in memory
 * @label, @body: what it is to hold
 * @item: the batch; gets the file's number
 *
 * Where the spool is full its oldest batches are dropped, if the options want that.
 *
 * Return: 0; otherwise it is in memory only, and that was logged.
 */
PC_MUST_CHECK int spooler_put(struct spooler *s, struct span identifier,
                              const struct label *label, struct span body,
                              struct queue_item *item);

/**
 * spooler_room() - the queue has changed
 *
 * Sampling is stopped or goes on, if the options want that; what is in memory beyond its
 * maximum leaves it, the oldest first: what has a file is on disk only then, the rest is
 * dropped.
 */
void spooler_room(struct spooler *s, struct queue *q);

/* Logs when batches begin to be on disk only, and when they no longer are. */
void spooler_tell(struct spooler *s);
