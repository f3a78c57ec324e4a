/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The sessions in memory: a hash table by identifier and session number. Its hash is
 * keyed, so clients can't choose where they land. No lock of its own.
 */

#include "common/err.h"
#include "common/span.h"
#include "pcd/ranges.h"

#include <sys/queue.h>

/* How a session stands to the sorted file on disk. */
enum session_state {
    SESSION_NEW,     /* nothing of it is stored: gone with its last reservation */
    SESSION_CLEAN,   /* the sorted file says the same: it may leave memory */
    SESSION_CHANGED, /* memory alone knows: the next checkpoint writes it */
    SESSION_COPIED,  /* the same, and unchanged since a checkpoint last copied it */
};

struct reservation;

struct session {
    struct session *chain;     /* in its bucket */
    TAILQ_ENTRY(session) link; /* in the list of those changed, or of those clean */
    uint64_t hash;
    uint64_t number;
    uint64_t last_use_ns;
    struct ranges stored;
    struct reservation *reservations; /* in flight */
    uint16_t n_opening;               /* of those, how many will open a range */
    uint8_t state;                    /* enum session_state */
    uint8_t identifier_n;
    uint8_t identifier[];
};

TAILQ_HEAD(session_list, session);

static inline struct span session_identifier(const struct session *s)
{
    return span_of(s->identifier, s->identifier_n);
}

struct sessions {
    struct session **buckets;
    size_t n_buckets; /* a power of two */
    size_t n;
    uint64_t k0; /* the hash's key */
    uint64_t k1;
};

/* Sets up an empty table. Return: 0; -ENOMEM. */
PC_MUST_CHECK int sessions_init(struct sessions *t, uint64_t k0, uint64_t k1);
/* Frees the table and the sessions; also takes a zeroed one. */
void sessions_done(struct sessions *t);

/* Return: the session, the table's; NULL where there is none. */
struct session *sessions_find(const struct sessions *t, struct span identifier,
                              uint64_t number);

/**
 * sessions_add() - put in a session that isn't there
 * @identifier: copied; 1 to LIMIT_IDENTIFIER_BYTES
 *
 * Return: 0, and *ret, the table's, is SESSION_NEW and empty; -ENOMEM.
 */
PC_MUST_CHECK int sessions_add(struct sessions *t, struct span identifier,
                               uint64_t number, struct session **ret);

/* Takes a session out and frees it; it must be in no list. */
void sessions_remove(struct sessions *t, struct session *s);
