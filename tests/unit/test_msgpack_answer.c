/* SPDX-License-Identifier: MIT */
#include "common/msgpack.h"
#include "tests/lib/bytes.h"
#include "tests/lib/suite.h"

#define TIME INT64_C(0x695eaf93)

static void assert_says(const struct err_at *at, const char *word)
{
    ck_assert_ptr_nonnull(at->what);
    ck_assert_msg(strstr(at->what, word), "\"%s\" does not say \"%s\"", at->what, word);
}

static void assert_answer(const char *error, struct span want)
{
    CLEANUP(buf_done) struct buf out;

    buf_init(&out, BYTES_ROOM);
    ck_assert_int_eq(msgpack_codec.encode_answer(error, &out), 0);
    ck_assert(span_equal(buf_span(&out), want));
}

START_TEST(answer_is_written_with_replaced_bytes)
{
    assert_answer(NULL, SPAN("\x81\xa1\x65\xc0"));
    assert_answer("", SPAN("\x81\xa1\x65\xa0"));
    assert_answer("no", SPAN("\x81\xa1\x65\xa2no"));
    assert_answer("\xff", SPAN("\x81\xa1\x65\xa3\xef\xbf\xbd"));
    assert_answer("a\xff\xfe"
                  "b\xc3\xa4\xc3",
                  SPAN("\x81\xa1\x65\xad"
                       "a\xef\xbf\xbd\xef\xbf\xbd"
                       "b\xc3\xa4\xef\xbf\xbd"));
}
END_TEST

/* What fits again behind a part that did not must not hide that. */
START_TEST(answer_that_does_not_fit_leaves_the_buffer)
{
    const size_t whole = strlen("x") + 4 + strlen("no room\xef\xbf\xbd");

    for (size_t max = 1; max <= whole; max++) {
        CLEANUP(buf_done) struct buf out;
        buf_init(&out, max);
        bytes_put(&out, SPAN("x"));
        int r = msgpack_codec.encode_answer("no room\xff", &out);
        ck_assert_int_eq(r, max == whole ? 0 : E_TOO_LARGE);
        ck_assert_uint_eq(out.len, r ? 1 : whole);
    }
}
END_TEST

/* A message, a verdict and, where it is an error, its text. */
static const struct {
    const char *message;
    int r;
    const char *error;
} answers[] = {
    {"81a165c0", 0, NULL},
    {"82a16101a165c0", 0, NULL},
    {"82a16501a165c0", 0, NULL},
    {"82a165c0a165a0", 0, ""},
    {"81a165a26e6f", 0, "no"},
    {"81a165da00026e6f", 0, "no"},
    {"81a165a16e6f", E_MALFORMED, NULL},
    {"80", E_MALFORMED, NULL},
    {"81a166c0", E_MALFORMED, NULL},
    {"81a165c2", E_MALFORMED, NULL},
    {"81a165c4016e", E_MALFORMED, NULL},
    {"81a16500", E_MALFORMED, NULL},
    {"c0", E_MALFORMED, NULL},
    {"81a165dd00010000", E_TRUNCATED, NULL},
    {"", E_TRUNCATED, NULL},
};

START_TEST(answer_is_read_or_refused)
{
    CLEANUP(bytes_drop) struct span in = bytes_of_hex(answers[_i].message);
    struct answer a = {.is_error = answers[_i].error == NULL, .error = "untouched"};
    struct err_at at;

    ck_assert_int_eq(msgpack_codec.decode_answer(in, &a, &at), answers[_i].r);
    if (answers[_i].r) {
        ck_assert_str_eq(a.error, "untouched");
        ck_assert_ptr_nonnull(at.what);
    } else {
        ck_assert_int_eq(a.is_error, answers[_i].error != NULL);
        ck_assert_str_eq(a.error, answers[_i].error ? answers[_i].error : "");
    }
}
END_TEST

START_TEST(answer_cuts_a_long_error_between_characters)
{
    for (size_t ascii = LIMIT_ERROR_BYTES - 6; ascii <= LIMIT_ERROR_BYTES; ascii++) {
        CLEANUP(buf_done) struct buf out;
        struct answer a;
        char text[LIMIT_ERROR_BYTES + 10] = "";
        memset(text, 'x', ascii);
        memcpy(text + ascii, "\xe2\x82\xac", 4);
        buf_init(&out, BYTES_ROOM);
        ck_assert_int_eq(msgpack_codec.encode_answer(text, &out), 0);
        CLEANUP(bytes_drop) struct span in = suite_exact(buf_span(&out));
        ck_assert_int_eq(msgpack_codec.decode_answer(in, &a, NULL), 0);
        size_t want = ascii + 3 < LIMIT_ERROR_BYTES ? ascii + 3
                      : ascii < LIMIT_ERROR_BYTES   ? ascii
                                                    : LIMIT_ERROR_BYTES - 1;
        ck_assert_uint_eq(strlen(a.error), want);
        ck_assert_int_eq(memcmp(a.error, text, want), 0);
    }
}
END_TEST

START_TEST(ping_and_pong_come_back_as_they_went)
{
    static const int64_t times[] = {0, 1, -1, 1767813011, INT64_MAX, INT64_MIN};

    for (size_t i = 0; i < N_OF(times); i++) {
        CLEANUP(buf_done) struct buf out;
        const struct ping ping = {times[i]};
        const struct pong pong = {times[i], times[N_OF(times) - 1 - i]};
        struct ping ping_back;
        struct pong pong_back;
        buf_init(&out, BYTES_ROOM);
        ck_assert_int_eq(msgpack_codec.encode_ping(&ping, &out), 0);
        CLEANUP(bytes_drop) struct span in = suite_exact(buf_span(&out));
        ck_assert_int_eq(msgpack_codec.decode_ping(in, &ping_back, NULL), 0);
        ck_assert_int_eq(ping_back.timestamp, ping.timestamp);

        buf_reset(&out);
        ck_assert_int_eq(msgpack_codec.encode_pong(&pong, &out), 0);
        CLEANUP(bytes_drop) struct span answer = suite_exact(buf_span(&out));
        ck_assert_int_eq(msgpack_codec.decode_pong(answer, &pong_back, NULL), 0);
        ck_assert_int_eq(pong_back.origin_timestamp, pong.origin_timestamp);
        ck_assert_int_eq(pong_back.timestamp, pong.timestamp);
    }
}
END_TEST

