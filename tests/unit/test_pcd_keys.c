/* SPDX-License-Identifier: MIT */
#include "tests/lib/fault.h"
#include "tests/lib/suite.h"
#include "tests/unit/keys_home.h"

#include "proto/limits.h"

#include <errno.h>
#include <pthread.h>

static struct keys_home home;

static void setup(void)
{
    home_make(&home);
    home_open(&home);
}

static void teardown(void)
{
    home_done(&home);
}

static struct key key(uint64_t seq)
{
    return (struct key){.session = 7, .seq = seq};
}

static struct key key_above(uint64_t seq, uint64_t floor)
{
    return (struct key){.session = 7, .seq = seq, .floor = floor};
}

START_TEST(a_stored_batch_is_a_replay_from_then_on)
{
    home_store(&home, "h", key(1), NOW_NS);
    ck_assert_int_eq(home_reserve(&home, "h", key(1), NOW_NS), E_REPLAY);
    ck_assert(!home_has(&home, "h", key(2)));
    /* another session, another identifier */
    ck_assert(!home_has(&home, "h", (struct key){.session = 8, .seq = 1}));
    ck_assert(!home_has(&home, "hh", key(1)));
}
END_TEST

START_TEST(a_failed_batch_may_come_again_and_leaves_nothing_behind)
{
    ck_assert_int_eq(home_reserve(&home, "h", key_above(5, 5), NOW_NS), 0);
    ck_assert_uint_eq(home_counts(&home).sessions, 1);
    home_settle(&home, "h", key_above(5, 5), -ENOSPC);
    ck_assert_uint_eq(home_counts(&home).sessions, 0);
    ck_assert(!home_has(&home, "h", key(4)));
    home_store(&home, "h", key(5), NOW_NS);
}
END_TEST

struct floor_row {
    struct key first; /* stored */
    struct key then;  /* stored after it */
    uint64_t probe;
    bool is_stored;
};

static const struct floor_row floor_rows[] = {
    {{7, 5, 0}, {7, 6, 0}, 4, false}, {{7, 5, 5}, {7, 6, 0}, 4, true},
    {{7, 5, 4}, {7, 6, 0}, 4, false}, {{7, 5, 4}, {7, 6, 0}, 3, true},
    {{7, 5, 5}, {7, 6, 2}, 4, true}, /* a floor never falls */
    {{7, 5, 0}, {7, 9, 8}, 7, true},  {{7, 5, 0}, {7, 9, 8}, 8, false},
    {{7, 5, 9}, {7, 9, 0}, 4, true}, /* nor counts beyond its own SEQ */
    {{7, 5, 9}, {7, 9, 0}, 8, false}, {{7, 5, 1}, {7, 6, 1}, 1, false},
};

START_TEST(all_below_the_floor_of_a_stored_batch_is_stored)
{
    const struct floor_row *row = &floor_rows[_i];

    home_store(&home, "h", row->first, NOW_NS);
    home_store(&home, "h", row->then, NOW_NS);
    ck_assert_msg(home_has(&home, "h", key(row->probe)) == row->is_stored, "row %d", _i);
}
END_TEST

START_TEST(a_batch_in_flight_below_a_risen_floor_is_settled_either_way)
{
    ck_assert_int_eq(home_reserve(&home, "h", key(3), NOW_NS), 0);
    ck_assert_int_eq(home_reserve(&home, "h", key(5), NOW_NS), 0);
    ck_assert_int_eq(home_reserve(&home, "h", key(20), NOW_NS), 0);
    home_store(&home, "h", key_above(10, 10), NOW_NS);
    home_settle(&home, "h", key(3), 0);
    home_settle(&home, "h", key(5), -EIO);
    home_settle(&home, "h", key(20), 0);
    ck_assert(home_has(&home, "h", key(3)));
    ck_assert(home_has(&home, "h", key(5)));
    ck_assert(home_has(&home, "h", key(10)));
    ck_assert(!home_has(&home, "h", key(11)));
    ck_assert(home_has(&home, "h", key(20)));
}
END_TEST

