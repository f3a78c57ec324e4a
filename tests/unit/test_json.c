/* SPDX-License-Identifier: MIT */
#include "common/units.h"
#include "tests/lib/fault.h"
#include "tests/unit/json_docs.h"

#include <errno.h>

static const char full[] =
    " {\n\t'new' : [ { 'a' : [ ] , 'b' : { } } , -0.5e+3 , true , false , null , "
    "'\\ud83d\\ude00'"
    " ] ,\r 'measurements' : [ { 'measurement' : '\xc3\xa4 \\\"\\u00e4' , 'timestamp' :"
    " 1767813011 , 'x' : 0 , 'subsystem' : '\\/proc\\/stat' , 'nanoseconds' : 5 } ,"
    " { 'subsystem' : 's' , 'bytes' : '\\/wA=' , 'timestamp' : 1767813012 , "
    "'measurement' : ''"
    " } ] , '\\u0069dentifier' : 'web\\u002d01' }";

START_TEST(request_is_read_with_members_in_any_order)
{
    CLEANUP(buf_done) struct buf in;
    CLEANUP(batch_done) struct batch b;
    CLEANUP(batch_done) struct batch want;

    batch_init(&want, &batch_limits_default);
    ck_assert_int_eq(batch_set_identifier(&want, SPAN("web-01")), 0);
    batches_add(&want, DOCS_TIME * SEC + 5, SPAN("/proc/stat"),
                SPAN("\xc3\xa4 \"\xc3\xa4"));
    batches_add(&want, (DOCS_TIME + 1) * SEC, SPAN("s"), SPAN("\xff\0"));

    docs_init(&in, full);
    bytes_put(&in, SPAN(" \t\r\n"));
    batch_init(&b, &batch_limits_default);
    ck_assert_int_eq(docs_decode(buf_span(&in), &b, NULL), 0);
    batches_assert_same(&b, &want);
    ck_assert_uint_eq(b.n_ticks, 2);
}
END_TEST

START_TEST(request_cut_anywhere_is_truncated)
{
    CLEANUP(buf_done) struct buf in;

    docs_init(&in, full);
    for (size_t n = 0; n < in.len; n++) {
        struct err_at at =
            docs_refused(span_of(in.data, n), &batch_limits_default, E_TRUNCATED);
        ck_assert_uint_ge(at.offset + 6,
                          n); /* an escape or a character may begin before */
    }
}
END_TEST

/* Whatever a byte becomes, the answer is a batch or a verdict with a place. */
START_TEST(request_with_any_byte_changed_is_taken_or_refused)
{
    CLEANUP(buf_done) struct buf in;
    CLEANUP(batch_done) struct batch b;

    docs_init(&in, full);
    batch_init(&b, &batch_limits_default);
    for (size_t i = 0; i < in.len; i++) {
        uint8_t before = in.data[i];
        for (unsigned value = 0; value < 256; value++) {
            struct err_at at = {NULL, ERR_AT_UNKNOWN, 0};
            in.data[i] = (uint8_t)value;
            batch_reset(&b);
            int r = docs_decode(buf_span(&in), &b, &at);
            bool is_reset = b.n_items == 0 && b.bytes.len == 0 && b.identifier_n == 0;
            if (r != 0 && (!is_reset || !at.what || at.offset > in.len ||
                           (r != E_TRUNCATED && r != E_MALFORMED)))
                ck_abort_msg("byte %zu as %02x: %d", i, value, r);
        }
        in.data[i] = before;
    }
}
END_TEST

