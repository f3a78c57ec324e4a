/* SPDX-License-Identifier: MIT */
#include "common/json.h"

#include "common/base64.h"
#include "common/json_reader.h"
#include "common/json_string.h"
#include "common/units.h"
#include "common/utf8.h"
#include "proto/wire.h"

#include <inttypes.h>

enum { TIMESTAMP, NANOSECONDS, SUBSYSTEM, TEXT, BYTES, MEASUREMENT_MEMBERS };

static const struct json_member measurement_members[MEASUREMENT_MEMBERS] = {
    [TIMESTAMP] = JSON_MEMBER(WIRE_TIMESTAMP, json_read_integer, false),
    [NANOSECONDS] = JSON_MEMBER(WIRE_NANOSECONDS, json_read_integer, true),
    [SUBSYSTEM] = JSON_MEMBER(WIRE_SUBSYSTEM, json_read_string, false),
    [TEXT] = JSON_MEMBER(WIRE_MEASUREMENT, json_read_string, false),
    [BYTES] = JSON_MEMBER(WIRE_BYTES, json_read_string, true),
};

/* Checks the time of a measurement. Return: nanoseconds; 0 on failure. */
static uint64_t read_time(struct json_reader *d, const struct json_value *v)
{
    int64_t seconds = v[TIMESTAMP].integer;
    int64_t ns = v[NANOSECONDS].integer;

    if (measurement_check_time(seconds) != 0)
        json_reader_stop(d, E_MALFORMED,
                         WIRE_TIMESTAMP " is outside the years 2000 to 2200",
                         v[TIMESTAMP].offset);
    if (ns < 0 || ns >= (int64_t)SEC)
        json_reader_stop(d, E_MALFORMED, measurement_members[NANOSECONDS].out_of_range,
                         v[NANOSECONDS].offset);
    return json_reader_failed(d) ? 0 : (uint64_t)seconds * SEC + (uint64_t)ns;
}

/* Appends the text to the measurement that is open. */
static int append_text(struct json_reader *d, const struct json_value *v)
{
    const struct json_string *text = &v[TEXT].string;
    struct buf *to = &d->batch->bytes;

    if (v[BYTES].is_given) {
        struct span digits;
        int r = json_reader_unescape(d, &v[BYTES].string, &digits);
        return r ? r : base64_decode(digits, to);
    }
    int r = buf_reserve(to, text->n);
    if (r == 0)
        buf_commit(to, json_string_write(text, buf_tail(to), text->n));
    return r;
}

static int open_measurement(struct json_reader *d, uint64_t time_ns,
                            const struct json_value *v)
{
    struct span subsystem;
    int r = json_reader_unescape(d, &v[SUBSYSTEM].string, &subsystem);

    return r ? r : batch_open(d->batch, time_ns, subsystem);
}

/* Which limit did the batch reach, whose other limits were found kept? */
static const char *limit_reached(const struct batch *b)
{
    return b->n_items == b->limits.measurements
               ? "more measurements than allowed"
               : "more bytes of text in all than allowed";
}

static void add_measurement(struct json_reader *d, const struct json_value *v)
{
    static const char longer[] = WIRE_MEASUREMENT " is longer than allowed";
    struct batch *b = d->batch;
    size_t text_offset = v[v[BYTES].is_given ? BYTES : TEXT].offset;
    uint64_t time_ns = read_time(d, v);

    if (v[SUBSYSTEM].string.n > b->limits.subsystem_bytes)
        json_reader_stop(d, E_TOO_LARGE, WIRE_SUBSYSTEM " is longer than allowed",
                         v[SUBSYSTEM].offset);
    if (!v[BYTES].is_given && v[TEXT].string.n > b->limits.text_bytes)
        json_reader_stop(d, E_TOO_LARGE, longer, text_offset);
    if (json_reader_failed(d))
        return;

    int r = open_measurement(d, time_ns, v);
    if (r) {
        json_reader_stop(d, r, limit_reached(b), v[SUBSYSTEM].offset);
        return;
    }
    r = append_text(d, v);
    if (r) {
        batch_cancel(b);
        json_reader_stop(
            d, r, r == E_MALFORMED ? WIRE_BYTES " is not base64" : limit_reached(b),
            text_offset);
        return;
    }
    r = batch_close(b);
    if (r)
        json_reader_stop(d, r, longer, text_offset);
}

