/* SPDX-License-Identifier: MIT */
#include "common/units.h"
#include "pcc/grid.h"
#include "pcc/sampler.h"
#include "tests/lib/bytes.h"
#include "tests/lib/suite.h"

#define BOOT (1000 * SEC)
#define WALL (1700000000 * SEC)

/* Whatever the phase: no second twice, none left out, and none near its edges. */
START_TEST(whole_seconds_tick_well_inside_a_later_second)
{
    uint64_t state = 1;

    for (int i = 0; i < 20000; i++) {
        struct grid g;
        uint64_t wall_ns = WALL + bytes_random(&state) % (5 * SEC);
        uint64_t interval_ns = (1 + bytes_random(&state) % 60) * SEC;
        grid_init(&g, interval_ns, BOOT, wall_ns, bytes_random(&state));
        uint64_t first_wall_ns = wall_ns + (grid_due(&g) - BOOT);
        ck_assert_uint_ge(first_wall_ns % SEC, 100 * MSEC);
        ck_assert_uint_lt(first_wall_ns % SEC, 800 * MSEC);
        ck_assert_uint_gt(first_wall_ns / SEC, wall_ns / SEC);
        ck_assert_uint_le(first_wall_ns / SEC, wall_ns / SEC + interval_ns / SEC);
        ck_assert_uint_eq(grid_arrive(&g, grid_due(&g)), 0);
        ck_assert_uint_eq(grid_due(&g) - BOOT, first_wall_ns - wall_ns + interval_ns);
    }
}
END_TEST

START_TEST(phase_of_whole_seconds_covers_the_whole_interval)
{
    bool seen[10] = {false};
    uint64_t state = 2;

    for (int i = 0; i < 1000; i++) {
        struct grid g;
        grid_init(&g, 10 * SEC, BOOT, WALL, bytes_random(&state));
        seen[(grid_due(&g) - BOOT) / SEC % 10] = true;
    }
    for (size_t i = 0; i < N_OF(seen); i++)
        ck_assert(seen[i]);
}
END_TEST

START_TEST(other_intervals_begin_half_to_one_and_a_half_away)
{
    uint64_t state = 3;

    for (int i = 0; i < 1000; i++) {
        struct grid g;
        grid_init(&g, 250 * MSEC, BOOT, WALL, bytes_random(&state));
        ck_assert_uint_ge(grid_due(&g) - BOOT, 125 * MSEC);
        ck_assert_uint_lt(grid_due(&g) - BOOT, 375 * MSEC);
    }
}
END_TEST

START_TEST(late_tick_keeps_the_grid)
{
    struct grid g = {.origin_ns = BOOT, .interval_ns = SEC};

    ck_assert_uint_eq(grid_arrive(&g, BOOT + 999 * MSEC), 0);
    ck_assert_uint_eq(grid_due(&g), BOOT + SEC);
    ck_assert_uint_eq(grid_arrive(&g, BOOT + SEC - 1), 0);
    ck_assert_uint_eq(grid_due(&g), BOOT + 2 * SEC);
}
END_TEST

START_TEST(missed_points_are_counted_and_not_caught_up)
{
    struct grid g = {.origin_ns = BOOT, .interval_ns = SEC};

    ck_assert_uint_eq(grid_arrive(&g, BOOT), 0);
    /* A suspend of an hour, ended in the middle between two points. */
    ck_assert_uint_eq(grid_arrive(&g, BOOT + HOUR + SEC / 2), 3599);
    ck_assert_uint_eq(grid_due(&g), BOOT + HOUR + SEC);
    ck_assert_uint_eq(grid_arrive(&g, BOOT + HOUR + 3 * SEC), 2);
}
END_TEST

START_TEST(stepped_clock_moves_the_grid_back_into_its_second)
{
    struct grid g;

    grid_init(&g, SEC, BOOT, WALL, 12345);
    uint64_t due_ns = grid_due(&g);
    uint64_t wall_ns = WALL + (due_ns - BOOT);
    ck_assert(!grid_realign(&g, WALL, wall_ns));
    ck_assert_uint_eq(grid_due(&g), due_ns);

    /* The wall clock was set so that the point would come at 0.99 of a second. */
    wall_ns = WALL + 990 * MSEC;
    ck_assert(grid_realign(&g, wall_ns - SEC, wall_ns));
    wall_ns += grid_due(&g) - due_ns; /* it may have moved back */
    ck_assert_uint_eq(wall_ns, WALL + g.phase_ns);
    ck_assert(!grid_realign(&g, wall_ns - SEC, wall_ns));
}
END_TEST

