/* SPDX-License-Identifier: MIT */
#include "common/units.h"
#include "pcd/rate.h"
#include "tests/lib/suite.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#define T0 (1000 * SEC)

static struct rate *rate;

static void make(uint64_t per_second)
{
    const uint64_t seed[2] = {1, 2};

    rate_free(rate);
    ck_assert_int_eq(rate_new(per_second, seed, &rate), 0);
}

static void teardown(void)
{
    rate_free(rate);
    rate = NULL;
}

static bool take(uint64_t who, uint64_t now_ns)
{
    int r = rate_take(rate, span_of(&who, sizeof who), now_ns);

    ck_assert(r == 0 || r == E_FULL);
    return r == 0;
}

/* How many of @n, asked for at one moment, are granted. */
static uint64_t take_all(uint64_t who, uint64_t n, uint64_t now_ns)
{
    uint64_t granted = 0;

    while (n-- > 0)
        granted += take(who, now_ns);
    return granted;
}

static const uint64_t rates[] = {1, 3, 7, 1000, RATE_MAX};

START_TEST(ten_seconds_worth_at_once_then_the_rate)
{
    uint64_t per_second = rates[_i];
    uint64_t burst = RATE_BURST_S * per_second;
    uint64_t most = burst < 100000 ? burst + 10 : 100000;

    make(per_second);
    if (most > burst) {
        ck_assert_uint_eq(take_all(1, most, T0), burst);
        ck_assert_uint_eq(take_all(1, 10, T0 + SEC / per_second - 1), 0);
        ck_assert_uint_eq(take_all(1, 10, T0 + SEC / per_second), 1);
        ck_assert_uint_eq(take_all(1, most, T0 + 3 * SEC), per_second * 3 - 1);
        /* It never holds more than it holds. */
        ck_assert_uint_eq(take_all(1, most, T0 + HOUR), burst);
    } else {
        ck_assert_uint_eq(take_all(1, most, T0), most);
    }
}
END_TEST

START_TEST(who_stays_at_the_rate_is_never_refused)
{
    make(7);
    for (uint64_t i = 0; i < 100000; i++)
        ck_assert(take(1, T0 + i * SEC / 7));
}
END_TEST

START_TEST(each_has_a_bucket_of_its_own)
{
    make(1);
    ck_assert_uint_eq(take_all(1, 100, T0), 10);
    for (uint64_t who = 2; who < 1000; who++)
        ck_assert_uint_eq(take_all(who, 1, T0), 1);
    ck_assert_uint_eq(take_all(1, 100, T0), 0);
    ck_assert_uint_eq(take_all(2, 100, T0), 9);
}
END_TEST

START_TEST(a_clock_that_stands_still_or_goes_back_grants_nothing)
{
    make(1);
    ck_assert_uint_eq(take_all(1, 100, T0), 10);
    ck_assert_uint_eq(take_all(1, 100, T0), 0);
    ck_assert_uint_eq(take_all(1, 100, T0 - 5 * SEC), 0);
    ck_assert_uint_eq(take_all(1, 100, 0), 0);
    ck_assert_uint_eq(take_all(1, 100, T0 + SEC), 1);
}
END_TEST

START_TEST(a_flood_of_others_pushes_out_those_who_are_nearest_to_full)
{
    const uint64_t busy = 1;
    uint64_t refused = 0;

    make(1);
    ck_assert_uint_eq(take_all(busy, 10, T0), 10);
    /* Three times as many as there are buckets, each once: each of them is fuller than
     * the one that is empty. */
    for (uint64_t i = 0; i < 3 * (uint64_t)RATE_BUCKETS; i++) {
        ck_assert(take(1000 + i, T0));
        refused += !take(busy, T0);
    }
    ck_assert_uint_eq(refused, 3 * (uint64_t)RATE_BUCKETS);
}
END_TEST

START_TEST(without_a_limit_anybody_may_always)
{
    for (int i = 0; i < 1000; i++)
        ck_assert_int_eq(rate_take(NULL, SPAN("who"), T0), 0);
    rate_free(NULL);
}
END_TEST

static struct span address_of(const char *text, uint8_t bytes[RATE_ADDRESS_BYTES])
{
    struct sockaddr_in four = {.sin_family = AF_INET};
    struct sockaddr_in6 six = {.sin6_family = AF_INET6};

    if (inet_pton(AF_INET, text, &four.sin_addr) == 1)
        return rate_address((const struct sockaddr *)&four, bytes);
    ck_assert_int_eq(inet_pton(AF_INET6, text, &six.sin6_addr), 1);
    return rate_address((const struct sockaddr *)&six, bytes);
}

static const struct {
    const char *one;
    const char *other;
    bool same;
} addresses[] = {
    {"192.0.2.1", "192.0.2.1", true},
    {"192.0.2.1", "192.0.2.2", false},
    {"192.0.2.1", "::ffff:192.0.2.1", true},
    {"::ffff:192.0.2.1", "::ffff:192.0.2.2", false},
    {"2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff", true},
    {"2001:db8:1:2::1", "2001:db8:1:3::1", false},
    {"2001:db8::1", "2001:db9::1", false},
    {"::1", "::2", true},
    {"0.0.0.0", "::", false},
};

START_TEST(an_address_stands_for_its_owner)
{
    uint8_t bytes[2][RATE_ADDRESS_BYTES];
    struct span one = address_of(addresses[_i].one, bytes[0]);
    struct span other = address_of(addresses[_i].other, bytes[1]);
    const struct sockaddr unknown = {.sa_family = AF_UNIX};

    ck_assert(span_equal(one, other) == addresses[_i].same);
    ck_assert_uint_eq(rate_address(&unknown, bytes[0]).n, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pcd rate");
    TCase *c = tcase_create("rate");

    tcase_add_checked_fixture(c, NULL, teardown);
    tcase_add_loop_test(c, ten_seconds_worth_at_once_then_the_rate, 0,
                        sizeof rates / sizeof *rates);
    tcase_add_test(c, who_stays_at_the_rate_is_never_refused);
    tcase_add_test(c, each_has_a_bucket_of_its_own);
    tcase_add_test(c, a_clock_that_stands_still_or_goes_back_grants_nothing);
    tcase_add_test(c, a_flood_of_others_pushes_out_those_who_are_nearest_to_full);
    tcase_add_test(c, without_a_limit_anybody_may_always);
    tcase_add_loop_test(c, an_address_stands_for_its_owner, 0,
                        sizeof addresses / sizeof *addresses);
    suite_add_tcase(suite, c);
    return suite_run(suite);
}
