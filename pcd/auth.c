/* SPDX-License-Identifier: MIT */
#include "pcd/auth.h"

#include "proto/wire.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

struct auth {
    pthread_mutex_t lock;
    /* guarded by lock */
    struct key_set *set; /* NULL: no keys yet */
    uint64_t n_sets;     /* taken so far, this one included */
};

int auth_new(struct auth **ret)
{
    struct auth *a = calloc(1, sizeof *a);

    if (!a)
        return -ENOMEM;
    int r = pthread_mutex_init(&a->lock, NULL);
    if (r) {
        free(a);
        return -r;
    }
    *ret = a;
    return 0;
}

void auth_free(struct auth *a)
{
    if (!a)
        return;
    (void)pthread_mutex_destroy(&a->lock);
    key_set_unref(a->set);
    free(a);
}

int auth_take(struct auth *a, struct span text, struct key_lines *ret_lines)
{
    struct key_set *set;
    int r = key_set_parse(text, &set, ret_lines);

    if (r)
        return r;
    (void)pthread_mutex_lock(&a->lock);
    struct key_set *old = a->set;
    a->set = set;
    a->n_sets++;
    (void)pthread_mutex_unlock(&a->lock);
    key_set_unref(old);
    return 0;
}

/* The set that holds now, referenced; NULL: none. */
static struct key_set *current_set(struct auth *a, uint64_t *ret_number)
{
    (void)pthread_mutex_lock(&a->lock);
    struct key_set *set = a->set ? key_set_ref(a->set) : NULL;
    *ret_number = a->n_sets;
    (void)pthread_mutex_unlock(&a->lock);
    return set;
}

int auth_ask(struct auth *a, struct span key, struct auth_hint *hint,
             struct auth_grant *ret)
{
    struct key_digest digest;
    uint64_t number;

    *ret = (struct auth_grant){0};
    if (key.n == 0 || key.n > KEY_BYTES)
        return E_DENIED;
    int r = key_digest(key, &digest);
    if (r)
        return r;
    struct key_set *set = current_set(a, &number);
    if (!set)
        return E_DENIED;
    if (hint->set != number || !key_set_is(set, hint->at, &digest))
        r = key_set_find(set, &digest, &hint->at);
    if (r) {
        key_set_unref(set);
        return r;
    }
    hint->set = number;
    *ret = (struct auth_grant){set, hint->at};
    return 0;
}

bool auth_grant_writes(const struct auth_grant *g, struct span identifier)
{
    return g->set && key_set_may_write(g->set, g->at, identifier);
}

uint64_t auth_grant_id(const struct auth_grant *g)
{
    return key_set_id(g->set, g->at);
}

void auth_grant_done(struct auth_grant *g)
{
    key_set_unref(g->set);
    *g = (struct auth_grant){0};
}

struct span auth_key_of(struct span apikey, struct span authorization)
{
    struct span scheme = SPAN(WIRE_BEARER);

    if (apikey.data)
        return apikey;
    if (authorization.n > scheme.n &&
        span_equal_nocase(span_of(authorization.data, scheme.n), scheme))
        return span_trim(span_from(authorization, scheme.n));
    return (struct span){NULL, 0};
}
