/* SPDX-License-Identifier: MIT */
#include "tests/bench/payload.h"

#include "common/delta.h"
#include "common/gzip.h"
#include "common/io.h"
#include "common/json.h"
#include "tests/bench/collection.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>

#define GZIP_LEVEL 1
#define MARKER_SUBSYSTEM SPAN("load/batch")
#define MARKER_BYTES 64

static struct span marker_text(char text[MARKER_BYTES], uint64_t session, uint64_t seq)
{
    int n = snprintf(text, MARKER_BYTES, "session %016" PRIx64 " batch %0*" PRIu64,
                     session, (int)PAYLOAD_SEQ_DIGITS, seq);

    return span_of(text, (size_t)n);
}

static struct measurement marker(const struct payload *p, char text[MARKER_BYTES],
                                 uint64_t session, uint64_t seq)
{
    return (struct measurement){.time_ns = p->conf.time_ns,
                                .subsystem = MARKER_SUBSYSTEM,
                                .text = marker_text(text, session, seq)};
}

/* What this host's kernel says right now, as one tick. */
static int read_proc(struct batch *ret)
{
    static const char *const paths[] = {"/proc/stat", "/proc/meminfo", "/proc/net/dev",
                                        "/proc/diskstats"};
    CLEANUP(buf_done) struct buf text;
    int r = 0;

    buf_init(&text, LIMIT_TEXT_BYTES);
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]) && r == 0; i++) {
        buf_reset(&text);
        if (io_read_file(AT_FDCWD, paths[i], &text))
            continue; /* not every container shows them all */
        struct measurement m = {.subsystem = span_of_str(paths[i]),
                                .text = buf_span(&text)};
        r = batch_append(ret, &m);
    }
    return r;
}

/* Fills the batch up with measurements, their times moved so that they begin now. */
static int fill(struct payload *p, const struct batch *from)
{
    int r = 0;

    if (from->n_items == 0)
        return E_GONE;
    uint64_t first_ns = from->items[0].time_ns;

    for (size_t i = 0; r == 0 && p->batch.n_items < p->conf.n_measurements; i++) {
        struct measurement m = batch_get(from, i % from->n_items);

        m.time_ns = m.time_ns - first_ns + p->conf.time_ns;
        r = batch_append(&p->batch, &m);
        if (r == 0)
            r = json_append_line(&m, &p->json_tail);
    }
    return r;
}

static int make_batch(struct payload *p)
{
    CLEANUP(batch_done) struct batch from;
    char text[MARKER_BYTES];

    collection_init(&from);
    int r = p->conf.collection ? collection_read(p->conf.collection, &from)
                               : read_proc(&from);
    if (r)
        return r;
    struct measurement m = marker(p, text, 0, 0);
    r = batch_append(&p->batch, &m);
    return r ? r : fill(p, &from);
}

static int measure(struct payload *p)
{
    CLEANUP(buf_done) struct buf line;

    buf_init(&line, KIB);
    int r = payload_marker_line(p, 0, 0, &line);
    p->stored_n = line.len + p->json_tail.len;
    return r;
}

int payload_batch(const struct payload *p, struct span identifier, uint64_t session,
                  uint64_t seq, struct batch *ret)
{
    char text[MARKER_BYTES];
    struct measurement m = marker(p, text, session, seq);
    int r = batch_set_identifier(ret, identifier);

    if (r == 0)
        r = batch_append(ret, &m);
    return r ? r : batch_append_range(ret, &p->batch, 1, p->batch.n_items - 1);
}

/* The batch for one client, numbered 0, encoded whole. */
static int encode(struct payload *p, struct span identifier, uint64_t session,
                  struct buf *to)
{
    CLEANUP(batch_done) struct batch b;

    batch_init(&b, &p->batch.limits);
    int r = payload_batch(p, identifier, session, 0, &b);
    return r ? r : p->conf.codec->encode_request(&b, to);
}

/* What follows the marker's text, the last thing in which two bodies can differ. */
static int make_tail(struct payload *p)
{
    struct deflater *deflater = NULL;
    CLEANUP(buf_done) struct buf body;
    char text[MARKER_BYTES];

    buf_init(&body, LIMIT_DECODED_BYTES);
    struct span end = marker_text(text, 0, 0);
    int r = encode(p, SPAN("x"), 0, &body);
    if (r)
        return r;
    const uint8_t *at = memmem(body.data, body.len, end.data, end.n);
    if (!at)
        return E_MALFORMED;
    struct span tail = span_from(buf_span(&body), (size_t)(at - body.data) + end.n);

    p->plain_tail_n = tail.n;
    if (!p->conf.gzip)
        return buf_append(&p->tail, tail);
    r = deflater_new(GZIP_LEVEL, &deflater);
    if (r == 0)
        r = deflater_gzip(deflater, tail, &p->tail);
    deflater_free(deflater);
    return r;
}

int payload_init(struct payload *p, const struct payload_conf *conf)
{
    struct batch_limits limits = batch_limits_default;

    limits.measurements = conf->n_measurements;
    limits.bytes = LIMIT_DECODED_BYTES;
    p->conf = *conf;
    p->plain_tail_n = 0;
    p->stored_n = 0;
    batch_init(&p->batch, &limits);
    buf_init(&p->tail, LIMIT_DECODED_BYTES);
    buf_init(&p->json_tail, 2 * LIMIT_DECODED_BYTES);

    int r = make_batch(p);
    if (r == 0 && conf->codec != &delta_codec) /* whose bodies have nothing in common */
        r = make_tail(p);
    if (r == 0)
        r = measure(p);
    if (r)
        payload_done(p);
    return r;
}

void payload_done(struct payload *p)
{
    batch_done(&p->batch);
    buf_done(&p->tail);
    buf_done(&p->json_tail);
}

int payload_head(struct payload *p, struct span identifier, uint64_t session,
                 struct buf *to)
{
    CLEANUP(buf_done) struct buf body;

    buf_init(&body, LIMIT_DECODED_BYTES);
    int r = encode(p, identifier, session, &body);
    if (r)
        return r;
    return buf_append(to, span_of(body.data, body.len - p->plain_tail_n));
}

void payload_number(struct buf *head, uint64_t seq)
{
    for (size_t i = 0; i < PAYLOAD_SEQ_DIGITS; i++, seq /= 10)
        head->data[head->len - 1 - i] = (uint8_t)('0' + seq % 10);
}

int payload_marker_line(const struct payload *p, uint64_t session, uint64_t seq,
                        struct buf *to)
{
    char text[MARKER_BYTES];
    struct measurement m = marker(p, text, session, seq);

    return json_append_line(&m, to);
}
