/* SPDX-License-Identifier: MIT */
#include "common/base64.h"
#include "common/units.h"
#include "tests/unit/json_mutants.h"

#include <jansson.h>

/*
 * The reader beside jansson, which is as strict, on a few thousand damaged documents:
 * what one takes the other must take, and read the same. Where they may differ:
 * - jansson refuses integers beyond 64 bits and reals beyond a double even in members
 *   that nobody reads, and \u0000 in a name; it drops a NUL byte behind a number or word;
 * - we refuse nesting beyond LIMIT_NESTING;
 * - of a member given twice jansson sees the last only, we want a good type of both.
 */

static void drop(json_t **value)
{
    json_decref(*value);
}

static json_t *parse(struct span doc, size_t flags, json_error_t *ret_error)
{
    return json_loadb((const char *)doc.data, doc.n, flags | JSON_ALLOW_NUL, ret_error);
}

/* Is this one of the cases above, whoever refused? */
static bool may_differ(struct span doc, const json_t *theirs, const json_error_t *error,
                       int r, const struct err_at *at)
{
    if (r == E_TOO_LARGE && strstr(at->what, "nested"))
        return true;
    if (theirs)
        return r && memchr(doc.data, '\0', doc.n);
    return json_error_code(error) == json_error_numeric_overflow ||
           json_error_code(error) == json_error_null_byte_in_key;
}

static void differ(const char *what, struct span doc)
{
    ck_abort_msg("%s: %.*s", what, (int)doc.n, (const char *)doc.data);
}

/* Anything may be the value of a member that is ignored, so only the grammar counts. */
START_TEST(the_same_documents_are_well_formed)
{
    CLEANUP(buf_done) struct buf doc;
    CLEANUP(buf_done) struct buf spare;
    CLEANUP(buf_done) struct buf whole;
    uint64_t dice = 1;
    unsigned n_taken = 0;
    unsigned n_refused = 0;

    buf_init(&doc, BYTES_ROOM);
    buf_init(&spare, BYTES_ROOM);
    buf_init(&whole, BYTES_ROOM);
    for (unsigned i = 0; i < MUTANTS; i++) {
        mutant_make(&dice, &doc, &spare);
        buf_reset(&whole);
        docs_put(&whole, "{'x':");
        bytes_put(&whole, buf_span(&doc));
        docs_put(&whole, ",'timestamp':1}");

        json_error_t error;
        struct err_at at;
        struct ping ping;
        CLEANUP(drop) json_t *theirs = parse(buf_span(&whole), 0, &error);
        CLEANUP(bytes_drop) struct span in = suite_exact(buf_span(&whole));
        int r = json_codec.decode_ping(in, &ping, &at);
        if (may_differ(in, theirs, &error, r, &at))
            continue;
        if ((r == 0) != (theirs != NULL))
            differ(theirs ? at.what : error.text, in);
        n_taken += r == 0;
        n_refused += r != 0;
    }
    ck_assert_uint_gt(n_taken, MUTANTS / 10);
    ck_assert_uint_gt(n_refused, MUTANTS / 10);
}
END_TEST

static struct span string_of(const json_t *value)
{
    return span_of(json_string_value(value), json_string_length(value));
}

/* An optional integer that isn't there is 0. */
static bool is_integer(const json_t *object, const char *name, bool optional,
                       int64_t *ret)
{
    json_t *value = json_object_get(object, name);

    *ret = json_integer_value(value);
    return value ? json_is_integer(value) : optional;
}

/* Appends what jansson read, if it is good by the rules of the protocol. */
static bool add_measurement(const json_t *object, struct batch *to)
{
    const json_t *subsystem = json_object_get(object, "subsystem");
    const json_t *text = json_object_get(object, "measurement");
    const json_t *base64 = json_object_get(object, "bytes");
    CLEANUP(buf_done) struct buf bytes;
    int64_t seconds;
    int64_t ns;

    buf_init(&bytes, BYTES_ROOM);
    if (!is_integer(object, "timestamp", false, &seconds) ||
        !is_integer(object, "nanoseconds", true, &ns) || !json_is_string(subsystem) ||
        !json_is_string(text) || (base64 && !json_is_string(base64)))
        return false;
    if (measurement_check_time(seconds) != 0 || ns < 0 || ns >= (int64_t)SEC)
        return false;
    if (base64 && base64_decode(string_of(base64), &bytes) != 0)
        return false;
    batches_add(to, (uint64_t)seconds * SEC + (uint64_t)ns, string_of(subsystem),
                base64 ? buf_span(&bytes) : string_of(text));
    return true;
}

static bool make_batch(const json_t *root, struct batch *to)
{
    const json_t *identifier = json_object_get(root, "identifier");
    const json_t *measurements = json_object_get(root, "measurements");

    if (!json_is_string(identifier) || !json_is_array(measurements) ||
        batch_set_identifier(to, string_of(identifier)) != 0)
        return false;
    for (size_t i = 0; i < json_array_size(measurements); i++) {
        if (!add_measurement(json_array_get(measurements, i), to))
            return false;
    }
    return true;
}

START_TEST(the_same_requests_are_read)
{
    CLEANUP(buf_done) struct buf doc;
    CLEANUP(buf_done) struct buf spare;
    uint64_t dice = 2;
    unsigned n_taken = 0;
    unsigned n_refused = 0;

    buf_init(&doc, BYTES_ROOM);
    buf_init(&spare, BYTES_ROOM);
    for (unsigned i = 0; i < MUTANTS; i++) {
        CLEANUP(batch_done) struct batch b;
        CLEANUP(batch_done) struct batch want;
        json_error_t error;
        struct err_at at;
        mutant_make(&dice, &doc, &spare);
        batch_init(&b, &batch_limits_default);
        batch_init(&want, &batch_limits_default);

        CLEANUP(drop) json_t *theirs = parse(buf_span(&doc), 0, &error);
        bool is_good = theirs && make_batch(theirs, &want);
        int r = docs_decode(buf_span(&doc), &b, &at);
        if (may_differ(buf_span(&doc), theirs, &error, r, &at))
            continue;
        if (r != 0 && is_good) {
            CLEANUP(drop)
            json_t *of_unique = parse(buf_span(&doc), JSON_REJECT_DUPLICATES, &error);
            if (of_unique)
                differ(at.what, buf_span(&doc));
            continue;
        }
        if (r == 0 && !is_good)
            differ("taken", buf_span(&doc));
        if (r == 0)
            batches_assert_same(&b, &want);
        n_taken += r == 0;
        n_refused += r != 0;
    }
    ck_assert_uint_gt(n_taken, MUTANTS / 10);
    ck_assert_uint_gt(n_refused, MUTANTS / 10);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("json_peer_jansson");
    TCase *c = tcase_create("json_peer_jansson");

    tcase_set_timeout(c, 100);
    tcase_add_test(c, the_same_documents_are_well_formed);
    tcase_add_test(c, the_same_requests_are_read);
    suite_add_tcase(suite, c);
    return suite_run(suite);
}
