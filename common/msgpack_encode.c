/* SPDX-License-Identifier: MIT */
#include "common/msgpack_encode.h"

#include "common/units.h"
#include "common/utf8.h"
#include "proto/wire.h"

#include <msgpack.h>

#define REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */

/*
 * Packing into a buffer. The first failure sticks in r and what comes after it is
 * dropped, so the results of the msgpack_pack_ functions need no look.
 */
struct packing {
    msgpack_packer packer;
    struct buf *to;
    size_t len_before;
    int r;
};

static int append(void *packing, const char *bytes, size_t n)
{
    struct packing *p = packing;

    if (p->r == 0)
        p->r = buf_append(p->to, span_of(bytes, n));
    return p->r;
}

static void begin(struct packing *p, struct buf *to)
{
    *p = (struct packing){.to = to, .len_before = to->len};
    msgpack_packer_init(&p->packer, p, append);
}

static int end(struct packing *p)
{
    if (p->r)
        buf_truncate(p->to, p->len_before);
    return p->r;
}

/* Is a count or a length one that MessagePack can write? It fails for good if not. */
static bool fits(struct packing *p, size_t n)
{
    if (n > UINT32_MAX && p->r == 0)
        p->r = E_TOO_LARGE;
    return p->r == 0;
}

static void pack_str(struct packing *p, struct span s)
{
    if (fits(p, s.n))
        msgpack_pack_str_with_body(&p->packer, s.data, s.n);
}

static void pack_key(struct packing *p, const char *name)
{
    pack_str(p, span_of_str(name));
}

static void pack_text(struct packing *p, struct span s)
{
    if (!fits(p, s.n))
        return;
    if (utf8_valid(s))
        pack_str(p, s);
    else
        msgpack_pack_bin_with_body(&p->packer, s.data, s.n);
}

/* Seconds take nine bytes whatever their value, as the Go library writes an int64. */
static void pack_seconds(struct packing *p, const char *name, int64_t seconds)
{
    pack_key(p, name);
    msgpack_pack_fix_int64(&p->packer, seconds);
}

static void pack_measurement(struct packing *p, const struct measurement *m)
{
    uint32_t ns = (uint32_t)(m->time_ns % SEC);

    msgpack_pack_map(&p->packer, ns ? 4 : 3);
    pack_seconds(p, WIRE_GO_TIMESTAMP, (int64_t)(m->time_ns / SEC));
    if (ns) {
        pack_key(p, WIRE_GO_NANOSECONDS);
        msgpack_pack_uint32(&p->packer, ns); /* the smallest form that holds it */
    }
    pack_key(p, WIRE_GO_SUBSYSTEM);
    pack_str(p, m->subsystem);
    pack_key(p, WIRE_GO_MEASUREMENT);
    pack_text(p, m->text);
}

int msgpack_encode_request(const struct batch *b, struct buf *to)
{
    struct packing p;

    begin(&p, to);
    msgpack_pack_map(&p.packer, 2);
    pack_key(&p, WIRE_MSGPACK_IDENTIFIER);
    pack_str(&p, batch_identifier(b));
    pack_key(&p, WIRE_MSGPACK_MEASUREMENTS);
    if (fits(&p, b->n_items))
        msgpack_pack_array(&p.packer, b->n_items);
    for (size_t i = 0; i < b->n_items && p.r == 0; i++) {
        struct measurement m = batch_get(b, i);
        pack_measurement(&p, &m);
    }
    return end(&p);
}

/* Bytes of a text once each byte of it that is not UTF-8 is U+FFFD. */
static size_t mended_size(struct span s)
{
    size_t size = 0;

    for (;;) {
        size_t valid = utf8_valid_prefix(s);
        size += valid;
        if (valid == s.n)
            return size;
        size += strlen(REPLACEMENT);
        s = span_from(s, valid + 1);
    }
}

static void pack_mended(struct packing *p, struct span s)
{
    size_t size = mended_size(s);

    if (fits(p, size))
        msgpack_pack_str(&p->packer, size);
    for (;;) {
        size_t valid = utf8_valid_prefix(s);
        msgpack_pack_str_body(&p->packer, s.data, valid);
        if (valid == s.n)
            return;
        msgpack_pack_str_body(&p->packer, REPLACEMENT, strlen(REPLACEMENT));
        s = span_from(s, valid + 1);
    }
}

int msgpack_encode_answer(const char *said, struct buf *to)
{
    struct packing p;

    begin(&p, to);
    msgpack_pack_map(&p.packer, 1);
    pack_key(&p, WIRE_MSGPACK_ERROR);
    if (said)
        pack_mended(&p, span_of_str(said));
    else
        msgpack_pack_nil(&p.packer);
    return end(&p);
}

int msgpack_encode_ping(const struct ping *ping, struct buf *to)
{
    struct packing p;

    begin(&p, to);
    msgpack_pack_map(&p.packer, 1);
    pack_seconds(&p, WIRE_TIMESTAMP, ping->timestamp);
    return end(&p);
}

int msgpack_encode_pong(const struct pong *pong, struct buf *to)
{
    struct packing p;

    begin(&p, to);
    msgpack_pack_map(&p.packer, 2);
    pack_seconds(&p, WIRE_ORIGIN_TIMESTAMP, pong->origin_timestamp);
    pack_seconds(&p, WIRE_TIMESTAMP, pong->timestamp);
    return end(&p);
}
