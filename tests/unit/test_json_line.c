/* SPDX-License-Identifier: MIT */
#include "common/units.h"
#include "tests/lib/fault.h"
#include "tests/unit/json_docs.h"

#include <errno.h>

/* A measurement and the line that it is in a collection, written with ' for ". */
static const struct {
    struct measurement m;
    const char *line;
} lines[] = {
    {{DOCS_TIME * SEC,
      {(const uint8_t *)"/proc/stat", 10},
      {(const uint8_t *)"cpu  1\n\"x\"\n", 11}},
     "{'timestamp':1767813011,'subsystem':'/proc/stat','measurement':'cpu  "
     "1\\n\\'x\\'\\n'}\n"},
    {{DOCS_TIME * SEC + 1, {(const uint8_t *)"s", 1}, {(const uint8_t *)"", 0}},
     "{'timestamp':1767813011,'nanoseconds':1,'subsystem':'s','measurement':''}\n"},
    {{DOCS_TIME * SEC + 999999999, {(const uint8_t *)"", 0}, {(const uint8_t *)"\0", 1}},
     "{'timestamp':1767813011,'nanoseconds':999999999,'subsystem':'','measurement':"
     "'\\u0000'}\n"},
    {{LIMIT_TIMESTAMP_MAX * SEC,
      {(const uint8_t *)"statfs[/mnt/\xc3\xa4]", 15},
      {(const uint8_t *)"\x1b[1m\\\xf0\x9f\x98\x80", 9}},
     "{'timestamp':7289654399,'subsystem':'statfs[/mnt/\xc3\xa4]','measurement':"
     "'\\u001b[1m\\\\\xf0\x9f\x98\x80'}\n"},
    {{DOCS_TIME * SEC, {(const uint8_t *)"s", 1}, {(const uint8_t *)"a\n\xff\xc3", 4}},
     "{'timestamp':1767813011,'subsystem':'s','measurement':'"
     "a\\n\xef\xbf\xbd\xef\xbf\xbd',"
     "'bytes':'YQr/ww=='}\n"},
    {{DOCS_TIME * SEC + 5,
      {(const uint8_t *)"s", 1},
      {(const uint8_t *)"\xed\xa0\x80", 3}},
     "{'timestamp':1767813011,'nanoseconds':5,'subsystem':'s','measurement':"
     "'\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd','bytes':'7aCA'}\n"},
};

static int decode_line(struct span line, struct batch *b, struct err_at *reterr_at)
{
    CLEANUP(bytes_drop) struct span copy = suite_exact(line);

    return json_decode_line(copy, b, reterr_at);
}

START_TEST(line_is_written_and_read_back)
{
    const struct measurement *m = &lines[_i].m;
    CLEANUP(buf_done) struct buf want;
    CLEANUP(buf_done) struct buf out;
    CLEANUP(batch_done) struct batch b;

    docs_init(&want, lines[_i].line);
    buf_init(&out, BYTES_ROOM);
    bytes_put(&out, SPAN("x"));
    ck_assert_int_eq(json_append_line(m, &out), 0);
    ck_assert(span_equal(span_from(buf_span(&out), 1), buf_span(&want)));

    batch_init(&b, &batch_limits_default);
    ck_assert_int_eq(decode_line(buf_span(&want), &b, NULL), 0);
    ck_assert_int_eq(decode_line(span_of(want.data, want.len - 1), &b, NULL), 0);
    ck_assert_uint_eq(b.n_items, 2);
    for (size_t i = 0; i < 2; i++) {
        struct measurement read = batch_get(&b, i);
        ck_assert_uint_eq(read.time_ns, m->time_ns);
        ck_assert(span_equal(read.subsystem, m->subsystem));
        ck_assert(span_equal(read.text, m->text));
    }
}
END_TEST

/* A batch that must stay as it is. */
static void make_batch(struct batch *ret, struct batch *ret_same)
{
    static const struct batch_limits limits = {2, 20, 20, 40};

    batch_init(ret, &limits);
    batch_init(ret_same, &limits);
    batches_add(ret, 1 * SEC, SPAN("first"), SPAN("one"));
    batches_add(ret_same, 1 * SEC, SPAN("first"), SPAN("one"));
}

static void assert_kept(const struct batch *b, const struct batch *same)
{
    batches_assert_same(b, same);
    ck_assert_uint_eq(b->bytes.len, same->bytes.len);
    ck_assert_uint_eq(b->n_ticks, same->n_ticks);
    ck_assert(!b->is_open);
}

