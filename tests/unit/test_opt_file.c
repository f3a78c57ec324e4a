/* SPDX-License-Identifier: MIT */
#include "common/opt_file.h"
#include "tests/lib/bytes.h"
#include "tests/lib/fault.h"
#include "tests/lib/suite.h"

#include <errno.h>

/* The rules are those of EnvironmentFile= in systemd.exec(5). */
static const struct {
    const char *text;
    const char *value;
} values[] = {
    {"N=v", "v"},
    {"N=v\n", "v"},
    {"N=v\r\n", "v"},
    {"N=", ""},
    {"N=\n", ""},
    {"N= \t \n", ""},
    {" \tN = v \t\n", "v"},
    {"N=a b  c\n", "a b  c"},
    {"N=a=b\n", "a=b"},
    {"N=a # no comment\n", "a # no comment"},
    {"N=#;\n", "#;"},
    {"N=caf\xc3\xa9\n", "caf\xc3\xa9"},
    {"N=a\\ \n", "a "},
    {"N=a\\\\b\n", "a\\b"},
    {"N=a\\nb\n", "anb"},
    {"N=a\\\nb\n", "ab"},
    {"N=a \\\n b \n", "a  b"},
    {"N=\\\nb\n", "b"},
    {"N=a\\", "a"},
    {"N=it's\n", "it's"},
    {"N=a\"b\"\n", "a\"b\""},
    {"N='a b'\n", "a b"},
    {"N=' a '  \n", " a "},
    {"N='a\"b\\n$`'\n", "a\"b\\n$`"},
    {"N='two\nlines'\n", "two\nlines"},
    {"N='a\\\nb'\n", "a\\\nb"},
    {"N=''\n", ""},
    {"N=\"a b\"\n", "a b"},
    {"N=\"it's\"\n", "it's"},
    {"N=\"\\\"\\\\\\`\\$\"\n", "\"\\`$"},
    {"N=\"a\\nb\\'\"\n", "a\\nb\\'"},
    {"N=\"two\nlines\"\n", "two\nlines"},
    {"N=\"a\\\nb\"\n", "ab"},
    {"N=\"\"\n", ""},
    {"N='a'\"b\"\n", "ab"},
    {"N='a' \"b\" c d \n", "abc d"},
    {"N='a'b'c'\n", "ab'c'"},
    {"#N=comment\nN=v\n", "v"},
    {"; comment\n\n \t\n\r\n  # comment\nN=v\n", "v"},
    {"# not continued \\\nN=v\n", "v"},
};

START_TEST(values_are_read_as_systemd_reads_them)
{
    CLEANUP(bytes_drop) struct span in = suite_exact(span_of_str(values[_i].text));
    CLEANUP(opt_file_done) struct opt_file f;

    ck_assert_int_eq(opt_file_init(&f, in), 0);
    ck_assert_int_eq(opt_file_next(&f), 0);
    ck_assert(span_equal(f.name, SPAN("N")));
    ck_assert_str_eq(f.value, values[_i].value);
    ck_assert_int_eq(opt_file_next(&f), E_GONE);
    ck_assert_int_eq(opt_file_next(&f), E_GONE);
}
END_TEST

static const struct {
    const char *text;
    size_t n;
    size_t line;
    const char *what;
} wrongs[] = {
    {"N", 1, 1, "expected NAME=VALUE"},
    {"\n\nno setting\nN=v", 16, 3, "expected NAME=VALUE"},
    {"N='never\n\n", 10, 1, "the single quote is never closed"},
    {"A=x\nN='a' 'never\n", 17, 2, "the single quote is never closed"},
    {"N=\"never\n\n", 10, 1, "the double quote is never closed"},
    {"N=\"never\\\"", 10, 1, "the double quote is never closed"},
    {"N=\"never\\", 9, 1, "the double quote is never closed"},
    {"N=a\0b", 5, 1, "a NUL byte can't be part of a value"},
    {"N='a\0'", 6, 1, "a NUL byte can't be part of a value"},
    {"N=a\xff", 4, 1, "the value is not UTF-8"},
    {"N=a\xc3", 4, 1, "the value is not UTF-8"},
};

