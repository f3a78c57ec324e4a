/* SPDX-License-Identifier: MIT */
#include "common/units.h"
#include "pcd/retain.h"
#include "tests/lib/suite.h"

#define TODAY 20000u

static const struct {
    const char *what;
    uint64_t keep_days;
    uint64_t max_bytes;
    uint32_t days[4]; /* of 100 bytes each */
    uint32_t today;
    bool is_steady;
    bool goes;
} rows[] = {
    {"nothing is wanted", 0, 0, {TODAY - 900, TODAY}, TODAY, true, false},
    {"too old", 30, 0, {TODAY - 31, TODAY}, TODAY, true, true},
    {"as old as may be", 30, 0, {TODAY - 30, TODAY}, TODAY, true, false},
    {"too old, after a jump", 30, 0, {TODAY - 31, TODAY}, TODAY, false, false},
    {"old by the newest day alone", 30, 0, {TODAY - 1, TODAY + 900}, TODAY, true, false},
    {"old by the clock alone", 30, 0, {TODAY - 1, TODAY}, TODAY + 900, true, false},
    {"the clock is in 1970", 30, 0, {TODAY - 900, TODAY}, 0, true, false},
    {"one day alone", 30, 0, {TODAY - 900}, TODAY, true, false},
    {"too many bytes", 0, 299, {TODAY - 2, TODAY - 1, TODAY}, TODAY, true, true},
    {"as many as may be", 0, 300, {TODAY - 2, TODAY - 1, TODAY}, TODAY, true, false},
    {"too many, after a jump", 0, 299, {TODAY - 2, TODAY - 1, TODAY}, TODAY, false, true},
    {"too many, in 1970", 0, 299, {TODAY - 2, TODAY - 1, TODAY}, 0, true, true},
    {"too many, of yesterday", 0, 1, {TODAY - 1, TODAY}, TODAY, true, false},
    {"too many, of a client ahead", 0, 1, {TODAY, TODAY + 900}, TODAY, true, false},
    {"either of two reasons", 30, 1, {TODAY - 3, TODAY}, TODAY, true, true},
};

START_TEST(the_oldest_day_goes_when_it_is_closed_and_too_old_or_too_much)
{
    const struct retain_conf conf = {
        .keep_days = rows[_i].keep_days,
        .max_bytes = rows[_i].max_bytes,
    };
    struct retain_day days[4] = {0};
    size_t n = 0;

    for (; n < 4 && rows[_i].days[n]; n++)
        days[n] = (struct retain_day){rows[_i].days[n], 1, 100};
    ck_assert_msg(retain_choose(&conf, days, n, rows[_i].today, rows[_i].is_steady) ==
                      rows[_i].goes,
                  "%s", rows[_i].what);
}
END_TEST

START_TEST(an_empty_store_has_nothing_to_delete)
{
    const struct retain_conf conf = {.keep_days = 1, .max_bytes = 1};

    ck_assert(!retain_choose(&conf, NULL, 0, TODAY, true));
}
END_TEST

static uint64_t wall(uint64_t days)
{
    return (TODAY + days) * DAY + HOUR;
}

START_TEST(a_clock_near_the_newest_day_is_believed_at_once)
{
    struct retain_clock c = {0};

    ck_assert(retain_clock_look(&c, wall(0), HOUR, TODAY - 2));
    ck_assert(retain_clock_look(&c, wall(0) + MINUTE, HOUR + MINUTE, TODAY));
    /* Slewed, not stepped. */
    ck_assert(retain_clock_look(&c, wall(0) + 3 * MINUTE - 1, HOUR + 2 * MINUTE, TODAY));
}
END_TEST

START_TEST(a_clock_far_from_the_newest_day_must_run_a_day_first)
{
    for (int ahead = 0; ahead < 2; ahead++) {
        struct retain_clock c = {0};
        uint32_t newest = ahead ? TODAY - 3 : TODAY + 3;

        ck_assert(!retain_clock_look(&c, wall(0), HOUR, newest));
        ck_assert(!retain_clock_look(&c, wall(1) - 1, DAY + HOUR - 1, newest));
        ck_assert(retain_clock_look(&c, wall(1), DAY + HOUR, newest));
    }
}
END_TEST

START_TEST(a_jump_either_way_must_be_followed_by_a_steady_day)
{
    const int64_t jumps[] = {(int64_t)MINUTE, -(int64_t)MINUTE, 400 * (int64_t)DAY,
                             -400 * (int64_t)DAY};

    for (size_t i = 0; i < sizeof jumps / sizeof *jumps; i++) {
        struct retain_clock c = {0};
        uint64_t there = wall(0) + (uint64_t)jumps[i];

        ck_assert(retain_clock_look(&c, wall(0), 0, TODAY));
        ck_assert(!retain_clock_look(&c, there, 0, TODAY));
        ck_assert(!retain_clock_look(&c, there + DAY - 1, DAY - 1, TODAY));
        ck_assert(retain_clock_look(&c, there + DAY, DAY, TODAY));
        /* And back. */
        ck_assert(!retain_clock_look(&c, wall(0) + DAY, DAY, TODAY));
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pcd_retain");
    TCase *c = tcase_create("retain");

    tcase_add_loop_test(c, the_oldest_day_goes_when_it_is_closed_and_too_old_or_too_much,
                        0, sizeof rows / sizeof *rows);
    tcase_add_test(c, an_empty_store_has_nothing_to_delete);
    tcase_add_test(c, a_clock_near_the_newest_day_is_believed_at_once);
    tcase_add_test(c, a_clock_far_from_the_newest_day_must_run_a_day_first);
    tcase_add_test(c, a_jump_either_way_must_be_followed_by_a_steady_day);
    suite_add_tcase(suite, c);
    return suite_run(suite);
}
