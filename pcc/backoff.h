/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * How long to wait before the next try: exponential up to a cap, and full jitter after
 * the cap, so that a fleet that failed together doesn't come back together. Pure.
 */

#include <stdint.h>

struct backoff {
    uint64_t first_ns;
    uint64_t cap_ns;
    uint64_t bound_ns; /* of the next wait; 0 after a success */
};

void backoff_init(struct backoff *b, uint64_t first_ns, uint64_t cap_ns);
/* After a success: the next failure waits shortly again. */
void backoff_reset(struct backoff *b);

/* A moment within an interval, so that a fleet that starts together doesn't come
 * together; 0 if there is none. */
uint64_t backoff_spread(uint64_t within_ns, uint64_t random);

/* A wait between nothing and the bound, which then doubles. */
uint64_t backoff_next(struct backoff *b, uint64_t random);
/* A wait between half the cap and the cap, where trying often helps nobody. */
uint64_t backoff_long(struct backoff *b, uint64_t random);
