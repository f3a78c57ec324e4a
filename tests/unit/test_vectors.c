/* SPDX-License-Identifier: MIT */
#include "common/delta.h"
#include "common/gzip.h"
#include "common/io.h"
#include "common/media.h"
#include "common/units.h"
#include "proto/wire.h"
#include "tests/lib/batches.h"
#include "tests/lib/bytes.h"
#include "tests/lib/suite.h"

#include <fcntl.h>
#include <glob.h>
#include <json-c/json.h>
#include <stdio.h>

/* The bodies of proto/vectors, made by a script that is not our encoder. */
static glob_t vectors;

struct vector {
    struct json_object *all;
    struct json_object *expect;
    const char *name;
    int status;
};

static struct json_object *member(struct json_object *of, const char *name)
{
    struct json_object *found = NULL;

    ck_assert_msg(json_object_object_get_ex(of, name, &found), "no %s", name);
    return found;
}

static struct span string(struct json_object *of)
{
    return span_of(json_object_get_string(of), (size_t)json_object_get_string_len(of));
}

/* {NULL, 0} where it is absent or null, as for a header. */
static struct span optional(struct json_object *of, const char *name)
{
    struct json_object *found = NULL;

    if (!json_object_object_get_ex(of, name, &found) || !found)
        return span_of(NULL, 0);
    return string(found);
}

static struct vector load(int i)
{
    struct vector v = {.all = json_object_from_file(vectors.gl_pathv[i])};

    ck_assert_ptr_nonnull(v.all);
    v.expect = member(v.all, "expect");
    v.name = json_object_get_string(member(v.all, "name"));
    v.status = json_object_get_int(member(v.expect, "status"));
    return v;
}

static int status_of(int r)
{
    switch (r) {
    case 0:
        return 200;
    case E_TRUNCATED:
    case E_MALFORMED:
        return 400;
    case E_CONFLICT:
        return 409;
    case E_TOO_LARGE:
        return 413;
    case E_UNSUPPORTED:
        return 415;
    default:
        return r;
    }
}

static int inflate_body(enum coding coding, struct span body, struct buf *to,
                        struct err_at *reterr_at)
{
    struct inflater *inflater;

    if (coding == CODING_IDENTITY)
        return buf_append(to, body);
    ck_assert_int_eq(inflater_new(&inflater), 0);
    int r = inflater_run(inflater, coding, body, to, reterr_at);
    inflater_free(inflater);
    return r;
}

/* A delta on a state, anything else by its codec. */
static int decode(enum media_form form, struct span body, struct delta_state *state,
                  struct batch *ret, struct err_at *reterr_at)
{
    CLEANUP(bytes_drop) struct span exact = suite_exact(body);
    struct delta_decoder *d;
    struct delta_head head;

    if (form != MEDIA_DELTA)
        return media_codec(form)->decode_request(exact, ret, reterr_at);
    ck_assert_int_eq(delta_decoder_new(&d), 0);
    int r = delta_decoder_open(d, exact, &ret->limits, &head, reterr_at);
    if (r == 0)
        r = delta_decoder_run(d, state, ret, reterr_at);
    delta_decoder_free(d);
    return r;
}

/* The batches that come before, each of which must be taken. */
static void decode_before(const struct vector *v, struct delta_state *state)
{
    struct json_object *before = member(v->all, "before");

    for (size_t i = 0; i < json_object_array_length(before); i++) {
        CLEANUP(bytes_drop)
        struct span body =
            bytes_of_hex(json_object_get_string(json_object_array_get_idx(before, i)));
        CLEANUP(batch_done) struct batch b;
        struct err_at at;
        batch_init(&b, &batch_limits_default);
        ck_assert_int_eq(decode(MEDIA_DELTA, body, state, &b, &at), 0);
    }
}

static void assert_measurement(const struct vector *v, const struct measurement *m,
                               struct json_object *row)
{
    CLEANUP(bytes_drop)
    struct span text =
        bytes_of_hex(json_object_get_string(json_object_array_get_idx(row, 3)));
    int64_t s = json_object_get_int64(json_object_array_get_idx(row, 0));
    int64_t ns = json_object_get_int64(json_object_array_get_idx(row, 1));

    ck_assert_uint_eq(m->time_ns, (uint64_t)s * SEC + (uint64_t)ns);
    ck_assert(span_equal(m->subsystem, string(json_object_array_get_idx(row, 2))));
    ck_assert_msg(span_equal(m->text, text), "%s: %.*s", v->name, (int)m->text.n,
                  (const char *)m->text.data);
}

