/* SPDX-License-Identifier: MIT */
#include "pcc/spool_file.h"

#include "common/cursor.h"
#include "common/hash.h"
#include "common/le.h"

#include <assert.h>

#define FIXED_BYTES 24u
#define PART_BYTES 72u
#define GAP_BYTES 40u
#define FLAG_HALF 1u

static_assert(MEDIA_JSON == 0 && MEDIA_MSGPACK == 1 && MEDIA_DELTA == 2 &&
                  CODING_IDENTITY == 0 && CODING_GZIP == 1,
              "files have these numbers");
static_assert(GAP_MISSED == 0 && GAP_UNENCODED == 6 && GAP_UNDATED == 7 && GAP_HELD == 12,
              "and these");
static_assert(FIXED_BYTES + SPOOL_PARTS_MAX * (PART_BYTES + GAP_IDS * GAP_BYTES) +
                      LIMIT_IDENTIFIER_BYTES <=
                  SPOOL_HEADER_MAX,
              "the largest header");

static size_t count_gaps(const struct gap_set *set)
{
    size_t n = 0;

    for (size_t id = 0; id < GAP_IDS; id++)
        n += !gap_note_is_empty(&set->notes[id]);
    return n;
}

static size_t header_bytes(const struct spool_file *f)
{
    size_t n = FIXED_BYTES + f->identifier.n;

    for (size_t i = 0; i < f->n_parts; i++)
        n += PART_BYTES + GAP_BYTES * count_gaps(&f->parts[i].label.carried);
    return n;
}

/* Room for all was reserved. */
static void put(struct buf *to, uint64_t value, unsigned n)
{
    (void)le_write(value, n, buf_tail(to));
    buf_commit(to, n);
}

static void put_note(struct buf *to, const struct gap_note *note)
{
    put(to, note->from_ns, 8);
    put(to, note->to_ns, 8);
    put(to, note->ticks, 8);
    put(to, note->measurements, 8);
}

static void put_part(struct buf *to, const struct spool_part *part)
{
    const struct label *label = &part->label;

    put(to, label->session, 8);
    put(to, label->seq, 8);
    put(to, label->first_tick, 8);
    put_note(to, &label->range);
    put(to, label->form.media, 1);
    put(to, label->form.coding, 1);
    put(to, label->is_half ? FLAG_HALF : 0, 1);
    put(to, count_gaps(&label->carried), 1);
    put(to, hash_crc32c(0, part->body) ^ (part->damaged ? 1 : 0), 4);
    put(to, part->body.n, 8);
    for (uint64_t id = 0; id < GAP_IDS; id++) {
        if (gap_note_is_empty(&label->carried.notes[id]))
            continue;
        put(to, id, 8);
        put_note(to, &label->carried.notes[id]);
    }
}

static void put_bytes(struct buf *to, struct span bytes)
{
    int r = buf_append(to, bytes);

    assert(r == 0); /* there is room */
    (void)r;
}

int spool_file_write(const struct spool_file *f, struct buf *to)
{
    const size_t at = to->len;
    const size_t header = header_bytes(f);
    size_t bytes = header;

    assert(f->n_parts >= 1 && f->n_parts <= SPOOL_PARTS_MAX);
    for (size_t i = 0; i < f->n_parts; i++)
        bytes += f->parts[i].body.n;
    int r = buf_reserve(to, bytes);
    if (r)
        return r;
    put(to, 0, 4);
    put(to, SPOOL_MAGIC, 4);
    put(to, header, 4);
    put(to, f->n_parts, 2);
    put(to, f->identifier.n, 2);
    put(to, bytes, 8);
    for (size_t i = 0; i < f->n_parts; i++)
        put_part(to, &f->parts[i]);
    put_bytes(to, f->identifier);
    uint32_t crc = hash_crc32c(0, span_of(to->data + at + 4, header - 4));
    (void)le_write(crc, 4, to->data + at);
    for (size_t i = 0; i < f->n_parts; i++)
        put_bytes(to, f->parts[i].body);
    return 0;
}

static struct gap_note get_note(struct cursor *c)
{
    struct gap_note note;

    note.from_ns = cursor_le(c, 8);
    note.to_ns = cursor_le(c, 8);
    note.ticks = cursor_le(c, 8);
    note.measurements = cursor_le(c, 8);
    return note;
}

/* A kind of gap that a later version made is left out: it stands in the body. */
static void get_gaps(struct cursor *c, unsigned n, struct gap_set *ret)
{
    for (unsigned i = 0; i < n && c->r == 0; i++) {
        uint64_t id = cursor_le(c, 8);
        struct gap_note note = get_note(c);
        if (id < GAP_IDS)
            gaps_add(ret, (enum gap_id)id, &note);
    }
}

/* What a part's header says of its body. */
struct claim {
    uint32_t crc;
    uint64_t n;
};

