/* SPDX-License-Identifier: MIT */
#include "pcd/hosts.h"

#include "common/hash.h"
#include "common/units.h"
#include "proto/limits.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#define RECENT_NS HOUR
/* Former sessions that are remembered of a host: with more clones than this the random
 * order of their batches shows them all the same. */
#define FORMER_SESSIONS 4u

struct host {
    struct host *chain;
    struct host *newer; /* all hosts in the order they were last seen */
    struct host *older;
    uint64_t hash;
    uint64_t seen_ns;
    bool is_recent;
    bool has_session;
    uint64_t session;  /* the current one */
    uint64_t first_ns; /* the earliest measurement seen of it */
    uint64_t former[FORMER_SESSIONS];
    size_t n_former; /* ever; the last ones are kept */
    size_t identifier_n;
    uint8_t identifier[];
};

struct hosts {
    size_t max;
    uint64_t seed[2];
    size_t n_chains; /* a power of two */

    pthread_mutex_t lock;
    /* guarded by lock */
    struct host **chains;
    struct host *newest;
    struct host *oldest;
    struct host *oldest_recent; /* the hosts from newest to this one are recent */
    struct hosts_counts counts;
};

int hosts_new(size_t max, const uint64_t seed[2], struct hosts **ret)
{
    struct hosts *h = calloc(1, sizeof *h);

    if (!h)
        return -ENOMEM;
    h->max = max;
    memcpy(h->seed, seed, sizeof h->seed);
    h->n_chains = 16;
    while (h->n_chains < max)
        h->n_chains *= 2;
    h->chains = calloc(h->n_chains, sizeof(struct host *));
    int r = h->chains ? -pthread_mutex_init(&h->lock, NULL) : -ENOMEM;
    if (r) {
        free(h->chains);
        free(h);
        return r;
    }
    *ret = h;
    return 0;
}

void hosts_free(struct hosts *h)
{
    struct host *older;

    if (!h)
        return;
    for (struct host *e = h->newest; e; e = older) {
        older = e->older;
        free(e);
    }
    (void)pthread_mutex_destroy(&h->lock);
    free(h->chains);
    free(h);
}

static void unlink_from_order(struct hosts *h, struct host *e)
{
    if (h->oldest_recent == e)
        h->oldest_recent = e->newer;
    if (e->newer)
        e->newer->older = e->older;
    else
        h->newest = e->older;
    if (e->older)
        e->older->newer = e->newer;
    else
        h->oldest = e->newer;
    h->counts.recent -= e->is_recent;
    e->is_recent = false;
}

static void link_as_newest(struct hosts *h, struct host *e, uint64_t now_ns)
{
    e->newer = NULL;
    e->older = h->newest;
    if (h->newest)
        h->newest->newer = e;
    else
        h->oldest = e;
    h->newest = e;
    if (!h->oldest_recent)
        h->oldest_recent = e;
    e->is_recent = true;
    e->seen_ns = now_ns;
    h->counts.recent++;
}

static void age(struct hosts *h, uint64_t now_ns)
{
    while (h->oldest_recent && h->oldest_recent->seen_ns + RECENT_NS < now_ns) {
        h->oldest_recent->is_recent = false;
        h->oldest_recent = h->oldest_recent->newer;
        h->counts.recent--;
    }
}

static struct host **chain_of(struct hosts *h, uint64_t hash)
{
    return &h->chains[hash & (h->n_chains - 1)];
}

static void forget_oldest(struct hosts *h)
{
    struct host *e = h->oldest;
    struct host **at = chain_of(h, e->hash);

    while (*at != e)
        at = &(*at)->chain;
    *at = e->chain;
    unlink_from_order(h, e);
    free(e);
    h->counts.known--;
    h->counts.forgotten++;
}

/* The host with this identifier, made the newest; NULL without memory. */
static struct host *touch(struct hosts *h, struct span identifier, uint64_t now_ns)
{
    uint64_t hash = hash_sip13(h->seed[0], h->seed[1], identifier);
    struct host *e = *chain_of(h, hash);

    while (e && (e->hash != hash ||
                 !span_equal(span_of(e->identifier, e->identifier_n), identifier)))
        e = e->chain;
    if (e) {
        unlink_from_order(h, e);
    } else {
        e = calloc(1, sizeof *e + identifier.n);
        if (!e)
            return NULL;
        if (h->counts.known == h->max)
            forget_oldest(h);
        e->hash = hash;
        e->identifier_n = identifier.n;
        memcpy(e->identifier, identifier.data, identifier.n);
        e->chain = *chain_of(h, hash);
        *chain_of(h, hash) = e;
        h->counts.known++;
    }
    link_as_newest(h, e, now_ns);
    return e;
}

static bool was_current(const struct host *e, uint64_t session)
{
    size_t n = e->n_former < FORMER_SESSIONS ? e->n_former : FORMER_SESSIONS;

    for (size_t i = 0; i < n; i++)
        if (e->former[i] == session)
            return true;
    return false;
}

/* Return: true if the batch shows two live sessions. */
static bool note_session(struct host *e, uint64_t session, uint64_t first_ns)
{
    if (e->has_session && e->session == session) {
        if (first_ns < e->first_ns)
            e->first_ns = first_ns;
        return false;
    }
    /* What began before the current session began is somebody's backlog. */
    if (e->has_session && first_ns <= e->first_ns)
        return false;
    if (was_current(e, session))
        return true;
    if (e->has_session)
        e->former[e->n_former++ % FORMER_SESSIONS] = e->session;
    e->has_session = true;
    e->session = session;
    e->first_ns = first_ns;
    return false;
}

bool hosts_seen(struct hosts *h, struct span identifier, const struct key *key,
                uint64_t first_ns, uint64_t now_ns)
{
    bool two = false;

    (void)pthread_mutex_lock(&h->lock);
    struct host *e = touch(h, identifier, now_ns);
    if (e && key)
        two = note_session(e, key->session, first_ns);
    h->counts.two_sessions += two;
    age(h, now_ns);
    (void)pthread_mutex_unlock(&h->lock);
    return two;
}

void hosts_count(struct hosts *h, uint64_t now_ns, struct hosts_counts *ret)
{
    (void)pthread_mutex_lock(&h->lock);
    age(h, now_ns);
    *ret = h->counts;
    (void)pthread_mutex_unlock(&h->lock);
}
