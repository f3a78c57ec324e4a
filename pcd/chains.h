/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The delta states that chained batches build on, one for each identifier and session.
 * A state is taken by the batch that is decoded on it, so two batches of a chain never
 * race for it, and comes back when that batch's fate is known:
 *
 *   IDLE -> TAKEN -> IDLE      the batch is stored
 *           TAKEN -> gone      it isn't, or there was no room for what the state became
 *
 * A snapshot that comes while the chain's state is taken begins the chain anew: what is
 * taken is then gone once it is settled. So whatever the timing, a chained batch is
 * decoded on the state that fits it or not at all.
 *
 * Memory is bounded: with each state CHAINS_OVERHEAD bytes are counted, so many small
 * ones are bounded too; taken ones count. Where there is no room, states idle for
 * CHAINS_IDLE_NS go, those idle longest first. Where none is, the state of the batch
 * that needs it isn't kept: that one's host pays, with a 409 for each batch, and nobody
 * else. What a state grows by in decoding is counted right after: until then the bound is
 * passed by one state for each thread that decodes.
 *
 * Any thread. The lock is held for pointer moves; memory is freed without it.
 */

#include "common/delta.h"
#include "common/units.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CHAINS_IDLE_NS (10 * MINUTE)
#define CHAINS_OVERHEAD 512u

struct chains;
/* A chain whose state is taken. */
struct chain;

struct chains_counts {
    uint64_t states;    /* kept, taken ones among them */
    uint64_t bytes;     /* of memory, as counted */
    uint64_t evicted;   /* idle, for others' sake, since start; as those below */
    uint64_t not_kept;  /* for want of room */
    uint64_t conflicts; /* batches that built on no state that is there */
};

/**
 * chains_new() - no chain yet
 * @max_bytes: of all states
 * @seed:      secret of the hash, so that nobody can choose identifiers that collide
 *
 * Return: 0, and gives *ret for chains_free(); -errno.
 */
PC_MUST_CHECK int chains_new(uint64_t max_bytes, const uint64_t seed[2],
                             struct chains **ret);
/* No state may be taken any more; takes NULL. */
void chains_free(struct chains *c);

/**
 * chains_take() - take the state that a chained batch is to be decoded on
 * @identifier: borrows
 * @place:      borrows; of the batch: a snapshot is always let in
 * @now_ns:     any clock that doesn't go back, the same in all calls
 *
 * Return: 0, and *ret is for chains_settle(); NULL for a snapshot whose state can't be
 *         kept for want of room: it is to be decoded without one.
 *         E_CONFLICT: not a snapshot, and there is no idle state that it fits; nothing
 *         changed. -ENOMEM likewise.
 */
PC_MUST_CHECK int chains_take(struct chains *c, struct span identifier, uint64_t session,
                              const struct delta_place *place, uint64_t now_ns,
                              struct chain **ret);

/* The state that was taken; until chains_decoded() or chains_settle(). */
struct delta_state *chain_state(const struct chain *e);

/**
 * chains_decoded() - count what a state takes, now that the batch was decoded
 *
 * Thread: the one that took it. The state is not to be touched after.
 *
 * Return: false if it isn't kept for want of room.
 */
bool chains_decoded(struct chains *c, struct chain *e, uint64_t now_ns);

/**
 * chains_settle() - give back what was taken
 * @e:      takes
 * @stored: whether the batch was decoded and is stored; else the state goes
 */
void chains_settle(struct chains *c, struct chain *e, bool stored, uint64_t now_ns);

void chains_count(struct chains *c, struct chains_counts *ret);
