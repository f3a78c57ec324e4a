/* SPDX-License-Identifier: MIT */
#include "common/units.h"
#include "pcc/early.h"
#include "pcc/mark.h"
#include "tests/lib/fault.h"
#include "tests/lib/home.h"
#include "tests/lib/suite.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define WALL (UINT64_C(1767813011) * SEC)

static int n_writes;
static bool disk_is_full;

ssize_t __real_pwritev64(int fd, const struct iovec *parts, int n, off64_t offset);
ssize_t __wrap_pwritev64(int fd, const struct iovec *parts, int n, off64_t offset);

ssize_t __wrap_pwritev64(int fd, const struct iovec *parts, int n, off64_t offset)
{
    n_writes++;
    if (disk_is_full) {
        errno = ENOSPC;
        return -1;
    }
    return __real_pwritev64(fd, parts, n, offset);
}

static struct home home;
static struct mark *mark;
static struct gap_note loss;
static enum gap_id id;

static const struct mark_start first_start = {
    .identifier = "h",
    .boot_id = "boot-1",
    .interval_ns = 10 * SEC,
    .sources = 5,
    .boot_ns = 100 * SEC,
    .time_ns = WALL,
};

static void set_up(void)
{
    home_make(&home);
    disk_is_full = false;
    ck_assert_int_eq(mark_open(home.fd, &first_start, &mark), 0);
}

static void tear_down(void)
{
    mark_free(mark);
    home_remove(&home);
}

static void note(uint64_t first_ns, uint64_t last_ns, uint64_t measurements)
{
    const struct mark_state state = {first_ns, last_ns, measurements};

    ck_assert_int_eq(mark_note(mark, &state, false), 0);
}

static void end(uint64_t first_ns, uint64_t last_ns, uint64_t measurements)
{
    const struct mark_state state = {first_ns, last_ns, measurements};

    ck_assert_int_eq(mark_note(mark, &state, true), 0);
}

/* The next agent, so long after the first. Return: does it miss something? */
static bool restart_as(struct mark_start start, uint64_t after_ns)
{
    mark_free(mark);
    start.boot_ns += after_ns;
    if (!early_is(start.time_ns))
        start.time_ns += after_ns;
    ck_assert_int_eq(mark_open(home.fd, &start, &mark), 0);
    return mark_loss(mark, &id, &loss);
}

static bool restart(uint64_t after_ns)
{
    return restart_as(first_start, after_ns);
}

static void assert_loss(enum gap_id want, uint64_t from_ns, uint64_t to_ns,
                        uint64_t ticks, uint64_t measurements)
{
    ck_assert_int_eq(id, want);
    ck_assert_uint_eq(loss.from_ns, from_ns);
    ck_assert_uint_eq(loss.to_ns, to_ns);
    ck_assert_uint_eq(loss.ticks, ticks);
    ck_assert_uint_eq(loss.measurements, measurements);
}

START_TEST(first_start_misses_nothing)
{
    ck_assert(!mark_loss(mark, &id, &loss));
    ck_assert(!restart(HOUR)); /* one that never noted anything */
}
END_TEST

START_TEST(end_that_delivered_all_is_no_loss)
{
    note(WALL, WALL + 20 * SEC, 15);
    end(0, WALL + 20 * SEC, 0);
    ck_assert(!restart(HOUR));
}
END_TEST

START_TEST(end_that_could_not_deliver_is_told_to_the_last_measurement)
{
    end(WALL + 10 * SEC, WALL + 30 * SEC, 14);
    ck_assert(restart(HOUR));
    assert_loss(GAP_UNSENT, WALL + 10 * SEC, WALL + 30 * SEC, 3, 14);
}
END_TEST

START_TEST(kill_loses_what_was_in_memory_and_what_was_due_since)
{
    note(WALL + 10 * SEC, WALL + 30 * SEC, 15);
    ck_assert(restart(55 * SEC));
    assert_loss(GAP_KILLED, WALL + 10 * SEC, WALL + 55 * SEC, 6, 30);
}
END_TEST

START_TEST(kill_with_all_safe_loses_what_was_due_since)
{
    note(0, WALL + 30 * SEC, 0);
    ck_assert(restart(51 * SEC));
    assert_loss(GAP_KILLED, WALL + 30 * SEC + MSEC, WALL + 51 * SEC, 2, 10);
}
END_TEST

START_TEST(kill_and_start_before_the_next_tick_lose_nothing)
{
    note(0, WALL + 30 * SEC, 0);
    ck_assert(!restart(34 * SEC));
}
END_TEST

START_TEST(loss_is_told_again_until_the_new_agent_notes_itself)
{
    note(WALL, WALL, 5);
    ck_assert(restart(20 * SEC));
    ck_assert(restart(30 * SEC));
    assert_loss(GAP_KILLED, WALL, WALL + 30 * SEC, 4, 20);
    note(WALL, WALL + 30 * SEC, 5); /* it is still to be told, and this is in memory */
    ck_assert(restart(50 * SEC));
    assert_loss(GAP_KILLED, WALL, WALL + 50 * SEC, 7,
                35);                           /* a tick more for each start */
    note(WALL + 50 * SEC, WALL + 50 * SEC, 5); /* it was told */
    ck_assert(restart(60 * SEC));
    assert_loss(GAP_KILLED, WALL + 50 * SEC, WALL + 60 * SEC, 2, 10);
    note(0, WALL + 60 * SEC, 0);
    ck_assert(!restart(61 * SEC));
}
END_TEST