/* What is wrong with a request, and in which measurement. */
static const struct {
    const char *text;
    int r;
    const char *words;
    size_t item;
} refusals[] = {
    {"", E_TRUNCATED, "too early", ERR_AT_UNKNOWN},
    {" \n", E_TRUNCATED, "too early", ERR_AT_UNKNOWN},
    {"\xef\xbb\xbf" DOCS_REQUEST(DOCS_STAT), E_MALFORMED, "object", ERR_AT_UNKNOWN},
    {"[]", E_MALFORMED, "object", ERR_AT_UNKNOWN},
    {"null", E_MALFORMED, "object", ERR_AT_UNKNOWN},
    {"'x'", E_MALFORMED, "object", ERR_AT_UNKNOWN},
    {DOCS_REQUEST(DOCS_STAT) "x", E_MALFORMED, "behind", ERR_AT_UNKNOWN},
    {DOCS_REQUEST(DOCS_STAT) "{}", E_MALFORMED, "behind", ERR_AT_UNKNOWN},
    {DOCS_REQUEST(DOCS_STAT) "\f", E_MALFORMED, "behind", ERR_AT_UNKNOWN},
    {"{}", E_MALFORMED, "identifier is missing", ERR_AT_UNKNOWN},
    {"{'measurements':[]}", E_MALFORMED, "identifier is missing", ERR_AT_UNKNOWN},
    {"{'identifier':'h'}", E_MALFORMED, "measurements is missing", ERR_AT_UNKNOWN},
    {"{'Identifier':'h','measurements':[]}", E_MALFORMED, "identifier is missing",
     ERR_AT_UNKNOWN},
    {"{'identifier':null,'measurements':[]}", E_MALFORMED,
     "identifier has the wrong type", ERR_AT_UNKNOWN},
    {"{'identifier':1,'measurements':[]}", E_MALFORMED, "identifier has the wrong type",
     ERR_AT_UNKNOWN},
    {"{'identifier':'','measurements':[]}", E_MALFORMED, "1 to 128", ERR_AT_UNKNOWN},
    {"{'identifier':'a\\nb','measurements':[]}", E_MALFORMED, "1 to 128", ERR_AT_UNKNOWN},
    {"{'identifier':'a\\u0000','measurements':[]}", E_MALFORMED, "1 to 128",
     ERR_AT_UNKNOWN},
    {"{'identifier':'h','measurements':nul}", E_MALFORMED, "not a value", ERR_AT_UNKNOWN},
    {"{'identifier':'h','measurements':{}}", E_MALFORMED,
     "measurements has the wrong type", ERR_AT_UNKNOWN},
    {"{'identifier':'h','measurements':''}", E_MALFORMED,
     "measurements has the wrong type", ERR_AT_UNKNOWN},
    {DOCS_REQUEST("1"), E_MALFORMED, "not an object", 0},
    {DOCS_REQUEST(DOCS_STAT ",null"), E_MALFORMED, "not an object", 1},
    {DOCS_REQUEST(DOCS_STAT ",[]"), E_MALFORMED, "not an object", 1},
    {DOCS_REQUEST(DOCS_STAT ",{}"), E_MALFORMED, "timestamp is missing", 1},
    {DOCS_REQUEST(DOCS_STAT ",{'timestamp':1767813011,'measurement':''}"), E_MALFORMED,
     "subsystem is missing", 1},
    {DOCS_REQUEST(DOCS_STAT ",{'timestamp':1767813011,'subsystem':''}"), E_MALFORMED,
     "measurement is missing", 1},
    {DOCS_REQUEST(DOCS_STAT ",{'timestamp':1767813011,'subsystem':'','bytes':''}"),
     E_MALFORMED, "measurement is missing", 1},
    {DOCS_REQUEST("{'subsystem':'','measurement':''}"), E_MALFORMED,
     "timestamp is missing", 0},
    {DOCS_REQUEST(DOCS_STAT ","), E_MALFORMED, "not an object", 1},
    {DOCS_REQUEST("," DOCS_STAT), E_MALFORMED, "not an object", 0},
    {DOCS_REQUEST(DOCS_STAT DOCS_STAT), E_MALFORMED, "comma", ERR_AT_UNKNOWN},
    {DOCS_REQUEST(DOCS_STAT ";" DOCS_STAT), E_MALFORMED, "comma", ERR_AT_UNKNOWN},
    {"{'identifier':'h' 'measurements':[]}", E_MALFORMED, "comma", ERR_AT_UNKNOWN},
    {"{'identifier':'h','measurements':[],}", E_MALFORMED, "name", ERR_AT_UNKNOWN},
    {"{,'identifier':'h','measurements':[]}", E_MALFORMED, "name", ERR_AT_UNKNOWN},
    {"{identifier:'h','measurements':[]}", E_MALFORMED, "name", ERR_AT_UNKNOWN},
    {"{'identifier','h','measurements':[]}", E_MALFORMED, "colon", ERR_AT_UNKNOWN},
    {"{'identifier'='h','measurements':[]}", E_MALFORMED, "colon", ERR_AT_UNKNOWN},
    {"{/**/'identifier':'h','measurements':[]}", E_MALFORMED, "name", ERR_AT_UNKNOWN},
    {"{'identifier':'h','measurements':[}", E_MALFORMED, "not an object", 0},
    {"{'identifier':'h','measurements':[]]", E_MALFORMED, "comma", ERR_AT_UNKNOWN},
};

START_TEST(request_is_refused_and_says_why_and_where)
{
    CLEANUP(buf_done) struct buf in;

    docs_init(&in, refusals[_i].text);
    struct err_at at = docs_refused(buf_span(&in), &batch_limits_default, refusals[_i].r);
    docs_assert_says(&at, refusals[_i].words);
    ck_assert_uint_eq(at.item, refusals[_i].item);
}
END_TEST

