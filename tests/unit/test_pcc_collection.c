/* SPDX-License-Identifier: MIT */
#include "common/units.h"
#include "pcc/apikey.h"
#include "pcc/collection.h"
#include "tests/lib/batches.h"
#include "tests/lib/bytes.h"
#include "tests/lib/suite.h"
#include "tests/unit/pcc_tree.h"

#include <errno.h>

/* The next write takes this many bytes, the one after it fails. -1: none does. */
static ssize_t room = -1;

ssize_t __real_write(int fd, const void *bytes, size_t n);
ssize_t __wrap_write(int fd, const void *bytes, size_t n);

ssize_t __wrap_write(int fd, const void *bytes, size_t n)
{
    if (room < 0)
        return __real_write(fd, bytes, n);
    if (room == 0) {
        errno = ENOSPC;
        return -1;
    }
    size_t part = (size_t)room < n ? (size_t)room : n;
    room = 0;
    return __real_write(fd, bytes, part);
}

#define LINE_1 "{\"timestamp\":1,\"subsystem\":\"/a\",\"measurement\":\"x\\n\"}\n"
#define LINE_2                                                                           \
    "{\"timestamp\":2,\"nanoseconds\":5000000,\"subsystem\":\"/"                         \
    "a\",\"measurement\":\"y\"}\n"

static struct home home;
static char path[PATH_MAX + 16];
static struct collection *collection;
static struct batch one;
static struct batch two;

static void set_up(void)
{
    home_make(&home);
    (void)snprintf(path, sizeof path, "%s/pcc.json", home.path);
    ck_assert_int_eq(collection_new(path, &collection), 0);
    batch_init(&one, &batch_limits_default);
    batch_init(&two, &batch_limits_default);
    batches_add(&one, SEC, SPAN("/a"), SPAN("x\n"));
    batches_add(&two, 2 * SEC + 5 * MSEC, SPAN("/a"), SPAN("y"));
}

static void tear_down(void)
{
    batch_done(&one);
    batch_done(&two);
    collection_free(collection);
    home_remove(&home);
}

static void assert_file(const char *name, const char *want)
{
    CLEANUP(buf_done) struct buf text;

    buf_init(&text, BYTES_ROOM);
    ck_assert_int_eq(io_read_file(home.fd, name, &text), 0);
    ck_assert(span_equal_str(buf_span(&text), want));
}

START_TEST(batches_are_appended_as_lines)
{
    ck_assert_int_eq(collection_append(collection, &one), 0);
    ck_assert_int_eq(collection_append(collection, &two), 0);
    assert_file("pcc.json", LINE_1 LINE_2);
    collection_free(collection);
    ck_assert_int_eq(collection_new(path, &collection), 0);
    ck_assert_int_eq(collection_append(collection, &one), 0);
    assert_file("pcc.json", LINE_1 LINE_2 LINE_1);
}
END_TEST

START_TEST(file_that_was_moved_is_made_anew)
{
    ck_assert_int_eq(collection_append(collection, &one), 0);
    ck_assert_int_eq(renameat(home.fd, "pcc.json", home.fd, "old.json"), 0);
    ck_assert_int_eq(collection_append(collection, &two), 0);
    assert_file("old.json", LINE_1);
    assert_file("pcc.json", LINE_2);
}
END_TEST

START_TEST(full_disk_leaves_no_half_line)
{
    ck_assert_int_eq(collection_append(collection, &one), 0);
    room = 10;
    int r = collection_append(collection, &two);
    room = -1;
    ck_assert_int_eq(r, -ENOSPC);
    assert_file("pcc.json", LINE_1);
    ck_assert_int_eq(collection_append(collection, &two), 0);
    assert_file("pcc.json", LINE_1 LINE_2);
}
END_TEST

