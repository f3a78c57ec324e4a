/* SPDX-License-Identifier: MIT */
#include "tests/lib/suite.h"
#include "tests/unit/keys_home.h"

#include "pcd/keys_sorted.h"
#include "proto/limits.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct keys_home home;

/* While set, no file of sessions/ can be synced, as on a disk that fails late. */
static bool sorted_syncs_fail;

int __real_fsync(int fd);
int __wrap_fsync(int fd);

static bool is_sorted_file(int fd)
{
    char link[32];
    char path[128];
    struct stat st;

    (void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    path[n < 0 ? 0 : n] = '\0';
    return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && strstr(path, "/sessions/");
}

int __wrap_fsync(int fd)
{
    if (sorted_syncs_fail && is_sorted_file(fd)) {
        errno = EIO;
        return -1;
    }
    return __real_fsync(fd);
}

static void setup(void)
{
    home_make(&home);
}

static void teardown(void)
{
    home_done(&home);
}

static struct key key_of(uint64_t session, uint64_t seq)
{
    return (struct key){.session = session, .seq = seq};
}

START_TEST(without_a_checkpoint_it_begins_at_zero)
{
    home_open(&home);
    ck_assert_uint_eq(home.at.number, 0);
    ck_assert_uint_eq(home.at.offset, 0);
    home_store(&home, "h", key_of(1, 1), NOW_NS);
    home_reopen(&home);
    ck_assert(!home_has(&home, "h", key_of(1, 1)));
}
END_TEST

START_TEST(a_checkpoint_holds_what_was_settled_and_no_reservation)
{
    struct key above = {.session = 1, .seq = 9, .floor = 3};

    home_open(&home);
    home_store(&home, "h", above, NOW_NS);
    ck_assert_int_eq(home_reserve(&home, "h", key_of(1, 20), NOW_NS), 0);
    ck_assert_int_eq(home_reserve(&home, "i", key_of(1, 1), NOW_NS), 0);
    home_checkpoint(&home, NOW_NS);
    home_settle(&home, "h", key_of(1, 20), 0);
    home_settle(&home, "i", key_of(1, 1), 0);
    struct log_position at = home.at;
    home_reopen(&home);
    ck_assert_uint_eq(home.at.number, at.number);
    ck_assert_uint_eq(home.at.offset, at.offset);
    ck_assert_uint_eq(home_counts(&home).sessions, 1);
    ck_assert(home_has(&home, "h", key_of(1, 2)));
    ck_assert(!home_has(&home, "h", key_of(1, 3)));
    ck_assert(home_has(&home, "h", key_of(1, 9)));
    ck_assert(!home_has(&home, "h", key_of(1, 20)));
    ck_assert(!home_has(&home, "i", key_of(1, 1)));
}
END_TEST

/* Of 3,000 sessions, some with many ranges so that blocks differ much in length. */
START_TEST(sessions_that_left_memory_are_found_again)
{
    char identifier[LIMIT_IDENTIFIER_BYTES + 1];

    home_open_eager(&home);
    for (uint64_t i = 0; i < 3000; i++) {
        (void)snprintf(identifier, sizeof identifier, "%0*d", (int)(i % 128) + 1,
                       (int)(i % 7));
        for (uint64_t seq = 2; seq <= (i % 100 == 0 ? 2048 : 4); seq += 2)
            home_store(&home, identifier, key_of(i, seq), NOW_NS);
    }
    ck_assert_uint_eq(home_counts(&home).sessions, 3000);
    home_checkpoint(&home, NOW_NS);
    ck_assert_uint_eq(home_counts(&home).sessions, 0);
    ck_assert_uint_eq(home_counts(&home).on_disk, 3000);
    home_reopen(&home);
    for (uint64_t i = 0; i < 3000; i++) {
        (void)snprintf(identifier, sizeof identifier, "%0*d", (int)(i % 128) + 1,
                       (int)(i % 7));
        ck_assert(home_has(&home, identifier, key_of(i, 2)));
        ck_assert(!home_has(&home, identifier, key_of(i, 3)));
        ck_assert(home_has(&home, identifier, key_of(i, i % 100 == 0 ? 2048 : 4)));
        ck_assert(!home_has(&home, "other", key_of(i, 2)));
    }
    ck_assert_uint_eq(home_counts(&home).sessions, 3000);
}
END_TEST

START_TEST(the_longest_idle_sessions_leave_memory_first)
{
    home.conf.merge_at = 1;
    home.conf.max_sessions = 2;
    home_open(&home);
    for (uint64_t i = 0; i < 5; i++)
        home_store(&home, "h", key_of(i, 1), NOW_NS + i);
    home_store(&home, "h", key_of(0, 2), NOW_NS + 9);
    home_checkpoint(&home, NOW_NS + 10);
    ck_assert_uint_eq(home_counts(&home).sessions, 2);

    /* Those that stayed are known even though the file is damaged now. */
    char path[64];
    (void)snprintf(path, sizeof path, "sessions/%d", (int)home_sorted_number(&home));
    home_damage(&home, path, 6);
    ck_assert_int_eq(home_reserve(&home, "h", key_of(0, 1), NOW_NS), E_REPLAY);
    ck_assert_int_eq(home_reserve(&home, "h", key_of(4, 1), NOW_NS), E_REPLAY);
    for (uint64_t i = 1; i < 4; i++)
        ck_assert(!home_has(&home, "h", key_of(i, 1)));
}
END_TEST

START_TEST(a_session_with_a_reservation_stays_in_memory)
{
    home_open_eager(&home);
    home_store(&home, "h", key_of(1, 1), NOW_NS);
    home_store(&home, "h", key_of(2, 1), NOW_NS);
    ck_assert_int_eq(home_reserve(&home, "h", key_of(1, 2), NOW_NS), 0);
    home_checkpoint(&home, NOW_NS);
    ck_assert_uint_eq(home_counts(&home).sessions, 1);
    home_settle(&home, "h", key_of(1, 2), 0);
    home_checkpoint(&home, NOW_NS);
    home_reopen(&home);
    ck_assert(home_has(&home, "h", key_of(1, 1)));
    ck_assert(home_has(&home, "h", key_of(1, 2)));
    ck_assert(home_has(&home, "h", key_of(2, 1)));
}
END_TEST

START_TEST(memory_wins_over_the_sorted_file)
{
    home_open_eager(&home);
    home_store(&home, "h", key_of(1, 1), NOW_NS);
    home_store(&home, "h", key_of(2, 1), NOW_NS);
    home_checkpoint(&home, NOW_NS);
    home_store(&home, "h", key_of(1, 2), NOW_NS);
    home_checkpoint(&home, NOW_NS); /* too few for a rewrite: it is in `keys` */
    ck_assert_uint_eq(home_sorted_number(&home), 1);
    home_reopen(&home);
    ck_assert(home_has(&home, "h", key_of(1, 2)));
    ck_assert(home_has(&home, "h", key_of(2, 1)));
    home_checkpoint(&home, NOW_NS); /* both were used: merged */
    ck_assert_uint_eq(home_sorted_number(&home), 2);
    ck_assert_uint_eq(home_counts(&home).on_disk, 2);
    home_reopen(&home);
    ck_assert_uint_eq(home_counts(&home).sessions, 0);
    ck_assert(home_has(&home, "h", key_of(1, 1)));
    ck_assert(home_has(&home, "h", key_of(1, 2)));
}
END_TEST

START_TEST(a_session_unused_for_too_long_is_forgotten)
{
    home_open_eager(&home);
    for (uint64_t i = 1; i <= 4; i++)
        home_store(&home, "h", key_of(i, 1), NOW_NS + (i > 2 ? 1 : 0));
    home_checkpoint(&home, NOW_NS); /* in the file, out of memory */
    for (uint64_t i = 5; i <= 8; i++)
        home_store(&home, "h", key_of(i, 1), NOW_NS + 1);
    home_checkpoint(&home, NOW_NS + 1 + KEEP_NS);
    ck_assert_uint_eq(home_counts(&home).expired, 2);
    ck_assert_uint_eq(home_counts(&home).on_disk, 6);
    ck_assert(!home_has(&home, "h", key_of(1, 1)));
    ck_assert(!home_has(&home, "h", key_of(2, 1)));
    for (uint64_t i = 3; i <= 8; i++)
        ck_assert(home_has(&home, "h", key_of(i, 1)));
}
END_TEST

START_TEST(one_that_expires_in_memory_leaves_it)
{
    home.conf.merge_at = 1;
    home_open(&home);
    home_store(&home, "h", key_of(1, 1), NOW_NS);
    home_store(&home, "h", key_of(2, 1), NOW_NS + 1);
    home_checkpoint(&home, NOW_NS + 1 + KEEP_NS);
    ck_assert_uint_eq(home_counts(&home).expired, 1);
    ck_assert_uint_eq(home_counts(&home).sessions, 1);
    ck_assert(!home_has(&home, "h", key_of(1, 1)));
    ck_assert(home_has(&home, "h", key_of(2, 1)));
}
END_TEST

/* The wall clock is years past NOW_NS here, as far as the keys can tell: between two runs
 * it jumped. */
START_TEST(a_wall_clock_that_jumps_ahead_between_runs_makes_nothing_expire)
{
    home.conf.keep_ns = 30 * DAY;
    home_open_eager(&home);
    ck_assert_uint_ge(keys_now_ns(home.keys), NOW_NS + 30 * DAY);
    for (uint64_t i = 0; i < 3; i++)
        home_store(&home, "h", key_of(i, 1), NOW_NS);
    home_checkpoint(&home, NOW_NS);
    home_reopen(&home);
    ck_assert_uint_ge(keys_now_ns(home.keys), NOW_NS + KEYS_ABSENCE_NS);
    ck_assert_uint_lt(keys_now_ns(home.keys), NOW_NS + KEYS_ABSENCE_NS + MINUTE);
    for (uint64_t i = 0; i < 2; i++)
        home_store(&home, "h", key_of(i, 2), keys_now_ns(home.keys));
    home_checkpoint(&home, keys_now_ns(home.keys));
    ck_assert_uint_eq(home_counts(&home).expired, 0);
    ck_assert_uint_eq(home_counts(&home).on_disk, 3);
    ck_assert(home_has(&home, "h", key_of(2, 1)));
}
END_TEST

START_TEST(a_wall_clock_that_jumps_back_between_runs_stops_no_time)
{
    uint64_t future_ns = UINT64_C(4000000000) * SEC;

    home_open_eager(&home);
    home_store(&home, "h", key_of(1, 1), future_ns);
    home_checkpoint(&home, future_ns);
    home_reopen(&home);
    uint64_t now_ns = keys_now_ns(home.keys);
    ck_assert_uint_ge(now_ns, future_ns);
    ck_assert_uint_lt(now_ns, future_ns + MINUTE);
    while (keys_now_ns(home.keys) == now_ns)
        continue;
    ck_assert_uint_gt(keys_now_ns(home.keys), now_ns);
}
END_TEST

START_TEST(a_clock_that_was_set_back_makes_nothing_expire)
{
    home_open_eager(&home);
    home_store(&home, "h", key_of(1, 1), NOW_NS);
    home_store(&home, "h", key_of(2, 1), 1000); /* 1970 */
    home_checkpoint(&home, 2000);
    home_reopen(&home);
    home_store(&home, "h", key_of(3, 1), 3000);
    home_store(&home, "h", key_of(4, 1), 3000);
    home_checkpoint(&home, NOW_NS + KEEP_NS); /* and set right */
    ck_assert_uint_eq(home_counts(&home).expired, 0);
    for (uint64_t i = 1; i <= 4; i++)
        ck_assert(home_has(&home, "h", key_of(i, 1)));
}
END_TEST

/* The bound's own identifier loses its longest idle, also where many were used at the
 * same moment; others lose nothing. */
START_TEST(an_identifier_keeps_its_last_used_sessions_up_to_a_bound)
{
    const uint64_t n = LIMIT_SESSIONS_PER_IDENTIFIER;

    home_open_eager(&home);
    home.conf.keep_ns = UINT64_MAX;
    home_reopen(&home);
    for (uint64_t i = 0; i < n; i++) {
        home_store(&home, "many", key_of(i, 1), NOW_NS + (i < 10 ? 0 : i < 20 ? 1 : 2));
        if (i < 50)
            home_store(&home, i < 25 ? "few" : "some", key_of(i, 1), NOW_NS);
    }
    home_checkpoint(&home, NOW_NS);
    ck_assert_uint_eq(home_counts(&home).forgotten, 0);
    ck_assert_uint_eq(home_counts(&home).on_disk, n + 50);

    for (uint64_t i = 0; i < 5000; i++)
        home_store(&home, i < 15 ? "many" : "more", key_of(n + i, 1), NOW_NS + 3);
    home_checkpoint(&home, NOW_NS);
    ck_assert_uint_eq(home_counts(&home).forgotten, 15);
    uint64_t n_left = 0;
    for (uint64_t i = 0; i < n + 15; i++) {
        bool has = home_has(&home, "many", key_of(i, 1));
        ck_assert(i >= 10 || !has);
        ck_assert(i < 20 || has);
        n_left += has;
    }
    ck_assert_uint_eq(n_left, n);
    for (uint64_t i = 0; i < 50; i++)
        ck_assert(home_has(&home, i < 25 ? "few" : "some", key_of(i, 1)));
}
END_TEST

START_TEST(a_sorted_file_is_no_longer_than_its_bound)
{
    static const uint64_t counts[] = {0, 1, 500, 20000};
    struct keys_sorted_writer w;
    struct ranges stored;
    struct buf record;
    uint64_t bytes = 0;

    buf_init(&record, KEYS_RECORD_MAX_BYTES);
    ranges_init(&stored);
    ck_assert_int_eq(keys_sorted_create(home.fd, 1, &w), 0);
    for (uint64_t i = 0; i < counts[_i]; i++) {
        struct keys_order order = {i, i};
        buf_reset(&record);
        ck_assert_int_eq(keys_record_append(&record, SPAN("h"), i, 0, &stored), 0);
        ck_assert_int_eq(keys_sorted_append(&w, order, buf_span(&record)), 0);
        bytes += record.len;
    }
    ck_assert_int_eq(keys_sorted_finish(&w), 0);
    ck_assert_uint_le(home_size_of(&home, "1"), keys_sorted_bound(bytes));
    buf_done(&record);
    ck_assert_int_eq(unlinkat(home.fd, "1", 0), 0);
}
END_TEST

/* Memory may let go of a session only once the file that holds it is synced. */
START_TEST(a_sorted_file_that_could_not_be_synced_is_not_used)
{
    home_open_eager(&home);
    for (uint64_t i = 0; i < 2; i++)
        home_store(&home, "h", key_of(i, 1), NOW_NS);
    home_checkpoint(&home, NOW_NS);
    uint64_t number = home_sorted_number(&home);
    for (uint64_t i = 2; i < 4; i++)
        home_store(&home, "h", key_of(i, 1), NOW_NS);
    sorted_syncs_fail = true;
    home_checkpoint(&home, NOW_NS);
    ck_assert_uint_eq(home_counts(&home).rewrite_failures, 1);
    ck_assert_uint_eq(home_counts(&home).sessions, 2);
    ck_assert_uint_eq(home_sorted_number(&home), number);
    home_reopen(&home);
    for (uint64_t i = 0; i < 4; i++)
        ck_assert(home_has(&home, "h", key_of(i, 1)));

    sorted_syncs_fail = false;
    home_checkpoint(&home, NOW_NS);
    ck_assert_uint_eq(home_counts(&home).on_disk, 4);
    ck_assert_uint_eq(home_counts(&home).sessions, 0);
    ck_assert_uint_gt(home_sorted_number(&home), number);
}
END_TEST

START_TEST(keys_bytes_bounds_what_a_checkpoint_writes)
{
    uint64_t bound;

    home.conf.merge_at = 200;
    home_open(&home);
    for (uint64_t i = 0; i < 200; i++) {
        for (uint64_t seq = 1; seq <= i; seq += 2)
            home_store(&home, "host", key_of(i, seq), NOW_NS);
    }
    bound = keys_bytes(home.keys);
    home_checkpoint(&home, NOW_NS);
    ck_assert_uint_eq(home_size_of(&home, "keys"), bound);
    for (uint64_t i = 200; i < 450; i++)
        home_store(&home, "host", key_of(i, 1), NOW_NS);
    bound = keys_bytes(home.keys);
    home_checkpoint(&home, NOW_NS);
    uint64_t sorted = home_size_of(&home, "sessions/1");
    ck_assert_uint_gt(sorted, 0);
    ck_assert_uint_le(home_size_of(&home, "keys") + sorted, bound);
    ck_assert_uint_eq(keys_bytes(home.keys), home_size_of(&home, "keys"));
    for (uint64_t i = 0; i < 250; i++)
        home_store(&home, "host", key_of(i, 5000), NOW_NS);
    bound = keys_bytes(home.keys);
    home_checkpoint(&home, NOW_NS);
    ck_assert_uint_gt(home_size_of(&home, "sessions/2"), sorted);
    ck_assert_uint_le(home_size_of(&home, "keys") + home_size_of(&home, "sessions/2"),
                      bound);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pcd_keys_disk");
    TCase *c = tcase_create("disk");

    tcase_add_checked_fixture(c, setup, teardown);
    tcase_set_timeout(c, 60);
    tcase_add_test(c, without_a_checkpoint_it_begins_at_zero);
    tcase_add_test(c, a_checkpoint_holds_what_was_settled_and_no_reservation);
    tcase_add_test(c, sessions_that_left_memory_are_found_again);
    tcase_add_test(c, the_longest_idle_sessions_leave_memory_first);
    tcase_add_test(c, a_session_with_a_reservation_stays_in_memory);
    tcase_add_test(c, memory_wins_over_the_sorted_file);
    tcase_add_test(c, a_session_unused_for_too_long_is_forgotten);
    tcase_add_test(c, one_that_expires_in_memory_leaves_it);
    tcase_add_test(c, a_wall_clock_that_jumps_ahead_between_runs_makes_nothing_expire);
    tcase_add_test(c, a_wall_clock_that_jumps_back_between_runs_stops_no_time);
    tcase_add_test(c, a_clock_that_was_set_back_makes_nothing_expire);
    tcase_add_test(c, an_identifier_keeps_its_last_used_sessions_up_to_a_bound);
    tcase_add_loop_test(c, a_sorted_file_is_no_longer_than_its_bound, 0, 4);
    tcase_add_test(c, a_sorted_file_that_could_not_be_synced_is_not_used);
    tcase_add_test(c, keys_bytes_bounds_what_a_checkpoint_writes);
    suite_add_tcase(suite, c);
    return suite_run(suite);
}
