/* SPDX-License-Identifier: MIT */
#include "common/io.h"
#include "pcd/auth.h"
#include "tests/lib/fault.h"
#include "tests/lib/home.h"
#include "tests/lib/suite.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static struct home home;
static struct auth *auth;
static char path[PATH_MAX + 8];

static void setup(void)
{
    home_make(&home);
    (void)snprintf(path, sizeof path, "%s/keys", home.path);
    ck_assert_int_eq(auth_new(&auth), 0);
}

static void teardown(void)
{
    auth_free(auth);
    home_remove(&home);
}

static int load(struct span text, struct auth_file *ret)
{
    ck_assert_int_eq(io_replace_file(home.fd, "keys", text, 0600), 0);
    return auth_load(auth, path, ret);
}

static bool check(const char *key)
{
    struct span exact = suite_exact(span_of_str(key));
    bool known = auth_check(auth, exact);

    free((void *)(uintptr_t)exact.data);
    return known;
}

START_TEST(keys_stand_one_a_line_beside_comments_and_blank_lines)
{
    struct auth_file file;

    ck_assert_int_eq(
        load(SPAN("# who\n\nfirst-key-0123456789\n \tsecond \r\n\t\n#x\nlast"), &file),
        0);
    ck_assert_uint_eq(file.n_keys, 3);
    ck_assert_uint_eq(file.n_weak, 2);
    ck_assert(check("first-key-0123456789"));
    ck_assert(check("second"));
    ck_assert(check("last"));
}
END_TEST

START_TEST(anything_but_a_whole_key_is_denied)
{
    static const char *const wrong[] = {"", "ke", "keyy", "Key", "other", "key ", "#c"};
    struct auth_file file;

    ck_assert(!check("key")); /* nobody is let in before a file was read */
    ck_assert_int_eq(load(SPAN("key\n#c\nanother-key\n"), &file), 0);
    ck_assert(check("key"));
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        ck_assert_msg(!check(wrong[i]), "%s", wrong[i]);
}
END_TEST

START_TEST(a_key_may_have_512_bytes_and_no_more)
{
    char text[AUTH_KEY_BYTES + 2];
    struct auth_file file;

    memset(text, 'k', sizeof text);
    ck_assert_int_eq(load(span_of(text, AUTH_KEY_BYTES), &file), 0);
    ck_assert(auth_check(auth, span_of(text, AUTH_KEY_BYTES)));
    ck_assert(!auth_check(auth, span_of(text, AUTH_KEY_BYTES - 1)));
    ck_assert(!auth_check(auth, span_of(text, AUTH_KEY_BYTES + 1)));
    ck_assert_int_eq(load(span_of(text, AUTH_KEY_BYTES + 1), &file), E_MALFORMED);
    ck_assert_uint_eq(file.line, 1);
}
END_TEST

static const struct {
    struct span text;
    int r;
    size_t line;
} bad_files[] = {
    {SPAN(""), E_GONE, 0},
    {SPAN("\n# only this\n  \n"), E_GONE, 0},
    {SPAN("good\ntwo words\n"), E_MALFORMED, 2},
    {SPAN("good\n\nt\xc3\xa4st\n"), E_MALFORMED, 3},
    {SPAN("bell\a\n"), E_MALFORMED, 1},
    {SPAN("nul\0nul\n"), E_MALFORMED, 1},
    {SPAN("good\ndel\x7f"), E_MALFORMED, 2},
};

START_TEST(a_bad_file_is_named_and_changes_nothing)
{
    struct auth_file file;

    ck_assert_int_eq(load(SPAN("old\n"), &file), 0);
    ck_assert_int_eq(load(bad_files[_i].text, &file), bad_files[_i].r);
    ck_assert_uint_eq(file.line, bad_files[_i].line);
    ck_assert(check("old"));
    ck_assert(!check("good"));
}
END_TEST

START_TEST(a_missing_file_changes_nothing)
{
    struct auth_file file;

    ck_assert_int_eq(load(SPAN("old\n"), &file), 0);
    ck_assert_int_eq(auth_load(auth, "/nonexistent/keys", &file), -ENOENT);
    ck_assert(check("old"));
}
END_TEST

START_TEST(a_new_file_replaces_all_keys)
{
    struct auth_file file;

    ck_assert_int_eq(load(SPAN("old\nboth\n"), &file), 0);
    ck_assert_int_eq(load(SPAN("new\nboth\n"), &file), 0);
    ck_assert(!check("old"));
    ck_assert(check("new"));
    ck_assert(check("both"));
}
END_TEST

START_TEST(too_many_keys_are_refused)
{
    CLEANUP(buf_done) struct buf text;
    struct auth_file file;

    buf_init(&text, 200000);
    for (size_t i = 0; i < AUTH_KEYS_MAX; i++)
        ck_assert_int_eq(buf_append(&text, SPAN("k\n")), 0);
    ck_assert_int_eq(load(buf_span(&text), &file), 0);
    ck_assert_int_eq(buf_append(&text, SPAN("k\n")), 0);
    ck_assert_int_eq(load(buf_span(&text), &file), E_TOO_LARGE);
}
END_TEST

START_TEST(a_load_survives_any_failed_allocation)
{
    struct auth_file file;
    bool fired = true;

    ck_assert_int_eq(load(SPAN("old\n"), &file), 0);
    ck_assert_int_eq(io_replace_file(home.fd, "keys", SPAN("a\nb\nc\nd\ne\nf\n"), 0600),
                     0);
    for (long nth = 0; fired; nth++) {
        fault_arm(nth);
        int r = auth_load(auth, path, &file);
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
    tcase_add_test(c, a_key_may_have_512_bytes_and_no_more);
    tcase_add_loop_test(c, a_bad_file_is_named_and_changes_nothing, 0,
                        sizeof bad_files / sizeof *bad_files);
    tcase_add_test(c, a_missing_file_changes_nothing);
    tcase_add_test(c, a_new_file_replaces_all_keys);
    tcase_add_test(c, too_many_keys_are_refused);
    tcase_add_test(c, a_load_survives_any_failed_allocation);
    tcase_add_loop_test(c, a_key_is_shown_by_either_header, 0,
                        sizeof shown / sizeof *shown);
    suite_add_tcase(suite, c);
    return suite_run(suite);
}
