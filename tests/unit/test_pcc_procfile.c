/* SPDX-License-Identifier: MIT */
#include "pcc/procfile.h"
#include "tests/lib/bytes.h"
#include "tests/lib/fault.h"
#include "tests/lib/suite.h"
#include "tests/unit/pcc_tree.h"

#include <errno.h>
#include <sys/stat.h>

#define MAX (4u << 20)

static struct home home;
static struct procfile file;
static struct buf text;

static void set_up(void)
{
    char path[PATH_MAX + 8];

    home_make(&home);
    (void)snprintf(path, sizeof path, "%s/stat", home.path);
    ck_assert_int_eq(procfile_init(&file, path), 0);
    buf_init(&text, MAX);
}

static void tear_down(void)
{
    procfile_done(&file);
    buf_done(&text);
    home_remove(&home);
}

static void assert_reads(struct span want)
{
    buf_reset(&text);
    ck_assert_int_eq(procfile_read(&file, MAX, &text), 0);
    ck_assert(span_equal(buf_span(&text), want));
}

/* What a machine with 400 CPUs says, some hundred KB. */
static void build_large(struct buf *ret, size_t cpus)
{
    buf_init(ret, MAX);
    for (size_t i = 0; i < cpus; i++)
        ck_assert_int_eq(buf_printf(ret, "cpu%zu %zu 0 %zu 123456789012 %0200d\n", i,
                                    i * 7, i * 13, 0),
                         0);
}

START_TEST(large_file_is_read_whole)
{
    CLEANUP(buf_done) struct buf large;

    build_large(&large, 400);
    ck_assert_uint_gt(large.len, 90000);
    tree_put(&home, "stat", buf_span(&large));
    assert_reads(buf_span(&large));
    assert_reads(buf_span(&large));
}
END_TEST

START_TEST(file_may_grow_and_shrink_between_reads)
{
    static const size_t sizes[] = {1, 400, 3, 1000, 0, 20};

    for (size_t i = 0; i < N_OF(sizes); i++) {
        CLEANUP(buf_done) struct buf large;
        build_large(&large, sizes[i]);
        tree_put(&home, "stat", buf_span(&large));
        assert_reads(buf_span(&large));
    }
}
END_TEST

START_TEST(text_is_appended_behind_what_is_there)
{
    tree_put(&home, "stat", SPAN("new\n"));
    ck_assert_int_eq(buf_append(&text, SPAN("old")), 0);
    ck_assert_int_eq(procfile_read(&file, MAX, &text), 0);
    ck_assert(span_equal(buf_span(&text), SPAN("oldnew\n")));
}
END_TEST

START_TEST(file_may_vanish_and_come_back)
{
    ck_assert_int_eq(procfile_read(&file, MAX, &text), -ENOENT);
    tree_put(&home, "stat", SPAN("one"));
    assert_reads(SPAN("one"));
    tree_remove(&home, "stat");
    buf_reset(&text);
    ck_assert_int_eq(procfile_read(&file, MAX, &text), -ENOENT);
    ck_assert_uint_eq(text.len, 0);
    tree_put(&home, "stat", SPAN("two"));
    assert_reads(SPAN("two"));
}
END_TEST

START_TEST(renamed_into_place_means_another_file)
{
    tree_put(&home, "stat", SPAN("one"));
    assert_reads(SPAN("one"));
    tree_put(&home, "next", SPAN("two"));
    ck_assert_int_eq(renameat(home.fd, "next", home.fd, "stat"), 0);
    assert_reads(SPAN("two"));
}
END_TEST

START_TEST(limit_holds_at_below_and_above)
{
    tree_put(&home, "stat", SPAN("0123456789"));
    ck_assert_int_eq(procfile_read(&file, 10, &text), 0);
    buf_reset(&text);
    ck_assert_int_eq(procfile_read(&file, 9, &text), E_TOO_LARGE);
    ck_assert_uint_eq(text.len, 0);
    ck_assert_int_eq(procfile_read(&file, 11, &text), 0);
    ck_assert_uint_eq(text.len, 10);
}
END_TEST

START_TEST(file_past_the_room_of_the_buffer_is_too_large)
{
    CLEANUP(buf_done) struct buf small;
    CLEANUP(buf_done) struct buf large;

    build_large(&large, 400);
    tree_put(&home, "stat", buf_span(&large));
    buf_init(&small, 50000);
    ck_assert_int_eq(buf_append(&small, SPAN("kept")), 0);
    ck_assert_int_eq(procfile_read(&file, MAX, &small), E_TOO_LARGE);
    ck_assert(span_equal(buf_span(&small), SPAN("kept")));
}
END_TEST

