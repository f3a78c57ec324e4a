/* SPDX-License-Identifier: MIT */
#include "common/delta_since.h"

#include "common/delta_changes.h"
#include "common/units.h"
#include "common/varint.h"
#include "proto/wire.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

/* The bit of a group's first number that says: its text is there as it is. */
#define RAW 1u
/* The bit beside a tick's number that says: its time is in nanoseconds. */
#define NANOSECONDS 1u

struct delta_base {
    struct delta_sources sources;
    uint64_t snapshot;
    uint64_t last_ns;
};

struct delta_since {
    struct shape shape; /* a copy of the base's, to be moved on */
    struct shape_change *changes;
    size_t cap_changes;
    struct shape_edit *edits;
    size_t cap_edits;
    struct buf bitmap; /* of the columns that changed */
    struct buf values; /* what by */
    struct buf text;   /* the one that is made */
    struct buf groups; /* of a tick, one behind the other, */
    size_t *ends;      /* and where each ends */
    size_t cap_ends;
    size_t n_groups;
    bool *seen; /* a row a subsystem: it was in the tick, or the part */
    size_t cap_seen;
};

static int copy_source(struct delta_source *to, const struct delta_source *from)
{
    int r = delta_source_keep(to, buf_span(&from->text));

    if (r == 0)
        r = shape_copy(&to->shape, &from->shape);
    to->has_shape = r == 0;
    return r;
}

static int copy_sources(struct delta_sources *to, const struct delta_sources *from)
{
    struct delta_source *source;
    int r = delta_sources_init(to);

    for (size_t i = to->n; i < from->n && r == 0; i++)
        r = delta_sources_add(to, delta_sources_name(from, i));
    for (size_t i = 0; i < from->n && r == 0; i++) {
        if (!from->at[i] || !from->at[i]->has_shape)
            continue;
        r = delta_sources_get(to, i, &source);
        if (r == 0)
            r = copy_source(source, from->at[i]);
    }
    return r;
}

int delta_base_of_state(const struct delta_state *s, struct delta_base **ret)
{
    if (!s->begun)
        return E_GONE;
    struct delta_base *b = calloc(1, sizeof *b);
    if (!b)
        return -ENOMEM;
    b->snapshot = s->snapshot;
    b->last_ns = s->last_ns;
    int r = copy_sources(&b->sources, &s->sources);
    if (r) {
        delta_base_free(b);
        return r;
    }
    *ret = b;
    return 0;
}

void delta_base_free(struct delta_base *b)
{
    if (!b)
        return;
    delta_sources_done(&b->sources);
    free(b);
}

uint64_t delta_base_snapshot(const struct delta_base *b)
{
    return b->snapshot;
}

size_t delta_base_bytes(const struct delta_base *b)
{
    return sizeof *b + delta_sources_memory(&b->sources);
}

int delta_since_new(struct delta_since **ret)
{
    struct delta_since *w = calloc(1, sizeof *w);

    if (!w)
        return -ENOMEM;
    buf_init(&w->bitmap, DELTA_COLUMNS_MAX);
    buf_init(&w->values, LIMIT_DECODED_BYTES);
    buf_init(&w->text, SIZE_MAX); /* the base's, and a few digits a change */
    buf_init(&w->groups, LIMIT_DECODED_BYTES);
    *ret = w;
    return 0;
}

void delta_since_free(struct delta_since *w)
{
    if (!w)
        return;
    shape_done(&w->shape);
    free(w->changes);
    free(w->edits);
    buf_done(&w->bitmap);
    buf_done(&w->values);
    buf_done(&w->text);
    buf_done(&w->groups);
    free(w->ends);
    free(w->seen);
    free(w);
}

/* Which of its bytes aren't 0, as bits, and those: most columns never change. */
static int write_bitmap(const struct buf *bitmap, struct buf *to)
{
    size_t at = to->len;
    int r = buf_append_zeros(to, (bitmap->len + 7) / 8);

    for (size_t i = 0; i < bitmap->len && r == 0; i++) {
        if (bitmap->data[i] == 0)
            continue;
        to->data[at + i / 8] |= (uint8_t)(1u << i % 8);
        r = buf_append_byte(to, bitmap->data[i]);
    }
    return r;
}

