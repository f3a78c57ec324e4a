/* SPDX-License-Identifier: MIT */
#include "common/units.h"
#include "tests/unit/json_docs.h"

/* A value of timestamp or nanoseconds, and the time it makes; 0: refused with the words.
 */
static const struct {
    const char *name;
    const char *value;
    uint64_t time_ns;
    const char *words;
} integers[] = {
    {"timestamp", "946684800", 946684800 * SEC, NULL},
    {"timestamp", "7289654399", UINT64_C(7289654399) * SEC, NULL},
    {"timestamp", "946684799", 0, "years"},
    {"timestamp", "7289654400", 0, "years"},
    {"timestamp", "0", 0, "years"},
    {"timestamp", "-0", 0, "years"},
    {"timestamp", "-1", 0, "years"},
    {"timestamp", "-1767813011", 0, "years"},
    {"timestamp", "9223372036854775807", 0, "years"},
    {"timestamp", "-9223372036854775808", 0, "years"},
    {"timestamp", "9223372036854775808", 0, "range"},
    {"timestamp", "-9223372036854775809", 0, "range"},
    {"timestamp", "18446744073709551616", 0, "range"},
    {"timestamp", "18446744075477364627", 0, "range"}, /* right modulo 2^64 */
    {"timestamp", "01767813011", 0, "comma"},
    {"timestamp", "00", 0, "comma"},
    {"timestamp", "-01", 0, "comma"},
    {"timestamp", "+1767813011", 0, "type"},
    {"timestamp", ".5", 0, "type"},
    {"timestamp", "-", 0, "not a value"},
    {"timestamp", "--1", 0, "not a value"},
    {"timestamp", "-a", 0, "not a value"},
    {"timestamp", "1767813011.", 0, "not a value"},
    {"timestamp", "1767813011.0", 0, "type"},
    {"timestamp", "1767813011e0", 0, "type"},
    {"timestamp", "1e9", 0, "type"},
    {"timestamp", "1E9", 0, "type"},
    {"timestamp", "1e", 0, "not a value"},
    {"timestamp", "1e+", 0, "not a value"},
    {"timestamp", "0x695eaf93", 0, "comma"},
    {"timestamp", "1767813011n", 0, "comma"},
    {"timestamp", "1_767_813_011", 0, "comma"},
    {"timestamp", "NaN", 0, "type"},
    {"timestamp", "Infinity", 0, "type"},
    {"timestamp", "-Infinity", 0, "not a value"},
    {"nanoseconds", "0", DOCS_TIME *SEC, NULL},
    {"nanoseconds", "-0", DOCS_TIME *SEC, NULL},
    {"nanoseconds", "1", DOCS_TIME *SEC + 1, NULL},
    {"nanoseconds", "999999999", DOCS_TIME *SEC + 999999999, NULL},
    {"nanoseconds", "1000000000", 0, "nanoseconds is out of range"},
    {"nanoseconds", "-1", 0, "nanoseconds is out of range"},
    {"nanoseconds", "9223372036854775807", 0, "nanoseconds is out of range"},
    {"nanoseconds", "9223372036854775808", 0, "nanoseconds is out of range"},
    {"nanoseconds", "-9223372036854775808", 0, "nanoseconds is out of range"},
};

START_TEST(integers_are_taken_within_their_limits)
{
    CLEANUP(buf_done) struct buf in;
    CLEANUP(batch_done) struct batch b;

    docs_init_member(&in, integers[_i].name, integers[_i].value);
    batch_init(&b, &batch_limits_default);
    if (integers[_i].words) {
        struct err_at at =
            docs_refused(buf_span(&in), &batch_limits_default, E_MALFORMED);
        docs_assert_says(&at, integers[_i].words);
        return;
    }
    ck_assert_int_eq(docs_decode(buf_span(&in), &b, NULL), 0);
    ck_assert_uint_eq(batch_get(&b, 0).time_ns, integers[_i].time_ns);
}
END_TEST

START_TEST(identifier_is_1_to_128_bytes_however_it_is_written)
{
    static const char *const characters[] = {"a", "\\u0061", "\xc3\xa4", "\\u00e4"};

    for (size_t i = 0; i < N_OF(characters); i++) {
        for (size_t n = 1; n <= 129; n++) {
            CLEANUP(buf_done) struct buf in;
            CLEANUP(batch_done) struct batch b;
            size_t bytes = i < 2 ? n : 2 * n;
            docs_init(&in, "{'identifier':'");
            for (size_t k = 0; k < n; k++)
                docs_put(&in, characters[i]);
            docs_put(&in, "','measurements':[]}");
            batch_init(&b, &batch_limits_default);
            ck_assert_int_eq(docs_decode(buf_span(&in), &b, NULL),
                             bytes > 128 ? E_MALFORMED : 0);
            ck_assert_uint_eq(b.identifier_n, bytes > 128 ? 0 : bytes);
        }
    }
}
END_TEST

START_TEST(bytes_that_are_not_base64_are_named)
{
    static const char *const values[] = {"'a'",    "'====' ", "'YQ='",
                                         "'YR=='", "' YQ=='", "'YQ==\\n'"};

    for (size_t i = 0; i < N_OF(values); i++) {
        CLEANUP(buf_done) struct buf in;
        docs_init_member(&in, "bytes", values[i]);
        struct err_at at =
            docs_refused(buf_span(&in), &batch_limits_default, E_MALFORMED);
        docs_assert_says(&at, "base64");
        ck_assert_uint_eq(at.item, 0);
    }
}
END_TEST

