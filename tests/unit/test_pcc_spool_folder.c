/* SPDX-License-Identifier: MIT */
#include "pcc/spool_file.h"
#include "pcc/spool_folder.h"
#include "tests/lib/fault.h"
#include "tests/lib/home.h"
#include "tests/lib/suite.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* The disk, as a test wants it: the nth call from now on fails; 0: none. */
static int fail_fsync;
static int fail_rename;

int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __real_renameat(int from_fd, const char *from, int to_fd, const char *to);
int __wrap_renameat(int from_fd, const char *from, int to_fd, const char *to);

static bool fails(int *nth)
{
    if (*nth == 0 || --*nth > 0)
        return false;
    errno = EIO;
    return true;
}

int __wrap_fsync(int fd)
{
    return fails(&fail_fsync) ? -1 : __real_fsync(fd);
}

int __wrap_renameat(int from_fd, const char *from, int to_fd, const char *to)
{
    return fails(&fail_rename) ? -1 : __real_renameat(from_fd, from, to_fd, to);
}

static struct home home;
static char path[PATH_MAX + 16];
static struct spool_folder folder;

static void set_up(void)
{
    home_make(&home);
    (void)snprintf(path, sizeof path, "%s/var/spool", home.path);
    fail_fsync = fail_rename = 0;
    ck_assert_int_eq(spool_folder_open(path, true, &folder), 0);
}

static void tear_down(void)
{
    spool_folder_close(&folder);
    home_remove(&home);
}

/* Any file in the folder, by name. */
static void make(int dir_fd, const char *name, size_t bytes)
{
    int fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_EXCL, 0600);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(ftruncate(fd, (off_t)bytes), 0);
    ck_assert_int_eq(close(fd), 0);
}

static bool exists(int dir_fd, const char *name)
{
    return faccessat(dir_fd, name, F_OK, 0) == 0;
}

static void assert_numbers(int dir_fd, const uint64_t *want, size_t n)
{
    uint64_t *got = NULL;
    size_t got_n = 0;

    ck_assert_int_eq(spool_folder_list(dir_fd, &got, &got_n), 0);
    ck_assert_uint_eq(got_n, n);
    for (size_t i = 0; i < n; i++)
        ck_assert_uint_eq(got[i], want[i]);
    free(got);
}
#define ASSERT_NUMBERS(dir_fd, ...)                                                      \
    assert_numbers(dir_fd, (const uint64_t[]){__VA_ARGS__},                              \
                   sizeof((const uint64_t[]){__VA_ARGS__}) / sizeof(uint64_t))

static void assert_holds(int dir_fd, uint64_t number, struct span want)
{
    CLEANUP(buf_done) struct buf b;

    buf_init(&b, 1024);
    ck_assert_int_eq(spool_folder_read(dir_fd, number, &b), 0);
    ck_assert(span_equal(buf_span(&b), want));
}

START_TEST(name_is_sixteen_digits)
{
    char name[SPOOL_NAME_BYTES];

    spool_name(23, name);
    ck_assert_str_eq(name, "0000000000000017.batch");
    spool_name(UINT64_MAX, name);
    ck_assert_str_eq(name, "ffffffffffffffff.batch");
}
END_TEST

START_TEST(list_is_in_order_whatever_the_disk_says)
{
    char name[SPOOL_NAME_BYTES];

    for (uint64_t i = 0; i < 200; i++) {
        spool_name((i * 77) % 200 + 1, name);
        make(folder.fd, name, 1);
    }
    uint64_t want[200];
    for (uint64_t i = 0; i < 200; i++)
        want[i] = i + 1;
    assert_numbers(folder.fd, want, 200);
}
END_TEST

START_TEST(list_takes_no_name_but_its_own)
{
    static const char *const others[] = {
        "0000000000000000.batch",  "0000000000000001",       "0000000000000001.batch~",
        "0000000000000001.batch2", "000000000000001.batch",  "00000000000000001.batch",
        "000000000000000A.batch",  "000000000000000g.batch", "mark",
        " 00000000000001b.batch",  "0000000000000001.BATCH",
    };

    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        make(folder.fd, others[i], 1);
    make(folder.fd, "0000000000000002.batch", 1);
    ASSERT_NUMBERS(folder.fd, 2);
}
END_TEST

START_TEST(list_of_nothing_is_empty)
{
    assert_numbers(folder.fd, NULL, 0);
    assert_numbers(folder.rejected_fd, NULL, 0);
}
END_TEST