static struct claim get_part(struct cursor *c, struct spool_part *ret)
{
    struct label *label = &ret->label;

    *ret = (struct spool_part){.damaged = false};
    label->session = cursor_le(c, 8);
    label->seq = cursor_le(c, 8);
    label->first_tick = cursor_le(c, 8);
    label->range = get_note(c);
    uint8_t media = cursor_u8(c);
    uint8_t coding = cursor_u8(c);
    label->is_half = cursor_u8(c) & FLAG_HALF;
    uint8_t gaps = cursor_u8(c);
    struct claim claim = {.crc = (uint32_t)cursor_le(c, 4)};
    claim.n = cursor_le(c, 8);
    if (media >= MEDIA_FORMS || coding > CODING_GZIP)
        cursor_fail(c, E_MALFORMED, "an unknown form");
    label->form = (struct form){(enum media_form)media, (enum coding)coding};
    if (label->seq == 0 || label->seq > INT64_MAX || label->range.measurements == 0)
        cursor_fail(c, E_MALFORMED, "a label that no batch has");
    get_gaps(c, gaps, &label->carried);
    return claim;
}

static struct span header_of(struct cursor *c, struct span start)
{
    uint64_t crc = cursor_le(c, 4);
    uint64_t magic = cursor_le(c, 4);
    uint64_t header = cursor_le(c, 4);

    if (c->r == 0 && magic != SPOOL_MAGIC)
        cursor_fail(c, E_MALFORMED, "not a file of a spool, or of another version");
    if (c->r == 0 && (header < FIXED_BYTES || header > SPOOL_HEADER_MAX))
        cursor_fail(c, E_MALFORMED, "the header's length can't be right");
    if (c->r == 0 && header > start.n)
        cursor_fail(c, E_TRUNCATED, "the header is cut short");
    if (c->r)
        return (struct span){NULL, 0};
    struct span whole = span_of(start.data, (size_t)header);
    if (hash_crc32c(0, span_from(whole, 4)) != crc)
        cursor_fail(c, E_MALFORMED, "the header's checksum differs");
    return whole;
}

static int read_header(struct span start, struct spool_file *ret, struct claim *claims,
                       struct err_at *why, size_t *ret_header)
{
    struct cursor c;

    cursor_init(&c, start);
    struct span header = header_of(&c, start);
    if (c.r == 0) {
        cursor_init(&c, header);
        (void)cursor_bytes(&c, 12);
    }
    uint64_t n_parts = cursor_le(&c, 2);
    uint64_t identifier_n = cursor_le(&c, 2);
    ret->bytes = cursor_le(&c, 8);
    if (c.r == 0 && (n_parts == 0 || n_parts > SPOOL_PARTS_MAX))
        cursor_fail(&c, E_MALFORMED, "a number of parts that no file has");
    ret->n_parts = 0;
    for (size_t i = 0; i < n_parts && c.r == 0; i++) {
        claims[i] = get_part(&c, &ret->parts[i]);
        ret->n_parts++;
    }
    ret->identifier = cursor_bytes(&c, identifier_n);
    if (c.r == 0 && (cursor_left(&c) > 0 || identifier_check(ret->identifier)))
        cursor_fail(&c, E_MALFORMED, "the identifier can't be right");
    if (c.r) {
        *why = c.why;
        ret->n_parts = 0;
    }
    *ret_header = header.n;
    return c.r;
}

int spool_file_read_header(struct span start, struct spool_file *ret, struct err_at *why)
{
    struct claim claims[SPOOL_PARTS_MAX] = {{0}};
    size_t header;

    return read_header(start, ret, claims, why, &header);
}

int spool_file_read(struct span bytes, struct spool_file *ret, struct err_at *why)
{
    struct claim claims[SPOOL_PARTS_MAX] = {{0}};
    struct cursor c;
    size_t header;
    int r = read_header(bytes, ret, claims, why, &header);

    if (r)
        return r;
    cursor_init(&c, bytes);
    (void)cursor_bytes(&c, header);
    for (size_t i = 0; i < ret->n_parts; i++) {
        struct span body = cursor_bytes(&c, claims[i].n);
        struct spool_part *part = &ret->parts[i];
        part->damaged = c.r || hash_crc32c(0, body) != claims[i].crc;
        if (c.r)
            continue;
        part->body = body;
        if (part->damaged && r == 0) {
            *why = (struct err_at){.what = "a body's checksum differs",
                                   .offset = cursor_offset(&c) - body.n,
                                   .item = ERR_AT_UNKNOWN};
            r = E_MALFORMED;
        }
    }
    if (c.r == 0 && (cursor_left(&c) > 0 || ret->bytes != bytes.n))
        cursor_fail(&c, E_MALFORMED, "the file's length isn't what its header says");
    if (c.r && r == 0) {
        *why = c.why;
        r = c.r;
    }
    return r;
}