/* The objects of the request and the measurement and the array between are three. */
START_TEST(nesting_ends_at_its_limit)
{
    static const struct {
        const char *open;
        const char *inner;
        const char *close;
    } kinds[] = {{"[", "", "]"}, {"{'a':", "{}", "}"}, {"[1,", "[]", ",2]"}};
    static const size_t depths[] = {1, LIMIT_NESTING - 3, LIMIT_NESTING - 2, 100000};

    for (size_t i = 0; i < N_OF(kinds) * N_OF(depths); i++) {
        size_t k = i % N_OF(kinds);
        size_t depth = depths[i / N_OF(kinds)];
        size_t around = depth - (*kinds[k].inner != '\0');
        CLEANUP(buf_done) struct buf value;
        CLEANUP(buf_done) struct buf in;
        CLEANUP(batch_done) struct batch b;
        docs_init(&value, "");
        for (size_t n = 0; n < around; n++)
            docs_put(&value, kinds[k].open);
        docs_put(&value, kinds[k].inner);
        for (size_t n = 0; n < around; n++)
            docs_put(&value, kinds[k].close);
        bytes_put_one(&value, 0);
        docs_init_member(&in, "unknown", (const char *)value.data);
        if (depth <= LIMIT_NESTING - 3) {
            batch_init(&b, &batch_limits_default);
            ck_assert_int_eq(docs_decode(buf_span(&in), &b, NULL), 0);
            continue;
        }
        struct err_at at =
            docs_refused(buf_span(&in), &batch_limits_default, E_TOO_LARGE);
        docs_assert_says(&at, "nested");
        ck_assert_uint_eq(at.item, 0);
    }
}
END_TEST

/* Two measurements at the limits of a batch, one of which is then too small by one. */
START_TEST(limits_of_the_batch_are_reached_but_not_passed)
{
    static const char doc[] = DOCS_REQUEST(
        "{'timestamp':1767813011,'subsystem':'a\\/c','measurement':'12\\n45'},"
        "{'timestamp':1767813011,'subsystem':'ab','measurement':'\\ufffd','bytes'"
        ":'AAD/\\/w=='}");
    static const struct batch_limits fitting = {2, 5, 3, 3 + 5 + 2 + 4};
    struct batch_limits limits[5] = {fitting, fitting, fitting, fitting, fitting};
    static const char *const words[] = {NULL, "measurements", "measurement is longer",
                                        "subsystem is longer", "bytes of text in all"};
    static const size_t items[] = {0, 1, 0, 0, 1};
    CLEANUP(buf_done) struct buf in;
    CLEANUP(batch_done) struct batch b;

    limits[1].measurements--;
    limits[2].text_bytes--;
    limits[3].subsystem_bytes--;
    limits[4].bytes--;
    docs_init(&in, doc);
    batch_init(&b, &limits[0]);
    ck_assert_int_eq(docs_decode(buf_span(&in), &b, NULL), 0);
    ck_assert_uint_eq(b.bytes.len, fitting.bytes);
    for (size_t i = 1; i < N_OF(limits); i++) {
        struct err_at at = docs_refused(buf_span(&in), &limits[i], E_TOO_LARGE);
        docs_assert_says(&at, words[i]);
        ck_assert_uint_eq(at.item, items[i]);
    }
}
END_TEST

START_TEST(limit_of_a_text_holds_for_bytes_too)
{
    static const struct batch_limits limits = {1, 3, 1, 100};
    CLEANUP(buf_done) struct buf in;

    docs_init_member(&in, "bytes", "'AAD//w=='");
    struct err_at at = docs_refused(buf_span(&in), &limits, E_TOO_LARGE);
    docs_assert_says(&at, "measurement is longer");
}
END_TEST

/* What doesn't count in the end doesn't count for the limits either. */
START_TEST(limits_are_for_what_stays)
{
    static const struct batch_limits limits = {1, 1, 1, 2};
    CLEANUP(buf_done) struct buf in;
    CLEANUP(batch_done) struct batch b;

    batch_init(&b, &limits);
    docs_init(&in,
              "{'identifier':'h','measurements':["
              "{'timestamp':1767813011,'subsystem':'long','measurement':'long',"
              "'a name that is long':'and a text','subsystem':'s','measurement':'long',"
              "'bytes':'AA=='}]}");
    ck_assert_int_eq(docs_decode(buf_span(&in), &b, NULL), 0);
    ck_assert_uint_eq(b.bytes.len, 2);
}
END_TEST

START_TEST(a_lower_limit_of_nesting_holds)
{
    struct batch_limits limits = batch_limits_default;
    CLEANUP(buf_done) struct buf flat;
    CLEANUP(buf_done) struct buf deep;
    CLEANUP(batch_done) struct batch b;

    limits.nesting = 4;
    docs_init_member(&flat, "unknown", "[]");
    docs_init_member(&deep, "unknown", "[[]]");
    batch_init(&b, &limits);
    ck_assert_int_eq(docs_decode(buf_span(&flat), &b, NULL), 0);
    struct err_at at = docs_refused(buf_span(&deep), &limits, E_TOO_LARGE);
    docs_assert_says(&at, "nested");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("json_limits");
    TCase *c = tcase_create("json_limits");

    tcase_set_timeout(c, 60);
    tcase_add_loop_test(c, integers_are_taken_within_their_limits, 0, N_OF(integers));
    tcase_add_test(c, identifier_is_1_to_128_bytes_however_it_is_written);
    tcase_add_test(c, bytes_that_are_not_base64_are_named);
    tcase_add_test(c, nesting_ends_at_its_limit);
    tcase_add_test(c, a_lower_limit_of_nesting_holds);
    tcase_add_test(c, limits_of_the_batch_are_reached_but_not_passed);
    tcase_add_test(c, limit_of_a_text_holds_for_bytes_too);
    tcase_add_test(c, limits_are_for_what_stays);
    suite_add_tcase(suite, c);
    return suite_run(suite);
}
