/* SPDX-License-Identifier: MIT */
#include "common/buf.h"
#include "pcd/auth.h"
#include "proto/limits.h"
#include "tests/lib/fault.h"
#include "tests/lib/suite.h"

#include <errno.h>
#include <stdlib.h>

/* By sha256sum. */
#define DIGEST_OF_ABC "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

static struct auth *auth;
static struct key_lines lines;

static void setup(void)
{
    ck_assert_int_eq(auth_new(&auth), 0);
}

static void teardown(void)
{
    auth_free(auth);
}

static int take(struct span text)
{
    struct span exact = suite_exact(text);
    int r = auth_take(auth, exact, &lines);

    free((void *)(uintptr_t)exact.data);
    return r;
}

/* Asks twice: what was found where, or not found, changes nothing. */
static int ask(struct span key, struct auth_grant *ret)
{
    struct span exact = suite_exact(key);
    static struct auth_hint last;
    struct auth_hint hint = {0};
    struct auth_grant again;
    int r = auth_ask(auth, exact, &hint, ret);

    ck_assert(!ret->set == (r != 0));
    ck_assert_int_eq(auth_ask(auth, exact, &last, &again), r);
    if (r == 0)
        ck_assert_uint_eq(key_set_id(ret->set, ret->at), key_set_id(again.set, again.at));
    auth_grant_done(&again);
    ck_assert_int_eq(auth_ask(auth, exact, &last, &again), r);
    if (r == 0)
        ck_assert_uint_eq(again.at, ret->at);
    auth_grant_done(&again);
    free((void *)(uintptr_t)exact.data);
    return r;
}

static bool check(const char *key)
{
    struct auth_grant grant;
    int r = ask(span_of_str(key), &grant);

    auth_grant_done(&grant);
    ck_assert(r == 0 || r == E_DENIED);
    return r == 0;
}

static bool writes(const char *key, const char *identifier)
{
    struct auth_grant grant;

    ck_assert_int_eq(ask(span_of_str(key), &grant), 0);
    bool may = auth_grant_writes(&grant, span_of_str(identifier));
    auth_grant_done(&grant);
    return may;
}

START_TEST(keys_stand_one_a_line_beside_comments_and_blank_lines)
{
    ck_assert_int_eq(
        take(SPAN("# who\n\nfirst-key-0123456789\n \tsecond \r\n\t\n#x\nlast")), 0);
    ck_assert_uint_eq(lines.n_keys, 3);
    ck_assert_uint_eq(lines.n_weak, 2);
    ck_assert(check("first-key-0123456789"));
    ck_assert(check("second"));
    ck_assert(check("last"));
}
END_TEST

START_TEST(anything_but_a_whole_key_is_denied)
{
    static const char *const wrong[] = {"", "ke", "keyy", "Key", "other", "key ", "#c"};

    ck_assert(!check("key")); /* nobody is let in before keys were taken */
    ck_assert_int_eq(take(SPAN("key\n#c\nanother-key\n")), 0);
    ck_assert(check("key"));
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        ck_assert_msg(!check(wrong[i]), "%s", wrong[i]);
}
END_TEST

START_TEST(a_key_may_stand_there_as_its_digest)
{
    ck_assert_int_eq(take(SPAN("sha256:" DIGEST_OF_ABC " web-*\n")), 0);
    ck_assert_uint_eq(lines.n_weak, 0);
    ck_assert(check("abc"));
    ck_assert(!check(DIGEST_OF_ABC)); /* which opens nothing */
    ck_assert(!check("sha256:" DIGEST_OF_ABC));
    ck_assert(writes("abc", "web-1"));
    ck_assert(!writes("abc", "db-1"));
    ck_assert_int_eq(
        take(SPAN("SHA256:BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015"
                  "AD")),
        0);
    ck_assert(check("abc"));
}
END_TEST

