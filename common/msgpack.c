/* SPDX-License-Identifier: MIT */
#include "common/msgpack.h"

#include "common/msgpack_encode.h"
#include "common/size.h"
#include "common/units.h"
#include "common/utf8.h"
#include "proto/wire.h"

#include <errno.h>
#include <msgpack.h>

/*
 * Objects that a message may hold, nested ones counted. A measurement is a map of three
 * or four members of two objects each; the rest is for members that we don't know.
 * msgpack-c takes 24 bytes for each, and up to as much again at the ends of its chunks.
 * What a request holds besides measurements, and any other message, is small.
 */
#define NODES_PER_MEASUREMENT 16u
#define NODES_BESIDE 64u

/* A member that we read, and the texts for what can be wrong with it. */
struct member {
    const char *name;
    const char *go_name; /* taken as well */
    const char *missing;
    const char *mistyped;
    const char *out_of_range;
};

#define MEMBER(label, either, or)                                                        \
    {                                                                                    \
        .name = (either), .go_name = (or), .missing = label " is missing",               \
        .mistyped = label " has the wrong type",                                         \
        .out_of_range = label " is out of range"                                         \
    }

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

static int refuse(int r, const char *what, size_t item, struct err_at *reterr_at)
{
    if (reterr_at)
        *reterr_at = (struct err_at){what, ERR_AT_UNKNOWN, item};
    return r;
}

/* Builds the objects of a message, which is a map; they point into @in. */
static int unpack(struct span in, size_t max_nodes, size_t max_nesting,
                  msgpack_unpacked *ret, struct err_at *reterr_at)
{
    size_t at = 0;
    int r = msgpack_walk(in, max_nodes, max_nesting, reterr_at);
    if (r)
        return r;

    msgpack_unpack_return u = msgpack_unpack_next(ret, (const char *)in.data, in.n, &at);
    if (u == MSGPACK_UNPACK_NOMEM_ERROR)
        return refuse(-ENOMEM, NULL, ERR_AT_UNKNOWN, reterr_at);
    if (u != MSGPACK_UNPACK_SUCCESS)
        return refuse(E_MALFORMED, "not MessagePack", ERR_AT_UNKNOWN, reterr_at);
    if (ret->data.type != MSGPACK_OBJECT_MAP)
        return refuse(E_MALFORMED, "the message is not a map", ERR_AT_UNKNOWN, reterr_at);
    return 0;
}

static bool is_named(const msgpack_object *key, const char *name)
{
    return key->type == MSGPACK_OBJECT_STR &&
           span_equal_str(span_of(key->via.str.ptr, key->via.str.size), name);
}

/* The last value of a member, under either name; NULL if there is none. */
static const msgpack_object *find(const msgpack_object *map, const struct member *m)
{
    for (uint32_t i = map->via.map.size; i > 0; i--) {
        const msgpack_object_kv *pair = &map->via.map.ptr[i - 1];
        if (is_named(&pair->key, m->name) || is_named(&pair->key, m->go_name))
            return &pair->val;
    }
    return NULL;
}

/* The get_ and read_ functions give NULL, or why the message is malformed. */

static const char *get_integer(const msgpack_object *map, const struct member *m,
                               int64_t *ret)
{
    const msgpack_object *o = find(map, m);

    if (!o)
        return m->missing;
    if (o->type == MSGPACK_OBJECT_NEGATIVE_INTEGER) {
        *ret = o->via.i64;
        return NULL;
    }
    if (o->type != MSGPACK_OBJECT_POSITIVE_INTEGER)
        return m->mistyped;
    if (o->via.u64 > INT64_MAX)
        return m->out_of_range;
    *ret = (int64_t)o->via.u64;
    return NULL;
}

static const char *get_string(const msgpack_object *map, const struct member *m,
                              struct span *ret)
{
    const msgpack_object *o = find(map, m);

    if (!o)
        return m->missing;
    if (o->type != MSGPACK_OBJECT_STR)
        return m->mistyped;
    *ret = span_of(o->via.str.ptr, o->via.str.size);
    return NULL;
}