static int write_changes(struct delta_since *w, size_t n, struct buf *to)
{
    buf_reset(&w->bitmap);
    buf_reset(&w->values);
    int r = buf_append_zeros(&w->bitmap, (w->shape.n + 7) / 8);
    for (size_t i = 0; i < n && r == 0; i++) {
        const struct shape_change *c = &w->changes[i];
        w->bitmap.data[c->column / 8] |= (uint8_t)(1u << c->column % 8);
        r = varint_append(zigzag(c->after - c->before) - 1, &w->values);
    }
    if (r == 0)
        r = write_bitmap(&w->bitmap, to);
    return r ? r : buf_append(to, buf_span(&w->values));
}

static int write_raw(struct delta_since *w, size_t number, struct span text)
{
    int r = varint_append(number << 1 | RAW, &w->groups);

    if (r == 0)
        r = varint_append(text.n, &w->groups);
    return r ? r : buf_append(&w->groups, text);
}

/* A measurement as a group. As it is where it tells of a gap, and where it is the second
 * of a subsystem in a tick, which is rare. */
static int write_group(struct delta_since *w, const struct delta_base *base,
                       const struct measurement *m, size_t hint)
{
    size_t number = delta_sources_find(&base->sources, m->subsystem, hint);
    size_t n = 0;

    if (number == base->sources.n)
        return E_CONFLICT;
    const struct delta_source *s = base->sources.at[number];
    bool has_shape = s && s->has_shape;
    if (w->seen[number] ||
        (!has_shape && span_equal(m->subsystem, SPAN(WIRE_SUBSYSTEM_PCC_GAP))))
        return write_raw(w, number, m->text);
    if (!has_shape)
        return E_CONFLICT;
    w->seen[number] = true;
    int r = shape_copy(&w->shape, &s->shape);
    if (r == 0)
        r = delta_reserve(&w->changes, &w->cap_changes, s->shape.n, sizeof *w->changes);
    if (r == 0 && !shape_read(&w->shape, buf_span(&s->text), m->text, w->changes, &n))
        r = E_CONFLICT;
    if (r == 0)
        r = varint_append(number << 1, &w->groups);
    return r ? r : write_changes(w, n, &w->groups);
}

/* No subsystem was seen yet. */
static int begin_seeing(struct delta_since *w, const struct delta_base *base)
{
    int r = delta_reserve(&w->seen, &w->cap_seen, base->sources.n, sizeof *w->seen);

    if (r == 0)
        memset(w->seen, 0, base->sources.n * sizeof *w->seen);
    return r;
}

static int write_groups(struct delta_since *w, const struct delta_base *base,
                        const struct batch *b, size_t first)
{
    int r = delta_reserve(&w->ends, &w->cap_ends, b->n_items - first, sizeof *w->ends);

    if (r == 0)
        r = begin_seeing(w, base);
    buf_reset(&w->groups);
    w->n_groups = 0;
    for (size_t i = first; i < b->n_items && r == 0; i++) {
        const struct measurement m = batch_get(b, i);
        r = write_group(w, base, &m, i - first);
        w->ends[w->n_groups++] = w->groups.len;
    }
    return r;
}

/* How many groups, from @from on, go into a part with so much room; at least one. */
static size_t groups_of_part(const struct delta_since *w, size_t from, size_t room)
{
    size_t begin = from > 0 ? w->ends[from - 1] : 0;
    size_t n = 1;

    while (from + n < w->n_groups && w->ends[from + n] - begin <= room)
        n++;
    return n;
}

/* What each part begins with. @to: room for 3 * VARINT_MAX. Return: the byte behind it.
 */
static uint8_t *write_head(const struct delta_base *base, uint64_t time_ns,
                           uint64_t number, size_t part, size_t n_parts, uint8_t *to)
{
    bool fine = time_ns % SEC || base->last_ns % SEC;
    uint64_t unit = fine ? 1 : SEC;
    uint64_t since = zigzag(time_ns / unit - base->last_ns / unit);

    to = varint_write(number << 1 | (fine ? NANOSECONDS : 0), to);
    *to++ = (uint8_t)(part << 4 | (n_parts - 1));
    return varint_write(since, to);
}

