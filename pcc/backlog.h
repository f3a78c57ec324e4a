/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * What is on its way to the server: batches numbered and queued in memory, the oldest to
 * be sent next. A batch leaves only when it is stored, or counted, logged and noted as a
 * gap. Thread: sender.
 *
 * A batch that finds the queue empty is held as it is and encoded when it is sent, in
 * delta as the next of the chain: only there is it known that the one before was stored.
 * Batches that come while another waits or is in flight are encoded at once, in delta
 * standing alone. So at most one chained batch is in flight, and one that must be sent
 * again is sent as a snapshot. The chain is begun anew after whatever isn't "stored, and
 * just now", in another session, and after a number of ticks (PCC_SNAPSHOT_INTERVAL).
 *
 * A batch that delta can't hold, one of more subsystems than a state takes, goes in the
 * next form down. If it was to be the next of the chain, that begins anew behind it.
 */

#include "common/delta.h"
#include "pcc/counters.h"
#include "pcc/form.h"
#include "pcc/options.h"
#include "pcc/outbox.h"

struct backlog;

/**
 * backlog_new()
 * @conf, @outbox, @counters: outlive the backlog; gaps are noted with @outbox
 *
 * Return: 0, and gives *ret for backlog_free(); -ENOMEM.
 */
PC_MUST_CHECK int backlog_new(const struct pcc_conf *conf, struct outbox *outbox,
                              struct counters *counters, struct backlog **ret);
void backlog_free(struct backlog *b);

/**
 * backlog_add() - queue a batch; where there is no room older ones are dropped
 * @slot: its batch must not be empty; it may have another one after, emptied and with
 *        room for as much as each of the outbox's
 * @a, @now_ns: it is encoded in a form that these allow, if that is to be done now
 */
void backlog_add(struct backlog *b, struct outbox_slot *slot, const struct agreement *a,
                 uint64_t now_ns);

bool backlog_empty(const struct backlog *b);
/* Measurements in all batches. */
uint64_t backlog_measurements(const struct backlog *b);

/* The identity of the process may have changed: asks, and numbers anew if so. */
void backlog_check_session(struct backlog *b);

/* The oldest batch as it is to be sent. */
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
 * backlog_begin() - take the oldest batch, of which there must be one, to send it
 * @a, @now_ns: it is encoded in a form, or brought into one, that these allow
 *
 * Until it is given back or stored it is neither dropped nor changed.
 *
 * Return: 0; -ENOMEM; a verdict if it can't be brought into another form (too large, or
 *         measured at a time that the protocol doesn't know): backlog_split() helps.
 */
PC_MUST_CHECK int backlog_begin(struct backlog *b, const struct agreement *a,
                                uint64_t now_ns, struct backlog_post *ret);
/* It was not stored: it stays the oldest. */
void backlog_give_back(struct backlog *b);
/* It is stored. @replayed: and was before, so that the server has not looked at it. */
void backlog_stored(struct backlog *b, bool replayed);

/* The oldest batch, given back, will never be stored. @why is for the log. */
void backlog_reject(struct backlog *b, const char *why);
/* The oldest batch, given back, is too large: it is cut in two at a tick, or rejected if
 * there is only one or it can't be read back. Return: 0; -ENOMEM: as it was. */
PC_MUST_CHECK int backlog_split(struct backlog *b);

/* Logs what begins to be sent, measurement by measurement. */
void backlog_trace(struct backlog *b, const struct backlog_post *post);