START_TEST(a_key_without_patterns_writes_as_anybody_one_with_them_as_those)
{
    ck_assert_int_eq(take(SPAN("all\n web  web-* \tdb-? \r\n")), 0);
    ck_assert(writes("all", "web-1"));
    ck_assert(writes("all", "anybody"));
    ck_assert(writes("web", "web-1"));
    ck_assert(writes("web", "web-"));
    ck_assert(writes("web", "db-1"));
    ck_assert(!writes("web", "db-10"));
    ck_assert(!writes("web", "web"));
    ck_assert(!writes("web", "xweb-1"));
}
END_TEST

START_TEST(a_key_on_several_lines_writes_what_any_of_them_says)
{
    ck_assert_int_eq(
        take(SPAN("a x-*\nk web-*\nb y-*\nk db-*\nk mail\nc\nc z-*\nc z-*\n")), 0);
    ck_assert(writes("k", "web-1"));
    ck_assert(writes("k", "db-1"));
    ck_assert(writes("k", "mail"));
    ck_assert(!writes("k", "x-1"));
    ck_assert(!writes("k", "y-1"));
    ck_assert(writes("a", "x-1"));
    ck_assert(!writes("a", "web-1"));
    ck_assert(writes("c", "anybody"));
}
END_TEST

START_TEST(a_grant_outlives_its_set_and_nothing_else_does)
{
    struct auth_grant grant;

    ck_assert_int_eq(take(SPAN("old web-*\nboth a-*\n")), 0);
    ck_assert_int_eq(ask(SPAN("old"), &grant), 0);
    ck_assert_int_eq(take(SPAN("new\nboth b-*\n")), 0);
    ck_assert(auth_grant_writes(&grant, SPAN("web-1")));
    ck_assert(!auth_grant_writes(&grant, SPAN("b-1")));
    auth_grant_done(&grant);
    ck_assert(!auth_grant_writes(&grant, SPAN("web-1")));
    ck_assert(!check("old"));
    ck_assert(writes("both", "b-1"));
    ck_assert(!writes("both", "a-1"));
}
END_TEST

START_TEST(a_key_has_the_same_number_in_every_set)
{
    struct auth_grant grant;

    ck_assert_int_eq(take(SPAN("abc\nb\n")), 0);
    ck_assert_int_eq(ask(SPAN("abc"), &grant), 0);
    uint64_t id = key_set_id(grant.set, grant.at);
    auth_grant_done(&grant);
    ck_assert_int_eq(take(SPAN("1\n2\n3\nsha256:" DIGEST_OF_ABC " x\n4\n")), 0);
    ck_assert_int_eq(ask(SPAN("abc"), &grant), 0);
    ck_assert_uint_eq(key_set_id(grant.set, grant.at), id);
    auth_grant_done(&grant);
    ck_assert_int_eq(ask(SPAN("1"), &grant), 0);
    ck_assert_uint_ne(key_set_id(grant.set, grant.at), id);
    auth_grant_done(&grant);
}
END_TEST

START_TEST(a_hint_of_another_set_or_key_is_not_believed)
{
    struct auth_hint hint = {0};
    struct auth_grant grant;

    ck_assert_int_eq(take(SPAN("one\ntwo\nthree\n")), 0);
    for (hint.at = 0; hint.at < 5; hint.at++) {
        struct auth_hint wrong = {1, hint.at};

        ck_assert_int_eq(auth_ask(auth, SPAN("four"), &wrong, &grant), E_DENIED);
        wrong = (struct auth_hint){1, hint.at};
        ck_assert_int_eq(auth_ask(auth, SPAN("two"), &wrong, &grant), 0);
        auth_grant_done(&grant);
    }
    ck_assert_int_eq(auth_ask(auth, SPAN("three"), &hint, &grant), 0);
    auth_grant_done(&grant);
    ck_assert_int_eq(take(SPAN("one\ntwo\nfive\n")), 0);
    ck_assert_int_eq(auth_ask(auth, SPAN("three"), &hint, &grant), E_DENIED);
}
END_TEST

