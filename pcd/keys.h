/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Which batches are stored: for each identifier and session the sequence numbers as
 * ranges (protocol, idempotency), and the checkpoint on disk that holds them together
 * with the place in the log up to which everything is filed.
 *
 * On disk, under the home folder:
 *   keys            the checkpoint: position, name of the sorted file, every session
 *                   changed since that was written
 *   sessions/N      the rest, sorted, so that a session that left memory is found again
 *                   with a few reads; rewritten when many changed
 *
 * A block of sessions/N that is damaged is passed by: its sessions are forgotten, the
 * file stays as sessions/N.bad, and it is counted and logged. A batch of such a session
 * that was stored and comes again is then stored again; to refuse those hosts for ever
 * would lose more.
 *
 * Memory is bounded: sessions unchanged since the sorted file was written may leave it,
 * those idle longest first. When it is rewritten, a session unused for keep_ns is
 * forgotten; so are the longest idle ones of an identifier that has more than
 * LIMIT_SESSIONS_PER_IDENTIFIER.
 *
 * Thread: any, but keys_open, keys_store, keys_checkpoint and keys_free by one at a time.
 */

#include "common/err.h"
#include "common/span.h"
#include "common/units.h"

#include <stdbool.h>
#include <stdint.h>

/* A batch's idempotency key as the client sends it. */
struct key {
    uint64_t session;
    uint64_t seq;   /* 1 to 2^63-1 */
    uint64_t floor; /* the client sends no lower SEQ again; 0 where it doesn't say. Counts
                       once the batch is stored, and never beyond its own SEQ */
};

/* A place in the log. */
struct log_position {
    uint64_t number;
    uint64_t offset;
};

/* Somebody who waits for the result of a batch that another request brought first.
 * Placed by the caller, untouched by it until settled() was called, once. */
struct keys_waiter {
    struct keys_waiter *next;
    /* @r: E_REPLAY once the batch is stored, else what became of it (never 0). Called
     * without a lock held, by the thread that called keys_settle(). */
    void (*settled)(void *arg, int r);
    void *arg;
};

struct keys_conf {
    int home_fd;      /* the home folder, borrowed for the life of the keys */
    uint64_t keep_ns; /* how long after its last use a session is remembered */
    size_t
        max_sessions; /* kept in memory; those changed since the sorted file always are */
    uint64_t merge_at; /* the sorted file is rewritten when more sessions than this, and
                          than a quarter of its own, changed; 0: KEYS_MERGE_AT */
};

#define KEYS_MERGE_AT 65536u

/* For /metrics; a moment's view. */
struct keys_counts {
    uint64_t sessions;  /* in memory */
    uint64_t on_disk;   /* in the sorted file */
    uint64_t forgotten; /* dropped over LIMIT_SESSIONS_PER_IDENTIFIER, since start */
    uint64_t expired;   /* dropped after keep_ns, since start */
    uint64_t damaged;   /* times that a damaged block of the sorted file was met */
    uint64_t
        rewrite_failures; /* of the sorted file, since start; tried again each time */
};

struct keys;

/**
 * keys_open() - read the checkpoint, or begin without one
 * @ret_at: the position it holds; {0, 0} where there is no checkpoint
 *
 * Return: 0, and gives *ret for keys_free(); E_MALFORMED where a file is damaged (a
 *         checkpoint is replaced whole, so that is never a crash's doing); -errno.
 */
PC_MUST_CHECK int keys_open(const struct keys_conf *conf, struct keys **ret,
                            struct log_position *ret_at);
/* How much of the time that pcd did not run counts as time in which keys were not used.
 */
#define KEYS_ABSENCE_NS HOUR

/**
 * keys_now_ns() - the time that uses are noted with and keep_ns is measured by
 *
 * Begins with the wall clock, once, and then goes as the boot clock does; of the time
 * between two runs of pcd it counts KEYS_ABSENCE_NS at most. So a wall clock that jumps,
 * by years, either way, makes no session look older than it is.
 */
uint64_t keys_now_ns(const struct keys *k);

/* Nothing may be reserved any more; takes NULL. */
void keys_free(struct keys *k);

/**
 * keys_reserve() - ask whether a batch is new, and claim it
 * @identifier: borrows
 * @key:        borrows
 * @waiter:     queued on E_PENDING, else untouched
 * @now_ns:     keys_now_ns()
 *
 * Return: 0: new, and reserved until keys_settle();
 *         E_REPLAY: stored before, or below the session's floor;
 *         E_PENDING: reserved by another request; @waiter will be told its result;
 *         E_FULL: storing it would open one range more than LIMIT_RANGES_PER_SESSION,
 *         counting those in flight as stored;
 *         -errno, and nothing changed.
 */
PC_MUST_CHECK int keys_reserve(struct keys *k, struct span identifier,
                               const struct key *key, struct keys_waiter *waiter,
                               uint64_t now_ns);

/**
 * keys_settle() - end a reservation
 * @r: 0: the batch is stored and synced, so is its key from the next checkpoint on;
 *     else it isn't, and a client may send it again
 *
 * Tells those that wait. Never fails: what it needs was allocated by keys_reserve().
 */
void keys_settle(struct keys *k, struct span identifier, const struct key *key, int r,
                 uint64_t now_ns);

/**
 * keys_store() - note a key that the log holds, at recovery
 *
 * Once more is the same as once.
 *
 * Return: 0; -errno.
 */
PC_MUST_CHECK int keys_store(struct keys *k, struct span identifier,
                             const struct key *key, uint64_t when_ns);

/**
 * keys_checkpoint() - make all stored keys durable, with a position
 * @at:     every record before it stands in its day file, synced, and its key is settled
 * @now_ns: keys_now_ns()
 *
 * Reservations in flight are left out. Writes aside, syncs, renames, syncs the folder.
 * Where the sorted file is due but can't be rewritten, `keys` holds all that changed and
 * the next checkpoint tries again.
 *
 * Return: 0; -errno, and the checkpoint before this one still holds.
 */
PC_MUST_CHECK int keys_checkpoint(struct keys *k, struct log_position at,
                                  uint64_t now_ns);

/* An upper bound of the bytes that a checkpoint would write now. */
uint64_t keys_bytes(struct keys *k);

void keys_count(struct keys *k, struct keys_counts *ret);
