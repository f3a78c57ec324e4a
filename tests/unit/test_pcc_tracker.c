/* SPDX-License-Identifier: MIT */
#include "common/units.h"
#include "pcc/tracker.h"
#include "tests/lib/batches.h"
#include "tests/lib/home.h"
#include "tests/lib/suite.h"

#define START (UINT64_C(1800000000) * SEC)

static struct home home;
static struct counters counters;
static struct outbox *outbox;
static struct tracker *tracker;
static struct mark_start start;

/* An agent that starts so many seconds after the first. */
static void begin(uint64_t after)
{
    start = (struct mark_start){.identifier = "h1",
                                .boot_id = "boot",
                                .interval_ns = SEC,
                                .sources = 1,
                                .boot_ns = HOUR + after * SEC,
                                .time_ns = START + after * SEC};
    ck_assert_int_eq(outbox_new(OUTBOX_SLOTS, 10, 1000, &counters, &outbox), 0);
    ck_assert_int_eq(tracker_open(home.path, &start, outbox, &counters, &tracker), 0);
}

static void set_up(void)
{
    home_make(&home);
    counters = (struct counters){0};
    begin(0);
}

/* As one that is killed, if nothing was said of its end. */
static void leave(void)
{
    tracker_free(tracker);
    outbox_free(outbox);
}

static void tear_down(void)
{
    leave();
    home_remove(&home);
}

/* @gap: the moment of one that the batch tells of; 0 for none */
static void hand_with_gap(uint64_t second, uint64_t gap)
{
    const struct gap_note note = {START + gap * SEC, START + gap * SEC, 1, 1};
    struct outbox_slot slot = {.carried = {.notes = {{0}}}};

    batch_init(&slot.batch, &batch_limits_default);
    batches_add(&slot.batch, START + second * SEC, SPAN("/proc/stat"), SPAN("cpu 1\n"));
    if (gap > 0)
        gaps_add(&slot.carried, GAP_SPOOL_FULL, &note);
    tracker_handed(tracker, &slot);
    batch_done(&slot.batch);
}

static void hand(uint64_t second)
{
    hand_with_gap(second, 0);
}

static void note(uint64_t first, uint64_t measurements)
{
    const struct tracker_unsafe unsafe = {first ? START + first * SEC : 0, measurements};

    tracker_note(tracker, &unsafe);
}

static void note_gap(enum gap_id id, uint64_t first, uint64_t last)
{
    struct gap_set gaps = {0};
    const struct gap_note gap = {START + first * SEC, START + last * SEC, 1, 1};

    gaps_add(&gaps, id, &gap);
    outbox_note_gaps(outbox, &gaps);
}

/* What the next agent, so long after the first, tells of. */
static struct gap_note loss_at(uint64_t after)
{
    struct gap_set gaps = {0};

    leave();
    begin(after);
    outbox_collect_gaps(outbox, OUTBOX_WAIT, &gaps);
    return gaps.notes[GAP_KILLED];
}

START_TEST(gap_is_in_the_mark_as_soon_as_it_is_noted)
{
    hand(10);
    note(0, 0);
    note_gap(GAP_SPOOL_FULL, 3, 5);
    struct gap_note lost = loss_at(20);
    ck_assert_uint_eq(lost.from_ns, START + 3 * SEC);
    ck_assert_uint_eq(lost.to_ns, START + 20 * SEC);
}
END_TEST

/* What the mark says of the rest is still true: the batch is not safe yet. */
START_TEST(gap_that_comes_between_hides_no_batch)
{
    hand(10);
    note(0, 0);
    hand(15);
    note_gap(GAP_SPOOL_FULL, 14, 14);
    struct gap_note lost = loss_at(20);
    ck_assert_uint_le(lost.from_ns, START + 11 * SEC);
    ck_assert_uint_eq(lost.to_ns, START + 20 * SEC);
}
END_TEST

/* Room is made for a batch that tells of a gap itself, and isn't on the disk yet. */
START_TEST(gap_that_comes_between_hides_no_gap_of_a_batch)
{
    hand_with_gap(10, 3);
    note(0, 0); /* now that one is safe */
    hand_with_gap(15, 8);
    note_gap(GAP_SPOOL_FULL, 9, 9);
    ck_assert_uint_eq(loss_at(20).from_ns, START + 8 * SEC);
}
END_TEST

START_TEST(loss_before_is_told_until_its_batch_is_safe)
{
    hand(10);
    note(8, 3);
    ck_assert_uint_eq(loss_at(20).from_ns, START + 8 * SEC);
    leave();
    begin(25); /* nothing of it was noted */
    struct gap_set gaps = {0};
    outbox_collect_gaps(outbox, OUTBOX_WAIT, &gaps);
    ck_assert_uint_eq(gaps.notes[GAP_KILLED].from_ns, START + 8 * SEC);
    note(0, 0); /* it is on its way, with the sampler */
    ck_assert_uint_eq(loss_at(30).from_ns, START + 8 * SEC);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pcc_tracker");
    TCase *c = tcase_create("tracker");

    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_add_test(c, gap_is_in_the_mark_as_soon_as_it_is_noted);
    tcase_add_test(c, gap_that_comes_between_hides_no_batch);
    tcase_add_test(c, gap_that_comes_between_hides_no_gap_of_a_batch);
    tcase_add_test(c, loss_before_is_told_until_its_batch_is_safe);
    suite_add_tcase(suite, c);
    return suite_run(suite);
}