static void read_measurement(struct json_reader *d)
{
    struct json_value values[MEASUREMENT_MEMBERS] = {0};

    d->item = d->batch->n_items;
    json_read_object(d, measurement_members, MEASUREMENT_MEMBERS, values,
                     "not an object");
    if (!json_reader_failed(d))
        add_measurement(d, values);
    if (!json_reader_failed(d))
        d->item = ERR_AT_UNKNOWN;
}

static void read_measurements(struct json_reader *d, const struct json_member *m,
                              struct json_value *ret)
{
    (void)ret;
    batch_reset(d->batch);  /* where they are given twice, the last count */
    if (!json_read_null(d)) /* what the Go encoder makes of a nil slice */
        json_read_array(d, read_measurement, m->mistyped);
}

static void set_identifier(struct json_reader *d, const struct json_value *v)
{
    uint8_t bytes[LIMIT_IDENTIFIER_BYTES];
    size_t n = json_string_write(&v->string, bytes, sizeof bytes);

    if (n < v->string.n || batch_set_identifier(d->batch, span_of(bytes, n)) != 0)
        json_reader_stop(d, E_MALFORMED,
                         WIRE_JSON_IDENTIFIER
                         " is not 1 to 128 bytes of UTF-8 without control characters",
                         v->offset);
}

static int decode_request(struct span in, struct batch *ret, struct err_at *reterr_at)
{
    enum { IDENTIFIER, MEASUREMENTS, MEMBERS };
    static const struct json_member members[MEMBERS] = {
        [IDENTIFIER] = JSON_MEMBER(WIRE_JSON_IDENTIFIER, json_read_string, false),
        [MEASUREMENTS] = JSON_MEMBER(WIRE_JSON_MEASUREMENTS, read_measurements, false),
    };
    CLEANUP(json_reader_done) struct json_reader d;
    struct json_value values[MEMBERS] = {0};

    json_reader_init(&d, in);
    d.batch = ret;
    d.max_depth = ret->limits.nesting;
    json_read_message(&d, members, MEMBERS, values);
    if (!json_reader_failed(&d))
        set_identifier(&d, &values[IDENTIFIER]);
    int r = json_reader_result(&d, reterr_at);
    if (r)
        batch_reset(ret);
    return r;
}

int json_decode_line(struct span line, struct batch *b, struct err_at *reterr_at)
{
    CLEANUP(json_reader_done) struct json_reader d;
    struct json_value values[MEASUREMENT_MEMBERS] = {0};

    json_reader_init(&d, line);
    d.batch = b;
    json_read_message(&d, measurement_members, MEASUREMENT_MEMBERS, values);
    if (!json_reader_failed(&d))
        add_measurement(&d, values);
    return json_reader_result(&d, reterr_at);
}

static int decode_answer(struct span in, struct answer *ret, struct err_at *reterr_at)
{
    static const struct json_member member =
        JSON_MEMBER(WIRE_JSON_ERROR, json_read_string_or_null, false);
    CLEANUP(json_reader_done) struct json_reader d;
    struct json_value v = {0};

    json_reader_init(&d, in);
    json_read_message(&d, &member, 1, &v);
    int r = json_reader_result(&d, reterr_at);
    if (r)
        return r;

    uint8_t *error = (uint8_t *)ret->error;
    size_t n = json_string_write(&v.string, error, sizeof ret->error - 1);
    error[utf8_valid_prefix(span_of(error, n))] = '\0'; /* a character may be cut */
    ret->is_error = v.string.raw.data != NULL;
    return 0;
}

static int decode_ping(struct span in, struct ping *ret, struct err_at *reterr_at)
{
    static const struct json_member member =
        JSON_MEMBER(WIRE_TIMESTAMP, json_read_integer, false);
    CLEANUP(json_reader_done) struct json_reader d;
    struct json_value v = {0};

    json_reader_init(&d, in);
    json_read_message(&d, &member, 1, &v);
    int r = json_reader_result(&d, reterr_at);
    if (r == 0)
        *ret = (struct ping){.timestamp = v.integer};
    return r;
}