START_TEST(line_cut_anywhere_is_truncated_and_keeps_the_batch)
{
    CLEANUP(buf_done) struct buf line;
    CLEANUP(batch_done) struct batch b;
    CLEANUP(batch_done) struct batch same;

    docs_init(&line, lines[_i].line);
    make_batch(&b, &same);
    for (size_t n = 0; n + 1 < line.len; n++) {
        struct err_at at;
        ck_assert_int_eq(decode_line(span_of(line.data, n), &b, &at), E_TRUNCATED);
        ck_assert_uint_le(at.offset, n);
        ck_assert_uint_eq(at.item, ERR_AT_UNKNOWN);
        assert_kept(&b, &same);
    }
}
END_TEST

START_TEST(line_that_is_refused_keeps_the_batch)
{
    static const struct {
        const char *line;
        int r;
        const char *words;
    } bad[] = {
        {"", E_TRUNCATED, "early"},
        {"[]", E_MALFORMED, "object"},
        {DOCS_STAT DOCS_STAT, E_MALFORMED, "behind"},
        {DOCS_STAT "\n" DOCS_STAT, E_MALFORMED, "behind"},
        {"{'timestamp':1,'subsystem':'s','measurement':''}", E_MALFORMED, "years"},
        {"{'timestamp':1767813011,'subsystem':'s'}", E_MALFORMED, "missing"},
        {"{'timestamp':1767813011,'subsystem':'s','measurement':'','bytes':'!'}",
         E_MALFORMED, "base64"},
        {"{'timestamp':1767813011,'subsystem':'s','measurement':'123456789012345678901'}",
         E_TOO_LARGE, "measurement"},
        {"{'timestamp':1767813011,'subsystem':'123456789012345678901','measurement':''}",
         E_TOO_LARGE, "subsystem"},
        {"{'timestamp':1767813011,'subsystem':'12345678901234567890','measurement':"
         "'1234567890123'}",
         E_TOO_LARGE, "bytes of text in all"},
    };
    CLEANUP(batch_done) struct batch b;
    CLEANUP(batch_done) struct batch same;

    make_batch(&b, &same);
    for (size_t i = 0; i < N_OF(bad); i++) {
        CLEANUP(buf_done) struct buf line;
        struct err_at at;
        docs_init(&line, bad[i].line);
        ck_assert_int_eq(decode_line(buf_span(&line), &b, &at), bad[i].r);
        docs_assert_says(&at, bad[i].words);
        assert_kept(&b, &same);
    }
}
END_TEST

START_TEST(line_beyond_the_batchs_measurements_is_refused)
{
    CLEANUP(buf_done) struct buf line;
    CLEANUP(batch_done) struct batch b;
    CLEANUP(batch_done) struct batch same;
    struct err_at at;

    docs_init(&line, "{'timestamp':1767813011,'subsystem':'','measurement':''}");
    make_batch(&b, &same);
    ck_assert_int_eq(decode_line(buf_span(&line), &b, &at), 0);
    ck_assert_int_eq(decode_line(buf_span(&line), &b, &at), E_TOO_LARGE);
    docs_assert_says(&at, "more measurements");
    ck_assert_uint_eq(b.n_items, 2);
}
END_TEST

/* A request is its lines without their ends, between commas. */
START_TEST(request_is_written_and_read_back)
{
    CLEANUP(buf_done) struct buf want;
    CLEANUP(buf_done) struct buf out;
    CLEANUP(batch_done) struct batch b;
    CLEANUP(batch_done) struct batch again;

    batch_init(&b, &batch_limits_default);
    batch_init(&again, &batch_limits_default);
    buf_init(&out, BYTES_ROOM);
    ck_assert_int_eq(batch_set_identifier(&b, SPAN("web\"01")), 0);
    ck_assert_int_eq(json_codec.encode_request(&b, &out), 0);
    ck_assert(span_equal(buf_span(&out),
                         SPAN("{\"identifier\":\"web\\\"01\",\"measurements\":[]}")));

    buf_reset(&out);
    docs_init(&want, "x{'identifier':'web\\'01','measurements':[");
    for (size_t i = 0; i < N_OF(lines); i++) {
        ck_assert_int_eq(batch_append(&b, &lines[i].m), 0);
        docs_put(&want, lines[i].line);
        buf_truncate(&want, want.len - 1);
        docs_put(&want, i + 1 < N_OF(lines) ? "," : "]}");
    }
    bytes_put(&out, SPAN("x"));
    ck_assert_int_eq(json_codec.encode_request(&b, &out), 0);
    ck_assert(span_equal(buf_span(&out), buf_span(&want)));
    ck_assert_int_eq(docs_decode(span_from(buf_span(&out), 1), &again, NULL), 0);
    batches_assert_same(&again, &b);
}
END_TEST

