/* SPDX-License-Identifier: MIT */
#include "common/units.h"
#include "pcd/hosts.h"
#include "tests/lib/fault.h"
#include "tests/lib/suite.h"

#include <errno.h>
#include <stdio.h>

#define MAX_HOSTS 4u

static struct hosts *hosts;

static void setup(void)
{
    const uint64_t seed[2] = {1, 2};

    ck_assert_int_eq(hosts_new(MAX_HOSTS, seed, &hosts), 0);
}

static void teardown(void)
{
    hosts_free(hosts);
}

/* A batch without a key. */
static void see(const char *host, uint64_t now_ns)
{
    ck_assert(!hosts_seen(hosts, span_of_str(host), NULL, 0, now_ns));
}

/* A batch of a session whose first measurement is of second @first. */
static bool send_batch(const char *host, uint64_t session, uint64_t first)
{
    const struct key key = {.session = session, .seq = 1};

    return hosts_seen(hosts, span_of_str(host), &key, first * SEC, first * SEC);
}

static struct hosts_counts counts_at(uint64_t now_ns)
{
    struct hosts_counts counts;

    hosts_count(hosts, now_ns, &counts);
    return counts;
}

START_TEST(a_host_is_recent_for_an_hour)
{
    see("a", 0);
    see("b", MINUTE);
    ck_assert_uint_eq(counts_at(HOUR).recent, 2);
    ck_assert_uint_eq(counts_at(HOUR + 1).recent, 1);
    see("a", HOUR + 2);
    ck_assert_uint_eq(counts_at(HOUR + 2).recent, 2);
    ck_assert_uint_eq(counts_at(HOUR + MINUTE + 1).recent, 1);
    ck_assert_uint_eq(counts_at(3 * HOUR).recent, 0);
    ck_assert_uint_eq(counts_at(3 * HOUR).known, 2);
    see("b", 3 * HOUR);
    ck_assert_uint_eq(counts_at(3 * HOUR).recent, 1);
}
END_TEST

START_TEST(identifiers_are_compared_whole)
{
    see("a", 0);
    see("aa", 0);
    see("A", 0);
    see("a", 0);
    ck_assert_uint_eq(counts_at(0).known, 3);
}
END_TEST

START_TEST(past_the_limit_the_host_that_is_idle_longest_goes)
{
    char name[8];

    for (unsigned i = 0; i < MAX_HOSTS; i++) {
        (void)snprintf(name, sizeof name, "h%u", i);
        ck_assert(!send_batch(name, 1, 100));
    }
    /* h1 becomes the oldest one, and with it goes what was known of its sessions. */
    ck_assert(!send_batch("h0", 1, 101));
    ck_assert(!send_batch("new", 1, 102));
    ck_assert_uint_eq(counts_at(102 * SEC).known, MAX_HOSTS);
    ck_assert_uint_eq(counts_at(102 * SEC).recent, MAX_HOSTS);
    ck_assert_uint_eq(counts_at(102 * SEC).forgotten, 1);
    ck_assert(!send_batch("h0", 2, 103));
    ck_assert_uint_eq(counts_at(103 * SEC).forgotten, 1);
    ck_assert(send_batch("h0", 1, 104));
    ck_assert(!send_batch("h1", 2, 104));
    ck_assert_uint_eq(counts_at(104 * SEC).forgotten, 2);
}
END_TEST

START_TEST(sessions_in_turn_are_two_clients)
{
    ck_assert(!send_batch("clone", 1, 100));
    ck_assert(!send_batch("clone", 2, 101));
    ck_assert(send_batch("clone", 1, 110));
    ck_assert(!send_batch("clone", 2, 111));
    ck_assert(send_batch("clone", 1, 120));
    ck_assert_uint_eq(counts_at(120 * SEC).two_sessions, 2);
}
END_TEST

START_TEST(three_clones_are_seen_too)
{
    ck_assert(!send_batch("clone", 1, 100));
    ck_assert(!send_batch("clone", 2, 101));
    ck_assert(!send_batch("clone", 3, 102));
    ck_assert(send_batch("clone", 1, 110));
    ck_assert(send_batch("clone", 2, 111));
}
END_TEST

START_TEST(a_client_that_starts_anew_with_a_backlog_is_one)
{
    ck_assert(!send_batch("host", 1, 100));
    ck_assert(!send_batch("host", 2, 200));
    /* What the old session left, oldest last, beside the new session's batches. */
    ck_assert(!send_batch("host", 1, 199));
    ck_assert(!send_batch("host", 2, 210));
    ck_assert(!send_batch("host", 1, 150));
    ck_assert(!send_batch("host", 1, 200));
    /* The new session's own backlog moves its beginning back. */
    ck_assert(!send_batch("host", 2, 180));
    ck_assert(send_batch("host", 1, 190));
    ck_assert(!send_batch("host", 3, 300));
    ck_assert(!send_batch("other", 1, 400));
}
END_TEST

START_TEST(without_memory_a_host_is_left_out)
{
    const uint64_t seed[2] = {1, 2};
    struct hosts *none;
    bool fired = true;

    fault_arm(0);
    bool two = send_batch("a", 1, 1);
    fired = fault_disarm();
    ck_assert(fired && !two);
    ck_assert_uint_eq(counts_at(SEC).known, 0);
    for (long nth = 0; fired; nth++) {
        fault_arm(nth);
        int r = hosts_new(MAX_HOSTS, seed, &none);
        fired = fault_disarm();
        ck_assert_int_eq(r, fired ? -ENOMEM : 0);
    }
    hosts_free(none);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pcd hosts");
    TCase *c = tcase_create("hosts");

    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, a_host_is_recent_for_an_hour);
    tcase_add_test(c, identifiers_are_compared_whole);
    tcase_add_test(c, past_the_limit_the_host_that_is_idle_longest_goes);
    tcase_add_test(c, sessions_in_turn_are_two_clients);
    tcase_add_test(c, three_clones_are_seen_too);
    tcase_add_test(c, a_client_that_starts_anew_with_a_backlog_is_one);
    tcase_add_test(c, without_memory_a_host_is_left_out);
    suite_add_tcase(suite, c);
    return suite_run(suite);
}
