/* SPDX-License-Identifier: MIT */
#include "common/utf8.h"
#include "tests/unit/json_docs.h"

static void assert_answer(const char *error, struct span want)
{
    CLEANUP(buf_done) struct buf out;

    buf_init(&out, BYTES_ROOM);
    ck_assert_int_eq(json_codec.encode_answer(error, &out), 0);
    ck_assert(span_equal(buf_span(&out), want));
}

START_TEST(answer_is_written_with_replaced_bytes)
{
    CLEANUP(buf_done) struct buf out;

    assert_answer(NULL, SPAN("{\"error\":null}"));
    assert_answer("", SPAN("{\"error\":\"\"}"));
    assert_answer("no \"x\"\n", SPAN("{\"error\":\"no \\\"x\\\"\\n\"}"));
    assert_answer("\xff\xc3\xa4", SPAN("{\"error\":\"\xef\xbf\xbd\xc3\xa4\"}"));

    buf_init(&out, 14);
    bytes_put(&out, SPAN("x"));
    ck_assert_int_eq(json_codec.encode_answer(NULL, &out), E_TOO_LARGE);
    ck_assert_int_eq(json_codec.encode_answer("a", &out), 0);
    buf_truncate(&out, 1);
    ck_assert_int_eq(json_codec.encode_answer("ab", &out), E_TOO_LARGE);
    ck_assert(span_equal(buf_span(&out), SPAN("x")));
}
END_TEST

/* A message, a verdict and, where it is an error, its text. */
static const struct {
    const char *message;
    int r;
    const char *error;
} answers[] = {
    {"{'error':null}", 0, NULL},
    {" { 'error' : null , 'more' : [ ] } \n", 0, NULL},
    {"{'error':'x','error':null}", 0, NULL},
    {"{'error':null,'error':''}", 0, ""},
    {"{'error':'\\u0062usy \xc3\xa4'}", 0, "busy \xc3\xa4"},
    {"{}", E_MALFORMED, NULL},
    {"{'Error':null}", E_MALFORMED, NULL},
    {"{'error':false}", E_MALFORMED, NULL},
    {"{'error':nul}", E_MALFORMED, NULL},
    {"{'error':0}", E_MALFORMED, NULL},
    {"{'error':{}}", E_MALFORMED, NULL},
    {"{'error':'\\ud800'}", E_MALFORMED, NULL},
    {"{'error':null}{", E_MALFORMED, NULL},
    {"null", E_MALFORMED, NULL},
    {"<html>", E_MALFORMED, NULL},
    {"", E_TRUNCATED, NULL},
    {"{'error':null", E_TRUNCATED, NULL},
};

START_TEST(answer_is_read_or_refused)
{
    CLEANUP(buf_done) struct buf doc;
    struct answer a = {.is_error = true, .error = "untouched"};
    struct err_at at = {NULL, 0, 0};

    docs_init(&doc, answers[_i].message);
    CLEANUP(bytes_drop) struct span in = suite_exact(buf_span(&doc));
    ck_assert_int_eq(json_codec.decode_answer(in, &a, &at), answers[_i].r);
    if (answers[_i].r) {
        ck_assert_str_eq(a.error, "untouched");
        ck_assert_ptr_nonnull(at.what);
        ck_assert_uint_le(at.offset, in.n);
    } else {
        ck_assert_int_eq(a.is_error, answers[_i].error != NULL);
        ck_assert_str_eq(a.error, answers[_i].error ? answers[_i].error : "");
    }
}
END_TEST

/* Cut where a character ends, whatever its size and way of being written. */
START_TEST(long_error_is_cut_at_a_character)
{
    static const struct {
        const char *character;
        size_t n;
    } kinds[] = {{"a", 1},          {"\xc3\xa4", 2},         {"\xe2\x82\xac", 3},
                 {"\\u20ac", 3},    {"\xf0\x9f\x98\x80", 4}, {"\\ud83d\\ude00", 4},
                 {"\\n\xc3\xa4", 3}};

    for (size_t i = 0; i < N_OF(kinds); i++) {
        for (size_t before = 0; before < 4; before++) {
            CLEANUP(buf_done) struct buf doc;
            struct answer a;
            docs_init(&doc, "{'error':'");
            bytes_put(&doc, span_of("xxxx", before));
            for (size_t n = 0; n < LIMIT_ERROR_BYTES; n++)
                docs_put(&doc, kinds[i].character);
            docs_put(&doc, "'}");
            ck_assert_int_eq(json_codec.decode_answer(buf_span(&doc), &a, NULL), 0);
            size_t n = strlen(a.error);
            ck_assert_uint_lt(n, LIMIT_ERROR_BYTES);
            ck_assert_uint_gt(n + 4, LIMIT_ERROR_BYTES - 1);
            ck_assert(utf8_valid(span_of(a.error, n)));
        }
    }
}
END_TEST

