/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Durations counted in buckets that are never wider than a sixteenth of their value, so
 * that any number of them takes the same memory.
 */

#include <stdint.h>

#define LATENCY_STEPS 16u /* buckets for each doubling */

struct latency {
    uint64_t counts[64 * LATENCY_STEPS];
    uint64_t n;
    uint64_t max_ns;
};

void latency_add(struct latency *l, uint64_t ns);
/* The duration that at least @share (0 to 1) of them don't pass, rounded up to its
 * bucket's end but no further than the longest; 0 where there are none. */
uint64_t latency_at(const struct latency *l, double share);
