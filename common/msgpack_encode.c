/* SPDX-License-Identifier: MIT */
#include "common/msgpack_encode.h"

#include "common/msgpack_pack.h"
#include "common/units.h"
#include "common/utf8.h"
#include "proto/wire.h"

#define REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */

static void pack_text(struct packing *p, struct span s)
{
    if (!packing_fits(p, s.n))
        return;
    if (utf8_valid(s))
        packing_str(p, s);
    else
        msgpack_pack_bin_with_body(&p->packer, s.data, s.n);
}

/* Seconds take nine bytes whatever their value, as the Go library writes an int64. */
static void pack_seconds(struct packing *p, const char *name, int64_t seconds)
{
    packing_key(p, name);
    msgpack_pack_fix_int64(&p->packer, seconds);
}

static void pack_measurement(struct packing *p, const struct measurement *m)
{
    uint32_t ns = (uint32_t)(m->time_ns % SEC);

    msgpack_pack_map(&p->packer, ns ? 4 : 3);
    pack_seconds(p, WIRE_GO_TIMESTAMP, (int64_t)(m->time_ns / SEC));
    if (ns) {
        packing_key(p, WIRE_GO_NANOSECONDS);
        msgpack_pack_uint32(&p->packer, ns); /* the smallest form that holds it */
    }
    packing_key(p, WIRE_GO_SUBSYSTEM);
    packing_str(p, m->subsystem);
    packing_key(p, WIRE_GO_MEASUREMENT);
    pack_text(p, m->text);
}

int msgpack_encode_request(const struct batch *b, struct buf *to)
{
    struct packing p;

    packing_begin(&p, to);
    msgpack_pack_map(&p.packer, 2);
    packing_key(&p, WIRE_MSGPACK_IDENTIFIER);
    packing_str(&p, batch_identifier(b));
    packing_key(&p, WIRE_MSGPACK_MEASUREMENTS);
    if (packing_fits(&p, b->n_items))
        msgpack_pack_array(&p.packer, b->n_items);
    for (size_t i = 0; i < b->n_items && p.r == 0; i++) {
        struct measurement m = batch_get(b, i);
        pack_measurement(&p, &m);
    }
    return packing_end(&p);
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

    if (packing_fits(p, size))
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

    packing_begin(&p, to);
    msgpack_pack_map(&p.packer, 1);
    packing_key(&p, WIRE_MSGPACK_ERROR);
    if (said)
        pack_mended(&p, span_of_str(said));
    else
        msgpack_pack_nil(&p.packer);
    return packing_end(&p);
}

int msgpack_encode_ping(const struct ping *ping, struct buf *to)
{
    struct packing p;

    packing_begin(&p, to);
    msgpack_pack_map(&p.packer, 1);
    pack_seconds(&p, WIRE_TIMESTAMP, ping->timestamp);
    return packing_end(&p);
}

int msgpack_encode_pong(const struct pong *pong, struct buf *to)
{
    struct packing p;

    packing_begin(&p, to);
    msgpack_pack_map(&p.packer, 2);
    pack_seconds(&p, WIRE_ORIGIN_TIMESTAMP, pong->origin_timestamp);
    pack_seconds(&p, WIRE_TIMESTAMP, pong->timestamp);
    return packing_end(&p);
}
