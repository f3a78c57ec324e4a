/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Getting batches to the server: sends the oldest of the backlog in the agreed form and
 * does what the answer calls for (protocol, section 7). Nothing here blocks but
 * delivery_wait().
 *
 * What can go wrong, and what then: no answer, or one that isn't known: the batch stays
 * and is sent again under the same SEQ after a backoff. The server lacks what the batch
 * builds on: it goes again at once, as a snapshot. The server refuses a form:
 * another is tried. It refuses the batch: that goes, as a gap. It is too large: it is cut
 * in two. The key is refused: the key file is read again.
 *
 * Thread: sender.
 */

#include "pcc/counters.h"
#include "pcc/options.h"
#include "pcc/outbox.h"
#include "pcc/spool.h"
#include "pcc/status.h"

struct delivery;

/**
 * delivery_new() - set up; opens no connection yet
 * @conf, @outbox, @counters: outlive the delivery; gaps are noted with @outbox
 * @spool: outlives it, too; NULL for none
 *
 * Return: 0, and gives *ret for delivery_free(); -ENOMEM; E_MALFORMED or -errno if the
 * key file can't be read.
 */
PC_MUST_CHECK int delivery_new(const struct pcc_conf *conf, struct outbox *outbox,
                               struct counters *counters, struct spool *spool,
                               struct delivery **ret);
void delivery_free(struct delivery *d);

/* Queues a batch, which must not be empty, as backlog_add() says. Return: where the batch
 * is now, until the next call. */
const struct batch *delivery_add(struct delivery *d, struct outbox_slot *slot,
                                 uint64_t now_ns);

/* Goes on with what is in flight and begins what is due. @now_ns: the boot clock. */
void delivery_step(struct delivery *d, uint64_t now_ns);
/* Waits until there is something to do, @fd is readable, or @until_ns has come. */
void delivery_wait(struct delivery *d, int fd, uint64_t now_ns, uint64_t until_ns);

/**
 * delivery_reload_key() - read the key file again, for somebody says that it changed
 *
 * What waits because the server refused the key is tried at once, also with the old one:
 * it may be the server that was told. Logs what came of it; a file that can't be used
 * keeps the old key.
 */
void delivery_reload_key(struct delivery *d, uint64_t now_ns);

/* The end is near: what is in memory goes to the spool, too, and what is waiting for its
 * time is sent now. */
void delivery_hurry(struct delivery *d, uint64_t now_ns);
/* Is there no sense in waiting any longer? All that is fresh is sent, or it is safe in
 * the spool and the server can't be reached. */
bool delivery_done(const struct delivery *d);

/* Measurements that wait for the server; those that would be lost if the process ended.
 */
uint64_t delivery_unsent(const struct delivery *d);
uint64_t delivery_unsecured(const struct delivery *d);
uint64_t delivery_unsecured_first_ns(const struct delivery *d);

/* Adds what is known here; texts live as long as the delivery. */
void delivery_tell(const struct delivery *d, uint64_t now_ns, struct status *ret);
