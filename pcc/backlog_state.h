/* SPDX-License-Identifier: MIT */
#pragma once

/* What a backlog is, for the files that make it: backlog.c, and backlog_refused.c. */

#include "pcc/backlog.h"
#include "pcc/catchup.h"
#include "pcc/encoding.h"
#include "pcc/loss.h"
#include "pcc/queue.h"
#include "pcc/session.h"
#include "pcc/spooler.h"

#define BACKLOG_BODY_MAX (4 * LIMIT_DECODED_BYTES)

/* Where the batch is that was begun last. */
enum from {
    FROM_MEMORY,
    FROM_SPOOL,
};

struct backlog {
    struct counters *counters;
    struct outbox *outbox;
    struct span identifier;
    bool spool_all; /* PCC_SPOOL=always */
    struct encoding *encoding;
    struct session session;
    struct loss loss;
    struct queue queue;
    struct spool *spool; /* or NULL */
    struct spooler spooler;
    struct catchup catchup;
    enum from from;
    bool probing;       /* nothing got through since the start or a failure */
    uint64_t begun_ns;  /* boot clock: the batch in flight */
    struct batch held;  /* the first of the queue, where that has no body */
    struct buf encoded; /* a new batch */
    struct buf sending; /* the one in flight, where that is no body of the queue */
};

/* Empties a buffer; one that an unusual batch made large is given back. */
void backlog_forget(struct buf *buf);

/* The head of the queue leaves it. */
void backlog_pop(struct backlog *b);