START_TEST(a_key_may_have_512_bytes_and_no_more)
{
    char text[KEY_BYTES + 2];
    struct auth_grant grant;

    memset(text, 'k', sizeof text);
    ck_assert_int_eq(take(span_of(text, KEY_BYTES)), 0);
    ck_assert_int_eq(ask(span_of(text, KEY_BYTES), &grant), 0);
    auth_grant_done(&grant);
    ck_assert_int_eq(ask(span_of(text, KEY_BYTES - 1), &grant), E_DENIED);
    ck_assert_int_eq(ask(span_of(text, KEY_BYTES + 1), &grant), E_DENIED);
    ck_assert_int_eq(take(span_of(text, KEY_BYTES + 1)), E_MALFORMED);
    ck_assert_uint_eq(lines.line, 1);
}
END_TEST

#define BOM "\xef\xbb\xbf"

static const struct {
    struct span text;
    int r;
    size_t line;
    const char *says;
} bad_texts[] = {
    {SPAN(""), E_GONE, 0, NULL},
    {SPAN(BOM), E_GONE, 0, NULL},
    {SPAN("\n# only this\n  \n"), E_GONE, 0, NULL},
    {SPAN("good\n\nt\xc3\xa4st\n"), E_MALFORMED, 3, "printable"},
    {SPAN("bell\a\n"), E_MALFORMED, 1, "printable"},
    {SPAN("nul\0nul\n"), E_MALFORMED, 1, "printable"},
    {SPAN("good\n\0\n"), E_MALFORMED, 2, "printable"},
    {SPAN("good\rgood\n"), E_MALFORMED, 1, "printable"},
    {SPAN("good\r\ndel\x7f"), E_MALFORMED, 2, "printable"},
    {SPAN("good\n" BOM "key\n"), E_MALFORMED, 2, "printable"},
    {SPAN("good x\ngood # not a comment\n"), E_MALFORMED, 2, "comment"},
    {SPAN("good we\xffird\n"), E_MALFORMED, 1, "UTF-8"},
    {SPAN("good a\0b\n"), E_MALFORMED, 1, "control"},
    {SPAN("good a\rb\n"), E_MALFORMED, 1, "control"},
    {SPAN("sha256:\n"), E_MALFORMED, 1, "64"},
    {SPAN("sha256: " DIGEST_OF_ABC "\n"), E_MALFORMED, 1, "64"},
    {SPAN("good\nsha256:" DIGEST_OF_ABC "0 web-*\n"), E_MALFORMED, 2, "64"},
    {SPAN("sha256:zz7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\n"),
     E_MALFORMED, 1, "hexadecimal"},
};

START_TEST(a_bad_text_is_named_by_its_line_and_changes_nothing)
{
    ck_assert_int_eq(take(SPAN("old\n")), 0);
    ck_assert_int_eq(take(bad_texts[_i].text), bad_texts[_i].r);
    ck_assert_uint_eq(lines.line, bad_texts[_i].line);
    if (bad_texts[_i].says)
        ck_assert_msg(strstr(lines.what, bad_texts[_i].says), "%s", lines.what);
    ck_assert(check("old"));
    ck_assert(!check("good"));
}
END_TEST

START_TEST(a_byte_order_mark_at_the_start_is_passed_over)
{
    ck_assert_int_eq(take(SPAN(BOM "first\r\nsecond\r\n")), 0);
    ck_assert(check("first"));
    ck_assert(check("second"));
    ck_assert_uint_eq(lines.n_keys, 2);
}
END_TEST

START_TEST(a_line_may_have_8192_bytes_and_no_more)
{
    CLEANUP(buf_done) struct buf text;

    buf_init(&text, 20000);
    ck_assert_int_eq(buf_append(&text, SPAN("#")), 0);
    for (size_t i = 0; i < 5000; i++) /* of comments nothing is kept */
        ck_assert_int_eq(buf_append(&text, SPAN("##")), 0);
    ck_assert_int_eq(buf_append(&text, SPAN("\nkk")), 0);
    size_t before = text.len - 2;
    while (text.len - before < KEY_LINE_BYTES)
        ck_assert_int_eq(buf_append(&text, SPAN(" x")), 0);
    ck_assert_int_eq(take(buf_span(&text)), 0);
    ck_assert_int_eq(buf_append(&text, SPAN("x")), 0);
    ck_assert_int_eq(take(buf_span(&text)), E_MALFORMED);
    ck_assert_uint_eq(lines.line, 2);
}
END_TEST