START_TEST(ping_and_pong_come_back)
{
    static const int64_t times[] = {0, 1, -1, 1767813011, INT64_MAX, INT64_MIN};

    for (size_t i = 0; i < N_OF(times); i++) {
        CLEANUP(buf_done) struct buf out;
        struct ping ping = {.timestamp = times[i]};
        struct pong pong = {.origin_timestamp = times[i], .timestamp = -1 - times[i]};
        struct ping ping_read;
        struct pong pong_read;
        buf_init(&out, BYTES_ROOM);
        ck_assert_int_eq(json_codec.encode_ping(&ping, &out), 0);
        ck_assert_int_eq(json_codec.decode_ping(buf_span(&out), &ping_read, NULL), 0);
        ck_assert_int_eq(ping_read.timestamp, ping.timestamp);
        buf_reset(&out);
        ck_assert_int_eq(json_codec.encode_pong(&pong, &out), 0);
        ck_assert_int_eq(json_codec.decode_pong(buf_span(&out), &pong_read, NULL), 0);
        ck_assert_int_eq(pong_read.origin_timestamp, pong.origin_timestamp);
        ck_assert_int_eq(pong_read.timestamp, pong.timestamp);
    }
}
END_TEST

START_TEST(ping_and_pong_are_written_as_the_protocol_says)
{
    CLEANUP(buf_done) struct buf out;
    struct pong pong = {.origin_timestamp = 12, .timestamp = 34};
    struct ping ping = {.timestamp = 56};

    buf_init(&out, BYTES_ROOM);
    ck_assert_int_eq(json_codec.encode_pong(&pong, &out), 0);
    ck_assert_int_eq(json_codec.encode_ping(&ping, &out), 0);
    ck_assert(
        span_equal(buf_span(&out),
                   SPAN("{\"origintimestamp\":12,\"timestamp\":34}{\"timestamp\":56}")));
}
END_TEST

static const struct {
    const char *text;
    int r;
} pings[] = {
    {"{'timestamp':9223372036854775807}", 0},
    {"{'timestamp':-9223372036854775808}", 0},
    {"{'timestamp':-0}", 0},
    {"{'timestamp':9223372036854775808}", E_MALFORMED},
    {"{'timestamp':-9223372036854775809}", E_MALFORMED},
    {"{'timestamp':99999999999999999999999}", E_MALFORMED},
    {"{'timestamp':1.0}", E_MALFORMED},
    {"{'timestamp':1e3}", E_MALFORMED},
    {"{'timestamp':'1'}", E_MALFORMED},
    {"{'timestamp':null}", E_MALFORMED},
    {"{}", E_MALFORMED},
    {"1", E_MALFORMED},
    {"", E_TRUNCATED},
    {"{'timestamp':1", E_TRUNCATED},
};

START_TEST(ping_is_read_or_refused)
{
    CLEANUP(buf_done) struct buf doc;
    struct ping ping = {.timestamp = 7};

    docs_init(&doc, pings[_i].text);
    CLEANUP(bytes_drop) struct span in = suite_exact(buf_span(&doc));
    ck_assert_int_eq(json_codec.decode_ping(in, &ping, NULL), pings[_i].r);
    if (pings[_i].r)
        ck_assert_int_eq(ping.timestamp, 7);
}
END_TEST

START_TEST(pong_needs_both_times)
{
    static const char *const texts[] = {"{'timestamp':1}", "{'origintimestamp':1}",
                                        "{'timestamp':1,'origintimestamp':'1'}"};

    for (size_t i = 0; i < N_OF(texts); i++) {
        CLEANUP(buf_done) struct buf doc;
        struct pong pong = {7, 7};
        docs_init(&doc, texts[i]);
        ck_assert_int_eq(json_codec.decode_pong(buf_span(&doc), &pong, NULL),
                         E_MALFORMED);
        ck_assert_int_eq(pong.origin_timestamp, 7);
        ck_assert_int_eq(pong.timestamp, 7);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("json_answer");
    TCase *c = tcase_create("json_answer");

    tcase_add_test(c, answer_is_written_with_replaced_bytes);
    tcase_add_loop_test(c, answer_is_read_or_refused, 0, N_OF(answers));
    tcase_add_test(c, long_error_is_cut_at_a_character);
    tcase_add_test(c, ping_and_pong_come_back);
    tcase_add_test(c, ping_and_pong_are_written_as_the_protocol_says);
    tcase_add_loop_test(c, ping_is_read_or_refused, 0, N_OF(pings));
    tcase_add_test(c, pong_needs_both_times);
    suite_add_tcase(suite, c);
    return suite_run(suite);
}
