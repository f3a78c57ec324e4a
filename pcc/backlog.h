/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * What is on its way to the server: batches numbered and queued in memory, and those in
 * the spool on disk. A batch leaves only when it is stored, or counted, logged and noted
 * as a gap. Thread: sender.
 *
 * Fresh batches are in memory and go first. Past half of the memory the oldest of them
 * move to the spool, as all do at the end; with PCC_SPOOL=always each is there from the
 * start, and memory has a copy. The spool's go beside the fresh ones, oldest first, with
 * a share of the time (PCC_CATCHUP_SHARE). Where there is no spool, or no room in it, the
 * oldest are dropped, or sampling is stopped until there is room (PCC_SPOOL_FULL).
 *
 * A batch that finds the queue empty is held as it is and encoded when it is sent, in
 * delta as the next of the chain: only there is it known that the one before was stored.
 * Batches that come while another waits or is in flight are encoded at once, in delta
 * standing alone. So at most one chained batch is in flight, and one that must be sent
 * again is sent as a snapshot (pcc/encoding.h).
 */

#include "common/delta.h"
#include "pcc/counters.h"
#include "pcc/form.h"
#include "pcc/options.h"
#include "pcc/outbox.h"
#include "pcc/spool.h"
#include "pcc/status.h"

struct backlog;

/**
 * backlog_new()
 * @conf, @outbox, @counters: outlive the backlog; gaps are noted with @outbox
 * @spool: outlives it, too; NULL for none
 *
 * Return: 0, and gives *ret for backlog_free(); -ENOMEM.
 */
PC_MUST_CHECK int backlog_new(const struct pcc_conf *conf, struct outbox *outbox,
                              struct counters *counters, struct spool *spool,
                              struct backlog **ret);
void backlog_free(struct backlog *b);

/**
 * backlog_add() - queue a batch; where there is no room older ones leave memory
 * @slot: its batch must not be empty; it may have another one after, emptied and with
 *        room for as much as each of the outbox's
 * @a, @now_ns: it is encoded in a form that these allow, if that is to be done now
 *
 * With PCC_SPOOL=always it is on disk when the call returns, or it was logged why not.
 *
 * Return: where the batch is now, until the next call.
 */
const struct batch *backlog_add(struct backlog *b, struct outbox_slot *slot,
                                const struct agreement *a, uint64_t now_ns);

/* The end is near: what is in memory goes to the spool, too, if there is one. */
void backlog_secure(struct backlog *b, const struct agreement *a, uint64_t now_ns);

/* When there is something to send: 0 at once; UINT64_MAX not before another is added. */
uint64_t backlog_due_ns(const struct backlog *b);

/* Measurements in all batches; in those that are in memory; in those that would be lost
 * if the process ended now. */
uint64_t backlog_measurements(const struct backlog *b);
uint64_t backlog_fresh(const struct backlog *b);
uint64_t backlog_unsecured(const struct backlog *b);
/* The first moment of the latter, gaps that they tell of too; 0 for none. */
uint64_t backlog_unsecured_first_ns(const struct backlog *b);
/* Fills in what waits in memory and, copies of that too, in the spool. */
void backlog_tell(const struct backlog *b, struct status *ret);

/* The identity of the process may have changed: asks, and numbers anew if so. */
void backlog_check_session(struct backlog *b);

/* A batch as it is to be sent. */
struct backlog_post {
    struct span body; /* until it is given back or stored */
    struct form form;
    struct delta_place place; /* of a body in delta */
    uint64_t session;
    uint64_t seq;
    uint64_t floor;
    size_t n_measurements;
};

/**
 * backlog_begin() - take the batch that is to be sent next
 * @a, @now_ns: it is encoded in a form, or brought into one, that these allow; there must
 *              be something that is due
 *
 * Until it is given back or stored it is neither dropped nor changed.
 *
 * Return: 0; E_GONE if what was due proves to be damaged and nothing else is; -ENOMEM; a
 *         verdict if it can't be brought into another form (too large, or measured at a
 *         time that the protocol doesn't know): backlog_split() helps.
 */
PC_MUST_CHECK int backlog_begin(struct backlog *b, const struct agreement *a,
                                uint64_t now_ns, struct backlog_post *ret);
/* It was not stored: it stays the oldest. */
void backlog_give_back(struct backlog *b);
/* It is stored. @replayed: and was before, so that the server has not looked at it. */
void backlog_stored(struct backlog *b, bool replayed, uint64_t now_ns);

/* The batch that was last given back, or could not be begun, will never be stored. @why
 * is for the log. */
void backlog_reject(struct backlog *b, const char *why);
/* That batch is too large: it is cut in two at a tick, or rejected if there is only one
 * or it can't be read back. Return: 0; -ENOMEM; -errno of the spool: it is as it was. */
PC_MUST_CHECK int backlog_split(struct backlog *b);

/* Logs what begins to be sent, measurement by measurement. */
void backlog_trace(struct backlog *b, const struct backlog_post *post);
