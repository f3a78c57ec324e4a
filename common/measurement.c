/* SPDX-License-Identifier: MIT */
#include "common/measurement.h"

#include "common/utf8.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#define ITEMS_FIRST 16u

const struct batch_limits batch_limits_default = {
    .measurements = LIMIT_MEASUREMENTS,
    .text_bytes = LIMIT_TEXT_BYTES,
    .subsystem_bytes = LIMIT_SUBSYSTEM_BYTES,
    .bytes = LIMIT_DECODED_BYTES,
};

void batch_init(struct batch *b, const struct batch_limits *limits)
{
    *b = (struct batch){.limits = *limits};
    if (limits->nesting == 0 || limits->nesting > LIMIT_NESTING)
        b->limits.nesting = LIMIT_NESTING;
    buf_init(&b->bytes, limits->bytes);
}

void batch_done(struct batch *b)
{
    buf_done(&b->bytes);
    free(b->items);
    b->items = NULL;
    b->n_items = b->cap_items = b->n_ticks = 0;
}

void batch_reset(struct batch *b)
{
    buf_reset(&b->bytes);
    b->n_items = 0;
    b->n_ticks = 0;
    b->tick_begins = false;
    b->is_open = false;
    b->identifier_n = 0;
}

static int reserve_items(struct batch *b, size_t more)
{
    if (more > b->limits.measurements - b->n_items)
        return E_TOO_LARGE;
    if (more <= b->cap_items - b->n_items)
        return 0;

    size_t want = b->n_items + more;
    size_t cap = b->cap_items ? b->cap_items : ITEMS_FIRST;
    while (cap < want && cap <= b->limits.measurements / 2)
        cap *= 2;
    if (cap < want || cap > b->limits.measurements)
        cap = b->limits.measurements;
    struct batch_item *items = reallocarray(b->items, cap, sizeof *items);
    if (!items)
        return -ENOMEM;
    b->items = items;
    b->cap_items = cap;
    return 0;
}

int batch_reserve(struct batch *b, size_t measurements, size_t bytes)
{
    int r = reserve_items(b, measurements);

    return r ? r : buf_reserve(&b->bytes, bytes);
}

int identifier_check(struct span identifier)
{
    if (identifier.n == 0 || identifier.n > LIMIT_IDENTIFIER_BYTES ||
        !utf8_valid(identifier))
        return E_MALFORMED;
    for (size_t i = 0; i < identifier.n; i++) {
        uint8_t c = identifier.data[i];
        /* C0 and DEL are a byte each; C1 (U+0080 to U+009F) is C2 80 to C2 9F. */
        if (c < 0x20 || c == 0x7f)
            return E_MALFORMED;
        if (c == 0xc2 && identifier.data[i + 1] < 0xa0)
            return E_MALFORMED;
    }
    return 0;
}

int batch_set_identifier(struct batch *b, struct span identifier)
{
    int r = identifier_check(identifier);
    if (r)
        return r;
    memcpy(b->identifier, identifier.data, identifier.n);
    b->identifier_n = identifier.n;
    return 0;
}

void batch_begin_tick(struct batch *b)
{
    b->tick_begins = true;
}

static void add_item(struct batch *b, struct batch_item item)
{
    item.starts_tick = b->tick_begins || b->n_items == 0 ||
                       b->items[b->n_items - 1].time_ns != item.time_ns;
    b->tick_begins = false;
    b->n_ticks += item.starts_tick;
    b->items[b->n_items++] = item;
}

int batch_append(struct batch *b, const struct measurement *m)
{
    assert(!b->is_open);
    if (m->subsystem.n > b->limits.subsystem_bytes || m->text.n > b->limits.text_bytes)
        return E_TOO_LARGE;
    int r = reserve_items(b, 1);
    if (r)
        return r;
    /* Both lengths are within limits that leave their sum far from wrapping. */
    r = buf_reserve(&b->bytes, m->subsystem.n + m->text.n);
    if (r)
        return r;

    struct batch_item item = {
        .time_ns = m->time_ns, .subsystem_n = m->subsystem.n, .text_n = m->text.n};
    item.subsystem_at = b->bytes.len;
    r = buf_append(&b->bytes, m->subsystem);
    assert(r == 0);
    item.text_at = b->bytes.len;
    r = buf_append(&b->bytes, m->text);
    assert(r == 0);
    add_item(b, item);
    return 0;
}

int batch_open(struct batch *b, uint64_t time_ns, struct span subsystem)
{
    assert(!b->is_open);
    if (subsystem.n > b->limits.subsystem_bytes)
        return E_TOO_LARGE;
    int r = reserve_items(b, 1);
    if (r)
        return r;
    b->open = (struct batch_item){
        .time_ns = time_ns, .subsystem_at = b->bytes.len, .subsystem_n = subsystem.n};
    r = buf_append(&b->bytes, subsystem);
    if (r)
        return r;
    b->open.text_at = b->bytes.len;
    b->is_open = true;
    return 0;
}

int batch_close(struct batch *b)
{
    assert(b->is_open);
    b->open.text_n = b->bytes.len - b->open.text_at;
    if (b->open.text_n > b->limits.text_bytes) {
        batch_cancel(b);
        return E_TOO_LARGE;
    }
    b->is_open = false;
    add_item(b, b->open);
    return 0;
}

void batch_cancel(struct batch *b)
{
    assert(b->is_open);
    buf_truncate(&b->bytes, b->open.subsystem_at);
    b->is_open = false;
}

struct measurement batch_get(const struct batch *b, size_t i)
{
    assert(i < b->n_items);
    const struct batch_item *item = &b->items[i];
    /* Without bytes in the whole batch there may be no memory to point into. */
    const uint8_t *bytes = b->bytes.data ? b->bytes.data : (const uint8_t *)"";

    return (struct measurement){
        .time_ns = item->time_ns,
        .subsystem = span_of(bytes + item->subsystem_at, item->subsystem_n),
        .text = span_of(bytes + item->text_at, item->text_n),
    };
}

void batch_set_time(struct batch *b, size_t i, uint64_t time_ns)
{
    assert(i < b->n_items);
    b->items[i].time_ns = time_ns;
}

void batch_truncate(struct batch *b, size_t n)
{
    assert(n <= b->n_items && !b->is_open);
    if (n == b->n_items)
        return;
    buf_truncate(&b->bytes, b->items[n].subsystem_at);
    while (b->n_items > n)
        b->n_ticks -= b->items[--b->n_items].starts_tick;
}

int batch_append_range(struct batch *b, const struct batch *other, size_t from, size_t n)
{
    assert(from <= other->n_items && n <= other->n_items - from);
    const struct batch before = *b;

    for (size_t i = from; i < from + n; i++) {
        struct measurement m = batch_get(other, i);
        if (other->items[i].starts_tick)
            batch_begin_tick(b);
        int r = batch_append(b, &m);
        if (r) {
            buf_truncate(&b->bytes, before.bytes.len);
            b->n_items = before.n_items;
            b->n_ticks = before.n_ticks;
            b->tick_begins = before.tick_begins;
            return r;
        }
    }
    return 0;
}

size_t batch_middle_tick(const struct batch *b)
{
    size_t tick = 0;

    for (size_t i = 0; i < b->n_items; i++) {
        tick += b->items[i].starts_tick;
        if (tick == b->n_ticks / 2 + 1)
            return i;
    }
    return 0;
}

int measurement_check_time(int64_t seconds)
{
    if (seconds < (int64_t)LIMIT_TIMESTAMP_MIN || seconds > (int64_t)LIMIT_TIMESTAMP_MAX)
        return E_MALFORMED;
    return 0;
}
