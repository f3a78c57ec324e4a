/* SPDX-License-Identifier: MIT */
#include "common/io.h"
#include "pcd/apikeys.h"
#include "proto/limits.h"
#include "tests/lib/fault.h"
#include "tests/lib/home.h"
#include "tests/lib/suite.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

static struct home home;
static char path[PATH_MAX + 16];
static struct apikeys apikeys;
static char why[200];

static void setup(void)
{
    home_make(&home);
    (void)snprintf(path, sizeof path, "%s/apikeys", home.path);
    apikeys = (struct apikeys){.path = path};
    ck_assert_int_eq(auth_new(&apikeys.auth), 0);
}

static void teardown(void)
{
    auth_free(apikeys.auth);
    home_remove(&home);
}

/* Replaces the file by renaming over it. */
static void put(const char *text)
{
    ck_assert_int_eq(io_replace_file(home.fd, "apikeys", span_of_str(text), 0600), 0);
}

/* Writes into the file that is there, as some editors do. */
static void overwrite(const char *text)
{
    CLEANUP(io_close) int fd = openat(home.fd, "apikeys", O_WRONLY | O_TRUNC | O_CLOEXEC);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(io_write(fd, span_of_str(text)), 0);
}

static bool known(const char *key)
{
    struct auth_hint hint = {0};
    struct auth_grant grant;
    int r = auth_ask(apikeys.auth, span_of_str(key), &hint, &grant);

    auth_grant_done(&grant);
    return r == 0;
}

static int read_now(void)
{
    return apikeys_read(&apikeys, why, sizeof why);
}

START_TEST(the_file_is_read_and_what_is_wrong_with_it_said)
{
    ck_assert_int_eq(read_now(), -ENOENT);
    ck_assert_str_eq(why, "No such file or directory");
    put("key-one\n");
    ck_assert_int_eq(read_now(), 0);
    ck_assert(known("key-one"));
    put("key-two\n\nkey-three a\x01z\n");
    ck_assert_int_eq(read_now(), E_MALFORMED);
    ck_assert_str_eq(why, "line 3: a blank or control character in a pattern");
    put("# none\n");
    ck_assert_int_eq(read_now(), E_GONE);
    ck_assert_str_eq(why, "there is no key in it");
    ck_assert(known("key-one"));
    ck_assert(!known("key-two"));
}
END_TEST

START_TEST(what_is_no_file_is_refused_without_waiting)
{
    ck_assert_int_eq(mkfifoat(home.fd, "apikeys", 0600), 0);
    ck_assert_int_eq(read_now(), E_UNSUPPORTED);
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(mkdirat(home.fd, "apikeys", 0700), 0);
    ck_assert_int_eq(read_now(), E_UNSUPPORTED);
    apikeys.path = "/dev/zero";
    ck_assert_int_eq(read_now(), E_UNSUPPORTED);
}
END_TEST

START_TEST(a_file_of_16_mib_is_read_and_no_larger_one)
{
    put("key-one\n#");
    ck_assert_int_eq(truncate(path, APIKEYS_MAX), 0); /* a comment of NULs */
    ck_assert_int_eq(read_now(), 0);
    ck_assert_int_eq(truncate(path, APIKEYS_MAX + 1), 0);
    ck_assert_int_eq(read_now(), E_TOO_LARGE);
    ck_assert(known("key-one"));
}
END_TEST

/* Looks until what is there can have been seen to rest, but no more often. */
static void look_twice(void)
{
    apikeys_look(&apikeys);
    apikeys_look(&apikeys);
}

START_TEST(a_file_that_changed_is_read_once_it_rests)
{
    put("one\n");
    ck_assert_int_eq(read_now(), 0);
    look_twice();
    put("two\n");
    apikeys_look(&apikeys);
    ck_assert(known("one")); /* it may still be written to */
    apikeys_look(&apikeys);
    ck_assert(known("two"));
    overwrite("three\n");
    apikeys_look(&apikeys);
    overwrite("three-and\nfour\n");
    apikeys_look(&apikeys);
    ck_assert(known("two"));
    apikeys_look(&apikeys);
    ck_assert(known("four"));
}
END_TEST

START_TEST(a_file_that_goes_or_breaks_keeps_the_keys_until_it_is_whole)
{
    put("one\n");
    ck_assert_int_eq(read_now(), 0);
    ck_assert_int_eq(unlink(path), 0);
    look_twice();
    ck_assert(known("one"));
    put("t\x01wo\n");
    look_twice();
    ck_assert(known("one"));
    put("two\n");
    look_twice();
    ck_assert(known("two"));
    ck_assert(!known("one"));
}
END_TEST

START_TEST(a_symbolic_link_that_is_turned_is_a_change)
{
    put("one\n");
    ck_assert_int_eq(renameat(home.fd, "apikeys", home.fd, "first"), 0);
    put("two\n");
    ck_assert_int_eq(renameat(home.fd, "apikeys", home.fd, "second"), 0);
    ck_assert_int_eq(symlinkat("first", home.fd, "apikeys"), 0);
    ck_assert_int_eq(read_now(), 0);
    ck_assert(known("one"));
    ck_assert_int_eq(symlinkat("second", home.fd, "new"), 0);
    ck_assert_int_eq(renameat(home.fd, "new", home.fd, "apikeys"), 0);
    look_twice();
    ck_assert(known("two"));
}
END_TEST

START_TEST(what_did_not_change_is_not_read_again)
{
    put("one\n");
    ck_assert_int_eq(read_now(), 0);
    uint64_t before = fault_allocations();
    for (int i = 0; i < 10; i++)
        apikeys_look(&apikeys);
    put("broken\x01\n");
    look_twice();
    ck_assert_uint_gt(fault_allocations(), before);
    before = fault_allocations();
    for (int i = 0; i < 10; i++)
        apikeys_look(&apikeys);
    ck_assert_uint_eq(fault_allocations(), before);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pcd apikeys");
    TCase *c = tcase_create("apikeys");

    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, the_file_is_read_and_what_is_wrong_with_it_said);
    tcase_add_test(c, what_is_no_file_is_refused_without_waiting);
    tcase_add_test(c, a_file_of_16_mib_is_read_and_no_larger_one);
    tcase_add_test(c, a_file_that_changed_is_read_once_it_rests);
    tcase_add_test(c, a_file_that_goes_or_breaks_keeps_the_keys_until_it_is_whole);
    tcase_add_test(c, a_symbolic_link_that_is_turned_is_a_change);
    tcase_add_test(c, what_did_not_change_is_not_read_again);
    suite_add_tcase(suite, c);
    return suite_run(suite);
}