START_TEST(what_is_wrong_is_said_with_its_line)
{
    CLEANUP(bytes_drop)
    struct span in = suite_exact(span_of(wrongs[_i].text, wrongs[_i].n));
    CLEANUP(opt_file_done) struct opt_file f;
    int r;

    ck_assert_int_eq(opt_file_init(&f, in), 0);
    while ((r = opt_file_next(&f)) == 0)
        ck_assert(span_equal(f.name, SPAN("A")));
    ck_assert_int_eq(r, E_MALFORMED);
    ck_assert_str_eq(f.what, wrongs[_i].what);
    ck_assert_uint_eq(f.at_line, wrongs[_i].line);
}
END_TEST

START_TEST(every_setting_has_the_line_it_begins_in)
{
    static const struct {
        const char *name;
        const char *value;
        size_t line;
    } expected[] = {
        {"A", "1", 1},
        {"B", "two\nlines", 3},
        {"C", "joined", 6},
        {"D", "", 8},
    };
    CLEANUP(bytes_drop)
    struct span in = suite_exact(SPAN("A=1\n\nB='two\nlines'\n# c\nC=joi\\\nned\nD="));
    CLEANUP(opt_file_done) struct opt_file f;

    ck_assert_int_eq(opt_file_init(&f, in), 0);
    for (size_t i = 0; i < N_OF(expected); i++) {
        ck_assert_int_eq(opt_file_next(&f), 0);
        ck_assert(span_equal_str(f.name, expected[i].name));
        ck_assert_str_eq(f.value, expected[i].value);
        ck_assert_uint_eq(f.at_line, expected[i].line);
    }
    ck_assert_int_eq(opt_file_next(&f), E_GONE);
}
END_TEST

/* No prefix is read beyond its end, and what was whole before the cut is the same. */
START_TEST(a_file_cut_at_any_byte_is_read_up_to_there)
{
    struct span whole = SPAN("A='x y'\n# c\nA=\"\\\"q\\\\\"\nA=bare \\\n on\nA=z\n");

    for (size_t n = 0; n <= whole.n; n++) {
        CLEANUP(bytes_drop) struct span in = suite_exact(span_of(whole.data, n));
        CLEANUP(opt_file_done) struct opt_file f;
        size_t settings = 0;
        int r;

        ck_assert_int_eq(opt_file_init(&f, in), 0);
        while ((r = opt_file_next(&f)) == 0) {
            ck_assert(span_equal(f.name, SPAN("A")));
            if (settings++ == 0)
                ck_assert_str_eq(f.value, n < 3 ? "" : "x y");
        }
        ck_assert(r == E_GONE || r == E_MALFORMED);
        ck_assert(n < whole.n || (r == E_GONE && settings == 4));
    }
}
END_TEST

START_TEST(an_empty_file_has_no_settings)
{
    CLEANUP(opt_file_done) struct opt_file f;

    ck_assert_int_eq(opt_file_init(&f, span_of(NULL, 0)), 0);
    ck_assert_int_eq(opt_file_next(&f), E_GONE);
}
END_TEST

START_TEST(a_file_survives_a_failed_allocation)
{
    CLEANUP(opt_file_done) struct opt_file f;

    fault_arm(0);
    int r = opt_file_init(&f, SPAN("N=v"));
    ck_assert(fault_disarm());
    ck_assert_int_eq(r, -ENOMEM);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("opt_file");
    TCase *c = tcase_create("opt_file");

    tcase_add_loop_test(c, values_are_read_as_systemd_reads_them, 0, N_OF(values));
    tcase_add_loop_test(c, what_is_wrong_is_said_with_its_line, 0, N_OF(wrongs));
    tcase_add_test(c, every_setting_has_the_line_it_begins_in);
    tcase_add_test(c, a_file_cut_at_any_byte_is_read_up_to_there);
    tcase_add_test(c, an_empty_file_has_no_settings);
    tcase_add_test(c, a_file_survives_a_failed_allocation);
    suite_add_tcase(suite, c);
    return suite_run(suite);
}
