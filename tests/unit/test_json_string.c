/* SPDX-License-Identifier: MIT */
#include "common/json_string.h"
#include "common/utf8.h"
#include "tests/lib/bytes.h"
#include "tests/lib/fault.h"
#include "tests/lib/suite.h"

#include <errno.h>
#include <stdio.h>

/* What stands for what between quotation marks. */
static const struct {
    const char *raw;
    struct span bytes;
} strings[] = {
    {"", {(const uint8_t *)"", 0}},
    {"cpu 1", {(const uint8_t *)"cpu 1", 5}},
    {"\\\"\\\\\\/\\b\\f\\n\\r\\t", {(const uint8_t *)"\"\\/\b\f\n\r\t", 8}},
    {"\\u0000", {(const uint8_t *)"\0", 1}},
    {"a\\u0000b", {(const uint8_t *)"a\0b", 3}},
    {"\\u0041\\u007f", {(const uint8_t *)"A\x7f", 2}},
    {"\\u0080\\u07ff", {(const uint8_t *)"\xc2\x80\xdf\xbf", 4}},
    {"\\u0800\\uffff", {(const uint8_t *)"\xe0\xa0\x80\xef\xbf\xbf", 6}},
    {"\\ud7ff\\ue000", {(const uint8_t *)"\xed\x9f\xbf\xee\x80\x80", 6}},
    {"\\ud800\\udc00", {(const uint8_t *)"\xf0\x90\x80\x80", 4}},
    {"\\udbff\\udfff", {(const uint8_t *)"\xf4\x8f\xbf\xbf", 4}},
    {"\\uD83D\\uDe00", {(const uint8_t *)"\xf0\x9f\x98\x80", 4}},
    {"\\u00E4\\u00e4", {(const uint8_t *)"\xc3\xa4\xc3\xa4", 4}},
    {"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80",
     {(const uint8_t *)"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", 9}},
    {"\x7f'", {(const uint8_t *)"\x7f'", 2}},
};

/* A string whose opening quotation mark is taken. */
static struct json_string read(struct cursor *c, struct span in)
{
    cursor_init(c, in);
    return json_string_read(c);
}

/* Wherever the eight bytes looked at together begin. */
START_TEST(string_is_read_to_its_quotation_mark)
{
    struct span want = strings[_i].bytes;

    for (int before = 0; before < 20; before++) {
        char doc[128];
        uint8_t out[128];
        struct cursor c;
        (void)snprintf(doc, sizeof doc, "%.*s%s\"rest", before, "....................",
                       strings[_i].raw);
        CLEANUP(bytes_drop) struct span in = suite_exact(span_of_str(doc));
        struct json_string s = read(&c, in);
        ck_assert_int_eq(c.r, 0);
        ck_assert_uint_eq(cursor_left(&c), strlen("rest"));
        ck_assert_uint_eq(s.n, want.n + (size_t)before);
        ck_assert_uint_eq(json_string_write(&s, out, sizeof out), s.n);
        ck_assert(span_equal(span_of(out + before, want.n), want));
    }
}
END_TEST

START_TEST(string_cut_anywhere_is_truncated)
{
    CLEANUP(bytes_drop) struct span in = suite_exact(span_of_str(strings[_i].raw));

    for (size_t n = 0; n <= in.n; n++) {
        CLEANUP(bytes_drop) struct span part = suite_exact(span_of(in.data, n));
        struct cursor c;
        struct json_string s = read(&c, part);
        ck_assert_int_eq(c.r, E_TRUNCATED);
        ck_assert_uint_eq(s.n, 0);
        ck_assert_uint_le(c.why.offset, n);
    }
}
END_TEST

/* Where only so much room is, what fits is written and nothing behind it. */
START_TEST(string_is_written_as_far_as_there_is_room)
{
    struct span want = strings[_i].bytes;
    char doc[128];
    struct cursor c;

    (void)snprintf(doc, sizeof doc, "%s\"", strings[_i].raw);
    struct json_string s = read(&c, span_of_str(doc));
    for (size_t room = 0; room <= want.n; room++) {
        CLEANUP(bytes_drop) struct span zeros = suite_exact(span_of(doc, room));
        uint8_t *out = (uint8_t *)(uintptr_t)zeros.data;
        size_t n = json_string_write(&s, out, room);
        ck_assert_uint_le(n, room);
        ck_assert_uint_gt(n + 4, room); /* it may stop before a character */
        ck_assert(span_equal(span_of(out, n), span_of(want.data, n)));
    }
}
END_TEST

