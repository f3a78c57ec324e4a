/* SPDX-License-Identifier: MIT */
#include "pcd/glob.h"
#include "proto/limits.h"
#include "tests/lib/suite.h"

#include <stdlib.h>

static bool match(const char *pattern, const char *text)
{
    struct span p = suite_exact(span_of_str(pattern));
    struct span t = suite_exact(span_of_str(text));
    bool fits = glob_match(p, t);

    ck_assert_msg(!glob_check(p), "%s", pattern);
    free((void *)(uintptr_t)p.data);
    free((void *)(uintptr_t)t.data);
    return fits;
}

static const struct {
    const char *pattern;
    const char *fits[5];
    const char *others[6];
} patterns[] = {
    {"web", {"web"}, {"we", "webb", "aweb", "Web", ""}},
    {"web-*", {"web-", "web-01", "web-*", "web-web-"}, {"web", "aweb-1", "WEB-1"}},
    {"*", {"", "a", "\xc3\xa9", "*", "a/b"}, {NULL}},
    {"*-db", {"-db", "a-db", "-db-db"}, {"db", "a-db1", "a-d"}},
    {"web-??", {"web-01", "web-\xc3\xa9\xe2\x82\xac"}, {"web-1", "web-001", "web-"}},
    {"?", {"a", "?", "\xc3\xa9", "\xf0\x9f\x98\x80"}, {"", "ab", "\xc3\xa9x"}},
    {"*??", {"ab", "\xc3\xa9x", "abc"}, {"", "a", "\xc3\xa9", "\xe2\x82\xac"}},
    {"a*b*c", {"abc", "aXbYc", "abbc", "abcbc", "aabbcc"}, {"ab", "acb", "abcX", "bc"}},
    {"*a*a*", {"aa", "xaxax", "aaaa"}, {"a", "", "xax"}},
    {"**", {"", "x"}, {NULL}},
    {"[ab]", {"[ab]"}, {"a", "b"}},
    {"\\*", {"\\*", "\\x"}, {"*"}},
    {"\xc3\xa9*", {"\xc3\xa9", "\xc3\xa9x"}, {"e", "\xc3\xa8"}},
};

START_TEST(a_pattern_covers_the_whole_text)
{
    for (size_t i = 0; i < 5 && patterns[_i].fits[i]; i++)
        ck_assert_msg(match(patterns[_i].pattern, patterns[_i].fits[i]), "%s %s",
                      patterns[_i].pattern, patterns[_i].fits[i]);
    for (size_t i = 0; i < 6 && patterns[_i].others[i]; i++)
        ck_assert_msg(!match(patterns[_i].pattern, patterns[_i].others[i]), "%s %s",
                      patterns[_i].pattern, patterns[_i].others[i]);
}
END_TEST

/* By trying everything. */
static bool match_slowly(const char *p, const char *t)
{
    if (*p == '\0')
        return *t == '\0';
    if (*p == '*')
        return match_slowly(p + 1, t) || (*t != '\0' && match_slowly(p, t + 1));
    return *t != '\0' && (*p == '?' || *p == *t) && match_slowly(p + 1, t + 1);
}

static void spell(uint64_t number, const char *letters, size_t n_letters, char *ret)
{
    while (number > 0) {
        *ret++ = letters[(number - 1) % n_letters];
        number = (number - 1) / n_letters;
    }
    *ret = '\0';
}

START_TEST(every_short_pattern_and_text_agree_with_a_slow_match)
{
    for (uint64_t i = 1; i <= 1364; i++) { /* up to five of four letters */
        char pattern[8];

        spell(i, "ab*?", 4, pattern);
        for (uint64_t j = 0; j <= 126; j++) { /* up to six of two */
            char text[8];

            spell(j, "ab", 2, text);
            ck_assert_msg(glob_match(span_of_str(pattern), span_of_str(text)) ==
                              match_slowly(pattern, text),
                          "%s %s", pattern, text);
        }
    }
}
END_TEST

START_TEST(the_worst_pattern_costs_no_more_than_both_lengths)
{
    uint8_t pattern[LIMIT_IDENTIFIER_BYTES];
    uint8_t text[LIMIT_IDENTIFIER_BYTES];

    memset(text, 'a', sizeof text);
    for (size_t i = 0; i < sizeof pattern; i++)
        pattern[i] = i % 2 == 0 ? '*' : 'a';
    pattern[sizeof pattern - 1] = 'b';
    /* By trying everything this would never end. */
    ck_assert(!glob_match(span_of(pattern, sizeof pattern), span_of(text, sizeof text)));
}
END_TEST

static const struct span no_patterns[] = {
    SPAN(""),     SPAN("#all"), SPAN("a b"),   SPAN("a\tb"),         SPAN("a\0b"),
    SPAN("\x7f"), SPAN("\xff"), SPAN("a\xc3"), SPAN("\xed\xa0\x80"),
};

START_TEST(what_is_no_pattern_is_named)
{
    uint8_t text[LIMIT_IDENTIFIER_BYTES + 1];

    ck_assert_ptr_nonnull(glob_check(no_patterns[_i]));
    memset(text, 'a', sizeof text);
    ck_assert_ptr_null(glob_check(span_of(text, sizeof text - 1)));
    ck_assert_ptr_nonnull(glob_check(span_of(text, sizeof text)));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pcd glob");
    TCase *c = tcase_create("glob");

    tcase_add_loop_test(c, a_pattern_covers_the_whole_text, 0,
                        sizeof patterns / sizeof *patterns);
    tcase_add_test(c, every_short_pattern_and_text_agree_with_a_slow_match);
    tcase_add_test(c, the_worst_pattern_costs_no_more_than_both_lengths);
    tcase_add_loop_test(c, what_is_no_pattern_is_named, 0,
                        sizeof no_patterns / sizeof *no_patterns);
    suite_add_tcase(suite, c);
    return suite_run(suite);
}