/* The second of the tick that follows one taken now, once the grid was realigned. */
static uint64_t second_after(uint64_t random, uint64_t now_ns, uint64_t due_ns)
{
    struct grid g;

    grid_init(&g, SEC, BOOT, WALL, random);
    const uint64_t before_ns = grid_due(&g);
    (void)grid_realign(&g, now_ns, due_ns);
    return (due_ns + (grid_due(&g) - before_ns)) / SEC;
}

/* At any phase, wherever a step of the clock puts the next point, and with the tick
 * before that as late as phases leave room for: their seconds are neighbours. */
START_TEST(no_second_is_left_out_or_there_twice_after_a_step)
{
    const uint64_t random = (uint64_t)_i * 7 * MSEC;

    for (uint64_t fraction = 0; fraction < SEC; fraction += 10 * MSEC) {
        const uint64_t due_ns = WALL + 5 * SEC + fraction;
        for (uint64_t late = 0; late < 100 * MSEC; late += 20 * MSEC) {
            const uint64_t now_ns = due_ns - SEC + late;
            ck_assert_uint_eq(second_after(random, now_ns, due_ns), now_ns / SEC + 1);
        }
    }
}
END_TEST

START_TEST(fractions_of_a_second_have_no_phase_to_keep)
{
    struct grid g;

    grid_init(&g, 100 * MSEC, BOOT, WALL, 5);
    ck_assert(!grid_realign(&g, WALL - 100 * MSEC, WALL));
}
END_TEST

START_TEST(timestamps_are_as_fine_as_the_interval)
{
    ck_assert_uint_eq(grid_timestamp(10 * SEC, WALL + 123456789), WALL);
    ck_assert_uint_eq(grid_timestamp(250 * MSEC, WALL + 123456789), WALL + 123 * MSEC);
    ck_assert_uint_eq(grid_timestamp(1500 * MSEC, WALL + 999999999), WALL + 999 * MSEC);
}
END_TEST

static const struct {
    size_t measurements;
    size_t bytes;
    uint64_t next_age_ns;
    bool seal;
} seals[] = {
    {99, 999, 30 * SEC - 1, false},
    {100, 0, 0, true},
    {101, 0, 0, true},
    {1, 1000, 0, true},
    {1, 1001, 0, true},
    {1, 1, 30 * SEC, true},
    {1, 1, 30 * SEC + 1, true},
    {1, 1, UINT64_MAX, true},
};

START_TEST(batch_is_sealed_by_count_bytes_or_age)
{
    const struct seal_rule rule = {
        .measurements = 100, .bytes = 1000, .flush_ns = 30 * SEC};

    ck_assert_msg(sampler_must_seal(&rule, seals[_i].measurements, seals[_i].bytes,
                                    seals[_i].next_age_ns) == seals[_i].seal,
                  "row %d", _i);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pcc_grid");
    TCase *c = tcase_create("grid");

    tcase_add_test(c, whole_seconds_tick_well_inside_a_later_second);
    tcase_add_test(c, phase_of_whole_seconds_covers_the_whole_interval);
    tcase_add_test(c, other_intervals_begin_half_to_one_and_a_half_away);
    tcase_add_test(c, late_tick_keeps_the_grid);
    tcase_add_test(c, missed_points_are_counted_and_not_caught_up);
    tcase_add_test(c, stepped_clock_moves_the_grid_back_into_its_second);
    tcase_add_loop_test(c, no_second_is_left_out_or_there_twice_after_a_step, 0, 100);
    tcase_add_test(c, fractions_of_a_second_have_no_phase_to_keep);
    tcase_add_test(c, timestamps_are_as_fine_as_the_interval);
    tcase_add_loop_test(c, batch_is_sealed_by_count_bytes_or_age, 0, (int)N_OF(seals));
    suite_add_tcase(suite, c);
    return suite_run(suite);
}