START_TEST(past_1024_ranges_only_what_joins_one_is_taken_until_the_floor_rises)
{
    for (uint64_t i = 1; i <= LIMIT_RANGES_PER_SESSION; i++)
        home_store(&home, "h", key(10 * i), NOW_NS);
    ck_assert_int_eq(home_reserve(&home, "h", key(5), NOW_NS), E_FULL);
    ck_assert_int_eq(home_reserve(&home, "h", key(99999), NOW_NS), E_FULL);
    /* a floor that folds nothing makes no room */
    ck_assert_int_eq(home_reserve(&home, "h", key_above(99999, 9), NOW_NS), E_FULL);
    home_store(&home, "h", key(11), NOW_NS);
    home_store(&home, "h", key(9), NOW_NS);
    ck_assert_int_eq(home_reserve(&home, "h", key(5), NOW_NS), E_FULL);

    home_store(&home, "h", key_above(99999, 30), NOW_NS); /* folds three into one */
    ck_assert_int_eq(home_reserve(&home, "h", key(35), NOW_NS), 0);
    ck_assert_int_eq(home_reserve(&home, "h", key(45), NOW_NS), E_FULL);
    home_settle(&home, "h", key(35), 0);
    ck_assert_int_eq(home_reserve(&home, "h", key(45), NOW_NS), E_FULL);
}
END_TEST

START_TEST(batches_in_flight_count_as_ranges_until_they_failed)
{
    for (uint64_t i = 1; i <= LIMIT_RANGES_PER_SESSION - 2; i++)
        home_store(&home, "h", key(10 * i), NOW_NS);
    ck_assert_int_eq(home_reserve(&home, "h", key(20001), NOW_NS), 0);
    ck_assert_int_eq(home_reserve(&home, "h", key(20003), NOW_NS), 0);
    ck_assert_int_eq(home_reserve(&home, "h", key(20005), NOW_NS), E_FULL);
    ck_assert_int_eq(home_reserve(&home, "h", key(11), NOW_NS), 0);
    /* with a floor there is room, whichever of those in flight are stored */
    ck_assert_int_eq(home_reserve(&home, "h", key_above(20007, 40), NOW_NS), 0);
    home_settle(&home, "h", key(11), 0);
    home_settle(&home, "h", key(20003), 0);
    home_settle(&home, "h", key(20001), -EIO);
    ck_assert_int_eq(home_reserve(&home, "h", key(20009), NOW_NS), E_FULL);
    home_settle(&home, "h", key(20007),
                0); /* the floor is the one it was reserved with */
    ck_assert(home_has(&home, "h", key(39)));
    home_store(&home, "h", key(20009), NOW_NS);
}
END_TEST

struct told {
    struct keys_waiter waiter;
    int n;
    int r;
    bool comes_again;
};

static void note(void *arg, int r)
{
    struct told *told = arg;
    struct keys_waiter second;
    struct key again = key(1);

    told->n++;
    told->r = r;
    /* No lock is held: it may ask again at once. */
    if (told->comes_again)
        told->r = keys_reserve(home.keys, SPAN("h"), &again, &second, NOW_NS);
}

static int reserve_waiting(struct told *told)
{
    struct key k = key(1);

    *told = (struct told){.waiter = {.settled = note, .arg = told}};
    return keys_reserve(home.keys, SPAN("h"), &k, &told->waiter, NOW_NS);
}

START_TEST(those_who_wait_are_told_of_success_and_of_failure)
{
    static const int results[][2] = {{0, E_REPLAY}, {-EIO, -EIO}, {E_NO_ROOM, E_NO_ROOM}};
    struct told first;
    struct told told[3];

    ck_assert_int_eq(reserve_waiting(&first), 0);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(reserve_waiting(&told[i]), E_PENDING);
    home_settle(&home, "h", key(1), results[_i][0]);
    ck_assert_int_eq(first.n, 0);
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(told[i].n, 1);
        ck_assert_int_eq(told[i].r, results[_i][1]);
    }
}
END_TEST

START_TEST(one_who_was_told_of_a_failure_may_claim_the_batch_at_once)
{
    struct told first;
    struct told second;

    ck_assert_int_eq(reserve_waiting(&first), 0);
    ck_assert_int_eq(reserve_waiting(&second), E_PENDING);
    second.comes_again = true;
    home_settle(&home, "h", key(1), -EIO);
    ck_assert_int_eq(second.n, 1);
    ck_assert_int_eq(second.r, 0);
    home_settle(&home, "h", key(1), 0);
    ck_assert(home_has(&home, "h", key(1)));
}
END_TEST

