/* SPDX-License-Identifier: MIT */
#include "pcd/keys_file.h"

#include "common/hash.h"

#include <assert.h>

#define MAGIC UINT32_C(0x314b4350) /* "PCK1" */

uint8_t *keys_put(uint8_t *at, uint64_t value, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        *at++ = (uint8_t)(value >> 8 * i);
    return at;
}

int keys_record_append(struct buf *b, struct span identifier, uint64_t session,
                       uint64_t last_use_ns, const struct ranges *stored)
{
    size_t n = keys_record_bytes(identifier.n, stored->n);
    int r = buf_reserve(b, n);
    if (r)
        return r;

    assert(identifier.n >= 1 && identifier.n <= LIMIT_IDENTIFIER_BYTES);
    assert(stored->n <= LIMIT_RANGES_PER_SESSION);
    uint8_t *at = buf_tail(b);
    at = keys_put(at, session, 8);
    at = keys_put(at, last_use_ns, 8);
    at = keys_put(at, stored->floor, 8);
    at = keys_put(at, stored->n, 2);
    at = keys_put(at, identifier.n, 1);
    memcpy(at, identifier.data, identifier.n);
    at += identifier.n;
    for (size_t i = 0; i < stored->n; i++) {
        at = keys_put(at, stored->items[i].first, 8);
        at = keys_put(at, stored->items[i].last, 8);
    }
    assert(at == buf_tail(b) + n);
    buf_commit(b, n);
    return 0;
}

/* Do the ranges stand in order, each behind a gap? */
static bool are_in_order(struct span ranges, uint64_t floor)
{
    struct cursor c;
    uint64_t taken = floor; /* the next range begins above this */

    cursor_init(&c, ranges);
    while (cursor_left(&c) > 0) {
        uint64_t first = cursor_le(&c, 8);
        uint64_t last = cursor_le(&c, 8);
        if (first <= taken || last < first || last > RANGES_SEQ_MAX)
            return false;
        taken = last + 1;
    }
    return true;
}

int keys_record_read(struct cursor *c, struct keys_record *ret)
{
    const uint8_t *start = c->at;
    struct keys_record rec;

    rec.session = cursor_le(c, 8);
    rec.last_use_ns = cursor_le(c, 8);
    rec.floor = cursor_le(c, 8);
    uint64_t n_ranges = cursor_le(c, 2);
    rec.identifier = cursor_bytes(c, cursor_u8(c));
    rec.ranges = cursor_bytes(c, n_ranges * KEYS_RANGE_BYTES);
    if (c->r)
        return c->r;
    if (rec.identifier.n < 1 || rec.identifier.n > LIMIT_IDENTIFIER_BYTES ||
        n_ranges > LIMIT_RANGES_PER_SESSION || rec.floor < 1 ||
        rec.floor > RANGES_SEQ_MAX + 1 || !are_in_order(rec.ranges, rec.floor))
        return E_MALFORMED;
    rec.bytes = span_of(start, (size_t)(c->at - start));
    *ret = rec;
    return 0;
}

int keys_record_ranges(const struct keys_record *record, struct ranges *ret)
{
    struct ranges stored;
    struct cursor c;

    ranges_init(&stored);
    int r = ranges_reserve(&stored, record->ranges.n / KEYS_RANGE_BYTES);
    if (r)
        return r;
    cursor_init(&c, record->ranges);
    stored.floor = record->floor;
    while (cursor_left(&c) > 0) {
        struct range *item = &stored.items[stored.n++];
        item->first = cursor_le(&c, 8);
        item->last = cursor_le(&c, 8);
    }
    *ret = stored;
    return 0;
}

void keys_header_write(const struct keys_header *h, uint8_t ret[KEYS_HEADER_BYTES])
{
    uint8_t *at = ret + 4;

    at = keys_put(at, MAGIC, 4);
    at = keys_put(at, h->at.number, 8);
    at = keys_put(at, h->at.offset, 8);
    at = keys_put(at, h->sorted, 8);
    at = keys_put(at, h->k0, 8);
    at = keys_put(at, h->k1, 8);
    at = keys_put(at, h->newest_ns, 8);
    at = keys_put(at, h->n_sessions, 8);
    at = keys_put(at, h->records_crc, 4);
    assert(at == ret + KEYS_HEADER_BYTES);
    (void)keys_put(ret, hash_crc32c(0, span_of(ret + 4, KEYS_HEADER_BYTES - 4)), 4);
}

int keys_header_read(struct span file, struct keys_header *ret, struct span *ret_records)
{
    struct keys_header h;
    struct cursor c;

    cursor_init(&c, file);
    uint64_t crc = cursor_le(&c, 4);
    uint64_t magic = cursor_le(&c, 4);
    h.at.number = cursor_le(&c, 8);
    h.at.offset = cursor_le(&c, 8);
    h.sorted = cursor_le(&c, 8);
    h.k0 = cursor_le(&c, 8);
    h.k1 = cursor_le(&c, 8);
    h.newest_ns = cursor_le(&c, 8);
    h.n_sessions = cursor_le(&c, 8);
    h.records_crc = (uint32_t)cursor_le(&c, 4);
    if (c.r || magic != MAGIC ||
        crc != hash_crc32c(0, span_of(file.data + 4, KEYS_HEADER_BYTES - 4)))
        return E_MALFORMED;

    struct span records = span_from(file, KEYS_HEADER_BYTES);
    if (h.records_crc != hash_crc32c(0, records))
        return E_MALFORMED;
    *ret = h;
    *ret_records = records;
    return 0;
}