START_TEST(only_regular_files_are_read)
{
    ck_assert_int_eq(mkfifoat(home.fd, "stat", 0600), 0);
    ck_assert_int_eq(procfile_read(&file, MAX, &text),
                     -EOPNOTSUPP); /* and doesn't hang */
    tree_remove(&home, "stat");
    ck_assert_int_eq(mkdirat(home.fd, "stat", 0700), 0);
    ck_assert_int_eq(procfile_read(&file, MAX, &text), -EOPNOTSUPP);
}
END_TEST

START_TEST(file_of_the_kernel_is_kept_open_and_fresh)
{
    struct procfile uptime;

    ck_assert_int_eq(procfile_init(&uptime, "/proc/self/stat"), 0);
    ck_assert_int_eq(procfile_read(&uptime, MAX, &text), 0);
    ck_assert_uint_gt(text.len, 0);
    int fd = uptime.fd;
    ck_assert_int_ge(fd, 0);
    buf_reset(&text);
    ck_assert_int_eq(procfile_read(&uptime, MAX, &text), 0);
    ck_assert_uint_gt(text.len, 0);
    ck_assert_int_eq(uptime.fd, fd);
    procfile_done(&uptime);
}
END_TEST

START_TEST(kept_file_that_fails_is_opened_anew)
{
    struct procfile stat;

    ck_assert_int_eq(procfile_init(&stat, "/proc/stat"), 0);
    ck_assert_int_eq(procfile_read(&stat, MAX, &text), 0);
    /* As if the kernel had taken the file away: reads fail on what is open now. */
    int broken = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    ck_assert_int_eq(dup3(broken, stat.fd, O_CLOEXEC), stat.fd);
    (void)close(broken);
    buf_reset(&text);
    ck_assert_int_eq(procfile_read(&stat, MAX, &text), 0);
    ck_assert(span_starts_with(buf_span(&text), SPAN("cpu")));
    procfile_done(&stat);
}
END_TEST

START_TEST(read_leaves_the_buffer_as_it_was_wherever_memory_runs_out)
{
    CLEANUP(buf_done) struct buf large;
    bool fired = true;

    build_large(&large, 400);
    tree_put(&home, "stat", buf_span(&large));
    for (long nth = 0; fired; nth++) {
        CLEANUP(buf_done) struct buf to;
        buf_init(&to, MAX);
        file.expect = 0; /* as at the first read, in many pieces */
        fault_arm(nth);
        int r = procfile_read(&file, MAX, &to);
        fired = fault_disarm();
        ck_assert_int_eq(r, fired ? -ENOMEM : 0);
        ck_assert_uint_eq(to.len, fired ? 0 : large.len);
    }
}
END_TEST

START_TEST(read_allocates_nothing_where_there_is_room)
{
    tree_put(&home, "stat", SPAN("cpu 1\n"));
    ck_assert_int_eq(buf_reserve(&text, 100000), 0);
    fault_arm(0);
    int r = procfile_read(&file, MAX, &text);
    bool fired = fault_disarm();
    ck_assert_int_eq(r, 0);
    ck_assert(!fired);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pcc_procfile");
    TCase *c = tcase_create("procfile");

    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_add_test(c, large_file_is_read_whole);
    tcase_add_test(c, file_may_grow_and_shrink_between_reads);
    tcase_add_test(c, text_is_appended_behind_what_is_there);
    tcase_add_test(c, file_may_vanish_and_come_back);
    tcase_add_test(c, renamed_into_place_means_another_file);
    tcase_add_test(c, limit_holds_at_below_and_above);
    tcase_add_test(c, file_past_the_room_of_the_buffer_is_too_large);
    tcase_add_test(c, only_regular_files_are_read);
    tcase_add_test(c, file_of_the_kernel_is_kept_open_and_fresh);
    tcase_add_test(c, kept_file_that_fails_is_opened_anew);
    tcase_add_test(c, read_leaves_the_buffer_as_it_was_wherever_memory_runs_out);
    tcase_add_test(c, read_allocates_nothing_where_there_is_room);
    suite_add_tcase(suite, c);
    return suite_run(suite);
}
