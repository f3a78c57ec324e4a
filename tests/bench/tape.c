/* SPDX-License-Identifier: MIT */
#include "tests/bench/tape.h"

#include "common/delta.h"
#include "common/units.h"
#include "tests/bench/collection.h"
#include "tests/bench/widen.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <time.h>

#define ZLIB_CONST
#include <zlib.h>

#define LEVEL_DELTA 6 /* of gzip, the agent's defaults */
#define LEVEL_OTHER 1
#define RAW_DEFLATE (-15)
#define MEM_LEVEL 8
#define TAPE_BYTES (16 * GIB)
#define GZIP_HEADER "\x1f\x8b\x08\0\0\0\0\0\0\xff"
#define GZIP_HEADER_BYTES 10u
#define STORED_HEADER_BYTES 5u /* of a deflate block that isn't the last */

/* What makes a tape, and goes when it is made. */
struct maker {
    struct tape *tape;
    struct batch from;  /* the collection */
    size_t *ticks;      /* where each of its ticks begins, and the end */
    size_t n_ticks;     /* without the end */
    struct batch batch; /* the one that is being encoded */
    struct buf body;
    struct delta_encoder *encoder;
    z_stream z;
    bool has_z;
    uint8_t identifier[LIMIT_IDENTIFIER_BYTES];
};

static bool is_delta(const struct tape *t)
{
    return t->conf.codec == &delta_codec;
}

/* Fills the batch with the ticks from @tick on, counted from the first place. */
static int fill(struct maker *m, uint64_t tick)
{
    const struct tape_conf *conf = &m->tape->conf;
    struct span identifier = span_of(m->identifier, conf->identifier_n);

    batch_reset(&m->batch);
    int r = batch_set_identifier(&m->batch, identifier);
    for (size_t i = 0; r == 0 && i < conf->n_ticks; i++, tick++) {
        size_t at = m->ticks[tick % m->n_ticks], end = m->ticks[tick % m->n_ticks + 1];
        size_t first = m->batch.n_items;

        r = batch_append_range(&m->batch, &m->from, at, end - at);
        for (size_t n = first; r == 0 && n < m->batch.n_items; n++)
            batch_set_time(&m->batch, n, conf->time_ns + tick * SEC);
    }
    return r;
}

static int encode(struct maker *m, uint64_t first_tick)
{
    struct delta_place place;

    buf_reset(&m->body);
    if (is_delta(m->tape))
        return delta_encode_chained(m->encoder, &m->batch, first_tick, &m->body, &place);
    return m->tape->conf.codec->encode_request(&m->batch, &m->body);
}

/* Appends the tail as the last blocks of a gzip member. */
static int deflate_tail(struct maker *m, struct span tail)
{
    struct buf *to = &m->tape->bytes;
    int r = buf_reserve(to, deflateBound(&m->z, tail.n));

    if (r)
        return r;
    if (deflateReset(&m->z) != Z_OK)
        return -EINVAL;
    m->z.next_in = tail.data;
    m->z.avail_in = (uInt)tail.n;
    m->z.next_out = buf_tail(to);
    m->z.avail_out =
        (uInt)(to->cap - to->len < UINT32_MAX ? to->cap - to->len : UINT32_MAX);
    if (deflate(&m->z, Z_FINISH) != Z_STREAM_END)
        return -EINVAL;
    buf_commit(to, (size_t)(m->z.next_out - buf_tail(to)));
    return 0;
}

/* Takes the body that was encoded onto the tape. */
static int keep(struct maker *m)
{
    struct tape *t = m->tape;
    struct tape_body *body = &t->bodies[t->n_bodies];
    size_t id_n = t->conf.identifier_n;
    const uint8_t *found = memmem(m->body.data, m->body.len, m->identifier, id_n);

    if (!found)
        return E_MALFORMED;
    *body = (struct tape_body){.at = t->bytes.len,
                               .identifier_at = (size_t)(found - m->body.data),
                               .plain_n = m->body.len,
                               .n_measurements = m->batch.n_items};
    body->head_n = body->identifier_at + id_n;
    struct span tail = span_from(buf_span(&m->body), body->head_n);

    int r = buf_append(&t->bytes, span_of(m->body.data, body->head_n));
    size_t at = t->bytes.len;
    if (r == 0)
        r = m->has_z ? deflate_tail(m, tail) : buf_append(&t->bytes, tail);
    if (r)
        return r;
    body->tail_n = t->bytes.len - at;
    body->tail_crc = (uint32_t)crc32(0, tail.data, (uInt)tail.n);
    t->plain_bytes += body->plain_n;
    t->sent_bytes += tape_sent_n(t, body);
    t->n_bodies++;
    return 0;
}

static size_t start_of(const struct tape *t, size_t place)
{
    return place * t->conf.n_batches / t->conf.n_places;
}

static uint64_t cpu_ns(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * SEC + (uint64_t)t.tv_nsec;
}

/* One row of bodies: all there is, or the chain of one place. */
static int make_row(struct maker *m, size_t place)
{
    const struct tape_conf *conf = &m->tape->conf;
    int r = 0;

    if (m->encoder)
        delta_encoder_forget(m->encoder);
    for (size_t i = 0; r == 0 && i < conf->n_batches; i++) {
        r = fill(m, (start_of(m->tape, place) + i) * conf->n_ticks);
        uint64_t begin_ns = cpu_ns();
        if (r == 0)
            r = encode(m, i * conf->n_ticks);
        if (r == 0)
            r = keep(m);
        m->tape->making_ns += cpu_ns() - begin_ns;
    }
    return r;
}