/* With the closing quotation mark, and enough behind it that nothing looks cut. */
static const struct {
    const char *raw;
    const char *what;
} malformed[] = {
    {"\\a", "escape"},
    {"\\'", "escape"},
    {"\\N", "escape"},
    {"\\0", "escape"},
    {"\\x41", "escape"},
    {"\\U0041", "escape"},
    {"\\\n", "escape"},
    {"\\\x01", "escape"},
    {"\\\xc3\xa4", "escape"},
    {"\\u", "hexadecimal"},
    {"\\u004", "hexadecimal"},
    {"\\u00g0", "hexadecimal"},
    {"\\u-041", "hexadecimal"},
    {"\\u 041", "hexadecimal"},
    {"\\u004@", "hexadecimal"},
    {"\\u004G", "hexadecimal"},
    {"\\u004`", "hexadecimal"},
    {"\\u004:", "hexadecimal"},
    {"\\u004/", "hexadecimal"},
    {"\\u00\xc3\xa4", "hexadecimal"},
    {"\\ud800", "surrogate"},        /* the first half, and nothing */
    {"\\udbff\\n", "surrogate"},     /* … another escape */
    {"\\ud83dudc00", "surrogate"},   /* … no escape */
    {"\\ud83d\\ud83d", "surrogate"}, /* … the first half again */
    {"\\ud83d\\u0041", "surrogate"}, /* … no half */
    {"\\ud83d\\udbff", "surrogate"},
    {"\\ud83d\\ue000", "surrogate"},
    {"\\ud83d\\u00", "hexadecimal"},
    {"\\udc00", "surrogate"}, /* the second half alone */
    {"\\udfff", "surrogate"},
    {"\\udc00\\udc00", "surrogate"}, /* twice */
    {"\\udc00\\ud800", "surrogate"}, /* the wrong way round */
    {"\x01", "control"},
    {"\x1f", "control"},
    {"\n", "control"},
    {"\t", "control"},
    {"\x80", "UTF-8"},
    {"\xbf", "UTF-8"},
    {"\xc0\x80", "UTF-8"},
    {"\xc1\xbf", "UTF-8"},
    {"\xc2", "UTF-8"},
    {"\xc3\xa4\xa4", "UTF-8"},
    {"\xe0\x9f\xbf", "UTF-8"},
    {"\xe2\x82", "UTF-8"},
    {"\xed\xa0\x80", "UTF-8"},
    {"\xed\xbf\xbf", "UTF-8"},
    {"\xf0\x8f\xbf\xbf", "UTF-8"},
    {"\xf0\x9f\x98", "UTF-8"},
    {"\xf4\x90\x80\x80", "UTF-8"},
    {"\xf5\x80\x80\x80", "UTF-8"},
    {"\xf0\x9f\x98\x80\x80", "UTF-8"},
    {"\xfe", "UTF-8"},
    {"\xff", "UTF-8"},
};

START_TEST(string_is_malformed_at_the_place_named)
{
    for (int before = 0; before < 20; before++) {
        char doc[128];
        struct cursor c;
        int n = snprintf(doc, sizeof doc, "%.*s%s", before, "....................",
                         malformed[_i].raw);
        (void)snprintf(doc + n, sizeof doc - (size_t)n, "\"");
        CLEANUP(bytes_drop) struct span in = suite_exact(span_of_str(doc));
        struct json_string s = read(&c, in);
        ck_assert_int_eq(c.r, E_MALFORMED);
        ck_assert_msg(strstr(c.why.what, malformed[_i].what),
                      "\"%s\" does not say \"%s\"", c.why.what, malformed[_i].what);
        ck_assert_uint_eq(s.n, 0);
        ck_assert_uint_ge(c.why.offset, (size_t)before);
        ck_assert_uint_le(c.why.offset, in.n);
    }
}
END_TEST

START_TEST(nul_in_a_string_is_malformed)
{
    struct cursor c;

    (void)read(&c, SPAN("a\0b\""));
    ck_assert_int_eq(c.r, E_MALFORMED);
    ck_assert_uint_eq(c.why.offset, 1);
}
END_TEST

START_TEST(name_is_recognised_however_it_is_written)
{
    static const struct {
        const char *raw;
        bool is_bytes;
    } names[] = {
        {"bytes\"", true},
        {"\\u0062ytes\"", true},
        {"\\u0062\\u0079\\u0074\\u0065\\u0073\"", true},
        {"byte\"", false},
        {"bytess\"", false},
        {"Bytes\"", false},
        {"bytes\\u0000\"", false},
        {"\\u0000bytes\"", false},
        {"\"", false},
        {"\\n\"", false},
        {"bytes and more than any name that is asked for\\n\"", false},
    };

    for (size_t i = 0; i < N_OF(names); i++) {
        struct cursor c;
        struct json_string s = read(&c, span_of_str(names[i].raw));
        ck_assert_int_eq(c.r, 0);
        ck_assert_int_eq(json_string_equals(&s, "bytes"), names[i].is_bytes);
    }
}
END_TEST

