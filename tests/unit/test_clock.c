/* SPDX-License-Identifier: MIT */
#include "common/clock.h"
#include "common/units.h"
#include "proto/limits.h"
#include "tests/lib/bytes.h"
#include "tests/lib/suite.h"

#include <time.h>

static uint64_t (*const steady[])(void) = {clock_boot_ns, clock_monotonic_ns};

START_TEST(steady_clocks_never_go_back)
{
    uint64_t before = steady[_i]();

    ck_assert_uint_gt(before, 0);
    for (int i = 0; i < 1000; i++) {
        uint64_t now = steady[_i]();
        ck_assert_uint_ge(now, before);
        before = now;
    }
}
END_TEST

/* Both begin at boot, and only one of them counts a suspend. */
START_TEST(the_boot_clock_is_not_behind_the_monotonic_one)
{
    uint64_t monotonic = clock_monotonic_ns();

    ck_assert_uint_ge(clock_boot_ns(), monotonic);
}
END_TEST

/* Between two readings of the C library's clock; a clock set back in between is not
 * tested against. */
START_TEST(the_wall_clock_is_in_nanoseconds_since_the_epoch)
{
    struct timespec before;
    struct timespec after;

    ck_assert_int_eq(timespec_get(&before, TIME_UTC), TIME_UTC);
    uint64_t now = clock_wall_ns();
    ck_assert_int_eq(timespec_get(&after, TIME_UTC), TIME_UTC);
    ck_assert_uint_ge(now / SEC, (uint64_t)before.tv_sec);
    ck_assert_uint_le(now / SEC, (uint64_t)after.tv_sec);
    ck_assert_uint_gt(now / SEC, LIMIT_TIMESTAMP_MIN);
}
END_TEST

/* Every bit is seen set and seen clear. */
START_TEST(random_numbers_use_all_64_bits)
{
    uint64_t set = 0;
    uint64_t clear = 0;

    for (int i = 0; i < 256; i++) {
        uint64_t value = clock_random_u64();
        set |= value;
        clear |= ~value;
    }
    ck_assert_uint_eq(set, UINT64_MAX);
    ck_assert_uint_eq(clear, UINT64_MAX);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("clock");
    TCase *c = tcase_create("clock");

    tcase_add_loop_test(c, steady_clocks_never_go_back, 0, N_OF(steady));
    tcase_add_test(c, the_boot_clock_is_not_behind_the_monotonic_one);
    tcase_add_test(c, the_wall_clock_is_in_nanoseconds_since_the_epoch);
    tcase_add_test(c, random_numbers_use_all_64_bits);
    suite_add_tcase(suite, c);
    return suite_run(suite);
}