START_TEST(one_in_flight_that_a_floor_passed_is_still_waited_for)
{
    struct told first;
    struct told second;

    ck_assert_int_eq(reserve_waiting(&first), 0);
    home_store(&home, "h", key_above(9, 9), NOW_NS);
    ck_assert_int_eq(reserve_waiting(&second), E_PENDING);
    home_settle(&home, "h", key(1), -EIO);
    ck_assert_int_eq(second.r, -EIO);
}
END_TEST

START_TEST(a_key_of_the_log_stored_twice_is_stored_once)
{
    struct key k = key_above(9, 4);

    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(keys_store(home.keys, SPAN("h"), &k, NOW_NS), 0);
    ck_assert(home_has(&home, "h", key(9)));
    ck_assert(home_has(&home, "h", key(3)));
    ck_assert(!home_has(&home, "h", key(4)));
    ck_assert_uint_eq(home_counts(&home).sessions, 1);
}
END_TEST

/* Only damage to the log leaves so many holes. */
START_TEST(a_log_with_too_many_holes_is_still_taken_whole)
{
    struct key k;

    for (uint64_t i = 1; i <= LIMIT_RANGES_PER_SESSION + 5; i++) {
        k = key(2 * i);
        ck_assert_int_eq(keys_store(home.keys, SPAN("h"), &k, NOW_NS), 0);
    }
    for (uint64_t i = 1; i <= LIMIT_RANGES_PER_SESSION + 5; i++)
        ck_assert(home_has(&home, "h", key(2 * i)));
    ck_assert(home_has(&home, "h", key(1)));
    ck_assert_int_eq(home_reserve(&home, "h", key(99999), NOW_NS), E_FULL);
}
END_TEST

START_TEST(reserve_without_memory_changes_nothing)
{
    bool fired = true;

    home_store(&home, "h", key(10), NOW_NS);
    home_store(&home, "h", key(20), NOW_NS);
    home_store(&home, "h", key(30), NOW_NS);
    home_store(&home, "h", key(40), NOW_NS);
    uint64_t bytes = keys_bytes(home.keys);
    for (long nth = 0; fired; nth++) {
        struct keys_waiter waiter;
        struct key old = key(50);
        struct key other = {.session = 8, .seq = 5};

        fault_arm(nth);
        int r2 = keys_reserve(home.keys, SPAN("h"), &other, &waiter, NOW_NS);
        int r = keys_reserve(home.keys, SPAN("h"), &old, &waiter, NOW_NS);
        fired = fault_disarm();

        ck_assert(fired == (r == -ENOMEM || r2 == -ENOMEM));
        ck_assert_uint_eq(home_counts(&home).sessions, r2 == 0 ? 2 : 1);
        if (r == 0)
            home_settle(&home, "h", old, -EIO);
        if (r2 == 0)
            home_settle(&home, "h", other, -EIO);
        ck_assert_uint_eq(home_counts(&home).sessions, 1);
        ck_assert_uint_eq(keys_bytes(home.keys), bytes);
    }
    ck_assert(!home_has(&home, "h", key(50)));
}
END_TEST

START_TEST(settling_needs_no_memory)
{
    for (uint64_t i = 1; i <= 100; i++)
        ck_assert_int_eq(home_reserve(&home, "h", key(2 * i), NOW_NS), 0);
    fault_arm(0);
    for (uint64_t i = 1; i <= 100; i++) {
        struct key k = key(2 * i);
        keys_settle(home.keys, SPAN("h"), &k, 0, NOW_NS);
    }
    bool fired = fault_disarm();
    ck_assert(!fired);
    for (uint64_t i = 1; i <= 200; i++)
        ck_assert(home_has(&home, "h", key(i)) == (i % 2 == 0));
}
END_TEST

/* Threads that store the same sessions, one that makes checkpoints and rewrites. */

#define HAMMER_SEQS 4000u
#define HAMMER_SESSIONS 5u

static _Atomic unsigned hammered; /* how many threads are done */
static _Atomic unsigned n_stored;
static _Atomic unsigned n_told;
static _Atomic unsigned n_pending;