/* A text may be any bytes in a str too: a Go string is. */
static const char *get_text(const msgpack_object *map, struct span *ret)
{
    const msgpack_object *o = find(map, &text);

    if (!o || o->type != MSGPACK_OBJECT_BIN)
        return get_string(map, &text, ret);
    *ret = span_of(o->via.bin.ptr, o->via.bin.size);
    return NULL;
}

static const char *read_time(const msgpack_object *map, uint64_t *ret_ns)
{
    int64_t seconds;
    int64_t ns = 0;
    const char *why = get_integer(map, &timestamp, &seconds);

    if (!why && measurement_check_time(seconds) != 0)
        why = WIRE_TIMESTAMP " is outside the years 2000 to 2200";
    if (!why && find(map, &nanoseconds))
        why = get_integer(map, &nanoseconds, &ns);
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
        why = get_string(o, &subsystem, &ret->subsystem);
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
    const char *why = get_string(map, &identifier, &name);
    if (!why && batch_set_identifier(b, name) != 0)
        why = WIRE_JSON_IDENTIFIER
            " is not 1 to 128 bytes of UTF-8 without control characters";
    if (why)
        return refuse(E_MALFORMED, why, ERR_AT_UNKNOWN, reterr_at);

    const msgpack_object *list = find(map, &measurements);
    if (!list)
        return refuse(E_MALFORMED, measurements.missing, ERR_AT_UNKNOWN, reterr_at);
    if (list->type == MSGPACK_OBJECT_NIL) /* what the Go encoder makes of a nil slice */
        return 0;
    if (list->type != MSGPACK_OBJECT_ARRAY)
        return refuse(E_MALFORMED, measurements.mistyped, ERR_AT_UNKNOWN, reterr_at);

    for (uint32_t i = 0; i < list->via.array.size; i++) {
        struct measurement m;
        why = read_measurement(&list->via.array.ptr[i], &m);
        if (why)
            return refuse(E_MALFORMED, why, i, reterr_at);
        int r = batch_append(b, &m);
        if (r)
            return refuse(r, r == E_TOO_LARGE ? limit_passed(b, &m) : NULL, i, reterr_at);
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
    int r =
        unpack(in, request_nodes(&ret->limits), ret->limits.nesting, &message, reterr_at);
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
    int r = unpack(in, NODES_BESIDE, LIMIT_NESTING, &message, reterr_at);
    if (r)
        return r;
    const msgpack_object *o = find(&message.data, &answer_error);
    if (o && o->type == MSGPACK_OBJECT_NIL) {
        *ret = (struct answer){.is_error = false};
        return 0;
    }
    const char *why = get_string(&message.data, &answer_error, &said);
    if (why)
        return refuse(E_MALFORMED, why, ERR_AT_UNKNOWN, reterr_at);
    ret->is_error = true;
    copy_error(said, ret->error);
    return 0;
}

static int decode_ping(struct span in, struct ping *ret, struct err_at *reterr_at)
{
    CLEANUP(msgpack_unpacked_destroy) msgpack_unpacked message;

    msgpack_unpacked_init(&message);
    int r = unpack(in, NODES_BESIDE, LIMIT_NESTING, &message, reterr_at);
    if (r)
        return r;
    const char *why = get_integer(&message.data, &ping_timestamp, &ret->timestamp);
    return why ? refuse(E_MALFORMED, why, ERR_AT_UNKNOWN, reterr_at) : 0;
}

static int decode_pong(struct span in, struct pong *ret, struct err_at *reterr_at)
{
    CLEANUP(msgpack_unpacked_destroy) msgpack_unpacked message;
    struct pong pong;

    msgpack_unpacked_init(&message);
    int r = unpack(in, NODES_BESIDE, LIMIT_NESTING, &message, reterr_at);
    if (r)
        return r;
    const char *why =
        get_integer(&message.data, &origin_timestamp, &pong.origin_timestamp);
    if (!why)
        why = get_integer(&message.data, &ping_timestamp, &pong.timestamp);
    if (why)
        return refuse(E_MALFORMED, why, ERR_AT_UNKNOWN, reterr_at);
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
