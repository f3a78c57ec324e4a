/* SPDX-License-Identifier: MIT */
#include "pcd/chains.h"

#include "common/hash.h"
#include "proto/limits.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

/* A bucket for so many bytes of states; most take more. */
#define BUCKET_BYTES (16 * KIB)
#define BUCKETS_MAX (UINT64_C(1) << 20)

struct chain {
    struct chain *next;       /* in its bucket, or of those to be freed */
    TAILQ_ENTRY(chain) order; /* idle: among those idle */
    struct delta_state *state;
    uint64_t hash;
    uint64_t bytes;   /* as counted */
    uint64_t idle_ns; /* when it became so */
    bool is_taken;
    bool is_left; /* taken, and no longer in the table: it goes when it is settled */
    uint64_t session;
    size_t identifier_n;
    uint8_t identifier[];
};

TAILQ_HEAD(chain_list, chain);

struct chains {
    uint64_t max_bytes;
    uint64_t seed[2];
    size_t n_buckets; /* a power of two */

    pthread_mutex_t lock;
    /* guarded by lock */
    struct chain **buckets;
    struct chain_list idle; /* longest first */
    struct chains_counts counts;
};

int chains_new(uint64_t max_bytes, const uint64_t seed[2], struct chains **ret)
{
    struct chains *c = calloc(1, sizeof *c);

    if (!c)
        return -ENOMEM;
    c->max_bytes = max_bytes;
    memcpy(c->seed, seed, sizeof c->seed);
    c->n_buckets = 16;
    while (c->n_buckets < BUCKETS_MAX && c->n_buckets < max_bytes / BUCKET_BYTES)
        c->n_buckets *= 2;
    TAILQ_INIT(&c->idle);
    c->buckets = calloc(c->n_buckets, sizeof(struct chain *));
    int r = c->buckets ? -pthread_mutex_init(&c->lock, NULL) : -ENOMEM;
    if (r) {
        free(c->buckets);
        free(c);
        return r;
    }
    *ret = c;
    return 0;
}

/* Frees one, or those that hang on it. */
static void free_chains(struct chain *e)
{
    for (struct chain *next; e; e = next) {
        next = e->next;
        delta_state_free(e->state);
        free(e);
    }
}

void chains_free(struct chains *c)
{
    struct chain *e;

    if (!c)
        return;
    while ((e = TAILQ_FIRST(&c->idle))) {
        TAILQ_REMOVE(&c->idle, e, order);
        c->counts.bytes -= e->bytes;
        e->next = NULL;
        free_chains(e);
    }
    assert(c->counts.bytes == 0); /* else one is taken */
    (void)pthread_mutex_destroy(&c->lock);
    free(c->buckets);
    free(c);
}

static uint64_t hash_of(const struct chains *c, struct span identifier, uint64_t session)
{
    uint8_t name[sizeof session + LIMIT_IDENTIFIER_BYTES];

    assert(identifier.n <= LIMIT_IDENTIFIER_BYTES);
    memcpy(name, &session, sizeof session);
    memcpy(name + sizeof session, identifier.data, identifier.n);
    return hash_sip13(c->seed[0], c->seed[1],
                      span_of(name, sizeof session + identifier.n));
}

/* Return: 0, and gives *ret, which is in no table yet; -ENOMEM. */
static int new_chain(struct span identifier, uint64_t session, uint64_t hash,
                     struct chain **ret)
{
    struct chain *e = calloc(1, sizeof *e + identifier.n);

    if (!e)
        return -ENOMEM;
    int r = delta_state_new(&e->state);
    if (r) {
        free(e);
        return r;
    }
    e->hash = hash;
    e->bytes = CHAINS_OVERHEAD + delta_state_bytes(e->state);
    e->session = session;
    e->identifier_n = identifier.n;
    memcpy(e->identifier, identifier.data, identifier.n);
    *ret = e;
    return 0;
}

/* From here on the caller has the lock. */

/* Where the chain hangs in its bucket; at the end of it where it isn't there. */
static struct chain **find(struct chains *c, struct span identifier, uint64_t session,
                           uint64_t hash)
{
    struct chain **at = &c->buckets[hash & (c->n_buckets - 1)];

    while (*at &&
           ((*at)->hash != hash || (*at)->session != session ||
            !span_equal(span_of((*at)->identifier, (*at)->identifier_n), identifier)))
        at = &(*at)->next;
    return at;
}

/* Takes a chain out of the table; what is counted of it stays counted. */
static void leave_table(struct chains *c, struct chain *e)
{
    struct chain **at = &c->buckets[e->hash & (c->n_buckets - 1)];

    while (*at != e)
        at = &(*at)->next;
    *at = e->next;
    e->next = NULL;
    e->is_left = true;
    c->counts.states--;
}