/* Of TIME, and of TIME and a second more. */
#define PING "81a974696d657374616d70d300000000695eaf93"
#define PONG                                                                             \
    "82af6f726967696e74696d657374616d70d300000000695eaf93a974696d657374616d70d300000000" \
    "695eaf94"

START_TEST(ping_and_pong_are_written_by_their_names)
{
    CLEANUP(bytes_drop) struct span ping = bytes_of_hex(PING);
    CLEANUP(bytes_drop) struct span pong = bytes_of_hex(PONG);
    CLEANUP(buf_done) struct buf out;

    buf_init(&out, BYTES_ROOM);
    ck_assert_int_eq(msgpack_codec.encode_ping(&(struct ping){TIME}, &out), 0);
    ck_assert(span_equal(buf_span(&out), ping));
    buf_reset(&out);
    ck_assert_int_eq(
        msgpack_codec.encode_pong(&(struct pong){(int64_t)TIME, (int64_t)TIME + 1}, &out),
        0);
    ck_assert(span_equal(buf_span(&out), pong));
}
END_TEST

START_TEST(ping_and_pong_cut_anywhere_are_truncated)
{
    CLEANUP(bytes_drop) struct span ping = bytes_of_hex(PING);
    CLEANUP(bytes_drop) struct span pong = bytes_of_hex(PONG);
    struct ping ping_back = {42};
    struct pong pong_back = {42, 43};

    for (size_t n = 0; n < ping.n; n++) {
        CLEANUP(bytes_drop) struct span in = suite_exact(span_of(ping.data, n));
        ck_assert_int_eq(msgpack_codec.decode_ping(in, &ping_back, NULL), E_TRUNCATED);
    }
    for (size_t n = 0; n < pong.n; n++) {
        CLEANUP(bytes_drop) struct span in = suite_exact(span_of(pong.data, n));
        ck_assert_int_eq(msgpack_codec.decode_pong(in, &pong_back, NULL), E_TRUNCATED);
    }
    ck_assert_int_eq(ping_back.timestamp, 42);
    ck_assert_int_eq(pong_back.origin_timestamp, 42);
    ck_assert_int_eq(pong_back.timestamp, 43);
}
END_TEST

/* A message, and a word of the reason as ping and as pong; NULL: it is taken. */
static const struct {
    const char *message;
    const char *no_ping;
    const char *no_pong;
} pings[] = {
    {"81a974696d657374616d7005", NULL, "origintimestamp is missing"},
    {"82a974696d657374616d7005c0c0", NULL, "origintimestamp is missing"},
    {"82a974696d657374616d70c0a974696d657374616d7005", NULL,
     "origintimestamp is missing"},
    {"80", "timestamp is missing", "origintimestamp is missing"},
    {"81a974696d657374616d70a135", "type", "missing"},
    {"81a974696d657374616d70cffffffffffffffffe", "range", "missing"},
    {"81af6f726967696e74696d657374616d7005", "missing", "timestamp is missing"},
    {"82af6f726967696e74696d657374616d70cb0000000000000000a974696d657374616d7005", NULL,
     "origintimestamp has the wrong type"},
    {"82af6f726967696e74696d657374616d7007a974696d657374616d7005", NULL, NULL},
    {"05", "map", "map"},
};

START_TEST(ping_and_pong_say_what_is_wrong_with_them)
{
    CLEANUP(bytes_drop) struct span in = bytes_of_hex(pings[_i].message);
    struct ping ping = {42};
    struct pong pong = {42, 43};
    struct err_at at;

    int r = msgpack_codec.decode_ping(in, &ping, &at);
    ck_assert_int_eq(r, pings[_i].no_ping ? E_MALFORMED : 0);
    ck_assert_int_eq(ping.timestamp, r ? 42 : 5);
    if (r)
        assert_says(&at, pings[_i].no_ping);
    r = msgpack_codec.decode_pong(in, &pong, &at);
    ck_assert_int_eq(r, pings[_i].no_pong ? E_MALFORMED : 0);
    ck_assert_int_eq(pong.origin_timestamp, r ? 42 : 7);
    if (r)
        assert_says(&at, pings[_i].no_pong);
}
END_TEST

static void add_small_tests(Suite *suite)
{
    TCase *c = tcase_create("answer, ping and pong");

    tcase_add_test(c, answer_is_written_with_replaced_bytes);
    tcase_add_test(c, answer_that_does_not_fit_leaves_the_buffer);
    tcase_add_loop_test(c, answer_is_read_or_refused, 0, N_OF(answers));
    tcase_add_test(c, answer_cuts_a_long_error_between_characters);
    tcase_add_test(c, ping_and_pong_come_back_as_they_went);
    tcase_add_test(c, ping_and_pong_are_written_by_their_names);
    tcase_add_test(c, ping_and_pong_cut_anywhere_are_truncated);
    tcase_add_loop_test(c, ping_and_pong_say_what_is_wrong_with_them, 0, N_OF(pings));
    suite_add_tcase(suite, c);
}

int main(void)
{
    Suite *suite = suite_create("msgpack_answer");

    add_small_tests(suite);
    return suite_run(suite);
}