START_TEST(a_hundred_thousand_keys_are_taken_and_no_more)
{
    CLEANUP(buf_done) struct buf text;

    buf_init(&text, 4 * MIB);
    for (unsigned i = 0; i < KEYS_MAX; i++)
        ck_assert_int_eq(buf_printf(&text, "key-%u web-%u-*\n", i, i), 0);
    ck_assert_int_eq(take(buf_span(&text)), 0);
    ck_assert_uint_eq(lines.n_keys, KEYS_MAX);
    ck_assert(writes("key-0", "web-0-x"));
    ck_assert(writes("key-99999", "web-99999-x"));
    ck_assert(!writes("key-99999", "web-9999-x"));
    ck_assert(!check("key-100000"));
    ck_assert_int_eq(buf_append(&text, SPAN("k\n")), 0);
    ck_assert_int_eq(take(buf_span(&text)), E_TOO_LARGE);
    ck_assert(check("key-0"));
}
END_TEST

START_TEST(taking_keys_survives_any_failed_allocation)
{
    bool fired = true;

    ck_assert_int_eq(take(SPAN("old\n")), 0);
    for (long nth = 0; fired; nth++) {
        fault_arm(nth);
        int r = auth_take(auth, SPAN("a x\nb y\nc\nd\ne\nf\n"), &lines);
        fired = fault_disarm();

        ck_assert_int_eq(r, fired ? -ENOMEM : 0);
        ck_assert(check("old") == fired);
        ck_assert(check("f") == !fired);
    }
}
END_TEST

static const struct {
    const char *apikey;
    const char *authorization;
    const char *key; /* NULL: none */
} shown[] = {
    {"k", NULL, "k"},           {NULL, "Bearer k", "k"},  {NULL, "bEARER  k ", "k"},
    {"k", "Bearer other", "k"}, {"", "Bearer other", ""}, {NULL, NULL, NULL},
    {NULL, "Bearer ", NULL},    {NULL, "Bearer", NULL},   {NULL, "Basic azpr", NULL},
    {NULL, "k", NULL},
};

static struct span header(const char *text)
{
    return text ? span_of_str(text) : (struct span){NULL, 0};
}

START_TEST(a_key_is_shown_by_either_header)
{
    struct span key =
        auth_key_of(header(shown[_i].apikey), header(shown[_i].authorization));

    ck_assert(!key.data == !shown[_i].key);
    if (shown[_i].key)
        ck_assert(span_equal_str(key, shown[_i].key));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pcd auth");
    TCase *c = tcase_create("auth");

    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, keys_stand_one_a_line_beside_comments_and_blank_lines);
    tcase_add_test(c, anything_but_a_whole_key_is_denied);
    tcase_add_test(c, a_key_may_stand_there_as_its_digest);
    tcase_add_test(c, a_key_without_patterns_writes_as_anybody_one_with_them_as_those);
    tcase_add_test(c, a_key_on_several_lines_writes_what_any_of_them_says);
    tcase_add_test(c, a_grant_outlives_its_set_and_nothing_else_does);
    tcase_add_test(c, a_key_has_the_same_number_in_every_set);
    tcase_add_test(c, a_hint_of_another_set_or_key_is_not_believed);
    tcase_add_test(c, a_key_may_have_512_bytes_and_no_more);
    tcase_add_loop_test(c, a_bad_text_is_named_by_its_line_and_changes_nothing, 0,
                        sizeof bad_texts / sizeof *bad_texts);
    tcase_add_test(c, a_byte_order_mark_at_the_start_is_passed_over);
    tcase_add_test(c, a_line_may_have_8192_bytes_and_no_more);
    tcase_add_test(c, a_hundred_thousand_keys_are_taken_and_no_more);
    tcase_add_test(c, taking_keys_survives_any_failed_allocation);
    tcase_add_loop_test(c, a_key_is_shown_by_either_header, 0,
                        sizeof shown / sizeof *shown);
    suite_add_tcase(suite, c);
    return suite_run(suite);
}