START_TEST(request_in_single_quotes_is_malformed)
{
    (void)docs_refused(SPAN("{'identifier':'h','measurements':[]}"),
                       &batch_limits_default, E_MALFORMED);
}
END_TEST

START_TEST(place_is_where_the_bad_value_begins)
{
    static const struct {
        const char *text;
        size_t offset;
    } places[] = {
        {DOCS_REQUEST("{'timestamp':1,'subsystem':'','measurement':''}"), 52},
        {DOCS_REQUEST("{'timestamp':1.5,'subsystem':'','measurement':''}"), 52},
        {DOCS_REQUEST("{'timestamp':99999999999999999999,'subsystem':''}"), 52},
        {DOCS_REQUEST("{'timestamp':true,'subsystem':'','measurement':''}"), 52},
        {"{'identifier':'','measurements':[]}", 14},
        {"{'identifier':'h','measurements':[]}x", 36},
    };

    for (size_t i = 0; i < N_OF(places); i++) {
        CLEANUP(buf_done) struct buf in;
        docs_init(&in, places[i].text);
        struct err_at at =
            docs_refused(buf_span(&in), &batch_limits_default, E_MALFORMED);
        ck_assert_uint_eq(at.offset, places[i].offset);
    }
}
END_TEST

START_TEST(value_of_a_wrong_type_is_named)
{
    static const char *const names[] = {"timestamp", "nanoseconds", "subsystem",
                                        "measurement", "bytes"};
    static const char *const values[] = {"null", "true", "false", "[]",
                                         "{}",   "1.5",  "'x'",   "7"};

    for (size_t i = 0; i < N_OF(names); i++) {
        for (size_t j = 0; j < N_OF(values); j++) {
            bool is_string = i >= 2;
            if (strcmp(values[j], is_string ? "'x'" : "7") == 0)
                continue;
            CLEANUP(buf_done) struct buf in;
            docs_init_member(&in, names[i], values[j]);
            struct err_at at =
                docs_refused(buf_span(&in), &batch_limits_default, E_MALFORMED);
            docs_assert_says(&at, names[i]);
            docs_assert_says(&at, "type");
            ck_assert_uint_eq(at.item, 0);
        }
    }
}
END_TEST

START_TEST(of_a_member_given_twice_the_last_counts)
{
    CLEANUP(buf_done) struct buf in;
    CLEANUP(batch_done) struct batch b;
    CLEANUP(batch_done) struct batch want;

    batch_init(&want, &batch_limits_default);
    ck_assert_int_eq(batch_set_identifier(&want, SPAN("second")), 0);
    batches_add(&want, DOCS_TIME * SEC, SPAN("b"), SPAN("e"));
    batches_add(&want, DOCS_TIME * SEC, SPAN("b"), SPAN("c"));

    docs_init(
        &in,
        "{'identifier':'','measurements':[" DOCS_STAT "," DOCS_STAT "],"
        "'measurements':["
        "{'timestamp':0,'subsystem':'a','measurement':'c','bytes':'?','nanoseconds':-1,"
        "'timestamp':1767813011,'nanoseconds':0,'measurement':'d','bytes':'ZQ==',"
        "'\\u0073ubsystem':'b'},"
        "{'timestamp':1767813011,'subsystem':'b','measurement':'c'}],"
        "'identifier':'second'}");
    batch_init(&b, &batch_limits_default);
    ck_assert_int_eq(docs_decode(buf_span(&in), &b, NULL), 0);
    batches_assert_same(&b, &want);
    ck_assert_uint_eq(b.n_ticks, 1);
}
END_TEST

START_TEST(request_of_no_measurement_is_taken)
{
    CLEANUP(buf_done) struct buf in;
    CLEANUP(batch_done) struct batch b;

    docs_init(&in, DOCS_REQUEST(""));
    batch_init(&b, &batch_limits_default);
    ck_assert_int_eq(docs_decode(buf_span(&in), &b, NULL), 0);
    ck_assert_uint_eq(b.n_items, 0);
    ck_assert(span_equal_str(batch_identifier(&b), "web-01"));
}
END_TEST

/* What Go's encoder makes of a nil slice. */
START_TEST(null_for_the_measurements_is_none)
{
    CLEANUP(buf_done) struct buf in;
    CLEANUP(batch_done) struct batch b;

    docs_init(&in,
              "{'identifier':'h','measurements':[" DOCS_STAT "],'measurements':null}");
    batch_init(&b, &batch_limits_default);
    ck_assert_int_eq(docs_decode(buf_span(&in), &b, NULL), 0);
    ck_assert_uint_eq(b.n_items, 0);
    ck_assert(span_equal_str(batch_identifier(&b), "h"));
}
END_TEST

