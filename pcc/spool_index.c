/* SPDX-License-Identifier: MIT */
#include "pcc/spool_index.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_CAP 64u

void spool_index_done(struct spool_index *x)
{
    free(x->entries);
    *x = (struct spool_index){.entries = NULL};
}

static struct spool_entry *entries(const struct spool_index *x)
{
    return x->n ? x->entries + x->first : NULL;
}

static struct spool_entry *end(const struct spool_index *x)
{
    return x->n ? x->entries + x->first + x->n : NULL;
}

/* Moves all to the start, or to a larger place, when the end is reached. */
int spool_index_reserve(struct spool_index *x)
{
    if (x->first + x->n < x->cap)
        return 0;
    if (x->first > x->cap / 2) {
        memmove(x->entries, x->entries + x->first, x->n * sizeof *x->entries);
        x->first = 0;
        return 0;
    }
    size_t cap = x->cap ? x->cap * 2 : FIRST_CAP;
    struct spool_entry *more = reallocarray(x->entries, cap, sizeof *more);
    if (!more)
        return -ENOMEM;
    x->entries = more;
    x->cap = cap;
    return 0;
}

/* Return: are its SEQs above those that its session has here? They aren't where a batch
 * had to wait for its file longer than the next one. */
static bool is_in_order(const struct spool_index *x, const struct spool_entry *e)
{
    for (size_t i = x->n; i-- > 0;) {
        const struct spool_entry *before = entries(x) + i;
        if (before->session == e->session)
            return e->seq > before->seq;
    }
    return true;
}

void spool_index_add(struct spool_index *x, const struct spool_entry *e)
{
    assert(x->n == 0 || e->number > end(x)[-1].number);
    assert(x->first + x->n < x->cap);
    x->unordered |= !is_in_order(x, e);
    x->entries[x->first + x->n++] = *e;
    x->blocks += e->blocks;
}

void spool_index_change(struct spool_index *x, struct spool_entry *e,
                        const struct spool_entry *to)
{
    assert(e->number == to->number);
    x->blocks = x->blocks - e->blocks + to->blocks;
    *e = *to;
}

struct spool_entry *spool_index_find(const struct spool_index *x, uint64_t number)
{
    size_t low = 0;
    size_t high = x->n;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        struct spool_entry *e = entries(x) + middle;
        if (e->number == number)
            return e;
        if (e->number < number)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

void spool_index_remove(struct spool_index *x, struct spool_entry *e)
{
    x->blocks -= e->blocks;
    if (e == entries(x))
        x->first++;
    else
        memmove(e, e + 1, (size_t)(end(x) - e - 1) * sizeof *e);
    x->n--;
    if (x->n == 0) {
        x->first = 0;
        x->unordered = false;
    }
}

static struct spool_entry *uncovered(const struct spool_index *x,
                                     struct spool_entry *from)
{
    for (struct spool_entry *e = from; e < end(x); e++)
        if (!e->covered)
            return e;
    return NULL;
}

struct spool_entry *spool_index_oldest(const struct spool_index *x)
{
    return uncovered(x, entries(x));
}

struct spool_entry *spool_index_next(const struct spool_index *x,
                                     const struct spool_entry *e)
{
    return uncovered(x, entries(x) + (e - entries(x)) + 1);
}

uint64_t spool_index_measurements(const struct spool_index *x, bool covered_too)
{
    uint64_t n = 0;

    for (const struct spool_entry *e = entries(x); e < end(x); e++)
        if (covered_too || !e->covered)
            n += e->range.measurements;
    return n;
}

uint64_t spool_index_floor(const struct spool_index *x, uint64_t session)
{
    uint64_t floor = UINT64_MAX;

    /* As a rule a session's SEQs only grow behind a file whose are those of its place. */
    for (const struct spool_entry *e = entries(x); e < end(x); e++) {
        if (e->seq == 0)
            return 1; /* nothing is promised */
        if (e->session != session)
            continue;
        if (e->seq < floor)
            floor = e->seq;
        if (!e->has_halves && !x->unordered)
            break;
    }
    return floor;
}
