/* SPDX-License-Identifier: MIT */
#include "common/units.h"
#include "pcc/sampler.h"
#include "pcc/sender.h"
#include "tests/lib/bytes.h"
#include "tests/lib/suite.h"
#include "tests/unit/pcc_tree.h"

#include <poll.h>

/* The threads themselves, with no more assumed of time than that it passes. */

static struct home home;
static struct counters counters;
static struct outbox *outbox;
static struct sources *sources;

static void set_up(void)
{
    home_make(&home);
    counters = (struct counters){0};
    tree_put(&home, "a", SPAN("1"));
    tree_put(&home, "b", SPAN("2"));
    ck_assert_int_eq(sources_new("/a,/b", home.path, &sources), 0);
    ck_assert_int_eq(outbox_new(OUTBOX_SLOTS, 100, 1000, &counters, &outbox), 0);
}

static void tear_down(void)
{
    sources_free(sources);
    outbox_free(outbox);
    home_remove(&home);
}

static struct sampler *start(const struct seal_rule *rule)
{
    struct sampler *s = NULL;

    ck_assert_int_eq(sampler_start(10 * MSEC, rule, sources, outbox, &counters, &s), 0);
    return s;
}

static void wait_for_ticks(uint64_t n)
{
    while (counters.ticks < n)
        (void)poll(NULL, 0, 1);
}

START_TEST(stop_seals_what_there_is_in_whole_ticks)
{
    const struct seal_rule rule = {.measurements = 1000, .bytes = MIB, .flush_ns = HOUR};
    struct sampler *s = start(&rule);

    wait_for_ticks(5);
    ck_assert_ptr_null(outbox_take(outbox));
    sampler_stop(s);
    struct outbox_slot *slot = outbox_take(outbox);
    ck_assert_ptr_nonnull(slot);
    ck_assert_uint_eq(slot->batch.n_ticks, counters.ticks);
    ck_assert_uint_eq(slot->batch.n_items, counters.measurements);
}
END_TEST

START_TEST(batches_are_sealed_at_the_end_of_the_tick_that_fills_them)
{
    const struct seal_rule rule = {.measurements = 3, .bytes = MIB, .flush_ns = HOUR};
    struct sampler *s = start(&rule);

    wait_for_ticks(2);
    sampler_stop(s);
    struct outbox_slot *slot = outbox_take(outbox);
    ck_assert_uint_eq(slot->batch.n_ticks, 2);
    ck_assert_uint_ge(slot->batch.n_items, 4);
}
END_TEST

START_TEST(ticks_go_on_though_nobody_takes_their_batches)
{
    const struct seal_rule rule = {.measurements = 1, .bytes = MIB, .flush_ns = HOUR};
    struct sampler *s = start(&rule);
    uint64_t kept = 0;

    wait_for_ticks(OUTBOX_SLOTS + 4);
    sampler_stop(s);
    for (struct outbox_slot *slot; (slot = outbox_take(outbox));) {
        kept += slot->batch.n_items;
        outbox_release(outbox, slot);
    }
    ck_assert_uint_gt(counters.behind, 0);
    ck_assert_uint_eq(kept + counters.behind, counters.measurements);
}
END_TEST

START_TEST(gap_travels_in_the_next_batch_even_the_last)
{
    const struct seal_rule rule = {.measurements = 1000, .bytes = MIB, .flush_ns = HOUR};
    struct gap_set noted = {0};
    struct sampler *s = start(&rule);

    wait_for_ticks(2);
    gaps_add(&noted, GAP_FULL, &(struct gap_note){SEC, SEC, 1, 9});
    outbox_note_gaps(outbox, &noted);
    sampler_stop(s);
    struct outbox_slot *slot = outbox_take(outbox);
    struct measurement last = batch_get(&slot->batch, slot->batch.n_items - 1);
    ck_assert(span_equal(last.subsystem, SPAN("pcc/gap")));
    ck_assert_uint_eq(slot->carried.notes[GAP_FULL].measurements, 9);
    ck_assert_uint_eq(slot->batch.n_items, counters.measurements);
}
END_TEST

/* A kill after the batch is delivered must find none in memory. */
START_TEST(gap_in_a_batch_is_told_by_that_batch)
{
    const struct seal_rule rule = {.measurements = 5, .bytes = MIB, .flush_ns = HOUR};
    struct outbox_slot *slot;

    outbox_hold(outbox, true);
    struct sampler *s = start(&rule); /* whose first tick is taken at once */
    while (counters.missed < 2)
        (void)poll(NULL, 0, 1);
    outbox_hold(outbox, false);
    while (!(slot = outbox_take(outbox)))
        (void)poll(NULL, 0, 1);
    struct measurement last = batch_get(&slot->batch, slot->batch.n_items - 1);
    ck_assert(span_equal(last.subsystem, SPAN("pcc/gap")));
    ck_assert_uint_ge(slot->carried.notes[GAP_HELD].ticks, 2);
    sampler_stop(s);
}
END_TEST

static size_t count_lines(struct span text)
{
    size_t n = 0;

    for (size_t i = 0; i < text.n; i++)
        n += text.data[i] == '\n';
    return n;
}

START_TEST(local_mode_writes_every_measurement)
{
    const struct seal_rule rule = {
        .measurements = UINT64_MAX, .bytes = MIB, .flush_ns = HOUR, .each_tick = true};
    struct collection *collection = NULL;
    struct sender *sender = NULL;
    char path[PATH_MAX + 16];
    CLEANUP(buf_done) struct buf text;

    buf_init(&text, BYTES_ROOM);
    (void)snprintf(path, sizeof path, "%s/pcc.json", home.path);
    ck_assert_int_eq(collection_new(path, &collection), 0);
    const struct sender_parts parts = {outbox, sources, &counters, collection, NULL};
    ck_assert_int_eq(sender_start(&parts, &sender), 0);
    struct sampler *s = start(&rule);
    wait_for_ticks(5);
    while (counters.appended == 0) /* before the end, without being told to */
        (void)poll(NULL, 0, 1);
    sampler_stop(s);
    ck_assert_uint_eq(sender_stop(sender, 0), 0);
    collection_free(collection);
    ck_assert_int_eq(io_read_file(home.fd, "pcc.json", &text), 0);
    ck_assert_uint_eq(counters.appended, counters.measurements - counters.behind);
    ck_assert_uint_eq(count_lines(buf_span(&text)), counters.appended);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pcc_sampler");
    TCase *c = tcase_create("sampler");

    tcase_set_timeout(c, 60);
    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_add_test(c, stop_seals_what_there_is_in_whole_ticks);
    tcase_add_test(c, batches_are_sealed_at_the_end_of_the_tick_that_fills_them);
    tcase_add_test(c, ticks_go_on_though_nobody_takes_their_batches);
    tcase_add_test(c, gap_travels_in_the_next_batch_even_the_last);
    tcase_add_test(c, gap_in_a_batch_is_told_by_that_batch);
    tcase_add_test(c, local_mode_writes_every_measurement);
    suite_add_tcase(suite, c);
    return suite_run(suite);
}
