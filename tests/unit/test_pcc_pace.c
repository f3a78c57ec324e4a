/* SPDX-License-Identifier: MIT */
#include "common/units.h"
#include "pcc/pace.h"
#include "tests/lib/suite.h"

#define NOW (1000 * SEC)

static uint64_t drawn;

uint64_t __wrap_clock_random_u64(void);

uint64_t __wrap_clock_random_u64(void)
{
    return drawn;
}

static struct pace pace;
static const struct pace_failure away = {0, "no answer", 7};
static const struct pace_failure busy = {503, "busy", 7};

static void set_up(void)
{
    drawn = 300 * MSEC;
    pace_init(&pace, 10 * SEC, 5 * SEC, NOW);
}

static uint64_t wait_of(uint64_t now_ns)
{
    return pace.not_before_ns > now_ns ? pace.not_before_ns - now_ns : 0;
}

START_TEST(first_request_is_spread)
{
    ck_assert_uint_eq(wait_of(NOW), 300 * MSEC);
    drawn = 5 * SEC + 1;
    pace_init(&pace, 10 * SEC, 5 * SEC, NOW);
    ck_assert_uint_eq(wait_of(NOW), 1);
}
END_TEST

START_TEST(answer_is_followed_at_once_but_after_an_outage)
{
    pace_answered(&pace, NOW + SEC);
    ck_assert_uint_eq(wait_of(NOW + SEC), 0);
    pace_back_off(&pace, &away, NOW + SEC);
    pace_answered(&pace, NOW + 2 * SEC);
    ck_assert_uint_eq(wait_of(NOW + 2 * SEC), 300 * MSEC);
    pace_answered(&pace, NOW + 3 * SEC); /* once */
    ck_assert_uint_eq(wait_of(NOW + 3 * SEC), 0);
    pace_back_off(&pace, &away, NOW + 3 * SEC);
    pace_wait_as_told(&pace, &busy, NOW + 3 * SEC, 1); /* that spreads them itself */
    pace_answered(&pace, NOW + 5 * SEC);
    ck_assert_uint_eq(wait_of(NOW + 5 * SEC), 0);
}
END_TEST

START_TEST(waits_get_longer_until_a_success)
{
    static const uint64_t bounds[] = {1, 2, 4, 8, 16, 32, 60, 60};

    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < sizeof bounds / sizeof *bounds; i++) {
            drawn = bounds[i] * SEC - 1;
            pace_back_off(&pace, &busy, NOW);
            ck_assert_uint_eq(wait_of(NOW), bounds[i] * SEC - 1);
        }
        ck_assert(pace.in_trouble);
        pace_succeeded(&pace, 0, NOW);
        ck_assert(!pace.in_trouble);
        ck_assert_uint_eq(pace.stored_ns, NOW);
    }
    ck_assert_str_eq(pace.last_error, "busy"); /* for those who ask */
    ck_assert_uint_eq(pace.error_ns, NOW);
}
END_TEST

START_TEST(change_that_may_help_makes_waits_short_again)
{
    pace_wait_long(&pace, &busy, NOW);
    drawn = SEC - 1;
    pace_back_off_anew(&pace, &busy, NOW);
    ck_assert_uint_eq(wait_of(NOW), SEC - 1);
    drawn = 2 * SEC - 1;
    pace_back_off(&pace, &busy, NOW);
    ck_assert_uint_eq(wait_of(NOW), 2 * SEC - 1);
}
END_TEST

START_TEST(server_is_obeyed_within_reason)
{
    pace_wait_as_told(&pace, &busy, NOW, 17);
    ck_assert_uint_eq(wait_of(NOW), 17 * SEC);
    pace_wait_as_told(&pace, &busy, NOW, 3000000);
    ck_assert_uint_eq(wait_of(NOW), 600 * SEC);
    pace_wait_as_told(&pace, &busy, NOW, 0);
    ck_assert_uint_eq(wait_of(NOW), 300 * MSEC);
    drawn = 0;
    pace_wait_long(&pace, &busy, NOW);
    ck_assert_uint_eq(wait_of(NOW), 30 * SEC);
}
END_TEST

START_TEST(end_waits_for_nothing)
{
    pace_back_off(&pace, &away, NOW);
    pace_hurry(&pace, NOW);
    ck_assert_uint_eq(wait_of(NOW), 0);
    pace_answered(&pace, NOW);
    ck_assert_uint_eq(wait_of(NOW), 0);
    pace_back_off(&pace, &busy, NOW); /* but after a failure it does */
    ck_assert_uint_eq(wait_of(NOW), 300 * MSEC);
    pace_go(&pace, NOW);
    ck_assert_uint_eq(wait_of(NOW), 0);
}
END_TEST

START_TEST(long_reason_is_cut)
{
    char why[1000];

    for (size_t i = 0; i < sizeof why; i++)
        why[i] = i + 1 < sizeof why ? 'x' : '\0';
    pace_back_off(&pace, &(struct pace_failure){400, why, 0}, NOW);
    ck_assert_uint_eq(strlen(pace.last_error), sizeof pace.last_error - 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pcc_pace");
    TCase *c = tcase_create("pace");

    tcase_add_checked_fixture(c, set_up, NULL);
    tcase_add_test(c, first_request_is_spread);
    tcase_add_test(c, answer_is_followed_at_once_but_after_an_outage);
    tcase_add_test(c, waits_get_longer_until_a_success);
    tcase_add_test(c, change_that_may_help_makes_waits_short_again);
    tcase_add_test(c, server_is_obeyed_within_reason);
    tcase_add_test(c, end_waits_for_nothing);
    tcase_add_test(c, long_reason_is_cut);
    suite_add_tcase(suite, c);
    return suite_run(suite);
}
