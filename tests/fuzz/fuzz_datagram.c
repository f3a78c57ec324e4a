/* SPDX-License-Identifier: MIT */
#include "common/datagram.h"
#include "common/delta_since.h"
#include "common/units.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/texts.h"
#include "tests/lib/same.h"

/*
 * input = kind:u8 ...
 * kind even: a datagram as it comes from the net, and what is behind it is a content that
 *            somebody with a key has sealed, on a base of a few made-up texts
 * kind odd:  base = n:u8 measurement*   tick* = n:u8 most:u8 measurement* damage*
 *            measurement = what:u8, the bytes that it needs (texts.h)
 *            damage = count:u8 (at:u16le byte:u8)*
 *
 * What a tick changes since the base must come out as it went in, or be said not to fit.
 */

#define MEASUREMENTS_MAX 8u
#define TICKS_MAX 8u

struct ends {
    struct delta_encoder *encoder;
    struct delta_since *since;
    struct delta_base *base;
    struct batch in;
    struct batch out;
    struct buf body;
    struct texts texts;
};

static void ends_init(struct ends *e)
{
    const struct delta_encoder_conf conf = {0};

    FUZZ_CHECK(datagram_start() == 0);
    FUZZ_CHECK(delta_encoder_new(&conf, &e->encoder) == 0);
    FUZZ_CHECK(delta_since_new(&e->since) == 0);
    batch_init(&e->in, &fuzz_limits);
    batch_init(&e->out, &fuzz_limits);
    buf_init(&e->body, FUZZ_BODY_MAX);
    texts_init(&e->texts);
}

static void ends_done(struct ends *e)
{
    delta_base_free(e->base);
    delta_since_free(e->since);
    delta_encoder_free(e->encoder);
    batch_done(&e->in);
    batch_done(&e->out);
    buf_done(&e->body);
    texts_done(&e->texts);
}

/* A tick of made-up texts; at least one. */
static void make_tick(struct ends *e, uint64_t time_ns, struct fuzz_input *from)
{
    size_t n = 1 + fuzz_byte(from) % MEASUREMENTS_MAX;

    batch_reset(&e->in);
    FUZZ_CHECK(batch_set_identifier(&e->in, SPAN("host")) == 0);
    for (size_t i = 0; i < n; i++) {
        struct measurement m = texts_next(&e->texts, fuzz_byte(from) & 31u, from);
        m.time_ns = time_ns;
        int r = batch_append(&e->in, &m);
        FUZZ_CHECK(r == 0 || r == E_TOO_LARGE);
    }
    if (e->in.n_items == 0) {
        const struct measurement m = {time_ns, SPAN("s"), SPAN("1")};
        FUZZ_CHECK(batch_append(&e->in, &m) == 0);
    }
}

static void make_base(struct ends *e, struct fuzz_input *from)
{
    struct delta_place place;

    make_tick(e, LIMIT_TIMESTAMP_MIN * SEC, from);
    FUZZ_CHECK(delta_encode_chained(e->encoder, &e->in, 0, &e->body, &place) == 0);
    FUZZ_CHECK(delta_base_of_encoder(e->encoder, &e->base) == 0);
}

static int receive(struct ends *e, struct span part)
{
    CLEANUP(fuzz_drop) struct span exact = fuzz_exact(part);
    const size_t before = e->out.n_items;
    struct delta_since_head head;

    int r = delta_since_decode(e->since, e->base, exact, &e->out, &head, NULL);
    FUZZ_CHECK(r >= 0);
    FUZZ_CHECK(r == 0 ? e->out.n_items > before && head.part < head.n_parts
                      : e->out.n_items == before);
    return r;
}

static void check_tick(struct ends *e, uint64_t number, struct fuzz_input *from)
{
    struct delta_parts parts;
    size_t at = 0;

    make_tick(e, LIMIT_TIMESTAMP_MIN * SEC + number * (SEC / 2), from);
    size_t most = 4u * fuzz_byte(from);
    buf_reset(&e->body);
    int r = delta_since_encode(e->since, e->base,
                               &(struct delta_tick){&e->in, 0, number, most}, &e->body,
                               &parts);
    FUZZ_CHECK(r == 0 || r == E_CONFLICT || r == E_TOO_LARGE);
    if (r)
        return;
    batch_reset(&e->out);
    FUZZ_CHECK(batch_set_identifier(&e->out, SPAN("host")) == 0);
    for (size_t i = 0; i < parts.n; at = parts.ends[i++])
        FUZZ_CHECK(receive(e, span_of(e->body.data + at, parts.ends[i] - at)) == 0);
    FUZZ_CHECK(same_batch(&e->in, &e->out));
    for (size_t n = fuzz_byte(from) % 8; n > 0; n--)
        e->body.data[fuzz_number(from, 2) % e->body.len] ^= fuzz_byte(from);
    int damaged = receive(e, span_of(e->body.data, parts.ends[0]));
    (void)damaged; /* anything, but nothing bad */
}

static void open_any(struct ends *e, struct span in)
{
    CLEANUP(fuzz_drop) struct span exact = fuzz_exact(in);
    struct datagram_key key = {{0}};
    struct datagram d;

    int r = datagram_parse(exact, &d);
    FUZZ_CHECK(r == 0 || r == E_TRUNCATED || r == E_MALFORMED || r == E_UNSUPPORTED);
    if (r)
        return;
    FUZZ_CHECK(datagram_overhead(&d.head) <= d.clear.n + DATAGRAM_TAG_BYTES);
    buf_reset(&e->body);
    FUZZ_CHECK(datagram_open(&key, &d, &e->body) == E_DENIED && e->body.len == 0);
    int opened = receive(e, d.sealed);
    (void)opened; /* likewise */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const uint8_t texts[] = {2,   0, 5, '1', ' ', '2', ' ',
                                    '3', 1, 3, 'a', '9', 'b'};
    struct fuzz_input in = {span_of(data, n)};
    struct fuzz_input known = {span_of(texts, sizeof texts)};
    CLEANUP(ends_done) struct ends e = {0};

    ends_init(&e);
    if (fuzz_byte(&in) % 2 == 0) {
        make_base(&e, &known);
        open_any(&e, in.left);
        return 0;
    }
    make_base(&e, &in);
    for (uint64_t i = 0; i < TICKS_MAX && in.left.n > 0; i++)
        check_tick(&e, i, &in);
    return 0;
}
