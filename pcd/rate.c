/* SPDX-License-Identifier: MIT */
#include "pcd/rate.h"

#include "common/hash.h"
#include "common/units.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>

/* Its owner, and when it will be full again if nothing more is taken: all there is to
 * know of a bucket (the generic cell rate algorithm, ITU-T I.371). Zeroed: nobody's. */
struct bucket {
    uint64_t owner;
    uint64_t full_ns;
};

struct rate {
    uint64_t seed[2];
    uint64_t interval_ns; /* in which one request's worth flows in */
    uint64_t depth_ns;    /* in which an empty bucket fills */
    pthread_mutex_t lock;
    struct bucket buckets[RATE_BUCKETS]; /* guarded by lock */
};

int rate_new(uint64_t per_second, const uint64_t seed[2], struct rate **ret)
{
    struct rate *r = calloc(1, sizeof *r);

    assert(per_second > 0 && per_second <= RATE_MAX);
    if (!r)
        return -ENOMEM;
    r->seed[0] = seed[0];
    r->seed[1] = seed[1];
    r->interval_ns = SEC / per_second;
    r->depth_ns = RATE_BURST_S * per_second * r->interval_ns;
    int locked = pthread_mutex_init(&r->lock, NULL);
    if (locked) {
        free(r);
        return -locked;
    }
    *ret = r;
    return 0;
}

void rate_free(struct rate *r)
{
    if (!r)
        return;
    (void)pthread_mutex_destroy(&r->lock);
    free(r);
}

/* The owner's bucket, if need be a full one in the place of the fullest. Equal hashes
 * share one, which 64 bits under a secret seed make nobody see. */
static struct bucket *find(struct rate *r, uint64_t owner)
{
    struct bucket *set = &r->buckets[owner % (RATE_BUCKETS / RATE_WAYS) * RATE_WAYS];
    struct bucket *fullest = set;

    for (size_t i = 0; i < RATE_WAYS; i++) {
        if (set[i].owner == owner)
            return &set[i];
        if (set[i].full_ns < fullest->full_ns)
            fullest = &set[i];
    }
    *fullest = (struct bucket){.owner = owner};
    return fullest;
}

int rate_take(struct rate *r, struct span who, uint64_t now_ns)
{
    if (!r)
        return 0;
    uint64_t owner = hash_sip13(r->seed[0], r->seed[1], who);

    (void)pthread_mutex_lock(&r->lock);
    struct bucket *b = find(r, owner);
    uint64_t full_ns = (b->full_ns > now_ns ? b->full_ns : now_ns) + r->interval_ns;
    bool fits = full_ns - now_ns <= r->depth_ns;
    if (fits)
        b->full_ns = full_ns;
    (void)pthread_mutex_unlock(&r->lock);
    return fits ? 0 : E_FULL;
}

struct span rate_address(const struct sockaddr *address, uint8_t ret[RATE_ADDRESS_BYTES])
{
    const uint8_t *from = NULL;
    size_t n = 0;

    if (address->sa_family == AF_INET) {
        from = (const uint8_t *)&((const struct sockaddr_in *)address)->sin_addr;
        n = sizeof(struct in_addr);
    } else if (address->sa_family == AF_INET6) {
        const struct in6_addr *six = &((const struct sockaddr_in6 *)address)->sin6_addr;
        bool is_four = IN6_IS_ADDR_V4MAPPED(six);

        from = six->s6_addr + (is_four ? sizeof *six - sizeof(struct in_addr) : 0);
        n = is_four ? sizeof(struct in_addr) : RATE_ADDRESS_BYTES;
    }
    if (n > 0)
        memcpy(ret, from, n);
    return span_of(ret, n);
}
