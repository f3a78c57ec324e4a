/* SPDX-License-Identifier: MIT */
#include "pcd/sessions.h"

#include "common/hash.h"
#include "proto/limits.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#define BUCKETS_FIRST 1024u

int sessions_init(struct sessions *t, uint64_t k0, uint64_t k1)
{
    struct session **buckets = calloc(BUCKETS_FIRST, sizeof(struct session *));

    if (!buckets)
        return -ENOMEM;
    *t = (struct sessions){
        .buckets = buckets,
        .n_buckets = BUCKETS_FIRST,
        .k0 = k0,
        .k1 = k1,
    };
    return 0;
}

static void free_session(struct session *s)
{
    assert(!s->reservations);
    ranges_done(&s->stored);
    free(s);
}

void sessions_done(struct sessions *t)
{
    for (size_t i = 0; i < t->n_buckets; i++) {
        for (struct session *s = t->buckets[i], *next; s; s = next) {
            next = s->chain;
            free_session(s);
        }
    }
    free(t->buckets);
    *t = (struct sessions){0};
}

/* Over the number too: a client chooses its sessions as it likes. */
static uint64_t hash_of(const struct sessions *t, struct span identifier, uint64_t number)
{
    uint8_t bytes[sizeof number + LIMIT_IDENTIFIER_BYTES];

    assert(identifier.n >= 1 && identifier.n <= LIMIT_IDENTIFIER_BYTES);
    memcpy(bytes, &number, sizeof number);
    memcpy(bytes + sizeof number, identifier.data, identifier.n);
    return hash_sip13(t->k0, t->k1, span_of(bytes, sizeof number + identifier.n));
}

static struct session **bucket_of(const struct sessions *t, uint64_t hash)
{
    return &t->buckets[hash & (t->n_buckets - 1)];
}

struct session *sessions_find(const struct sessions *t, struct span identifier,
                              uint64_t number)
{
    uint64_t hash = hash_of(t, identifier, number);
    struct session *s = *bucket_of(t, hash);

    while (s && (s->hash != hash || s->number != number ||
                 !span_equal(session_identifier(s), identifier)))
        s = s->chain;
    return s;
}

static void put_in(struct sessions *t, struct session *s)
{
    struct session **bucket = bucket_of(t, s->hash);

    s->chain = *bucket;
    *bucket = s;
}

/* Without memory for it the table stays as it is, only slower. */
static void grow(struct sessions *t)
{
    struct session **old = t->buckets;
    size_t n_old = t->n_buckets;
    struct session **buckets = calloc(n_old * 2, sizeof(struct session *));

    if (!buckets)
        return;
    t->buckets = buckets;
    t->n_buckets = n_old * 2;
    for (size_t i = 0; i < n_old; i++) {
        for (struct session *s = old[i], *next; s; s = next) {
            next = s->chain;
            put_in(t, s);
        }
    }
    free(old);
}

int sessions_add(struct sessions *t, struct span identifier, uint64_t number,
                 struct session **ret)
{
    struct session *s = malloc(sizeof *s + identifier.n);

    if (!s)
        return -ENOMEM;
    *s = (struct session){
        .hash = hash_of(t, identifier, number),
        .number = number,
        .state = SESSION_NEW,
        .identifier_n = (uint8_t)identifier.n,
    };
    memcpy(s->identifier, identifier.data, identifier.n);
    ranges_init(&s->stored);
    if (t->n >= t->n_buckets)
        grow(t);
    put_in(t, s);
    t->n++;
    *ret = s;
    return 0;
}

void sessions_remove(struct sessions *t, struct session *s)
{
    struct session **at = bucket_of(t, s->hash);

    while (*at != s)
        at = &(*at)->chain;
    *at = s->chain;
    t->n--;
    free_session(s);
}