static void take_idle(struct chains *c, struct chain *e)
{
    TAILQ_REMOVE(&c->idle, e, order);
    e->is_taken = true;
}

/* Makes room for so many bytes more, as far as idle states allow; those that go are put
 * before @gone. Return: is there room? */
static bool make_room(struct chains *c, uint64_t bytes, uint64_t now_ns,
                      struct chain **gone)
{
    struct chain *e;

    if (bytes > c->max_bytes)
        return false;
    while (c->counts.bytes > c->max_bytes - bytes && (e = TAILQ_FIRST(&c->idle)) &&
           e->idle_ns + CHAINS_IDLE_NS <= now_ns) {
        take_idle(c, e);
        leave_table(c, e);
        c->counts.bytes -= e->bytes;
        c->counts.evicted++;
        e->next = *gone;
        *gone = e;
    }
    return c->counts.bytes <= c->max_bytes - bytes;
}

/* Return: 0; E_CONFLICT. */
static int take_next(struct chains *c, struct chain *e, const struct delta_place *place,
                     struct chain **ret)
{
    if (!e || e->is_taken || !delta_state_fits(e->state, place)) {
        c->counts.conflicts++;
        return E_CONFLICT;
    }
    take_idle(c, e);
    *ret = e;
    return 0;
}

/*
 * Gives a snapshot the chain's own place where its state is idle; else the new chain
 * *fresh, which is then NULL, if there is room for it.
 */
static struct chain *take_first(struct chains *c, struct chain **at, uint64_t now_ns,
                                struct chain **fresh, struct chain **gone)
{
    struct chain *e = *at;

    if (e && !e->is_taken) {
        take_idle(c, e);
        return e;
    }
    if (e)
        leave_table(c, e);
    e = *fresh;
    if (!make_room(c, e->bytes, now_ns, gone)) {
        c->counts.not_kept++;
        return NULL;
    }
    *fresh = NULL;
    struct chain **bucket = &c->buckets[e->hash & (c->n_buckets - 1)];
    e->next = *bucket;
    *bucket = e;
    e->is_taken = true;
    c->counts.bytes += e->bytes;
    c->counts.states++;
    return e;
}

/* Up to here. */

int chains_take(struct chains *c, struct span identifier, uint64_t session,
                const struct delta_place *place, uint64_t now_ns, struct chain **ret)
{
    uint64_t hash = hash_of(c, identifier, session);
    struct chain *fresh = NULL;
    struct chain *gone = NULL;
    int r = 0;

    if (place->number == 0) {
        r = new_chain(identifier, session, hash, &fresh);
        if (r)
            return r;
    }
    (void)pthread_mutex_lock(&c->lock);
    struct chain **at = find(c, identifier, session, hash);
    if (fresh)
        *ret = take_first(c, at, now_ns, &fresh, &gone);
    else
        r = take_next(c, *at, place, ret);
    (void)pthread_mutex_unlock(&c->lock);
    free_chains(fresh);
    free_chains(gone);
    return r;
}

struct delta_state *chain_state(const struct chain *e)
{
    return e->state;
}

bool chains_decoded(struct chains *c, struct chain *e, uint64_t now_ns)
{
    uint64_t bytes = CHAINS_OVERHEAD + delta_state_bytes(e->state);
    struct delta_state *state = NULL;
    struct chain *gone = NULL;
    bool has_room = true;

    (void)pthread_mutex_lock(&c->lock);
    if (!e->is_left && bytes > e->bytes) {
        has_room = make_room(c, bytes - e->bytes, now_ns, &gone);
        if (!has_room) {
            c->counts.not_kept++;
            leave_table(c, e);
        }
    }
    if (e->is_left) { /* nobody is going to build on it */
        state = e->state;
        e->state = NULL;
        bytes = CHAINS_OVERHEAD;
    }
    c->counts.bytes += bytes - e->bytes;
    e->bytes = bytes;
    (void)pthread_mutex_unlock(&c->lock);
    delta_state_free(state);
    free_chains(gone);
    return has_room;
}

void chains_settle(struct chains *c, struct chain *e, bool stored, uint64_t now_ns)
{
    (void)pthread_mutex_lock(&c->lock);
    if (!stored && !e->is_left)
        leave_table(c, e);
    bool goes = e->is_left;
    if (goes) {
        c->counts.bytes -= e->bytes;
    } else {
        e->is_taken = false;
        e->idle_ns = now_ns;
        TAILQ_INSERT_TAIL(&c->idle, e, order);
    }
    (void)pthread_mutex_unlock(&c->lock);
    if (goes)
        free_chains(e);
}

void chains_count(struct chains *c, struct chains_counts *ret)
{
    (void)pthread_mutex_lock(&c->lock);
    *ret = c->counts;
    (void)pthread_mutex_unlock(&c->lock);
}
