/* SPDX-License-Identifier: MIT */
#include "tests/bench/latency.h"

/* Buckets 0 to STEPS - 1 hold one value each; those after them, STEPS to a doubling. */
static unsigned bucket_of(uint64_t ns)
{
    if (ns < LATENCY_STEPS)
        return (unsigned)ns;
    unsigned doublings = 59u - (unsigned)__builtin_clzll(ns); /* past 16 = 2^4 */

    return (doublings + 1) * LATENCY_STEPS + (unsigned)(ns >> doublings) - LATENCY_STEPS;
}

static uint64_t end_of(unsigned bucket)
{
    if (bucket < LATENCY_STEPS)
        return bucket;
    unsigned doublings = bucket / LATENCY_STEPS - 1;

    return ((uint64_t)(bucket % LATENCY_STEPS + LATENCY_STEPS + 1) << doublings) - 1;
}

void latency_add(struct latency *l, uint64_t ns)
{
    l->counts[bucket_of(ns)]++;
    l->n++;
    if (ns > l->max_ns)
        l->max_ns = ns;
}

uint64_t latency_at(const struct latency *l, double share)
{
    double wanted = (double)l->n * share;
    uint64_t want = (uint64_t)wanted, seen = 0;

    want += (double)want < wanted; /* up: 0.99 of 10 are 10 */

    for (unsigned i = 0; i < sizeof(l->counts) / sizeof(l->counts[0]); i++) {
        seen += l->counts[i];
        if (l->counts[i] && seen >= want)
            return end_of(i) < l->max_ns ? end_of(i) : l->max_ns;
    }
    return 0;
}
