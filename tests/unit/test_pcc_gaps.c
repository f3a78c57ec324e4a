/* SPDX-License-Identifier: MIT */
#include "common/units.h"
#include "pcc/gaps.h"
#include "tests/lib/batches.h"
#include "tests/lib/fault.h"
#include "tests/lib/suite.h"

static void assert_note(const struct gap_note *note, uint64_t from, uint64_t to,
                        uint64_t ticks, uint64_t measurements)
{
    ck_assert_uint_eq(note->from_ns, from);
    ck_assert_uint_eq(note->to_ns, to);
    ck_assert_uint_eq(note->ticks, ticks);
    ck_assert_uint_eq(note->measurements, measurements);
}

START_TEST(notes_of_one_kind_become_one)
{
    struct gap_set set = {0};

    ck_assert(gaps_empty(&set));
    gaps_add(&set, GAP_FULL, &(struct gap_note){20, 30, 2, 10});
    gaps_add(&set, GAP_FULL, &(struct gap_note){10, 15, 1, 5});
    gaps_add(&set, GAP_FULL, &(struct gap_note){40, 50, 3, 15});
    gaps_add(&set, GAP_MISSED, &(struct gap_note){1, 2, 1, 1});
    assert_note(&set.notes[GAP_FULL], 10, 50, 6, 30);
    assert_note(&set.notes[GAP_MISSED], 1, 2, 1, 1);
    ck_assert(!gaps_empty(&set));
}
END_TEST

START_TEST(empty_note_changes_nothing)
{
    struct gap_set set = {0};

    gaps_add(&set, GAP_MOUNT, &(struct gap_note){5, 9, 0, 0});
    ck_assert(gaps_empty(&set));
    gaps_add(&set, GAP_MOUNT, &(struct gap_note){20, 30, 1, 1});
    gaps_add(&set, GAP_MOUNT, &(struct gap_note){5, 99, 0, 0});
    assert_note(&set.notes[GAP_MOUNT], 20, 30, 1, 1);
}
END_TEST

START_TEST(fold_adds_every_kind)
{
    struct gap_set to = {0};
    struct gap_set from = {0};

    for (int id = 0; id < GAP_IDS; id++) {
        gaps_add(&to, (enum gap_id)id, &(struct gap_note){100, 200, 1, 2});
        gaps_add(&from, (enum gap_id)id, &(struct gap_note){50, 300, 10, 20});
    }
    gaps_fold(&to, &from);
    for (int id = 0; id < GAP_IDS; id++)
        assert_note(&to.notes[id], 50, 300, 11, 22);
}
END_TEST

START_TEST(batch_that_steps_back_in_time_still_spans_it)
{
    CLEANUP(batch_done) struct batch b;

    batch_init(&b, &batch_limits_default);
    batches_add(&b, 30 * SEC, SPAN("a"), SPAN("x"));
    batches_add(&b, 30 * SEC, SPAN("b"), SPAN("x"));
    batches_add(&b, 10 * SEC, SPAN("a"), SPAN("x"));
    struct gap_note note = gaps_of_batch(&b);
    assert_note(&note, 10 * SEC, 30 * SEC, 2, 3);
}
END_TEST

START_TEST(shift_moves_only_times_before_the_end)
{
    struct gap_set set = {0};

    gaps_add(&set, GAP_MISSED, &(struct gap_note){10, 20, 1, 1});
    gaps_add(&set, GAP_FULL, &(struct gap_note){20, 200, 1, 1});
    gaps_add(&set, GAP_MOUNT, &(struct gap_note){100, 200, 1, 1});
    gaps_shift(&set, 100, 1000);
    assert_note(&set.notes[GAP_MISSED], 1010, 1020, 1, 1);
    assert_note(&set.notes[GAP_FULL], 1020, 200, 1, 1);
    assert_note(&set.notes[GAP_MOUNT], 100, 200, 1, 1);
    assert_note(&set.notes[GAP_BEHIND], 0, 0, 0, 0);
}
END_TEST

START_TEST(emitted_gaps_move_from_pending_to_carried)
{
    CLEANUP(batch_done) struct batch b;
    struct gap_set pending = {0};
    struct gap_set carried = {0};

    batch_init(&b, &batch_limits_default);
    gaps_add(&pending, GAP_MISSED, &(struct gap_note){SEC, 2 * SEC, 2, 10});
    gaps_add(&pending, GAP_FULL, &(struct gap_note){3 * SEC, 3 * SEC + 5 * MSEC, 1, 5});
    gaps_emit(&pending, &carried, &b, 9 * SEC);

    ck_assert(gaps_empty(&pending));
    assert_note(&carried.notes[GAP_MISSED], SEC, 2 * SEC, 2, 10);
    assert_note(&carried.notes[GAP_FULL], 3 * SEC, 3 * SEC + 5 * MSEC, 1, 5);
    ck_assert_uint_eq(b.n_items, 2);
    struct measurement m = batch_get(&b, 0);
    ck_assert_uint_eq(m.time_ns, 9 * SEC);
    ck_assert(span_equal(m.subsystem, SPAN("pcc/gap")));
    ck_assert(
        span_starts_with(m.text, SPAN("{\"kind\":\"missed\",\"from\":1,\"to\":2,"
                                      "\"ticks\":2,\"measurements\":10,\"reason\":\"")));
    m = batch_get(&b, 1);
    ck_assert(
        span_starts_with(m.text, SPAN("{\"kind\":\"dropped\",\"from\":3,\"to\":3.005,")));
}
END_TEST

START_TEST(gap_stays_pending_wherever_memory_runs_out)
{
    bool fired = true;

    for (long nth = 0; fired; nth++) {
        CLEANUP(batch_done) struct batch b;
        struct gap_set pending = {0};
        struct gap_set carried = {0};

        batch_init(&b, &batch_limits_default);
        gaps_add(&pending, GAP_MISSED, &(struct gap_note){SEC, 2 * SEC, 2, 10});
        fault_arm(nth);
        gaps_emit(&pending, &carried, &b, 9 * SEC);
        fired = fault_disarm();

        ck_assert_uint_eq(b.n_items, !fired);
        ck_assert(gaps_empty(&pending) == !fired);
        ck_assert(gaps_empty(&carried) == fired);
        batches_add(&b, 9 * SEC, SPAN("a"), SPAN("x")); /* nothing is left half done */
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pcc_gaps");
    TCase *c = tcase_create("gaps");

    tcase_add_test(c, notes_of_one_kind_become_one);
    tcase_add_test(c, empty_note_changes_nothing);
    tcase_add_test(c, fold_adds_every_kind);
    tcase_add_test(c, batch_that_steps_back_in_time_still_spans_it);
    tcase_add_test(c, shift_moves_only_times_before_the_end);
    tcase_add_test(c, emitted_gaps_move_from_pending_to_carried);
    tcase_add_test(c, gap_stays_pending_wherever_memory_runs_out);
    suite_add_tcase(suite, c);
    return suite_run(suite);
}
