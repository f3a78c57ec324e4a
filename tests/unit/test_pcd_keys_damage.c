/* SPDX-License-Identifier: MIT */
#include "tests/lib/fault.h"
#include "tests/lib/suite.h"
#include "tests/unit/keys_home.h"

#include "common/hash.h"
#include "common/io.h"
#include "pcd/keys_file.h"

#include <errno.h>
#include <fcntl.h>
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
        home_put_file(&home, "keys", span_of(file.data, n));
        ck_assert_msg(keys_open(&home.conf, &keys, &at) == E_MALFORMED, "%zu bytes", n);
        ck_assert_ptr_null(keys);
    }
    ck_assert_int_eq(buf_append_byte(&file, 0), 0);
    home_put_file(&home, "keys", buf_span(&file));
    ck_assert_int_eq(keys_open(&home.conf, &keys, &at), E_MALFORMED);
    home_put_file(&home, "keys", span_of(file.data, file.len - 1));
    home_open(&home);
    ck_assert(home_has(&home, "host-1", key_of(1, 5)));
}
END_TEST

START_TEST(a_checkpoint_with_one_bit_wrong_is_refused)
{
    struct keys *keys = NULL;
    struct log_position at;

    make_checkpoint();
    for (uint64_t i = 0; i < home_size_of(&home, "keys"); i++) {
        home_damage(&home, "keys", i);
        ck_assert_msg(keys_open(&home.conf, &keys, &at) == E_MALFORMED, "byte %d",
                      (int)i);
        home_damage(&home, "keys", i);
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
    home_put_file(&home, "keys", span_of(file, n));
    ck_assert_msg(keys_open(&home.conf, &home.keys, &home.at) == row->r, "%s", row->what);
}
END_TEST

/* Its sessions are forgotten, the others are not, and the rewrite does without it. */
START_TEST(a_damaged_block_is_passed_by_counted_and_kept)
{
    home_open_eager(&home);
    for (uint64_t i = 0; i < 1000; i++)
        home_store(&home, "h", key_of(i, 1), NOW_NS);
    home_checkpoint(&home, NOW_NS);
    ck_assert_uint_gt(home_size_of(&home, "sessions/1"), 20000);
    home_damage(&home, "sessions/1", 5000);
    home_reopen(&home);

    uint64_t n_forgotten = 0;
    for (uint64_t i = 0; i < 1000; i++) {
        int r = home_reserve(&home, "h", key_of(i, 1), NOW_NS);
        ck_assert(r == E_REPLAY || r == 0);
        if (r == 0)
            home_settle(&home, "h", key_of(i, 1), -EIO);
        n_forgotten += r == 0;
    }
    ck_assert_uint_gt(n_forgotten, 0);
    ck_assert_uint_lt(n_forgotten, 1000);
    ck_assert_uint_eq(home_counts(&home).damaged, n_forgotten);
    ck_assert_uint_gt(home_size_of(&home, "sessions/1.bad"), 20000);

    home_checkpoint(&home, NOW_NS);
    ck_assert_uint_eq(home_counts(&home).rewrite_failures, 0);
    ck_assert_uint_eq(home_counts(&home).on_disk, 1000 - n_forgotten);
    ck_assert_uint_eq(home_size_of(&home, "sessions/1"), 0);
    ck_assert_uint_gt(home_size_of(&home, "sessions/1.bad"), 20000);
    home_reopen(&home);
    for (uint64_t i = 0; i < 1000; i++)
        n_forgotten -= !home_has(&home, "h", key_of(i, 1));
    ck_assert_uint_eq(n_forgotten, 0);
}
END_TEST

START_TEST(a_sorted_file_cut_damaged_at_its_end_or_missing_is_refused)
{
    CLEANUP(buf_done) struct buf file;
    struct keys *keys = NULL;
    struct log_position at;

    home_open_eager(&home);
    for (uint64_t i = 0; i < 3; i++)
        home_store(&home, "h", key_of(i, 1), NOW_NS);
    home_checkpoint(&home, NOW_NS);
    keys_free(home.keys);
    home.keys = NULL;
    buf_init(&file, 4096);
    ck_assert_int_eq(io_read_file(home.fd, "sessions/1", &file), 0);
    for (size_t n = 0; n < file.len; n++) {
        home_put_file(&home, "sessions/1", span_of(file.data, n));
        ck_assert_msg(keys_open(&home.conf, &keys, &at) == E_MALFORMED, "%zu bytes", n);
    }
    home_put_file(&home, "sessions/1", buf_span(&file));
    for (size_t i = file.len - 24 - 32; i < file.len; i++) {
        home_damage(&home, "sessions/1", i);
        ck_assert_msg(keys_open(&home.conf, &keys, &at) == E_MALFORMED, "byte %zu", i);
        home_damage(&home, "sessions/1", i);
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

    home_open_eager(&home);
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
    home_put_file(&home, "sessions/2", buf_span(&first));
    ck_assert_int_eq(keys_open(&home.conf, &keys, &at), E_MALFORMED);
}
END_TEST

START_TEST(what_an_interrupted_rewrite_left_is_removed)
{
    home_open_eager(&home);
    for (uint64_t i = 0; i < 3; i++)
        home_store(&home, "h", key_of(i, 1), NOW_NS);
    home_checkpoint(&home, NOW_NS);
    home_put_file(&home, "sessions/2", SPAN("half"));
    home_put_file(&home, "sessions/99", SPAN(""));
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

    home_open_eager(&home);
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

    home_open_eager(&home);
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

    home_open_eager(&home);
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

int main(void)
{
    Suite *suite = suite_create("pcd_keys_damage");
    TCase *c = tcase_create("damage");

    tcase_add_checked_fixture(c, setup, teardown);
    tcase_set_timeout(c, 60);
    tcase_add_test(c, a_checkpoint_cut_anywhere_or_grown_is_refused);
    tcase_add_test(c, a_checkpoint_with_one_bit_wrong_is_refused);
    tcase_add_loop_test(c, a_checkpoint_that_breaks_a_rule_is_refused, 0,
                        (int)(sizeof rule_rows / sizeof rule_rows[0]));
    tcase_add_test(c, a_damaged_block_is_passed_by_counted_and_kept);
    tcase_add_test(c, a_sorted_file_cut_damaged_at_its_end_or_missing_is_refused);
    tcase_add_test(c, a_sorted_file_of_another_number_is_refused);
    tcase_add_test(c, what_an_interrupted_rewrite_left_is_removed);
    tcase_add_test(c, a_checkpoint_that_fails_leaves_the_one_before_and_loses_nothing);
    tcase_add_test(c, a_checkpoint_survives_any_failed_allocation);
    tcase_add_test(c, open_survives_any_failed_allocation);
    suite_add_tcase(suite, c);
    return suite_run(suite);
}
