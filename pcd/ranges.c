/* SPDX-License-Identifier: MIT */
#include "pcd/ranges.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ITEMS_FIRST 4u

void ranges_init(struct ranges *r)
{
    *r = (struct ranges){.floor = 1};
}

void ranges_done(struct ranges *r)
{
    free(r->items);
    ranges_init(r);
}

/* Index of the first range that ends at @seq or above; n where there is none. */
static size_t find(const struct ranges *r, uint64_t seq)
{
    size_t low = 0;
    size_t high = r->n;

    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (r->items[mid].last < seq)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

bool ranges_hold(const struct ranges *r, uint64_t seq)
{
    if (seq < r->floor)
        return true;
    size_t i = find(r, seq);
    return i < r->n && r->items[i].first <= seq;
}

bool ranges_opens(const struct ranges *r, uint64_t seq, uint64_t floor)
{
    if (seq <= r->floor || seq <= floor)
        return false;
    /* The first range that reaches seq - 1 holds it, or ends or begins beside it. */
    size_t i = find(r, seq - 1);
    return i == r->n || r->items[i].first > seq + 1;
}

size_t ranges_count(const struct ranges *r, uint64_t floor)
{
    if (floor < r->floor)
        floor = r->floor;
    if (floor == 1)
        return r->n;

    size_t below = find(r, floor);
    /* A range that the floor cuts or touches becomes part of what lies below it. */
    if (below < r->n && r->items[below].first <= floor)
        below++;
    return r->n - below + 1;
}

int ranges_reserve(struct ranges *r, size_t more)
{
    assert(more <= (size_t)UINT16_MAX - r->n);
    if (more <= (size_t)(r->cap - r->n))
        return 0;

    size_t want = r->n + more;
    size_t cap = r->cap ? r->cap : ITEMS_FIRST;
    while (cap < want)
        cap *= 2;
    if (cap > UINT16_MAX)
        cap = UINT16_MAX;
    struct range *items = reallocarray(r->items, cap, sizeof *items);
    if (!items)
        return -ENOMEM;
    r->items = items;
    r->cap = (uint16_t)cap;
    return 0;
}

static void remove_items(struct ranges *r, size_t at, size_t n)
{
    if (n == 0)
        return;
    r->n = (uint16_t)(r->n - n);
    memmove(r->items + at, r->items + at + n, (r->n - at) * sizeof *r->items);
}

static void raise_floor(struct ranges *r, uint64_t floor)
{
    if (floor <= r->floor)
        return;
    size_t below = find(r, floor);

    r->floor = floor;
    if (below < r->n && r->items[below].first <= floor)
        r->floor = r->items[below++].last + 1;
    remove_items(r, 0, below);
}

void ranges_add(struct ranges *r, uint64_t seq, uint64_t floor)
{
    assert(seq >= 1 && seq <= RANGES_SEQ_MAX && floor <= RANGES_SEQ_MAX);
    raise_floor(r, floor);
    if (seq < r->floor)
        return;
    if (seq == r->floor) {
        raise_floor(r, seq + 1);
        return;
    }

    size_t i = find(r, seq - 1);
    struct range *at = r->items + i;
    if (i == r->n || at->first > seq + 1) {
        assert(r->n < r->cap);
        if (i < r->n)
            memmove(at + 1, at, (r->n - i) * sizeof *at);
        *at = (struct range){seq, seq};
        r->n++;
        return;
    }
    if (at->first == seq + 1)
        at->first = seq;
    if (at->last == seq - 1) {
        at->last = seq;
        if (i + 1 < r->n && at[1].first == seq + 1) {
            at->last = at[1].last;
            remove_items(r, i + 1, 1);
        }
    }
}

void ranges_trim(struct ranges *r)
{
    if (r->n > 0)
        return;
    free(r->items);
    r->items = NULL;
    r->cap = 0;
}
