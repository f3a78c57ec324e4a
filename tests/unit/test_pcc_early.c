/* SPDX-License-Identifier: MIT */
#include "common/units.h"
#include "pcc/early.h"
#include "pcc/grid.h"
#include "tests/lib/batches.h"
#include "tests/lib/bytes.h"
#include "tests/lib/fault.h"
#include "tests/lib/suite.h"

#include <errno.h>

#define WALL (UINT64_C(1767813011) * SEC)
#define TICKS 8u

static struct outbox_slot slot;
static struct early early;

static void set_up(void)
{
    slot = (struct outbox_slot){0};
    batch_init(&slot.batch, &batch_limits_default);
    early = (struct early){.max_bytes = MIB};
}

static void tear_down(void)
{
    while (early_oldest(&early))
        early_pop(&early);
    ck_assert_uint_eq(early.bytes, 0);
    ck_assert_uint_eq(early.measurements, 0);
    batch_done(&slot.batch);
}

static void add_tick(uint64_t time_ns)
{
    batch_begin_tick(&slot.batch);
    batches_add(&slot.batch, time_ns, SPAN("a"), SPAN("x"));
    batches_add(&slot.batch, time_ns, SPAN("b"), SPAN("y"));
}

START_TEST(clock_that_cannot_be_right_is_replaced_by_the_boot_clock)
{
    ck_assert_uint_eq(early_clock(5 * SEC, 100 * SEC), 5 * SEC);
    ck_assert_uint_eq(early_clock(5 * SEC, EARLY_END - 1), 5 * SEC);
    ck_assert_uint_eq(early_clock(5 * SEC, EARLY_END), EARLY_END);
    ck_assert_uint_eq(early_clock(5 * SEC, WALL), WALL);
}
END_TEST

START_TEST(only_early_measurements_are_moved)
{
    add_tick(WALL);
    ck_assert(!early_has(&slot.batch));
    add_tick(7 * SEC + 300 * MSEC);
    add_tick(WALL + 5 * SEC);
    ck_assert(early_has(&slot.batch));
    early_restamp(&slot.batch, SEC, WALL);
    ck_assert(!early_has(&slot.batch));
    const uint64_t want[] = {WALL, WALL + 7 * SEC, WALL + 5 * SEC};
    for (size_t i = 0; i < 6; i++)
        ck_assert_uint_eq(slot.batch.items[i].time_ns, want[i / 2]);
    ck_assert_uint_eq(slot.batch.n_ticks, 3);
}
END_TEST

START_TEST(fractions_of_seconds_are_kept_to_the_millisecond)
{
    add_tick(7 * SEC + 10 * MSEC + 999);
    add_tick(7 * SEC + 20 * MSEC + 1);
    early_restamp(&slot.batch, 10 * MSEC, WALL + 500 * USEC);
    ck_assert_uint_eq(slot.batch.items[0].time_ns, WALL + 7 * SEC + 10 * MSEC);
    ck_assert_uint_eq(slot.batch.items[2].time_ns, WALL + 7 * SEC + 20 * MSEC);
}
END_TEST

/* Wherever in its second the clock is set, and with ticks up to 20 ms late. */
START_TEST(ticks_of_whole_seconds_get_each_second_once)
{
    uint64_t state = 1;

    for (int i = 0; i < 5000; i++) {
        struct grid g;
        uint64_t offset_ns = WALL + bytes_random(&state) % SEC;
        uint64_t boot_ns = 20 * SEC + bytes_random(&state) % SEC;
        batch_reset(&slot.batch);
        grid_init(&g, SEC, boot_ns, boot_ns, bytes_random(&state));
        uint64_t due_ns = grid_due(&g);
        add_tick(grid_boot_time(&g, boot_ns)); /* the first, at once */
        for (uint64_t k = 0; k < TICKS; k++)
            add_tick(grid_boot_time(&g, due_ns + k * SEC +
                                            bytes_random(&state) % (20 * MSEC)));
        early_restamp(&slot.batch, SEC, offset_ns);
        uint64_t second_ns = grid_timestamp(SEC, due_ns + offset_ns);
        ck_assert_uint_eq(slot.batch.items[0].time_ns, second_ns - SEC);
        for (size_t k = 1; k <= TICKS; k++)
            ck_assert_uint_eq(slot.batch.items[2 * k].time_ns, second_ns + (k - 1) * SEC);
    }
}
END_TEST

START_TEST(held_batches_come_out_whole_and_in_order)
{
    for (uint64_t i = 1; i <= 3; i++) {
        batch_reset(&slot.batch);
        slot.carried = (struct gap_set){0};
        gaps_add(&slot.carried, GAP_FULL, &(struct gap_note){i, i, 1, i});
        add_tick(i * SEC);
        add_tick(i * SEC); /* the same time, yet a tick of its own */
        ck_assert_int_eq(early_hold(&early, &slot), 0);
    }
    ck_assert_uint_eq(early.measurements, 12);
    for (uint64_t i = 1; i <= 3; i++) {
        const struct outbox_slot *held = early_oldest(&early);
        ck_assert_uint_eq(held->batch.items[0].time_ns, i * SEC);
        ck_assert_uint_eq(held->batch.n_items, 4);
        ck_assert_uint_eq(held->batch.n_ticks, 2);
        ck_assert(span_equal(batch_get(&held->batch, 3).text, SPAN("y")));
        ck_assert_uint_eq(held->carried.notes[GAP_FULL].measurements, i);
        early_pop(&early);
    }
    ck_assert_ptr_null(early_oldest(&early));
}
END_TEST

START_TEST(limit_leaves_one_batch_whatever_its_size)
{
    add_tick(SEC);
    early.max_bytes = 1;
    ck_assert_int_eq(early_hold(&early, &slot), 0);
    ck_assert(!early_full(&early));
    ck_assert_int_eq(early_hold(&early, &slot), 0);
    ck_assert(early_full(&early));
    early.max_bytes = early.bytes;
    ck_assert(!early_full(&early));
}
END_TEST

START_TEST(holding_survives_any_failed_allocation)
{
    bool fired = true;

    add_tick(SEC);
    for (long nth = 0; fired; nth++) {
        fault_arm(nth);
        int r = early_hold(&early, &slot);
        fired = fault_disarm();
        ck_assert_int_eq(r, fired ? -ENOMEM : 0);
        ck_assert_uint_eq(early.measurements, fired ? 0 : 2);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pcc_early");
    TCase *c = tcase_create("early");

    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_add_test(c, clock_that_cannot_be_right_is_replaced_by_the_boot_clock);
    tcase_add_test(c, only_early_measurements_are_moved);
    tcase_add_test(c, fractions_of_seconds_are_kept_to_the_millisecond);
    tcase_add_test(c, ticks_of_whole_seconds_get_each_second_once);
    tcase_add_test(c, held_batches_come_out_whole_and_in_order);
    tcase_add_test(c, limit_leaves_one_batch_whatever_its_size);
    tcase_add_test(c, holding_survives_any_failed_allocation);
    suite_add_tcase(suite, c);
    return suite_run(suite);
}