/* Ticks start where the vector says, and nowhere else. */
static void assert_ticks(const struct vector *v, const struct batch *b)
{
    struct json_object *ticks = member(v->expect, "ticks");
    size_t tick = 0;

    for (size_t i = 0; i < b->n_items; i++) {
        if (!b->items[i].starts_tick)
            continue;
        struct json_object *at = json_object_array_get_idx(ticks, tick++);
        ck_assert_uint_eq((uint64_t)json_object_get_int64(at), i);
    }
    ck_assert_uint_eq(tick, json_object_array_length(ticks));
}

static void assert_measurements(const struct vector *v, const struct batch *b)
{
    struct json_object *rows = member(v->expect, "measurements");

    ck_assert(span_equal(batch_identifier(b), string(member(v->expect, "identifier"))));
    ck_assert_uint_eq(b->n_items, json_object_array_length(rows));
    for (size_t i = 0; i < b->n_items; i++) {
        struct measurement m = batch_get(b, i);
        assert_measurement(v, &m, json_object_array_get_idx(rows, i));
    }
    assert_ticks(v, b);
}

/* What the server makes of headers that it doesn't take, and of a conflict, is its own.
 */
static void assert_error(const struct vector *v, int r, const struct err_at *at)
{
    const char *wanted = json_object_get_string(member(v->expect, "error"));
    char error[256];

    if (r == E_CONFLICT)
        (void)snprintf(error, sizeof error, "%s", WIRE_ERROR_SNAPSHOT);
    else
        err_describe(r, at, error, sizeof error);
    ck_assert_msg(wanted[0] && strstr(error, wanted), "%s: \"%s\" does not say \"%s\"",
                  v->name, error, wanted);
}

/* The headers of a vector. Return: 0; E_UNSUPPORTED. */
static int read_headers(const struct vector *v, enum media_form *ret_form,
                        enum coding *ret_coding)
{
    int r = media_of_content_type(optional(v->all, "content_type"), ret_form);

    return r ? r
             : media_of_content_encoding(optional(v->all, "content_encoding"),
                                         ret_coding);
}

START_TEST(a_vector_gives_what_it_says)
{
    struct vector v = load(_i);
    CLEANUP(bytes_drop)
    struct span body = bytes_of_hex(json_object_get_string(member(v.all, "body")));
    CLEANUP(buf_done) struct buf inflated;
    CLEANUP(batch_done) struct batch b;
    enum media_form form = MEDIA_JSON;
    enum coding coding = CODING_IDENTITY;
    struct delta_state *state;
    struct err_at at = ERR_AT_NOWHERE;

    buf_init(&inflated, LIMIT_DECODED_BYTES);
    batch_init(&b, &batch_limits_default);
    ck_assert_int_eq(delta_state_new(&state), 0);
    decode_before(&v, state);
    int refused = read_headers(&v, &form, &coding);
    int r = refused ? refused : inflate_body(coding, body, &inflated, &at);
    if (r == 0)
        r = decode(form, buf_span(&inflated), state, &b, &at);
    ck_assert_msg(status_of(r) == v.status, "%s: %d, not %d", v.name, status_of(r),
                  v.status);
    if (r == 0)
        assert_measurements(&v, &b);
    else
        batches_assert_reset(&b);
    if (r && !refused)
        assert_error(&v, r, &at);
    delta_state_free(state);
    json_object_put(v.all);
}
END_TEST

static void refuse_prefixes(enum media_form form, struct span body)
{
    for (size_t n = 0; n < body.n; n++) {
        CLEANUP(batch_done) struct batch b;
        struct err_at at;
        batch_init(&b, &batch_limits_default);
        ck_assert_int_gt(decode(form, span_of(body.data, n), NULL, &b, &at), 0);
        batches_assert_reset(&b);
    }
}

START_TEST(a_vector_cut_short_is_never_taken)
{
    struct vector v = load(_i);
    struct span body = bytes_of_hex(json_object_get_string(member(v.all, "body")));
    enum media_form form;

    if (v.status == 200 && optional(v.all, "content_encoding").n == 0 &&
        media_of_content_type(optional(v.all, "content_type"), &form) == 0)
        refuse_prefixes(form, body);
    bytes_drop(&body);
    json_object_put(v.all);
}
END_TEST

int main(void)
{
    if (glob(VECTORS_FOLDER "/*.json", 0, NULL, &vectors) != 0)
        return EXIT_FAILURE;

    Suite *suite = suite_create("vectors");
    TCase *c = tcase_create("vectors");
    tcase_set_timeout(c, 60);
    tcase_add_loop_test(c, a_vector_gives_what_it_says, 0, (int)vectors.gl_pathc);
    tcase_add_loop_test(c, a_vector_cut_short_is_never_taken, 0, (int)vectors.gl_pathc);
    suite_add_tcase(suite, c);
    int failed = suite_run(suite);
    globfree(&vectors);
    return failed;
}