START_TEST(what_does_not_fit_is_not_written_in_part)
{
    CLEANUP(batch_done) struct batch b;
    CLEANUP(buf_done) struct buf whole;

    batch_init(&b, &batch_limits_default);
    ck_assert_int_eq(batch_set_identifier(&b, SPAN("h")), 0);
    for (size_t i = 0; i < N_OF(lines); i++)
        ck_assert_int_eq(batch_append(&b, &lines[i].m), 0);
    buf_init(&whole, BYTES_ROOM);
    ck_assert_int_eq(json_codec.encode_request(&b, &whole), 0);
    for (size_t max = 1; max <= whole.len + 1; max++) {
        CLEANUP(buf_done) struct buf out;
        buf_init(&out, max);
        bytes_put(&out, SPAN("x"));
        int r = json_codec.encode_request(&b, &out);
        ck_assert_int_eq(r, max <= whole.len ? E_TOO_LARGE : 0);
        ck_assert_uint_eq(out.len, r ? 1 : whole.len + 1);
    }
    for (size_t max = 1; max < 60; max++) {
        CLEANUP(buf_done) struct buf out;
        buf_init(&out, max);
        bytes_put(&out, SPAN("x"));
        ck_assert_int_eq(json_append_line(&lines[0].m, &out), E_TOO_LARGE);
        ck_assert_uint_eq(out.len, 1);
    }
}
END_TEST

START_TEST(writing_survives_any_failed_allocation)
{
    CLEANUP(batch_done) struct batch b;
    bool fired = true;

    batch_init(&b, &batch_limits_default);
    ck_assert_int_eq(batch_set_identifier(&b, SPAN("h")), 0);
    for (size_t i = 0; i < N_OF(lines); i++)
        ck_assert_int_eq(batch_append(&b, &lines[i].m), 0);
    for (long nth = 0; fired; nth++) {
        CLEANUP(buf_done) struct buf out;
        buf_init(&out, BYTES_ROOM);
        fault_arm(nth);
        int r = json_codec.encode_request(&b, &out);
        fired = fault_disarm();
        ck_assert_int_eq(r, fired ? -ENOMEM : 0);
        ck_assert_int_eq(out.len == 0, fired);
    }
}
END_TEST

START_TEST(reading_a_line_survives_any_failed_allocation)
{
    CLEANUP(buf_done) struct buf line;
    bool fired = true;

    docs_init(&line, "{'timestamp':1767813011,'subsystem':'\\/','measurement':'',"
                     "'bytes':'AA\\u003d='}");
    for (long nth = 0; fired; nth++) {
        CLEANUP(batch_done) struct batch b;
        CLEANUP(batch_done) struct batch same;
        make_batch(&b, &same);
        fault_arm(nth);
        int r = json_decode_line(buf_span(&line), &b, NULL);
        fired = fault_disarm();
        ck_assert_int_eq(r, fired ? -ENOMEM : 0);
        if (fired)
            assert_kept(&b, &same);
    }
}
END_TEST

START_TEST(string_is_written_with_replaced_bytes)
{
    CLEANUP(buf_done) struct buf out;

    buf_init(&out, BYTES_ROOM);
    ck_assert_int_eq(json_append_string(SPAN("a\"\xff"), &out), 0);
    ck_assert(span_equal(buf_span(&out), SPAN("\"a\\\"\xef\xbf\xbd\"")));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("json_line");
    TCase *c = tcase_create("json_line");

    tcase_add_loop_test(c, line_is_written_and_read_back, 0, N_OF(lines));
    tcase_add_loop_test(c, line_cut_anywhere_is_truncated_and_keeps_the_batch, 0,
                        N_OF(lines));
    tcase_add_test(c, line_that_is_refused_keeps_the_batch);
    tcase_add_test(c, line_beyond_the_batchs_measurements_is_refused);
    tcase_add_test(c, request_is_written_and_read_back);
    tcase_add_test(c, what_does_not_fit_is_not_written_in_part);
    tcase_add_test(c, writing_survives_any_failed_allocation);
    tcase_add_test(c, reading_a_line_survives_any_failed_allocation);
    tcase_add_test(c, string_is_written_with_replaced_bytes);
    suite_add_tcase(suite, c);
    return suite_run(suite);
}