static size_t count_parts(const struct delta_since *w, size_t room)
{
    size_t n = 0;

    for (size_t at = 0; at < w->n_groups; at += groups_of_part(w, at, room))
        n++;
    return n;
}

/* Of a tick that is written in groups. @room: bytes of groups that a part has. */
static int write_parts(const struct delta_since *w, const struct delta_base *base,
                       const struct delta_tick *tick, size_t room, struct buf *to,
                       struct delta_parts *ret)
{
    const uint64_t time_ns = tick->batch->items[tick->first].time_ns;
    const size_t n_parts = count_parts(w, room);
    uint8_t head[3 * VARINT_MAX];
    int r = 0;

    if (n_parts > DELTA_SINCE_PARTS)
        return E_TOO_LARGE;
    ret->n = 0;
    for (size_t at = 0, n; at < w->n_groups && r == 0; at += n) {
        size_t begin = at > 0 ? w->ends[at - 1] : 0;
        uint8_t *end = write_head(base, time_ns, tick->number, ret->n, n_parts, head);

        n = groups_of_part(w, at, room);
        r = buf_append(to, span_of(head, (size_t)(end - head)));
        if (r == 0)
            r = buf_append(to,
                           span_of(w->groups.data + begin, w->ends[at + n - 1] - begin));
        ret->ends[ret->n++] = to->len;
    }
    return r;
}

int delta_since_encode(struct delta_since *w, const struct delta_base *base,
                       const struct delta_tick *tick, struct buf *to,
                       struct delta_parts *ret)
{
    const struct batch *b = tick->batch;
    uint8_t head[3 * VARINT_MAX];
    const size_t before = to->len;

    assert(tick->first < b->n_items && tick->number <= INT64_MAX);
    int r = write_groups(w, base, b, tick->first);
    if (r)
        return r;
    const uint64_t time_ns = b->items[tick->first].time_ns;
    const size_t head_n =
        (size_t)(write_head(base, time_ns, tick->number, 0, 1, head) - head);
    r = write_parts(w, base, tick, tick->most > head_n ? tick->most - head_n : 0, to,
                    ret);
    if (r)
        buf_truncate(to, before);
    return r;
}

/* The next bit that is set, from @at on; @n: there is none. */
static size_t next_bit(const uint8_t *bits, size_t at, size_t n)
{
    while (at < n && !(bits[at / 8] >> at % 8 & 1))
        at++;
    return at;
}

/* Reads the bitmap of columns that write_bitmap() wrote. */
static int read_bitmap(struct delta_since *w, size_t n_columns, struct cursor *c)
{
    size_t n = (n_columns + 7) / 8;

    buf_reset(&w->bitmap);
    int r = buf_append_zeros(&w->bitmap, n);
    if (r)
        return r;
    struct span which = cursor_bytes(c, (n + 7) / 8);
    for (size_t i = 0; which.n > 0 && i < n; i++)
        if (which.data[i / 8] >> i % 8 & 1)
            w->bitmap.data[i] = cursor_u8(c);
    if (c->r == 0 && ((n % 8 && which.data[n / 8] >> n % 8) ||
                      (n_columns % 8 && w->bitmap.data[n - 1] >> n_columns % 8)))
        cursor_fail(c, E_MALFORMED, "bits beyond the end of a bitmap");
    return 0;
}

static int read_edits(struct delta_since *w, size_t n_columns, struct cursor *c,
                      size_t *ret_n)
{
    size_t n = 0;

    int r = delta_reserve(&w->edits, &w->cap_edits, n_columns, sizeof *w->edits);
    if (r == 0)
        r = read_bitmap(w, n_columns, c);
    if (r)
        return r;
    for (size_t i = next_bit(w->bitmap.data, 0, n_columns); i < n_columns && c->r == 0;
         i = next_bit(w->bitmap.data, i + 1, n_columns)) {
        uint64_t z = varint_take(c);
        if (z == UINT64_MAX)
            cursor_fail(c, E_MALFORMED, "a difference that there is not");
        w->edits[n++] = (struct shape_edit){(uint32_t)i, unzigzag(z + 1)};
    }
    *ret_n = n;
    return 0;
}

/* Builds the text of a group, behind what the batch has. */
static int take_text(struct delta_since *w, const struct delta_source *s, bool is_raw,
                     struct cursor *c, struct buf *to)
{
    size_t n = 0;