static int decode_pong(struct span in, struct pong *ret, struct err_at *reterr_at)
{
    static const struct json_member members[] = {
        JSON_MEMBER(WIRE_ORIGIN_TIMESTAMP, json_read_integer, false),
        JSON_MEMBER(WIRE_TIMESTAMP, json_read_integer, false),
    };
    CLEANUP(json_reader_done) struct json_reader d;
    struct json_value v[2] = {0};

    json_reader_init(&d, in);
    json_read_message(&d, members, 2, v);
    int r = json_reader_result(&d, reterr_at);
    if (r == 0)
        *ret = (struct pong){.origin_timestamp = v[0].integer, .timestamp = v[1].integer};
    return r;
}

int json_append_string(struct span text, struct buf *to)
{
    bool is_valid;

    return json_string_append(text, to, &is_valid);
}

static int append_bytes(struct span text, struct buf *to)
{
    int r = buf_append(to, SPAN(",\"" WIRE_BYTES "\":\""));

    if (r == 0)
        r = base64_encode(text, to);
    return r ? r : buf_append_byte(to, '"');
}

/* Appends a measurement as an object; on failure some of it may stay. */
static int append_object(const struct measurement *m, struct buf *to)
{
    bool is_valid = true;

    int r = buf_append(to, SPAN("{\"" WIRE_TIMESTAMP "\":"));
    if (r == 0)
        r = buf_append_u64(to, m->time_ns / SEC);
    if (r == 0 && m->time_ns % SEC != 0)
        r = buf_append(to, SPAN(",\"" WIRE_NANOSECONDS "\":"));
    if (r == 0 && m->time_ns % SEC != 0)
        r = buf_append_u64(to, m->time_ns % SEC);
    if (r == 0)
        r = buf_append(to, SPAN(",\"" WIRE_SUBSYSTEM "\":"));
    if (r == 0)
        r = json_append_string(m->subsystem, to);
    if (r == 0)
        r = buf_append(to, SPAN(",\"" WIRE_MEASUREMENT "\":"));
    if (r == 0)
        r = json_string_append(m->text, to, &is_valid);
    if (r == 0 && !is_valid)
        r = append_bytes(m->text, to);
    return r ? r : buf_append_byte(to, '}');
}

int json_append_line(const struct measurement *m, struct buf *to)
{
    const size_t before = to->len;
    int r = append_object(m, to);

    if (r == 0)
        r = buf_append_byte(to, '\n');
    if (r)
        buf_truncate(to, before);
    return r;
}

static int encode_request(const struct batch *b, struct buf *to)
{
    const size_t before = to->len;
    int r = buf_append(to, SPAN("{\"" WIRE_JSON_IDENTIFIER "\":"));

    if (r == 0)
        r = json_append_string(batch_identifier(b), to);
    if (r == 0)
        r = buf_append(to, SPAN(",\"" WIRE_JSON_MEASUREMENTS "\":["));
    for (size_t i = 0; r == 0 && i < b->n_items; i++) {
        struct measurement m = batch_get(b, i);
        if (i > 0)
            r = buf_append_byte(to, ',');
        if (r == 0)
            r = append_object(&m, to);
    }
    if (r == 0)
        r = buf_append(to, SPAN("]}"));
    if (r)
        buf_truncate(to, before);
    return r;
}

static int encode_answer(const char *error, struct buf *to)
{
    const size_t before = to->len;
    int r = buf_append(to, SPAN("{\"" WIRE_JSON_ERROR "\":"));

    if (r == 0)
        r = error ? json_append_string(span_of_str(error), to)
                  : buf_append(to, SPAN("null"));
    if (r == 0)
        r = buf_append_byte(to, '}');
    if (r)
        buf_truncate(to, before);
    return r;
}

static int encode_ping(const struct ping *ping, struct buf *to)
{
    return buf_printf(to, "{\"" WIRE_TIMESTAMP "\":%" PRId64 "}", ping->timestamp);
}

static int encode_pong(const struct pong *pong, struct buf *to)
{
    return buf_printf(to,
                      "{\"" WIRE_ORIGIN_TIMESTAMP "\":%" PRId64 ",\"" WIRE_TIMESTAMP
                      "\":%" PRId64 "}",
                      pong->origin_timestamp, pong->timestamp);
}

const struct codec json_codec = {
    .media_type = WIRE_TYPE_JSON,
    .decode_request = decode_request,
    .encode_request = encode_request,
    .decode_answer = decode_answer,
    .encode_answer = encode_answer,
    .decode_ping = decode_ping,
    .encode_ping = encode_ping,
    .decode_pong = decode_pong,
    .encode_pong = encode_pong,
};