static void count_told(void *arg, int r)
{
    (void)arg;
    if (r == E_REPLAY)
        n_told++;
}

static void *hammer(void *arg)
{
    static struct keys_waiter waiters[2][HAMMER_SEQS][HAMMER_SESSIONS];
    unsigned thread = *(unsigned *)arg;

    for (unsigned seq = 0; seq < HAMMER_SEQS; seq++) {
        bool is_ours[HAMMER_SESSIONS] = {false};
        for (unsigned session = 0; session < HAMMER_SESSIONS; session++) {
            struct keys_waiter *w = &waiters[thread][seq][session];
            struct key k = {.session = session, .seq = seq + 1};
            *w = (struct keys_waiter){.settled = count_told};
            int r = keys_reserve(home.keys, SPAN("h"), &k, w, NOW_NS + seq);
            is_ours[session] = r == 0;
            n_stored += r == 0;
            n_pending += r == E_PENDING;
        }
        for (unsigned session = 0; session < HAMMER_SESSIONS; session++) {
            struct key k = {.session = session, .seq = seq + 1};
            if (is_ours[session])
                keys_settle(home.keys, SPAN("h"), &k, 0, NOW_NS + seq);
        }
    }
    hammered++;
    return NULL;
}

START_TEST(threads_store_each_batch_once_beside_checkpoints)
{
    pthread_t threads[2];
    unsigned numbers[2] = {0, 1};
    unsigned n_checkpoints = 0;

    keys_free(home.keys);
    home.conf.merge_at = 2;
    home.conf.max_sessions = 1;
    home_open(&home);
    hammered = n_stored = n_told = n_pending = 0;
    for (unsigned i = 0; i < 2; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, hammer, &numbers[i]), 0);
    while (hammered < 2 || n_checkpoints < 3) {
        home_checkpoint(&home, NOW_NS);
        (void)keys_bytes(home.keys);
        (void)home_counts(&home);
        n_checkpoints++;
    }
    for (unsigned i = 0; i < 2; i++)
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);

    ck_assert_uint_eq(n_stored, HAMMER_SEQS * HAMMER_SESSIONS);
    ck_assert_uint_eq(n_told, n_pending);
    home_checkpoint(&home, NOW_NS);
    home_reopen(&home);
    for (unsigned session = 0; session < HAMMER_SESSIONS; session++) {
        struct key last = {.session = session, .seq = HAMMER_SEQS};
        struct key next = {.session = session, .seq = HAMMER_SEQS + 1};
        ck_assert(home_has(&home, "h", last));
        ck_assert(!home_has(&home, "h", next));
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pcd_keys");
    TCase *c = tcase_create("keys");

    tcase_add_checked_fixture(c, setup, teardown);
    tcase_set_timeout(c, 60);
    tcase_add_test(c, a_stored_batch_is_a_replay_from_then_on);
    tcase_add_test(c, a_failed_batch_may_come_again_and_leaves_nothing_behind);
    tcase_add_loop_test(c, all_below_the_floor_of_a_stored_batch_is_stored, 0,
                        (int)(sizeof floor_rows / sizeof floor_rows[0]));
    tcase_add_test(c, a_batch_in_flight_below_a_risen_floor_is_settled_either_way);
    tcase_add_test(c,
                   past_1024_ranges_only_what_joins_one_is_taken_until_the_floor_rises);
    tcase_add_test(c, batches_in_flight_count_as_ranges_until_they_failed);
    tcase_add_loop_test(c, those_who_wait_are_told_of_success_and_of_failure, 0, 3);
    tcase_add_test(c, one_who_was_told_of_a_failure_may_claim_the_batch_at_once);
    tcase_add_test(c, one_in_flight_that_a_floor_passed_is_still_waited_for);
    tcase_add_test(c, a_key_of_the_log_stored_twice_is_stored_once);
    tcase_add_test(c, a_log_with_too_many_holes_is_still_taken_whole);
    tcase_add_test(c, reserve_without_memory_changes_nothing);
    tcase_add_test(c, settling_needs_no_memory);
    tcase_add_test(c, threads_store_each_batch_once_beside_checkpoints);
    suite_add_tcase(suite, c);
    return suite_run(suite);
}
