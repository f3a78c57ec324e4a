/* SPDX-License-Identifier: MIT */
#include "pcc/queue.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

/* Capacities are multiples of this, so that memory fits the next batch too. */
#define ROUND 512u
/* Memory that is never far too much. */
#define SMALL 4096u
/* As many as wait where an answer comes late now and then: nothing is allocated then. */
#define SPARES_MAX 3u

void queue_init(struct queue *q)
{
    *q = (struct queue){.head = NULL};
}

static void free_item(struct queue_item *item)
{
    if (!item)
        return;
    buf_done(&item->body);
    free(item);
}

static void free_items(struct queue_item *first)
{
    while (first) {
        struct queue_item *next = first->next;
        free_item(first);
        first = next;
    }
}

void queue_done(struct queue *q)
{
    free_items(q->head);
    free_items(q->spares);
    queue_init(q);
}

/* Takes one from the spares, which are not none. */
static struct queue_item *take_spare(struct queue *q, struct queue_item **at)
{
    struct queue_item *item = *at;

    *at = item->next;
    q->n_spares--;
    return item;
}

/* Is its memory enough for so many bytes, and not far too much? */
static bool fits(const struct queue_item *item, size_t n)
{
    size_t cap = item->body.cap;

    return cap >= n && (cap / 4 <= n || cap <= SMALL);
}

/* A spare one that fits; else a new one, in the place of a spare. */
static struct queue_item *get_item(struct queue *q, size_t n)
{
    for (struct queue_item **at = &q->spares; *at; at = &(*at)->next)
        if (fits(*at, n))
            return take_spare(q, at);
    if (q->spares)
        free_item(take_spare(q, &q->spares));
    struct queue_item *item = calloc(1, sizeof *item);
    if (!item)
        return NULL;
    size_t cap = (n / ROUND + 1) * ROUND;
    /* A buffer grows by doubling, but never past its maximum: this makes it exact. */
    buf_init(&item->body, cap);
    if (buf_reserve(&item->body, cap)) {
        free_item(item);
        return NULL;
    }
    return item;
}

static struct queue_item *make_item(struct queue *q, const struct queue_batch *batch)
{
    assert(batch->label.range.measurements > 0);
    struct queue_item *item = get_item(q, batch->body.n);
    if (!item)
        return NULL;
    struct buf body = item->body;
    *item = (struct queue_item){
        .body = body,
        .held_bytes = batch->held_bytes,
        .label = batch->label,
    };
    int r = buf_append(&item->body, batch->body);
    assert(r == 0); /* there is room */
    (void)r;
    return item;
}

/* With what an allocator takes beside, about, once batches have come and gone: musl's
 * sizes lie an eighth apart, and groups of a size are seldom full. */
static uint64_t memory_of(const struct queue_item *item)
{
    uint64_t bytes = sizeof *item + item->body.cap;

    return bytes + bytes / 4 + item->held_bytes;
}

/* @prev: what it comes behind; NULL for the front. */
static void insert(struct queue *q, struct queue_item *prev, struct queue_item *item)
{
    struct queue_item **at = prev ? &prev->next : &q->head;

    item->next = *at;
    *at = item;
    if (!item->next)
        q->last = item;
    q->n++;
    q->bytes += memory_of(item);
}

static void remove_behind(struct queue *q, struct queue_item *prev)
{
    struct queue_item **at = prev ? &prev->next : &q->head;
    struct queue_item *item = *at;

    *at = item->next;
    if (q->last == item)
        q->last = prev;
    q->n--;
    q->bytes -= memory_of(item);
    buf_reset(&item->body);
    if (q->n_spares == SPARES_MAX) {
        free_item(item);
        return;
    }
    item->next = q->spares;
    q->spares = item;
    q->n_spares++;
}

int queue_push(struct queue *q, const struct queue_batch *batch)
{
    assert(batch->held_bytes == 0 || q->n == 0);
    struct queue_item *item = make_item(q, batch);
    if (!item)
        return -ENOMEM;
    insert(q, q->last, item);
    return 0;
}

struct queue_item *queue_oldest_idle(const struct queue *q)
{
    if (q->n < 2)
        return NULL;
    return q->head->in_flight ? q->head->next : q->head;
}

void queue_drop(struct queue *q, const struct queue_item *item)
{
    struct queue_item *prev = NULL;

    for (struct queue_item *at = q->head; at != item; at = at->next)
        prev = at;
    remove_behind(q, prev);
}

void queue_pop(struct queue *q)
{
    remove_behind(q, NULL);
}

int queue_split(struct queue *q, const struct queue_batch halves[2])
{
    struct queue_item *old = q->head;
    struct queue_item *first = make_item(q, &halves[0]);
    struct queue_item *second = first ? make_item(q, &halves[1]) : NULL;

    if (!second) {
        free_item(first);
        return -ENOMEM;
    }
    insert(q, old, second);
    insert(q, old, first);
    queue_pop(q);
    return 0;
}

uint64_t queue_floor(const struct queue *q, uint64_t session)
{
    uint64_t floor = UINT64_MAX;

    /* Halves, whose SEQs are newer than their place, are always in front; behind them the
     * SEQs of a session only grow. */
    for (const struct queue_item *item = q->head; item; item = item->next) {
        if (item->label.session != session)
            continue;
        if (item->label.seq < floor)
            floor = item->label.seq;
        if (!item->label.is_half)
            break;
    }
    return floor;
}

static uint64_t sum(const struct queue *q, bool filed_too)
{
    uint64_t n = 0;

    for (const struct queue_item *item = q->head; item; item = item->next)
        if (filed_too || item->file == 0)
            n += item->label.range.measurements;
    return n;
}

uint64_t queue_measurements(const struct queue *q)
{
    return sum(q, true);
}

uint64_t queue_unfiled(const struct queue *q)
{
    return sum(q, false);
}

uint64_t queue_unfiled_first_ns(const struct queue *q)
{
    uint64_t first_ns = 0;

    for (const struct queue_item *item = q->head; item; item = item->next) {
        struct gap_set all = item->label.carried;
        gaps_add(&all, GAP_UNSENT, &item->label.range);
        uint64_t ns = gaps_first_ns(&all);
        if (!item->file && (first_ns == 0 || ns < first_ns))
            first_ns = ns;
    }
    return first_ns;
}