START_TEST(list_survives_any_failed_allocation)
{
    char name[SPOOL_NAME_BYTES];
    bool fired = true;

    for (uint64_t i = 1; i <= 200; i++) {
        spool_name(i, name);
        make(folder.fd, name, 1);
    }
    for (long nth = 0; fired; nth++) {
        uint64_t *numbers = NULL;
        size_t n = 0;

        fault_arm(nth);
        int r = spool_folder_list(folder.fd, &numbers, &n);
        fired = fault_disarm();
        /* qsort() does without memory of its own. */
        ck_assert(r == 0 ? n == 200 : r == -ENOMEM && fired && !numbers);
        free(numbers);
    }
}
END_TEST

START_TEST(open_makes_what_is_missing_for_its_owner_alone)
{
    struct stat st;

    ck_assert_int_eq(fstat(folder.fd, &st), 0);
    ck_assert_uint_eq(st.st_mode & 0777, 0700);
    ck_assert_int_eq(fstat(folder.rejected_fd, &st), 0);
    ck_assert_uint_eq(st.st_mode & 0777, 0700);
    ck_assert_int_eq(spool_folder_write(folder.fd, 1, SPAN("x")), 0);
    ck_assert_int_eq(fstatat(folder.fd, "0000000000000001.batch", &st, 0), 0);
    ck_assert_uint_eq(st.st_mode & 0777, 0600);
}
END_TEST

START_TEST(open_is_for_one_owner)
{
    struct spool_folder other;

    ck_assert_int_eq(spool_folder_open(path, true, &other), E_PENDING);
    ck_assert_int_eq(other.fd, -1);
    spool_folder_close(&folder);
    ck_assert_int_eq(spool_folder_open(path, true, &other), 0);
    spool_folder_close(&other);
}
END_TEST

START_TEST(open_removes_what_is_half_written_if_it_owns)
{
    struct spool_folder other;

    make(folder.fd, "0000000000000001.batch.new", 5);
    make(folder.fd, "0000000000000001.batch", 5);
    ck_assert_int_eq(spool_folder_open(path, false, &other), 0);
    spool_folder_close(&other);
    ck_assert(exists(folder.fd, "0000000000000001.batch.new"));
    spool_folder_close(&folder);
    ck_assert_int_eq(spool_folder_open(path, true, &folder), 0);
    ck_assert(!exists(folder.fd, "0000000000000001.batch.new"));
    ASSERT_NUMBERS(folder.fd, 1);
}
END_TEST

START_TEST(open_to_look_changes_nothing)
{
    struct spool_folder other;
    char missing[PATH_MAX + 32];

    (void)snprintf(missing, sizeof missing, "%s/missing", home.path);
    ck_assert_int_eq(spool_folder_open(missing, false, &other), -ENOENT);
    ck_assert(!exists(home.fd, "missing"));
    /* One without rejected/ has none to look at. */
    ck_assert_int_eq(mkdirat(home.fd, "missing", 0700), 0);
    ck_assert_int_eq(spool_folder_open(missing, false, &other), 0);
    ck_assert_int_eq(other.rejected_fd, -1);
    ck_assert_int_eq(other.lock_fd, -1);
    assert_numbers(other.fd, NULL, 0);
    spool_folder_close(&other);
}
END_TEST

START_TEST(what_is_written_is_read_again)
{
    ck_assert_int_eq(spool_folder_write(folder.fd, 7, SPAN("first")), 0);
    assert_holds(folder.fd, 7, SPAN("first"));
    ck_assert_int_eq(spool_folder_write(folder.fd, 7, SPAN("second")), 0);
    assert_holds(folder.fd, 7, SPAN("second"));
    ASSERT_NUMBERS(folder.fd, 7);
    spool_folder_remove(folder.fd, 7);
    assert_numbers(folder.fd, NULL, 0);

    CLEANUP(buf_done) struct buf b;
    buf_init(&b, 1024);
    ck_assert_int_eq(spool_folder_read(folder.fd, 7, &b), -ENOENT);
}
END_TEST