START_TEST(half_a_line_at_the_end_harms_no_other)
{
    ck_assert_int_eq(collection_append(collection, &one), 0);
    collection_free(collection);
    tree_put(&home, "pcc.json", SPAN(LINE_1 "{\"timest"));
    ck_assert_int_eq(collection_new(path, &collection), 0);
    ck_assert_int_eq(collection_append(collection, &two), 0);
    assert_file("pcc.json", LINE_1 "{\"timest\n" LINE_2);
}
END_TEST

START_TEST(folder_that_goes_is_an_error_until_it_is_back)
{
    struct collection *other = NULL;
    char deep[PATH_MAX + 32];

    (void)snprintf(deep, sizeof deep, "%s/x/pcc.json", home.path);
    ck_assert_int_eq(collection_new(deep, &other), -ENOENT);
    tree_put(&home, "x/keep", SPAN(""));
    ck_assert_int_eq(collection_new(deep, &other), 0);
    ck_assert_int_eq(renameat(home.fd, "x", home.fd, "y"), 0);
    ck_assert_int_eq(collection_append(other, &one), -ENOENT);
    ck_assert_int_eq(renameat(home.fd, "y", home.fd, "x"), 0);
    ck_assert_int_eq(collection_append(other, &one), 0);
    assert_file("x/pcc.json", LINE_1);
    collection_free(other);
}
END_TEST

static const struct {
    const char *text;
    const char *key; /* NULL: E_MALFORMED */
} keys[] = {
    {"secret", "secret"}, {"secret\n", "secret"}, {" secret \r\nother\n", "secret"},
    {"", NULL},           {"\nsecret\n", NULL},   {"se cret\n", NULL},
    {"se\tcret", NULL},   {"s\xc3\xa9", NULL},    {"se\rcret", NULL},
};

START_TEST(key_is_the_first_line_of_its_file)
{
    char key[APIKEY_MAX + 1] = "before";
    char name[PATH_MAX + 16];

    tree_put(&home, "key", span_of_str(keys[_i].text));
    (void)snprintf(name, sizeof name, "%s/key", home.path);
    ck_assert_int_eq(apikey_read(name, key), keys[_i].key ? 0 : E_MALFORMED);
    ck_assert_str_eq(key, keys[_i].key ? keys[_i].key : "before");
}
END_TEST

/* A line of the server's file; its key can't be told from it. */
START_TEST(digest_is_no_key)
{
    char key[APIKEY_MAX + 1] = "before";
    char name[PATH_MAX + 16];

    tree_put(&home, "key", SPAN("sha256:abc\n"));
    (void)snprintf(name, sizeof name, "%s/key", home.path);
    ck_assert_int_eq(apikey_read(name, key), E_UNSUPPORTED);
    ck_assert_str_eq(key, "before");
}
END_TEST

START_TEST(key_has_a_longest_length)
{
    char key[APIKEY_MAX + 1];

    memset(key, 'k', sizeof key);
    ck_assert_int_eq(apikey_check(span_of(key, APIKEY_MAX)), 0);
    ck_assert_int_eq(apikey_check(span_of(key, APIKEY_MAX + 1)), E_TOO_LARGE);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pcc_collection");
    TCase *c = tcase_create("collection");
    TCase *k = tcase_create("apikey");

    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_add_test(c, batches_are_appended_as_lines);
    tcase_add_test(c, file_that_was_moved_is_made_anew);
    tcase_add_test(c, full_disk_leaves_no_half_line);
    tcase_add_test(c, half_a_line_at_the_end_harms_no_other);
    tcase_add_test(c, folder_that_goes_is_an_error_until_it_is_back);
    suite_add_tcase(suite, c);
    tcase_add_checked_fixture(k, set_up, tear_down);
    tcase_add_loop_test(k, key_is_the_first_line_of_its_file, 0, (int)N_OF(keys));
    tcase_add_test(k, digest_is_no_key);
    tcase_add_test(k, key_has_a_longest_length);
    suite_add_tcase(suite, k);
    return suite_run(suite);
}
