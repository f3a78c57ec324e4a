/* SPDX-License-Identifier: MIT */
#include "common/span.h"
#include "tests/lib/bytes.h"
#include "tests/lib/suite.h"

START_TEST(a_literal_is_counted_without_its_terminator)
{
    ck_assert_uint_eq(SPAN("").n, 0);
    ck_assert_uint_eq(SPAN("abc").n, 3);
    ck_assert_uint_eq(SPAN("a\0c").n, 3);
    ck_assert_uint_eq(span_of_str("abc").n, 3);
    ck_assert_uint_eq(span_of_str("").n, 0);
}
END_TEST

static const struct {
    const char *a;
    const char *b;
    bool equal;
    bool equal_nocase;
    bool starts;
} pairs[] = {
    {"", "", true, true, true},
    {"a", "", false, false, true},
    {"", "a", false, false, false},
    {"abc", "abc", true, true, true},
    {"abc", "abd", false, false, false},
    {"abc", "ab", false, false, true},
    {"ab", "abc", false, false, false},
    {"Content-Type", "content-TYPE", false, true, false},
    {"AZaz", "azAZ", false, true, false},
    /* The neighbours of A, Z, a and z, which differ from each other by 0x20. */
    {"@", "`", false, false, false},
    {"[", "{", false, false, false},
    {"-_", "\r\x7f", false, false, false},
    {"\xc3\x84", "\xc3\xa4", false, false, false},
};

START_TEST(spans_are_compared_by_their_bytes)
{
    CLEANUP(bytes_drop) struct span a = suite_exact(span_of_str(pairs[_i].a));
    CLEANUP(bytes_drop) struct span b = suite_exact(span_of_str(pairs[_i].b));

    ck_assert_int_eq(span_equal(a, b), pairs[_i].equal);
    ck_assert_int_eq(span_equal_str(a, pairs[_i].b), pairs[_i].equal);
    ck_assert_int_eq(span_equal_nocase(a, b), pairs[_i].equal_nocase);
    ck_assert_int_eq(span_equal_nocase(b, a), pairs[_i].equal_nocase);
    ck_assert_int_eq(span_starts_with(a, b), pairs[_i].starts);
}
END_TEST

START_TEST(no_bytes_equal_no_bytes_wherever_they_are)
{
    ck_assert(span_equal(span_of(NULL, 0), SPAN("")));
    ck_assert(span_equal_nocase(span_of(NULL, 0), SPAN("")));
    ck_assert(span_starts_with(SPAN("a"), span_of(NULL, 0)));
    ck_assert(span_equal(SPAN("a\0b"), SPAN("a\0b")));
    ck_assert(!span_equal(SPAN("a\0b"), SPAN("a\0c")));
    ck_assert(!span_equal_str(SPAN("a\0b"), "a"));
}
END_TEST

START_TEST(the_part_past_the_end_is_empty)
{
    struct span s = SPAN("abc");

    ck_assert(span_equal(span_from(s, 0), s));
    ck_assert(span_equal(span_from(s, 2), SPAN("c")));
    ck_assert_uint_eq(span_from(s, 3).n, 0);
    ck_assert_uint_eq(span_from(s, 4).n, 0);
    ck_assert_uint_eq(span_from(s, SIZE_MAX).n, 0);
    ck_assert_uint_eq(span_from(span_of(NULL, 0), 1).n, 0);
}
END_TEST

static const struct {
    const char *text;
    const char *trimmed;
} trims[] = {
    {"", ""},
    {" ", ""},
    {" \t ", ""},
    {"a", "a"},
    {" a", "a"},
    {"a ", "a"},
    {"\t a b\t", "a b"},
    {"\na\r", "\na\r"},
    {" \xc2\xa0 ", "\xc2\xa0"},
};

START_TEST(trim_takes_blanks_and_tabs_off_both_ends)
{
    CLEANUP(bytes_drop) struct span in = suite_exact(span_of_str(trims[_i].text));

    ck_assert(span_equal_str(span_trim(in), trims[_i].trimmed));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("span");
    TCase *c = tcase_create("span");

    tcase_add_test(c, a_literal_is_counted_without_its_terminator);
    tcase_add_loop_test(c, spans_are_compared_by_their_bytes, 0, N_OF(pairs));
    tcase_add_test(c, no_bytes_equal_no_bytes_wherever_they_are);
    tcase_add_test(c, the_part_past_the_end_is_empty);
    tcase_add_loop_test(c, trim_takes_blanks_and_tabs_off_both_ends, 0, N_OF(trims));
    suite_add_tcase(suite, c);
    return suite_run(suite);
}
