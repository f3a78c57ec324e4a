/* SPDX-License-Identifier: MIT */
#include "tests/lib/fault.h"
#include "tests/lib/suite.h"
#include "tests/unit/keys_home.h"

#include "common/hash.h"
#include "common/io.h"
#include "pcd/keys_sorted.h"
#include "proto/limits.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static struct keys_home home;

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

/* Rewrites the sorted file at each checkpoint that has news, and keeps next to nothing
 * in memory. */
static void open_eager(void)
{
    home.conf.merge_at = 1;
    home.conf.max_sessions = 0;
    home_open(&home);
}

static uint64_t size_of(const char *path)
{
    struct stat st;

    return fstatat(home.fd, path, &st, 0) == 0 ? (uint64_t)st.st_size : 0;
}

/* Turns one bit of a file over. */
static void damage(const char *path, uint64_t offset)
{
    int fd = openat(home.fd, path, O_RDWR | O_CLOEXEC);
    uint8_t byte;

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(pread(fd, &byte, 1, (off_t)offset), 1);
    byte ^= 0x10;
    ck_assert_int_eq(pwrite(fd, &byte, 1, (off_t)offset), 1);
    close(fd);
}

static void put_file(const char *path, struct span bytes)
{
    int fd = openat(home.fd, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(io_write(fd, bytes), 0);
    close(fd);
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

static void make_checkpoint(void)
{
    home_open(&home);
    home_store(&home, "host-1", key_of(1, 1), NOW_NS);
    home_store(&home, "host-1", key_of(1, 5), NOW_NS);
    home_store(&home, "host-1", key_of(1, 9), NOW_NS);
    home_store(&home, "host-2", key_of(2, 3), NOW_NS);
    home_checkpoint(&home, NOW_NS);
    keys_free(home.keys);
    home.keys = NULL;
}

START_TEST(a_checkpoint_cut_anywhere_or_grown_is_refused)
{
    CLEANUP(buf_done) struct buf file;
    struct keys *keys = NULL;
    struct log_position at;

    make_checkpoint();
    buf_init(&file, 4096);
    ck_assert_int_eq(io_read_file(home.fd, "keys", &file), 0);
    for (size_t n = 0; n < file.len; n++) {
        put_file("keys", span_of(file.data, n));
        ck_assert_msg(keys_open(&home.conf, &keys, &at) == E_MALFORMED, "%zu bytes", n);
        ck_assert_ptr_null(keys);
    }
    ck_assert_int_eq(buf_append_byte(&file, 0), 0);
    put_file("keys", buf_span(&file));
    ck_assert_int_eq(keys_open(&home.conf, &keys, &at), E_MALFORMED);
    put_file("keys", span_of(file.data, file.len - 1));
    home_open(&home);
    ck_assert(home_has(&home, "host-1", key_of(1, 5)));
}
END_TEST

START_TEST(a_checkpoint_with_one_bit_wrong_is_refused)
{
    struct keys *keys = NULL;
    struct log_position at;

    make_checkpoint();
    for (uint64_t i = 0; i < size_of("keys"); i++) {
        damage("keys", i);
        ck_assert_msg(keys_open(&home.conf, &keys, &at) == E_MALFORMED, "byte %d",
                      (int)i);
        damage("keys", i);
    }
}
END_TEST

struct rule_row {
    const char *what;
    uint64_t n_sessions; /* as the header says */
    int copies;          /* of the one session */
    size_t identifier_n;
    uint64_t floor;
    uint64_t ranges[4];
    int r;
};

static const struct rule_row rule_rows[] = {
    {"nothing wrong", 1, 1, 1, 1, {2, 2, 4, RANGES_SEQ_MAX}, 0},
    {"the largest floor", 1, 1, 128, RANGES_SEQ_MAX + 1, {0}, 0},
    {"one session too few", 2, 1, 1, 1, {2, 3}, E_MALFORMED},
    {"one session too many", 1, 2, 1, 1, {2, 3}, E_MALFORMED},
    {"no session", 1, 0, 1, 1, {2, 3}, E_MALFORMED},
    {"a session twice", 2, 2, 1, 1, {2, 3}, E_MALFORMED},
    {"no identifier", 1, 1, 0, 1, {2, 3}, E_MALFORMED},
    {"a long identifier", 1, 1, 129, 1, {2, 3}, E_MALFORMED},
    {"no floor", 1, 1, 1, 0, {2, 3}, E_MALFORMED},
    {"a floor too high", 1, 1, 1, RANGES_SEQ_MAX + 2, {0}, E_MALFORMED},
    {"a range at the floor", 1, 1, 1, 2, {2, 3}, E_MALFORMED},
    {"a range below the floor", 1, 1, 1, 9, {2, 3}, E_MALFORMED},
    {"a range that ends early", 1, 1, 1, 1, {5, 4}, E_MALFORMED},
    {"ranges that touch", 1, 1, 1, 1, {2, 3, 4, 5}, E_MALFORMED},
    {"ranges out of order", 1, 1, 1, 1, {6, 7, 2, 3}, E_MALFORMED},
    {"a SEQ too high", 1, 1, 1, 1, {2, RANGES_SEQ_MAX + 1}, E_MALFORMED},
};

/* The CRCs are right, so it is the rules that are at work. */
START_TEST(a_checkpoint_that_breaks_a_rule_is_refused)
{
    const struct rule_row *row = &rule_rows[_i];
    uint8_t file[1024] = {0};
    uint8_t *at = file + KEYS_HEADER_BYTES;

    for (int i = 0; i < row->copies; i++) {
        at = keys_put(at, 7, 8);
        at = keys_put(at, NOW_NS, 8);
        at = keys_put(at, row->floor, 8);
        at = keys_put(at, row->ranges[2] ? 2 : row->ranges[0] ? 1 : 0, 2);
        at = keys_put(at, row->identifier_n, 1);
        memset(at, 'h', row->identifier_n);
        at += row->identifier_n;
        for (int j = 0; j < 4 && row->ranges[j]; j++)
            at = keys_put(at, row->ranges[j], 8);
    }
    struct keys_header h = {.n_sessions = row->n_sessions};
    size_t n = (size_t)(at - file);
    h.records_crc = hash_crc32c(0, span_from(span_of(file, n), KEYS_HEADER_BYTES));
    keys_header_write(&h, file);
    put_file("keys", span_of(file, n));
    ck_assert_msg(keys_open(&home.conf, &home.keys, &home.at) == row->r, "%s", row->what);
}
END_TEST

/* Of 3,000 sessions, some with many ranges so that blocks differ much in length. */
START_TEST(sessions_that_left_memory_are_found_again)
{
    char identifier[LIMIT_IDENTIFIER_BYTES + 1];

    open_eager();
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

    /* Those that stayed are answered even though the disk is unreadable now. */
    char path[64];
    (void)snprintf(path, sizeof path, "sessions/%d", (int)home_sorted_number(&home));
    damage(path, 6);
    ck_assert_int_eq(home_reserve(&home, "h", key_of(0, 1), NOW_NS), E_REPLAY);
    ck_assert_int_eq(home_reserve(&home, "h", key_of(4, 1), NOW_NS), E_REPLAY);
    for (uint64_t i = 1; i < 4; i++)
        ck_assert_int_eq(home_reserve(&home, "h", key_of(i, 1), NOW_NS), -EIO);
}
END_TEST

START_TEST(a_session_with_a_reservation_stays_in_memory)
{
    open_eager();
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
    open_eager();
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
    open_eager();
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

START_TEST(a_clock_that_was_set_back_makes_nothing_expire)
{
    open_eager();
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

    open_eager();
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

START_TEST(a_damaged_block_is_a_fault_and_never_news)
{
    open_eager();
    for (uint64_t i = 0; i < 1000; i++)
        home_store(&home, "h", key_of(i, 1), NOW_NS);
    home_checkpoint(&home, NOW_NS);
    ck_assert_uint_gt(size_of("sessions/1"), 20000);
    damage("sessions/1", 5000);
    home_reopen(&home);

    uint64_t n_faults = 0;
    for (uint64_t i = 0; i < 1000; i++) {
        int r = home_reserve(&home, "h", key_of(i, 1), NOW_NS);
        ck_assert(r == E_REPLAY || r == -EIO);
        n_faults += r == -EIO;
    }
    ck_assert_uint_gt(n_faults, 0);
    ck_assert_uint_lt(n_faults, 1000);
    ck_assert_uint_eq(home_counts(&home).sessions, 1000 - n_faults);

    /* It can't be merged, so `keys` has what changed, and time and again. */
    home_checkpoint(&home, NOW_NS);
    home_checkpoint(&home, NOW_NS);
    ck_assert_uint_eq(home_counts(&home).rewrite_failures, 2);
    ck_assert_uint_eq(home_sorted_number(&home), 1);
    home_reopen(&home);
    ck_assert_uint_eq(home_counts(&home).sessions, 1000 - n_faults);
}
END_TEST

START_TEST(a_sorted_file_cut_damaged_at_its_end_or_missing_is_refused)
{
    CLEANUP(buf_done) struct buf file;
    struct keys *keys = NULL;
    struct log_position at;

    open_eager();
    for (uint64_t i = 0; i < 3; i++)
        home_store(&home, "h", key_of(i, 1), NOW_NS);
    home_checkpoint(&home, NOW_NS);
    keys_free(home.keys);
    home.keys = NULL;
    buf_init(&file, 4096);
    ck_assert_int_eq(io_read_file(home.fd, "sessions/1", &file), 0);
    for (size_t n = 0; n < file.len; n++) {
        put_file("sessions/1", span_of(file.data, n));
        ck_assert_msg(keys_open(&home.conf, &keys, &at) == E_MALFORMED, "%zu bytes", n);
    }
    put_file("sessions/1", buf_span(&file));
    for (size_t i = file.len - 24 - 32; i < file.len; i++) {
        damage("sessions/1", i);
        ck_assert_msg(keys_open(&home.conf, &keys, &at) == E_MALFORMED, "byte %zu", i);
        damage("sessions/1", i);
    }
    ck_assert_int_eq(unlinkat(home.fd, "sessions/1", 0), 0);
    ck_assert_int_eq(keys_open(&home.conf, &keys, &at), E_MALFORMED);
    ck_assert_ptr_null(keys);
}
END_TEST

START_TEST(a_sorted_file_of_another_number_is_refused)
{
    CLEANUP(buf_done) struct buf first;
    struct keys *keys = NULL;
    struct log_position at;

    open_eager();
    buf_init(&first, 4096);
    for (uint64_t seq = 1; seq <= 2; seq++) {
        for (uint64_t i = 0; i < 3; i++)
            home_store(&home, "h", key_of(i, seq), NOW_NS);
        home_checkpoint(&home, NOW_NS);
        if (seq == 1)
            ck_assert_int_eq(io_read_file(home.fd, "sessions/1", &first), 0);
    }
    keys_free(home.keys);
    home.keys = NULL;
    put_file("sessions/2", buf_span(&first));
    ck_assert_int_eq(keys_open(&home.conf, &keys, &at), E_MALFORMED);
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
    ck_assert_uint_le(size_of("1"), keys_sorted_bound(bytes));
    buf_done(&record);
    ck_assert_int_eq(unlinkat(home.fd, "1", 0), 0);
}
END_TEST

START_TEST(what_an_interrupted_rewrite_left_is_removed)
{
    open_eager();
    for (uint64_t i = 0; i < 3; i++)
        home_store(&home, "h", key_of(i, 1), NOW_NS);
    home_checkpoint(&home, NOW_NS);
    put_file("sessions/2", SPAN("half"));
    put_file("sessions/99", SPAN(""));
    home_reopen(&home);
    ck_assert_uint_eq(home_sorted_number(&home), 1);
    ck_assert(home_has(&home, "h", key_of(1, 1)));
    home_store(&home, "h", key_of(2, 2), NOW_NS);
    home_checkpoint(&home, NOW_NS);
    ck_assert_uint_eq(home_sorted_number(&home), 2);
}
END_TEST

START_TEST(a_checkpoint_that_fails_leaves_the_one_before_and_loses_nothing)
{
    struct log_position at = {77, 88};

    open_eager();
    home_store(&home, "h", key_of(1, 1), NOW_NS);
    home_store(&home, "h", key_of(2, 1), NOW_NS);
    home_checkpoint(&home, NOW_NS);
    struct log_position before = home.at;
    home_store(&home, "h", key_of(1, 2), NOW_NS);
    home_store(&home, "h", key_of(3, 1), NOW_NS);
    ck_assert_int_eq(mkdirat(home.fd, "keys.new", 0700), 0); /* in the way */
    ck_assert_int_lt(keys_checkpoint(home.keys, at, NOW_NS), 0);
    ck_assert_int_lt(keys_checkpoint(home.keys, at, NOW_NS), 0);
    ck_assert_uint_eq(home_counts(&home).sessions, 2);
    ck_assert(home_has(&home, "h", key_of(1, 2)));
    ck_assert_int_eq(unlinkat(home.fd, "keys.new", AT_REMOVEDIR), 0);

    home_reopen(&home);
    ck_assert_uint_eq(home.at.number, before.number);
    ck_assert(!home_has(&home, "h", key_of(1, 2)));
    home_store(&home, "h", key_of(1, 2), NOW_NS);
    home_store(&home, "h", key_of(3, 1), NOW_NS);
    ck_assert_int_eq(mkdirat(home.fd, "keys.new", 0700), 0);
    ck_assert_int_lt(keys_checkpoint(home.keys, at, NOW_NS), 0);
    ck_assert_int_eq(unlinkat(home.fd, "keys.new", AT_REMOVEDIR), 0);
    home_checkpoint(&home, NOW_NS);
    (void)home_sorted_number(&home); /* there is one file only */
    home_reopen(&home);
    ck_assert(home_has(&home, "h", key_of(1, 2)));
    ck_assert(home_has(&home, "h", key_of(2, 1)));
    ck_assert(home_has(&home, "h", key_of(3, 1)));
}
END_TEST

/* Wherever memory runs out in a checkpoint, with or without a rewrite: it fails or does
 * without, and what was stored is there afterwards. */
START_TEST(a_checkpoint_survives_any_failed_allocation)
{
    bool fired = true;

    open_eager();
    for (long nth = 0; fired; nth++) {
        struct log_position at = {(uint64_t)nth, 0};
        struct key a = key_of(1, (uint64_t)nth + 1);
        struct key b = key_of(2 + (uint64_t)nth, 3);

        home_store(&home, "a", a, NOW_NS);
        home_store(&home, "b", b, NOW_NS);
        fault_arm(nth);
        int r = keys_checkpoint(home.keys, at, NOW_NS);
        fired = fault_disarm();
        ck_assert(r == 0 || (fired && r == -ENOMEM));
        if (r != 0)
            home_checkpoint(&home, NOW_NS);
        home_reopen(&home);
        ck_assert(home_has(&home, "a", a));
        ck_assert(home_has(&home, "b", b));
    }
}
END_TEST

START_TEST(open_survives_any_failed_allocation)
{
    bool fired = true;

    open_eager();
    for (uint64_t i = 0; i < 3; i++)
        home_store(&home, "h", key_of(i, 5), NOW_NS);
    home_checkpoint(&home, NOW_NS);
    home_store(&home, "h", key_of(1, 7), NOW_NS);
    home_checkpoint(&home, NOW_NS);
    keys_free(home.keys);
    for (long nth = 0; fired; nth++) {
        home.keys = NULL;
        fault_arm(nth);
        int r = keys_open(&home.conf, &home.keys, &home.at);
        fired = fault_disarm();
        ck_assert_int_eq(r, fired ? -ENOMEM : 0);
        ck_assert(fired == (home.keys == NULL));
    }
    ck_assert(home_has(&home, "h", key_of(1, 7)));
    ck_assert(home_has(&home, "h", key_of(2, 5)));
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
    ck_assert_uint_eq(size_of("keys"), bound);
    for (uint64_t i = 200; i < 450; i++)
        home_store(&home, "host", key_of(i, 1), NOW_NS);
    bound = keys_bytes(home.keys);
    home_checkpoint(&home, NOW_NS);
    uint64_t sorted = size_of("sessions/1");
    ck_assert_uint_gt(sorted, 0);
    ck_assert_uint_le(size_of("keys") + sorted, bound);
    ck_assert_uint_eq(keys_bytes(home.keys), size_of("keys"));
    for (uint64_t i = 0; i < 250; i++)
        home_store(&home, "host", key_of(i, 5000), NOW_NS);
    bound = keys_bytes(home.keys);
    home_checkpoint(&home, NOW_NS);
    ck_assert_uint_gt(size_of("sessions/2"), sorted);
    ck_assert_uint_le(size_of("keys") + size_of("sessions/2"), bound);
}
END_TEST

/* Random requests against plain arrays, with checkpoints and crashes between them. */

#define MODEL_IDENTIFIERS 5u
#define MODEL_SESSIONS 4u
#define MODEL_ALL (MODEL_IDENTIFIERS * MODEL_SESSIONS)
#define MODEL_SEQS 60u
#define MODEL_FLIGHT 8u

static const char *const model_names[MODEL_IDENTIFIERS] = {"a", "b", "ab", "host", "ho"};

struct model {
    uint64_t random;
    bool stored[MODEL_ALL][MODEL_SEQS + 1];
    bool durable[MODEL_ALL][MODEL_SEQS + 1];
    struct {
        size_t session;
        struct key key;
    } flight[MODEL_FLIGHT];
    size_t n_flight;
};

static const struct {
    uint64_t merge_at;
    size_t max_sessions;
} model_confs[] = {{0, 1000}, {1, 0}, {3, 5}, {10, 1}};

static uint64_t draw(struct model *m, uint64_t below)
{
    m->random ^= m->random << 13;
    m->random ^= m->random >> 7;
    m->random ^= m->random << 17;
    return (m->random >> 16) % below;
}

static const char *name_of(size_t session)
{
    return model_names[session % MODEL_IDENTIFIERS];
}

static struct key model_key(size_t session, uint64_t seq, uint64_t floor)
{
    return (struct key){
        .session = session / MODEL_IDENTIFIERS, .seq = seq, .floor = floor};
}

static bool is_in_flight(const struct model *m, size_t session, uint64_t seq)
{
    for (size_t i = 0; i < m->n_flight; i++) {
        if (m->flight[i].session == session && m->flight[i].key.seq == seq)
            return true;
    }
    return false;
}

static void model_reserve(struct model *m)
{
    size_t session = draw(m, MODEL_ALL);
    uint64_t seq = draw(m, MODEL_SEQS) + 1;
    uint64_t floor = draw(m, 10) ? 0 : draw(m, MODEL_SEQS / 3);

    if (m->n_flight == MODEL_FLIGHT || is_in_flight(m, session, seq))
        return;
    struct key k = model_key(session, seq, floor);
    int r = home_reserve(&home, name_of(session), k, NOW_NS);
    ck_assert_int_eq(r, m->stored[session][seq] ? E_REPLAY : 0);
    if (r)
        return;
    m->flight[m->n_flight].session = session;
    m->flight[m->n_flight++].key = k;
}

static void model_settle(struct model *m, bool may_succeed)
{
    if (m->n_flight == 0)
        return;
    size_t i = draw(m, m->n_flight);
    size_t session = m->flight[i].session;
    struct key k = m->flight[i].key;
    bool succeeds = may_succeed && draw(m, 4) > 0;

    m->flight[i] = m->flight[--m->n_flight];
    home_settle(&home, name_of(session), k, succeeds ? 0 : -EIO);
    if (!succeeds)
        return;
    m->stored[session][k.seq] = true;
    for (uint64_t seq = 1; seq < k.floor && seq < k.seq; seq++)
        m->stored[session][seq] = true;
}

static void model_crash(struct model *m)
{
    while (m->n_flight > 0)
        model_settle(m, false);
    home_reopen(&home);
    memcpy(m->stored, m->durable, sizeof m->stored);
    for (size_t session = 0; session < MODEL_ALL; session++) {
        uint64_t seq = draw(m, MODEL_SEQS) + 1;
        ck_assert(home_has(&home, name_of(session), model_key(session, seq, 0)) ==
                  m->stored[session][seq]);
    }
}

START_TEST(after_a_crash_exactly_what_the_checkpoint_covered_is_stored)
{
    struct model m = {.random = (uint64_t)_i * UINT64_C(0x9e3779b97f4a7c15) + 1};

    home.conf.merge_at = model_confs[_i % 4].merge_at;
    home.conf.max_sessions = model_confs[_i % 4].max_sessions;
    home_open(&home);
    for (int step = 0; step < 6000; step++) {
        uint64_t what = draw(&m, 200);
        if (what == 0) {
            model_crash(&m);
        } else if (what <= 2) {
            home_checkpoint(&home, NOW_NS);
            memcpy(m.durable, m.stored, sizeof m.durable);
        } else if (what % 2 == 0) {
            model_reserve(&m);
        } else {
            model_settle(&m, true);
        }
    }
    model_crash(&m);
    for (size_t session = 0; session < MODEL_ALL; session++) {
        for (uint64_t seq = 1; seq <= MODEL_SEQS; seq++)
            ck_assert(home_has(&home, name_of(session), model_key(session, seq, 0)) ==
                      m.stored[session][seq]);
    }
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
    tcase_add_test(c, a_checkpoint_cut_anywhere_or_grown_is_refused);
    tcase_add_test(c, a_checkpoint_with_one_bit_wrong_is_refused);
    tcase_add_loop_test(c, a_checkpoint_that_breaks_a_rule_is_refused, 0,
                        (int)(sizeof rule_rows / sizeof rule_rows[0]));
    tcase_add_test(c, sessions_that_left_memory_are_found_again);
    tcase_add_test(c, the_longest_idle_sessions_leave_memory_first);
    tcase_add_test(c, a_session_with_a_reservation_stays_in_memory);
    tcase_add_test(c, memory_wins_over_the_sorted_file);
    tcase_add_test(c, a_session_unused_for_too_long_is_forgotten);
    tcase_add_test(c, one_that_expires_in_memory_leaves_it);
    tcase_add_test(c, a_clock_that_was_set_back_makes_nothing_expire);
    tcase_add_test(c, an_identifier_keeps_its_last_used_sessions_up_to_a_bound);
    tcase_add_test(c, a_damaged_block_is_a_fault_and_never_news);
    tcase_add_test(c, a_sorted_file_cut_damaged_at_its_end_or_missing_is_refused);
    tcase_add_test(c, a_sorted_file_of_another_number_is_refused);
    tcase_add_loop_test(c, a_sorted_file_is_no_longer_than_its_bound, 0, 4);
    tcase_add_test(c, what_an_interrupted_rewrite_left_is_removed);
    tcase_add_test(c, a_checkpoint_that_fails_leaves_the_one_before_and_loses_nothing);
    tcase_add_test(c, a_checkpoint_survives_any_failed_allocation);
    tcase_add_test(c, open_survives_any_failed_allocation);
    tcase_add_test(c, keys_bytes_bounds_what_a_checkpoint_writes);
    tcase_add_loop_test(c, after_a_crash_exactly_what_the_checkpoint_covered_is_stored, 0,
                        8);
    suite_add_tcase(suite, c);
    return suite_run(suite);
}