    if (is_raw) {
        struct span text = cursor_bytes(c, varint_take(c));
        return c->r ? 0 : buf_append(to, text);
    }
    int r = read_edits(w, s->shape.n, c, &n);
    if (r == 0 && c->r == 0)
        r = shape_copy(&w->shape, &s->shape);
    buf_reset(&w->text);
    if (r == 0 && c->r == 0)
        r = buf_reserve(&w->text, shape_step_room(s->text.len, n));
    if (r || c->r)
        return r;
    uint8_t *at = buf_tail(&w->text);
    n = shape_step(&w->shape, buf_span(&s->text), w->edits, n, at);
    return buf_append(to, span_of(at, n));
}

/* A part holds each subsystem with a shape once: else few bytes could make much text. */
static const struct delta_source *source_of(struct delta_since *w,
                                            const struct delta_base *base,
                                            uint64_t number, bool is_raw,
                                            struct cursor *c)
{
    const struct delta_sources *s = &base->sources;

    if (number >= s->n || (!is_raw && (!s->at[number] || !s->at[number]->has_shape))) {
        cursor_fail(c, E_MALFORMED, "a subsystem that the base doesn't have");
        return NULL;
    }
    if (!is_raw && w->seen[number])
        cursor_fail(c, E_MALFORMED, "a subsystem twice");
    w->seen[number] |= !is_raw;
    return s->at[number];
}

static int take_group(struct delta_since *w, const struct delta_base *base,
                      uint64_t time_ns, struct cursor *c, struct batch *to)
{
    uint64_t first = varint_take(c);
    bool is_raw = first & RAW;
    uint64_t number = first >> 1;

    if (c->r)
        return 0;
    const struct delta_source *s = source_of(w, base, number, is_raw, c);
    if (c->r)
        return 0;
    int r = batch_open(to, time_ns, delta_sources_name(&base->sources, number));
    if (r)
        return r;
    r = take_text(w, s, is_raw, c, &to->bytes);
    if (r || c->r) {
        batch_cancel(to);
        return r;
    }
    return batch_close(to);
}

static void read_head(struct cursor *c, const struct delta_base *base,
                      struct delta_since_head *ret, uint64_t *ret_time_ns)
{
    uint64_t number = varint_take(c);
    uint64_t unit = number & NANOSECONDS ? 1 : SEC;
    ret->number = number >> 1;
    uint8_t parts = cursor_u8(c);
    ret->part = parts >> 4;
    ret->n_parts = (parts & 15u) + 1;
    uint64_t time = base->last_ns / unit + unzigzag(varint_take(c));
    if (c->r)
        return;
    if (ret->part >= ret->n_parts)
        cursor_fail(c, E_MALFORMED, "a part that there is not");
    else if (unit == SEC && base->last_ns % SEC)
        cursor_fail(c, E_MALFORMED,
                    "a time in seconds behind one that is no whole second");
    else if (time / (SEC / unit) < LIMIT_TIMESTAMP_MIN ||
             time / (SEC / unit) > LIMIT_TIMESTAMP_MAX)
        cursor_fail(c, E_MALFORMED, "a time outside the years 2000 to 2200");
    else if (cursor_left(c) == 0)
        cursor_fail(c, E_MALFORMED, "a part without measurements");
    *ret_time_ns = time * unit;
}

int delta_since_decode(struct delta_since *w, const struct delta_base *base,
                       struct span in, struct batch *ret,
                       struct delta_since_head *ret_head, struct err_at *reterr_at)
{
    const size_t n_before = ret->n_items;
    uint64_t time_ns = 0;
    struct cursor c;

    cursor_init(&c, in);
    int r = begin_seeing(w, base);
    if (r)
        return r;
    read_head(&c, base, ret_head, &time_ns);
    batch_begin_tick(ret);
    while (r == 0 && c.r == 0 && cursor_left(&c) > 0)
        r = take_group(w, base, time_ns, &c, ret);
    if (r == 0 && c.r == 0)
        return 0;
    batch_truncate(ret, n_before);
    if (reterr_at)
        *reterr_at = c.r ? c.why : ERR_AT_NOWHERE;
    return r ? r : c.r;
}
