/* SPDX-License-Identifier: MIT */
#include "pcc/backoff.h"

void backoff_init(struct backoff *b, uint64_t first_ns, uint64_t cap_ns)
{
    *b = (struct backoff){
        .first_ns = first_ns < cap_ns ? first_ns : cap_ns,
        .cap_ns = cap_ns,
    };
}

void backoff_reset(struct backoff *b)
{
    b->bound_ns = 0;
}

uint64_t backoff_spread(uint64_t within_ns, uint64_t random)
{
    return within_ns > 0 ? random % within_ns : 0;
}

uint64_t backoff_next(struct backoff *b, uint64_t random)
{
    if (b->bound_ns == 0)
        b->bound_ns = b->first_ns;
    else
        b->bound_ns = b->bound_ns > b->cap_ns / 2 ? b->cap_ns : b->bound_ns * 2;
    return random % b->bound_ns;
}

uint64_t backoff_long(struct backoff *b, uint64_t random)
{
    b->bound_ns = b->cap_ns;
    return b->cap_ns / 2 + random % (b->cap_ns - b->cap_ns / 2);
}
