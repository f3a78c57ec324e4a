/* SPDX-License-Identifier: MIT */
#include "common/units.h"
#include "pcc/backoff.h"
#include "tests/lib/bytes.h"
#include "tests/lib/suite.h"

/* The longest wait that a bound allows comes from the number just below it. */
static uint64_t longest(uint64_t bound)
{
    return bound - 1;
}

START_TEST(bound_doubles_up_to_the_cap_and_stays)
{
    struct backoff b;
    static const uint64_t bounds[] = {1, 2, 4, 8, 10, 10, 10};

    backoff_init(&b, SEC, 10 * SEC);
    for (size_t i = 0; i < sizeof bounds / sizeof *bounds; i++)
        ck_assert_uint_eq(backoff_next(&b, longest(bounds[i] * SEC)),
                          bounds[i] * SEC - 1);
}
END_TEST

START_TEST(jitter_is_full_after_the_cap)
{
    struct backoff b;

    backoff_init(&b, SEC, 10 * SEC);
    for (int i = 0; i < 70; i++)
        ck_assert_uint_lt(backoff_next(&b, UINT64_MAX - (uint64_t)i), 10 * SEC);
    ck_assert_uint_eq(backoff_next(&b, 0), 0);
    ck_assert_uint_eq(backoff_next(&b, 10 * SEC), 0);
    ck_assert_uint_eq(backoff_next(&b, 10 * SEC - 1), 10 * SEC - 1);
}
END_TEST

/* A fleet of 1,000 with a seed each: every tenth of the interval gets its share. */
START_TEST(spread_puts_a_fleet_evenly_into_the_interval)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        uint64_t state = seed;
        unsigned tenths[10] = {0};
        for (int i = 0; i < 1000; i++) {
            uint64_t wait_ns = backoff_spread(5 * SEC, bytes_random(&state));
            ck_assert_uint_lt(wait_ns, 5 * SEC);
            tenths[wait_ns * 10 / (5 * SEC)]++;
        }
        for (size_t i = 0; i < N_OF(tenths); i++) {
            ck_assert_uint_ge(tenths[i], 50);
            ck_assert_uint_le(tenths[i], 150);
        }
    }
    ck_assert_uint_eq(backoff_spread(0, 12345), 0);
}
END_TEST

START_TEST(success_makes_waits_short_again)
{
    struct backoff b;

    backoff_init(&b, SEC, MINUTE);
    for (int i = 0; i < 10; i++)
        (void)backoff_next(&b, 7);
    backoff_reset(&b);
    ck_assert_uint_eq(backoff_next(&b, SEC + 5), 5);
}
END_TEST

START_TEST(long_wait_is_between_half_the_cap_and_the_cap)
{
    struct backoff b;

    backoff_init(&b, SEC, MINUTE);
    ck_assert_uint_eq(backoff_long(&b, 0), MINUTE / 2);
    ck_assert_uint_eq(backoff_long(&b, MINUTE / 2 - 1), MINUTE - 1);
    ck_assert_uint_eq(backoff_long(&b, MINUTE / 2), MINUTE / 2);
}
END_TEST

START_TEST(first_wait_is_never_above_the_cap)
{
    struct backoff b;

    backoff_init(&b, SEC, MSEC);
    ck_assert_uint_lt(backoff_next(&b, UINT64_MAX), MSEC);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pcc_backoff");
    TCase *c = tcase_create("backoff");

    tcase_add_test(c, bound_doubles_up_to_the_cap_and_stays);
    tcase_add_test(c, jitter_is_full_after_the_cap);
    tcase_add_test(c, spread_puts_a_fleet_evenly_into_the_interval);
    tcase_add_test(c, success_makes_waits_short_again);
    tcase_add_test(c, long_wait_is_between_half_the_cap_and_the_cap);
    tcase_add_test(c, first_wait_is_never_above_the_cap);
    suite_add_tcase(suite, c);
    return suite_run(suite);
}