START_TEST(empty_texts_are_taken)
{
    CLEANUP(buf_done) struct buf in;
    CLEANUP(batch_done) struct batch b;

    docs_init(&in,
              DOCS_REQUEST("{'timestamp':1767813011,'subsystem':'','measurement':''}"));
    batch_init(&b, &batch_limits_default);
    ck_assert_int_eq(docs_decode(buf_span(&in), &b, NULL), 0);
    ck_assert_uint_eq(b.n_items, 1);
    ck_assert_uint_eq(batch_get(&b, 0).text.n, 0);
}
END_TEST

/* Of a value that is ignored each byte is checked all the same. */
START_TEST(unknown_members_are_checked_and_skipped)
{
    static const struct {
        const char *value;
        int r;
    } values[] = {
        {"0", 0},
        {"-0", 0},
        {"-0.0e-0", 0},
        {"1E400", 0},
        {"123456789012345678901234567890.5", 0},
        {"'\\ud83d\\ude00'", 0},
        {"[[],{},[{}],{'a':[1,2]}]", 0},
        {"{'a':{'a':null},'a':true,'':false}", 0},
        {"", E_MALFORMED},
        {"nul", E_MALFORMED},
        {"nulll", E_MALFORMED},
        {"True", E_MALFORMED},
        {"NaN", E_MALFORMED},
        {"-", E_MALFORMED},
        {"01", E_MALFORMED},
        {"1.", E_MALFORMED},
        {"1.e1", E_MALFORMED},
        {".1", E_MALFORMED},
        {"1e", E_MALFORMED},
        {"+1", E_MALFORMED},
        {"[1,]", E_MALFORMED},
        {"[,1]", E_MALFORMED},
        {"[1 2]", E_MALFORMED},
        {"[1}", E_MALFORMED},
        {"{'a':1]", E_MALFORMED},
        {"{'a'}", E_MALFORMED},
        {"{'a':}", E_MALFORMED},
        {"{'a':1,}", E_MALFORMED},
        {"{1:1}", E_MALFORMED},
        {"{'\\ud800':1}", E_MALFORMED},
        {"'\\udc00'", E_MALFORMED},
        {"'\xff'", E_MALFORMED},
        {"'\n'", E_MALFORMED},
        {"'\\x'", E_MALFORMED},
        {"[1]]", E_MALFORMED},
    };

    for (size_t i = 0; i < N_OF(values); i++) {
        CLEANUP(buf_done) struct buf in;
        CLEANUP(batch_done) struct batch b;
        docs_init_member(&in, "unknown", values[i].value);
        batch_init(&b, &batch_limits_default);
        ck_assert_msg(docs_decode(buf_span(&in), &b, NULL) == values[i].r, "%s",
                      values[i].value);
    }
}
END_TEST

START_TEST(request_survives_any_failed_allocation)
{
    CLEANUP(buf_done) struct buf in;
    bool fired = true;

    docs_init(&in, full);
    for (long nth = 0; fired; nth++) {
        CLEANUP(batch_done) struct batch b;
        struct err_at at = {"untouched", 0, 0};
        batch_init(&b, &batch_limits_default);
        fault_arm(nth);
        int r = json_codec.decode_request(buf_span(&in), &b, &at);
        fired = fault_disarm();
        ck_assert_int_eq(r, fired ? -ENOMEM : 0);
        if (fired) {
            batches_assert_reset(&b);
            ck_assert_ptr_null(at.what);
            ck_assert_uint_lt(at.offset, in.len);
        }
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("json");
    TCase *c = tcase_create("json");

    tcase_set_timeout(c, 60);
    tcase_add_test(c, request_is_read_with_members_in_any_order);
    tcase_add_test(c, request_cut_anywhere_is_truncated);
    tcase_add_test(c, request_with_any_byte_changed_is_taken_or_refused);
    tcase_add_loop_test(c, request_is_refused_and_says_why_and_where, 0, N_OF(refusals));
    tcase_add_test(c, request_in_single_quotes_is_malformed);
    tcase_add_test(c, place_is_where_the_bad_value_begins);
    tcase_add_test(c, value_of_a_wrong_type_is_named);
    tcase_add_test(c, of_a_member_given_twice_the_last_counts);
    tcase_add_test(c, request_of_no_measurement_is_taken);
    tcase_add_test(c, null_for_the_measurements_is_none);
    tcase_add_test(c, empty_texts_are_taken);
    tcase_add_test(c, unknown_members_are_checked_and_skipped);
    tcase_add_test(c, request_survives_any_failed_allocation);
    suite_add_tcase(suite, c);
    return suite_run(suite);
}