START_TEST(write_that_fails_leaves_what_was_there)
{
    const int syncs = _i;

    ck_assert_int_eq(spool_folder_write(folder.fd, 7, SPAN("first")), 0);
    fail_fsync = syncs;
    fail_rename = syncs == 0;
    ck_assert_int_eq(spool_folder_write(folder.fd, 7, SPAN("second")), -EIO);
    /* The folder's own sync comes last. */
    assert_holds(folder.fd, 7, syncs == 2 ? SPAN("second") : SPAN("first"));
    ASSERT_NUMBERS(folder.fd, 7);
}
END_TEST

START_TEST(header_is_read_with_the_files_size)
{
    CLEANUP(buf_done) struct buf b;
    uint64_t size = 0;

    buf_init(&b, SPOOL_HEADER_MAX);
    make(folder.fd, "0000000000000001.batch", SPOOL_HEADER_MAX + 1000);
    ck_assert_int_eq(spool_folder_read_header(folder.fd, 1, &b, &size), 0);
    ck_assert_uint_eq(b.len, SPOOL_HEADER_MAX);
    ck_assert_uint_eq(size, SPOOL_HEADER_MAX + 1000);
    buf_reset(&b);
    make(folder.fd, "0000000000000002.batch", 3);
    ck_assert_int_eq(spool_folder_read_header(folder.fd, 2, &b, &size), 0);
    ck_assert_uint_eq(b.len, 3);
    ck_assert_uint_eq(size, 3);
    buf_reset(&b);
    ck_assert_int_eq(spool_folder_read_header(folder.fd, 3, &b, &size), -ENOENT);
    ck_assert_uint_eq(b.len, 0);
}
END_TEST

START_TEST(reject_moves_a_file)
{
    ck_assert_int_eq(spool_folder_write(folder.fd, 7, SPAN("bad")), 0);
    ck_assert_int_eq(spool_folder_reject(&folder, 7, 100), 0);
    assert_numbers(folder.fd, NULL, 0);
    assert_holds(folder.rejected_fd, 7, SPAN("bad"));
}
END_TEST

START_TEST(reject_that_fails_leaves_no_file_in_the_way)
{
    ck_assert_int_eq(spool_folder_write(folder.fd, 7, SPAN("bad")), 0);
    fail_rename = 1;
    ck_assert_int_eq(spool_folder_reject(&folder, 7, 100), -EIO);
    assert_numbers(folder.fd, NULL, 0);
    assert_numbers(folder.rejected_fd, NULL, 0);
}
END_TEST

START_TEST(rejected_is_trimmed_from_its_oldest)
{
    make(folder.rejected_fd, "0000000000000001.batch", 40);
    make(folder.rejected_fd, "0000000000000002.batch", 40);
    make(folder.rejected_fd, "0000000000000003.batch", 40);
    spool_folder_trim_rejected(&folder, 120);
    ASSERT_NUMBERS(folder.rejected_fd, 1, 2, 3);
    spool_folder_trim_rejected(&folder, 119);
    ASSERT_NUMBERS(folder.rejected_fd, 2, 3);
    ck_assert_int_eq(spool_folder_write(folder.fd, 7, SPAN("bad")), 0);
    ck_assert_int_eq(spool_folder_reject(&folder, 7, 50), 0);
    ASSERT_NUMBERS(folder.rejected_fd, 3, 7);
    spool_folder_trim_rejected(&folder, 0);
    assert_numbers(folder.rejected_fd, NULL, 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("pcc_spool_folder");
    TCase *t = tcase_create("spool_folder");

    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, name_is_sixteen_digits);
    tcase_add_test(t, list_is_in_order_whatever_the_disk_says);
    tcase_add_test(t, list_takes_no_name_but_its_own);
    tcase_add_test(t, list_of_nothing_is_empty);
    tcase_add_test(t, list_survives_any_failed_allocation);
    tcase_add_test(t, open_makes_what_is_missing_for_its_owner_alone);
    tcase_add_test(t, open_is_for_one_owner);
    tcase_add_test(t, open_removes_what_is_half_written_if_it_owns);
    tcase_add_test(t, open_to_look_changes_nothing);
    tcase_add_test(t, what_is_written_is_read_again);
    tcase_add_loop_test(t, write_that_fails_leaves_what_was_there, 0, 3);
    tcase_add_test(t, header_is_read_with_the_files_size);
    tcase_add_test(t, reject_moves_a_file);
    tcase_add_test(t, reject_that_fails_leaves_no_file_in_the_way);
    tcase_add_test(t, rejected_is_trimmed_from_its_oldest);
    suite_add_tcase(s, t);
    return suite_run(s);
}