START_TEST(another_boot_makes_no_difference_to_dates)
{
    struct mark_start start = first_start;

    note(WALL, WALL + 10 * SEC, 10);
    start.boot_id = "boot-2";
    start.boot_ns = SEC;
    ck_assert(restart_as(start, 40 * SEC));
    assert_loss(GAP_KILLED, WALL, WALL + 40 * SEC, 5, 25);
}
END_TEST

START_TEST(times_of_the_boot_clock_stay_such_in_the_same_boot)
{
    note(103 * SEC, 113 * SEC, 10);
    ck_assert(restart(25 * SEC));
    assert_loss(GAP_KILLED, 103 * SEC, WALL + 25 * SEC, 4, 20);
}
END_TEST

START_TEST(times_of_another_boot_clock_have_no_date)
{
    struct mark_start start = first_start;

    note(103 * SEC, 113 * SEC, 10);
    start.boot_id = "boot-2";
    ck_assert(restart_as(start, 25 * SEC));
    assert_loss(GAP_KILLED, WALL + 25 * SEC, WALL + 25 * SEC, 0, 10);
}
END_TEST

START_TEST(clock_set_back_in_between_still_makes_a_range)
{
    struct mark_start start = first_start;

    note(WALL, WALL + 10 * SEC, 10);
    start.time_ns = WALL - HOUR;
    ck_assert(restart_as(start, 0));
    ck_assert_uint_eq(loss.from_ns, WALL - HOUR);
    ck_assert_uint_eq(loss.to_ns, WALL);
}
END_TEST

START_TEST(other_identifier_has_nothing_to_tell)
{
    struct mark_start start = first_start;

    note(WALL, WALL, 5);
    start.identifier = "i";
    ck_assert(!restart_as(start, HOUR));
}
END_TEST

START_TEST(file_that_was_changed_at_any_byte_is_taken_for_empty)
{
    struct stat st;

    note(WALL, WALL, 5);
    ck_assert_int_eq(fstatat(home.fd, "mark", &st, 0), 0);
    for (off_t at = 0; at < st.st_size; at++) {
        uint8_t byte = 0;
        int fd = openat(home.fd, "mark", O_RDWR | O_CLOEXEC);
        ck_assert_int_eq(pread(fd, &byte, 1, at), 1);
        byte ^= 4;
        ck_assert_int_eq(pwrite(fd, &byte, 1, at), 1);
        ck_assert(!restart(HOUR));
        byte ^= 4;
        ck_assert_int_eq(pwrite(fd, &byte, 1, at), 1);
        (void)close(fd);
    }
    ck_assert(restart(HOUR));
    int fd = openat(home.fd, "mark", O_RDWR | O_CLOEXEC);
    ck_assert_int_eq(ftruncate(fd, st.st_size - 1), 0);
    (void)close(fd);
    ck_assert(!restart(HOUR));
}
END_TEST

START_TEST(link_in_the_files_place_is_not_followed)
{
    struct mark *m = NULL;

    ck_assert_int_eq(renameat(home.fd, "mark", home.fd, "other"), 0);
    ck_assert_int_eq(symlinkat("other", home.fd, "mark"), 0);
    ck_assert_int_eq(mark_open(home.fd, &first_start, &m), -ELOOP);
    ck_assert_ptr_null(m);
}
END_TEST

START_TEST(nothing_new_is_not_written)
{
    note(WALL, WALL, 5);
    n_writes = 0;
    note(WALL, WALL, 5);
    ck_assert_int_eq(n_writes, 0);
    note(0, WALL, 0);
    ck_assert_int_eq(n_writes, 1);
}
END_TEST

START_TEST(what_could_not_be_written_is_tried_again)
{
    const struct mark_state state = {WALL, WALL, 5};

    disk_is_full = true;
    ck_assert_int_eq(mark_note(mark, &state, false), -ENOSPC);
    disk_is_full = false;
    ck_assert_int_eq(mark_note(mark, &state, false), 0);
    ck_assert(restart(SEC));
}
END_TEST

START_TEST(open_survives_any_failed_allocation)
{
    bool fired = true;

    for (long nth = 0; fired; nth++) {
        struct mark *m = NULL;
        fault_arm(nth);
        int r = mark_open(home.fd, &first_start, &m);
        fired = fault_disarm();
        ck_assert_int_eq(r, fired ? -ENOMEM : 0);
        mark_free(m);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pcc_mark");
    TCase *c = tcase_create("mark");

    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_add_test(c, first_start_misses_nothing);
    tcase_add_test(c, end_that_delivered_all_is_no_loss);
    tcase_add_test(c, end_that_could_not_deliver_is_told_to_the_last_measurement);
    tcase_add_test(c, kill_loses_what_was_in_memory_and_what_was_due_since);
    tcase_add_test(c, kill_with_all_safe_loses_what_was_due_since);
    tcase_add_test(c, kill_and_start_before_the_next_tick_lose_nothing);
    tcase_add_test(c, loss_is_told_again_until_the_new_agent_notes_itself);
    tcase_add_test(c, another_boot_makes_no_difference_to_dates);
    tcase_add_test(c, times_of_the_boot_clock_stay_such_in_the_same_boot);
    tcase_add_test(c, times_of_another_boot_clock_have_no_date);
    tcase_add_test(c, clock_set_back_in_between_still_makes_a_range);
    tcase_add_test(c, other_identifier_has_nothing_to_tell);
    tcase_add_test(c, file_that_was_changed_at_any_byte_is_taken_for_empty);
    tcase_add_test(c, link_in_the_files_place_is_not_followed);
    tcase_add_test(c, nothing_new_is_not_written);
    tcase_add_test(c, what_could_not_be_written_is_tried_again);
    tcase_add_test(c, open_survives_any_failed_allocation);
    suite_add_tcase(suite, c);
    return suite_run(suite);
}