/* Bytes, how they are written, and whether they were valid. */
static const struct {
    struct span bytes;
    const char *written;
    bool is_valid;
} written[] = {
    {{(const uint8_t *)"", 0}, "\"\"", true},
    {{(const uint8_t *)"a/b'\x7f", 5}, "\"a/b'\x7f\"", true},
    {{(const uint8_t *)"\"\\\n\r\t\b\f", 7}, "\"\\\"\\\\\\n\\r\\t\\b\\f\"", true},
    {{(const uint8_t *)"\0\x01\x0b\x1f", 4}, "\"\\u0000\\u0001\\u000b\\u001f\"", true},
    {{(const uint8_t *)"\xc3\xa4\xe2\x80\xa8\xf0\x9f\x98\x80", 9},
     "\"\xc3\xa4\xe2\x80\xa8\xf0\x9f\x98\x80\"",
     true},
    {{(const uint8_t *)"<&>", 3}, "\"<&>\"", true},
    {{(const uint8_t *)"a\xff\xfe", 3}, "\"a\xef\xbf\xbd\xef\xbf\xbd\"", false},
    {{(const uint8_t *)"\xe2\x82", 2}, "\"\xef\xbf\xbd\xef\xbf\xbd\"", false},
    {{(const uint8_t *)"\xc3\xa4\xa4\n", 4}, "\"\xc3\xa4\xef\xbf\xbd\\n\"", false},
    {{(const uint8_t *)"\xed\xa0\x80", 3},
     "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"",
     false},
    {{(const uint8_t *)"\x80\xc3\xa4", 3}, "\"\xef\xbf\xbd\xc3\xa4\"", false},
};

START_TEST(bytes_are_written_as_a_string)
{
    CLEANUP(bytes_drop) struct span in = suite_exact(written[_i].bytes);
    CLEANUP(buf_done) struct buf out;
    bool is_valid = !written[_i].is_valid;

    buf_init(&out, BYTES_ROOM);
    bytes_put(&out, SPAN("x"));
    ck_assert_int_eq(json_string_append(in, &out, &is_valid), 0);
    ck_assert(span_equal_str(span_from(buf_span(&out), 1), written[_i].written));
    ck_assert_int_eq(is_valid, written[_i].is_valid);
}
END_TEST

/* Mixes of what is plain and what isn't, of any length and at any place. */
START_TEST(any_valid_text_comes_back)
{
    static const uint32_t scalars[] = {'a', ' ',  '"',    '\\',   '\n',
                                       0,   0xe4, 0x20ac, 0x1f600};
    uint64_t dice = 1;

    for (int round = 0; round < 5000; round++) {
        CLEANUP(buf_done) struct buf text;
        CLEANUP(buf_done) struct buf json;
        bool is_valid = false;
        buf_init(&text, BYTES_ROOM);
        buf_init(&json, BYTES_ROOM);
        for (uint64_t n = bytes_random(&dice) % 40; n > 0; n--) {
            uint8_t bytes[4];
            uint64_t pick = bytes_random(&dice) % 30;
            uint32_t scalar = pick < N_OF(scalars) ? scalars[pick] : 'a';
            bytes_put(&text, span_of(bytes, utf8_encode(scalar, bytes)));
        }
        ck_assert_int_eq(json_string_append(buf_span(&text), &json, &is_valid), 0);
        ck_assert(is_valid);

        CLEANUP(bytes_drop) struct span in = suite_exact(span_from(buf_span(&json), 1));
        CLEANUP(bytes_drop) struct span out = suite_exact(buf_span(&text));
        uint8_t *bytes = (uint8_t *)(uintptr_t)out.data;
        struct cursor c;
        struct json_string s = read(&c, in);
        ck_assert_int_eq(c.r, 0);
        ck_assert_uint_eq(s.n, text.len);
        memset(bytes, 0, text.len);
        ck_assert_uint_eq(json_string_write(&s, bytes, text.len), text.len);
        ck_assert(span_equal(span_of(bytes, text.len), buf_span(&text)));
    }
}
END_TEST

START_TEST(a_string_that_cannot_be_written_leaves_nothing)
{
    struct span text = SPAN("a\n\x01\xff\xc3\xa4z");
    CLEANUP(buf_done) struct buf out;
    bool is_valid = true;
    int r = E_TOO_LARGE;

    for (size_t max = 0; r; max++) {
        buf_init(&out, max);
        r = json_string_append(text, &out, &is_valid);
        ck_assert_int_eq(r, max < 17 ? E_TOO_LARGE : 0);
        ck_assert_uint_eq(out.len, r ? 0 : 17);
        if (r)
            buf_done(&out);
    }
    buf_done(&out);

    buf_init(&out, BYTES_ROOM);
    fault_arm(0);
    r = json_string_append(text, &out, &is_valid);
    ck_assert(fault_disarm());
    ck_assert_int_eq(r, -ENOMEM);
    ck_assert_uint_eq(out.len, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("json_string");
    TCase *c = tcase_create("json_string");

    tcase_add_loop_test(c, string_is_read_to_its_quotation_mark, 0, N_OF(strings));
    tcase_add_loop_test(c, string_cut_anywhere_is_truncated, 0, N_OF(strings));
    tcase_add_loop_test(c, string_is_written_as_far_as_there_is_room, 0, N_OF(strings));
    tcase_add_loop_test(c, string_is_malformed_at_the_place_named, 0, N_OF(malformed));
    tcase_add_test(c, nul_in_a_string_is_malformed);
    tcase_add_test(c, name_is_recognised_however_it_is_written);
    tcase_add_loop_test(c, bytes_are_written_as_a_string, 0, N_OF(written));
    tcase_add_test(c, any_valid_text_comes_back);
    tcase_add_test(c, a_string_that_cannot_be_written_leaves_nothing);
    suite_add_tcase(suite, c);
    return suite_run(suite);
}
