/* SPDX-License-Identifier: MIT */
#include "tests/bench/latency.h"
#include "tests/lib/suite.h"

#include <stdlib.h>

#define STEP 1.0917 /* from a duration to the next that is tried */

static struct latency l;

static void fresh(void)
{
    l = (struct latency){0};
}

/* What a single duration is told as; another, much longer, lets the bucket's end show. */
static uint64_t told_as(uint64_t ns)
{
    fresh();
    latency_add(&l, ns);
    latency_add(&l, UINT64_MAX);
    return latency_at(&l, 0.5);
}

START_TEST(a_duration_is_never_told_shorter_nor_by_more_than_a_sixteenth_longer)
{
    for (double ns = 1; ns < 1e18; ns *= STEP) {
        uint64_t exact = (uint64_t)ns, told = told_as(exact);

        ck_assert_uint_ge(told, exact);
        ck_assert_uint_le(told - exact, exact / LATENCY_STEPS);
    }
}
END_TEST

START_TEST(short_ones_and_the_longest_are_told_exactly)
{
    for (uint64_t ns = 0; ns < 2 * LATENCY_STEPS; ns++)
        ck_assert_uint_eq(told_as(ns), ns);
    ck_assert_uint_eq(told_as(UINT64_MAX), UINT64_MAX);
    ck_assert_uint_eq(latency_at(&l, 1), UINT64_MAX);
}
END_TEST

START_TEST(longer_durations_are_never_told_shorter)
{
    uint64_t before = 0;

    for (double ns = 1; ns < 1e18; ns *= STEP) {
        uint64_t told = told_as((uint64_t)ns);

        ck_assert_uint_ge(told, before);
        before = told;
    }
}
END_TEST

START_TEST(a_share_is_reached_by_so_many_and_no_fewer)
{
    fresh();
    for (uint64_t ns = 1; ns <= 10; ns++)
        latency_add(&l, ns);
    ck_assert_uint_eq(latency_at(&l, 0), 1);
    ck_assert_uint_eq(latency_at(&l, 0.5), 5);
    ck_assert_uint_eq(latency_at(&l, 0.9), 9);
    ck_assert_uint_eq(latency_at(&l, 0.99), 10); /* 9 of 10 are not 99 % */
    ck_assert_uint_eq(latency_at(&l, 1), 10);
}
END_TEST

START_TEST(nothing_is_told_of_none)
{
    fresh();
    ck_assert_uint_eq(latency_at(&l, 0.5), 0);
    ck_assert_uint_eq(latency_at(&l, 1), 0);
}
END_TEST

START_TEST(no_share_is_above_the_longest)
{
    fresh();
    latency_add(&l, 1000001);
    ck_assert_uint_eq(latency_at(&l, 0.99), 1000001);
    ck_assert_uint_eq(l.max_ns, 1000001);
    ck_assert_uint_eq(l.n, 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("latency");
    TCase *c = tcase_create("latency");

    tcase_add_test(c,
                   a_duration_is_never_told_shorter_nor_by_more_than_a_sixteenth_longer);
    tcase_add_test(c, short_ones_and_the_longest_are_told_exactly);
    tcase_add_test(c, longer_durations_are_never_told_shorter);
    tcase_add_test(c, a_share_is_reached_by_so_many_and_no_fewer);
    tcase_add_test(c, nothing_is_told_of_none);
    tcase_add_test(c, no_share_is_above_the_longest);
    suite_add_tcase(suite, c);
    return suite_run(suite);
}
