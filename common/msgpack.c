/* SPDX-License-Identifier: MIT */
#include "common/msgpack.h"

#include "common/msgpack_encode.h"
#include "common/msgpack_read.h"
#include "common/size.h"
#include "common/units.h"
#include "common/utf8.h"
#include "proto/wire.h"

#include <errno.h>

/*
 * Objects that a message may hold, nested ones counted. A measurement is a map of three
 * or four members of two objects each; the rest is for members that we don't know.
 * msgpack-c takes 24 bytes for each, and up to as much again at the ends of its chunks.
 * What a request holds besides measurements, and any other message, is small.
 */
#define NODES_PER_MEASUREMENT 16u
#define NODES_BESIDE 64u

static const struct member identifier =
    MEMBER(WIRE_JSON_IDENTIFIER, WIRE_MSGPACK_IDENTIFIER, WIRE_MSGPACK_IDENTIFIER);
static const struct member measurements =
    MEMBER(WIRE_JSON_MEASUREMENTS, WIRE_MSGPACK_MEASUREMENTS, WIRE_MSGPACK_MEASUREMENTS);
static const struct member timestamp =
    MEMBER(WIRE_TIMESTAMP, WIRE_TIMESTAMP, WIRE_GO_TIMESTAMP);
static const struct member nanoseconds =
    MEMBER(WIRE_NANOSECONDS, WIRE_NANOSECONDS, WIRE_GO_NANOSECONDS);
static const struct member subsystem =
    MEMBER(WIRE_SUBSYSTEM, WIRE_SUBSYSTEM, WIRE_GO_SUBSYSTEM);
static const struct member text =
    MEMBER(WIRE_MEASUREMENT, WIRE_MEASUREMENT, WIRE_GO_MEASUREMENT);
static const struct member answer_error =
    MEMBER(WIRE_JSON_ERROR, WIRE_MSGPACK_ERROR, WIRE_MSGPACK_ERROR);
static const struct member ping_timestamp =
    MEMBER(WIRE_TIMESTAMP, WIRE_TIMESTAMP, WIRE_TIMESTAMP);
static const struct member origin_timestamp =
    MEMBER(WIRE_ORIGIN_TIMESTAMP, WIRE_ORIGIN_TIMESTAMP, WIRE_ORIGIN_TIMESTAMP);

/* A text may be any bytes in a str too: a Go string is. */
static const char *get_text(const msgpack_object *map, struct span *ret)
{
    const msgpack_object *o = msgpack_read_find(map, &text);

    if (!o || o->type != MSGPACK_OBJECT_BIN)
        return msgpack_read_string(map, &text, ret);
    *ret = span_of(o->via.bin.ptr, o->via.bin.size);
    return NULL;
}

static const char *read_time(const msgpack_object *map, uint64_t *ret_ns)
{
    int64_t seconds;
    int64_t ns = 0;
    const char *why = msgpack_read_integer(map, &timestamp, &seconds);

    if (!why && measurement_check_time(seconds) != 0)
        why = WIRE_TIMESTAMP " is outside the years 2000 to 2200";
    if (!why && msgpack_read_find(map, &nanoseconds))
        why = msgpack_read_integer(map, &nanoseconds, &ns);
    if (!why && (ns < 0 || ns >= (int64_t)SEC))
        why = nanoseconds.out_of_range;
    if (!why)
        *ret_ns = (uint64_t)seconds * SEC + (uint64_t)ns;
    return why;
}

static const char *read_measurement(const msgpack_object *o, struct measurement *ret)
{
    if (o->type != MSGPACK_OBJECT_MAP)
        return "not a map";
    const char *why = read_time(o, &ret->time_ns);
    if (!why)
        why = msgpack_read_string(o, &subsystem, &ret->subsystem);
    if (!why && !utf8_valid(ret->subsystem))
        why = WIRE_SUBSYSTEM " is not valid UTF-8";
    if (!why)
        why = get_text(o, &ret->text);
    return why;
}

/* Which limit did batch_append() find passed? */
static const char *limit_passed(const struct batch *b, const struct measurement *m)
{
    if (m->subsystem.n > b->limits.subsystem_bytes)
        return WIRE_SUBSYSTEM " is longer than allowed";
    if (m->text.n > b->limits.text_bytes)
        return WIRE_MEASUREMENT " is longer than allowed";
    if (b->n_items == b->limits.measurements)
        return "more measurements than allowed";
    return "more bytes of text in all than allowed";
}

static int read_request(const msgpack_object *map, struct batch *b,
                        struct err_at *reterr_at)
{
    struct span name;
    const char *why = msgpack_read_string(map, &identifier, &name);
    if (!why && batch_set_identifier(b, name) != 0)
        why = WIRE_JSON_IDENTIFIER
            " is not 1 to 128 bytes of UTF-8 without control characters";
    if (why)
        return msgpack_read_refuse(E_MALFORMED, why, ERR_AT_UNKNOWN, reterr_at);