static int find_ticks(struct maker *m)
{
    m->ticks = calloc(m->from.n_items + 1, sizeof(*m->ticks));
    if (!m->ticks)
        return -ENOMEM;
    for (size_t i = 0; i < m->from.n_items; i++)
        if (m->from.items[i].starts_tick)
            m->ticks[m->n_ticks++] = i;
    m->ticks[m->n_ticks] = m->from.n_items;
    return m->n_ticks ? 0 : E_GONE;
}

static int read_all(struct maker *m)
{
    const struct tape_conf *conf = &m->tape->conf;
    CLEANUP(batch_done) struct batch recorded;

    if (conf->cpus == 0) {
        int r = collection_read(conf->collection, &m->from);
        return r ? r : find_ticks(m);
    }
    collection_init(&recorded);
    int r = collection_read(conf->collection, &recorded);
    if (r == 0)
        r = widen(&recorded, conf->cpus, &m->from);
    return r ? r : find_ticks(m);
}

static int maker_init(struct maker *m, struct tape *t)
{
    *m = (struct maker){.tape = t};
    memset(m->identifier, '#', sizeof(m->identifier));
    collection_init(&m->from);
    collection_init(&m->batch);
    buf_init(&m->body, LIMIT_DECODED_BYTES);
    int r = 0;
    if (is_delta(t))
        r = delta_encoder_new(&(struct delta_encoder_conf){0}, &m->encoder);
    if (r == 0 && t->conf.gzip) {
        if (deflateInit2(&m->z, is_delta(t) ? LEVEL_DELTA : LEVEL_OTHER, Z_DEFLATED,
                         RAW_DEFLATE, MEM_LEVEL, Z_DEFAULT_STRATEGY) != Z_OK)
            return -ENOMEM;
        m->has_z = true;
    }
    return r ? r : read_all(m);
}

static void maker_done(struct maker *m)
{
    free(m->ticks);
    batch_done(&m->from);
    batch_done(&m->batch);
    buf_done(&m->body);
    delta_encoder_free(m->encoder);
    if (m->has_z)
        (void)deflateEnd(&m->z);
}

int tape_init(struct tape *t, const struct tape_conf *conf)
{
    struct maker m;

    *t = (struct tape){.conf = *conf};
    buf_init(&t->bytes, TAPE_BYTES);
    size_t rows = is_delta(t) ? conf->n_places : 1;
    t->bodies = calloc(rows * conf->n_batches, sizeof(*t->bodies));
    if (!t->bodies)
        return -ENOMEM;
    int r = maker_init(&m, t);
    for (size_t row = 0; r == 0 && row < rows; row++)
        r = make_row(&m, row);
    maker_done(&m);
    if (r)
        tape_done(t);
    return r;
}

void tape_done(struct tape *t)
{
    buf_done(&t->bytes);
    free(t->bodies);
    t->bodies = NULL;
}

const struct tape_body *tape_body(const struct tape *t, size_t place, uint64_t number)
{
    size_t n = t->conf.n_batches;

    if (is_delta(t))
        return &t->bodies[place * n + number % n];
    return &t->bodies[(start_of(t, place) + number) % n];
}

bool tape_is_chained(const struct tape *t, uint64_t number)
{
    return is_delta(t) && number % t->conf.n_batches != 0;
}

size_t tape_sent_n(const struct tape *t, const struct tape_body *body)
{
    size_t frame = GZIP_HEADER_BYTES + STORED_HEADER_BYTES + TAPE_END_BYTES;

    return body->head_n + body->tail_n + (t->conf.gzip ? frame : 0);
}

static void put_u32(uint8_t *to, uint32_t value)
{
    for (size_t i = 0; i < 4; i++)
        to[i] = (uint8_t)(value >> 8 * i);
}

/* A gzip member's header, and that of a block which isn't compressed. */
static int append_gzip_begin(const struct tape_body *body, struct buf *to)
{
    uint16_t n = (uint16_t)body->head_n, not_n = (uint16_t)~n;
    const uint8_t stored[STORED_HEADER_BYTES] = {0, (uint8_t)n, (uint8_t)(n >> 8),
                                                 (uint8_t)not_n, (uint8_t)(not_n >> 8)};
    int r = buf_append(to, span_of(GZIP_HEADER, GZIP_HEADER_BYTES));

    return r ? r : buf_append(to, span_of(stored, sizeof(stored)));
}

int tape_cut(const struct tape *t, const struct tape_body *body, struct span identifier,
             struct buf *to, struct tape_cut *ret)
{
    const uint8_t *bytes = t->bytes.data + body->at;
    int r = t->conf.gzip ? append_gzip_begin(body, to) : 0;
    size_t at = to->len;

    assert(identifier.n == t->conf.identifier_n);
    if (r == 0)
        r = buf_append(to, span_of(bytes, body->identifier_at));
    if (r == 0)
        r = buf_append(to, identifier);
    if (r)
        return r;
    ret->tail = span_of(bytes + body->head_n, body->tail_n);
    ret->end_n = 0;
    if (t->conf.gzip) {
        uLong crc = crc32(0, to->data + at, (uInt)body->head_n);

        crc = crc32_combine(crc, body->tail_crc, (z_off_t)(body->plain_n - body->head_n));
        put_u32(ret->end, (uint32_t)crc);
        put_u32(ret->end + 4, (uint32_t)body->plain_n);
        ret->end_n = TAPE_END_BYTES;
    }
    return 0;
}
