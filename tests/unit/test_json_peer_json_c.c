/* SPDX-License-Identifier: MIT */
#include "common/base64.h"
#include "common/units.h"
#include "tests/unit/json_mutants.h"

#include <json-c/json.h>

/*
 * The reader beside json-c on a few thousand damaged documents. json-c is lenient even
 * when strict (single quotes, NaN, half surrogate pairs, a name cut at \u0000, integers
 * moved into their range), so only one way is compared: what we take it must take, and
 * read the same.
 */

static void drop(struct json_object **value)
{
    json_object_put(*value);
}

static struct json_object *parse(struct span doc)
{
    struct json_tokener *t = json_tokener_new();

    ck_assert_ptr_nonnull(t);
    json_tokener_set_flags(t, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
    struct json_object *value =
        json_tokener_parse_ex(t, (const char *)doc.data, (int)doc.n);
    json_tokener_free(t);
    return value;
}

static bool has_nul(struct span doc)
{
    return memmem(doc.data, doc.n, "\\u0000", 6) != NULL;
}

static struct span string_of(struct json_object *value)
{
    return span_of(json_object_get_string(value),
                   (size_t)json_object_get_string_len(value));
}

static void add_measurement(struct json_object *object, struct batch *to)
{
    struct json_object *bytes = json_object_object_get(object, "bytes");
    int64_t seconds = json_object_get_int64(json_object_object_get(object, "timestamp"));
    int64_t ns = json_object_get_int64(json_object_object_get(object, "nanoseconds"));
    CLEANUP(buf_done) struct buf decoded;

    buf_init(&decoded, BYTES_ROOM);
    if (bytes)
        ck_assert_int_eq(base64_decode(string_of(bytes), &decoded), 0);
    batches_add(to, (uint64_t)seconds * SEC + (uint64_t)ns,
                string_of(json_object_object_get(object, "subsystem")),
                bytes ? buf_span(&decoded)
                      : string_of(json_object_object_get(object, "measurement")));
}

START_TEST(requests_that_are_taken_are_read_the_same)
{
    CLEANUP(buf_done) struct buf doc;
    CLEANUP(buf_done) struct buf spare;
    uint64_t dice = 3;
    unsigned n_taken = 0;

    buf_init(&doc, BYTES_ROOM);
    buf_init(&spare, BYTES_ROOM);
    for (unsigned i = 0; i < MUTANTS; i++) {
        CLEANUP(batch_done) struct batch b;
        CLEANUP(batch_done) struct batch want;
        mutant_make(&dice, &doc, &spare);
        batch_init(&b, &batch_limits_default);
        batch_init(&want, &batch_limits_default);
        if (docs_decode(buf_span(&doc), &b, NULL) != 0 || has_nul(buf_span(&doc)))
            continue;

        CLEANUP(drop) struct json_object *theirs = parse(buf_span(&doc));
        if (!theirs)
            ck_abort_msg("json-c refuses %.*s", (int)doc.len, (const char *)doc.data);
        struct json_object *list = json_object_object_get(theirs, "measurements");
        ck_assert_int_eq(batch_set_identifier(&want, string_of(json_object_object_get(
                                                         theirs, "identifier"))),
                         0);
        /* NULL for null, which is none */
        for (size_t k = 0; list && k < json_object_array_length(list); k++)
            add_measurement(json_object_array_get_idx(list, k), &want);
        batches_assert_same(&b, &want);
        n_taken++;
    }
    ck_assert_uint_gt(n_taken, MUTANTS / 10);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("json_peer_json_c");
    TCase *c = tcase_create("json_peer_json_c");

    tcase_set_timeout(c, 100);
    tcase_add_test(c, requests_that_are_taken_are_read_the_same);
    suite_add_tcase(suite, c);
    return suite_run(suite);
}