    const msgpack_object *list = msgpack_read_find(map, &measurements);
    if (!list)
        return msgpack_read_refuse(E_MALFORMED, measurements.missing, ERR_AT_UNKNOWN,
                                   reterr_at);
    if (list->type == MSGPACK_OBJECT_NIL) /* what the Go encoder makes of a nil slice */
        return 0;
    if (list->type != MSGPACK_OBJECT_ARRAY)
        return msgpack_read_refuse(E_MALFORMED, measurements.mistyped, ERR_AT_UNKNOWN,
                                   reterr_at);

    for (uint32_t i = 0; i < list->via.array.size; i++) {
        struct measurement m;
        why = read_measurement(&list->via.array.ptr[i], &m);
        if (why)
            return msgpack_read_refuse(E_MALFORMED, why, i, reterr_at);
        int r = batch_append(b, &m);
        if (r)
            return msgpack_read_refuse(r, r == E_TOO_LARGE ? limit_passed(b, &m) : NULL,
                                       i, reterr_at);
    }
    return 0;
}

static size_t request_nodes(const struct batch_limits *limits)
{
    size_t n;

    if (size_mul(limits->measurements, NODES_PER_MEASUREMENT, &n) ||
        size_add(n, NODES_BESIDE, &n))
        return SIZE_MAX;
    return n;
}

static int decode_request(struct span in, struct batch *ret, struct err_at *reterr_at)
{
    CLEANUP(msgpack_unpacked_destroy) msgpack_unpacked message;

    msgpack_unpacked_init(&message);
    int r = msgpack_read_map(in, request_nodes(&ret->limits), ret->limits.nesting,
                             &message, reterr_at);
    if (r == 0)
        r = read_request(&message.data, ret, reterr_at);
    if (r)
        batch_reset(ret);
    return r;
}

static void copy_error(struct span from, char ret[LIMIT_ERROR_BYTES])
{
    size_t n = from.n;

    if (n >= LIMIT_ERROR_BYTES) {
        n = LIMIT_ERROR_BYTES - 1;
        while (n > 0 && (from.data[n] & 0xc0) == 0x80) /* not within a character */
            n--;
    }
    if (n > 0)
        memcpy(ret, from.data, n);
    ret[n] = '\0';
}

static int decode_answer(struct span in, struct answer *ret, struct err_at *reterr_at)
{
    CLEANUP(msgpack_unpacked_destroy) msgpack_unpacked message;
    struct span said;

    msgpack_unpacked_init(&message);
    int r = msgpack_read_map(in, NODES_BESIDE, LIMIT_NESTING, &message, reterr_at);
    if (r)
        return r;
    const msgpack_object *o = msgpack_read_find(&message.data, &answer_error);
    if (o && o->type == MSGPACK_OBJECT_NIL) {
        *ret = (struct answer){.is_error = false};
        return 0;
    }
    const char *why = msgpack_read_string(&message.data, &answer_error, &said);
    if (why)
        return msgpack_read_refuse(E_MALFORMED, why, ERR_AT_UNKNOWN, reterr_at);
    ret->is_error = true;
    copy_error(said, ret->error);
    return 0;
}

static int decode_ping(struct span in, struct ping *ret, struct err_at *reterr_at)
{
    CLEANUP(msgpack_unpacked_destroy) msgpack_unpacked message;

    msgpack_unpacked_init(&message);
    int r = msgpack_read_map(in, NODES_BESIDE, LIMIT_NESTING, &message, reterr_at);
    if (r)
        return r;
    const char *why =
        msgpack_read_integer(&message.data, &ping_timestamp, &ret->timestamp);
    return why ? msgpack_read_refuse(E_MALFORMED, why, ERR_AT_UNKNOWN, reterr_at) : 0;
}

static int decode_pong(struct span in, struct pong *ret, struct err_at *reterr_at)
{
    CLEANUP(msgpack_unpacked_destroy) msgpack_unpacked message;
    struct pong pong;

    msgpack_unpacked_init(&message);
    int r = msgpack_read_map(in, NODES_BESIDE, LIMIT_NESTING, &message, reterr_at);
    if (r)
        return r;
    const char *why =
        msgpack_read_integer(&message.data, &origin_timestamp, &pong.origin_timestamp);
    if (!why)
        why = msgpack_read_integer(&message.data, &ping_timestamp, &pong.timestamp);
    if (why)
        return msgpack_read_refuse(E_MALFORMED, why, ERR_AT_UNKNOWN, reterr_at);
    *ret = pong;
    return 0;
}

const struct codec msgpack_codec = {
    .media_type = WIRE_TYPE_MSGPACK,
    .decode_request = decode_request,
    .encode_request = msgpack_encode_request,
    .decode_answer = decode_answer,
    .encode_answer = msgpack_encode_answer,
    .decode_ping = decode_ping,
    .encode_ping = msgpack_encode_ping,
    .decode_pong = decode_pong,
    .encode_pong = msgpack_encode_pong,
};
