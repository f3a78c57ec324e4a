/* SPDX-License-Identifier: MIT */
#include "common/units.h"
#include "pcc/backlog.h"
#include "pcc/recode.h"
#include "tests/lib/batches.h"
#include "tests/lib/fault.h"
#include "tests/lib/suite.h"
#include "tests/unit/queue_room.h"

#include <errno.h>

/* Seconds in these tests count from here: the protocol takes none before 2000. */
#define START (UINT64_C(1700000000) * SEC)

static const struct form best = {MEDIA_MSGPACK, CODING_GZIP};
static const struct form plain = {MEDIA_JSON, CODING_IDENTITY};

static struct pcc_conf conf;
static struct counters counters;
static struct outbox *outbox;
static struct backlog *backlog;
static struct recoder *recoder;
static struct agreement agreement;

static void set_up(void)
{
    conf = (struct pcc_conf){.identifier = "h1",
                             .queue_max_bytes = 16 * ITEM_BYTES,
                             .spool_max_bytes = 64 * MIB,
                             .compression_level = 1,
                             .snapshot_interval = 1000};
    counters = (struct counters){0};
    agreement_init(&agreement, best);
    ck_assert_int_eq(outbox_new(OUTBOX_SLOTS, 10, 1000, &counters, &outbox), 0);
    ck_assert_int_eq(backlog_new(&conf, outbox, &counters, NULL, &backlog), 0);
    ck_assert_int_eq(recode_new(1, 0, &recoder), 0);
}

static void tear_down(void)
{
    recode_free(recoder);
    backlog_free(backlog);
    outbox_free(outbox);
}

/* A batch of @ticks ticks with two measurements each, from second @from on. */
static void add(uint64_t from, uint64_t ticks)
{
    struct outbox_slot slot = {0};

    gaps_add(&slot.carried, GAP_MISSED, &(struct gap_note){from, from, 1, 5});
    batch_init(&slot.batch, &batch_limits_default);
    for (uint64_t t = from; t < from + ticks; t++) {
        batches_add(&slot.batch, START + t * SEC, SPAN("/proc/stat"), SPAN("cpu 1\n"));
        batches_add(&slot.batch, START + t * SEC, SPAN("/proc/meminfo"),
                    SPAN("\xff raw\n"));
    }
    (void)backlog_add(backlog, &slot, &agreement, 0);
    batch_done(&slot.batch);
}

/* Begins with the oldest, reads it back, and says how many measurements it has from which
 * second on. */
static struct backlog_post assert_oldest(struct form form, uint64_t from, size_t n)
{
    struct backlog_post post;
    CLEANUP(batch_done) struct batch got;

    batch_init(&got, &batch_limits_default);
    ck_assert_int_eq(backlog_begin(backlog, &agreement, 0, &post), 0);
    ck_assert_int_eq((int)post.form.media, (int)form.media);
    ck_assert_int_eq((int)post.form.coding, (int)form.coding);
    ck_assert_uint_eq(post.n_measurements, n);
    ck_assert_int_eq(recode_decode(recoder, post.body, post.form, &got), 0);
    ck_assert(span_equal(batch_identifier(&got), SPAN("h1")));
    ck_assert_uint_eq(got.n_items, n);
    ck_assert_uint_eq(got.items[0].time_ns, START + from * SEC);
    ck_assert(span_equal(batch_get(&got, 1).text, SPAN("\xff raw\n")));
    return post;
}

static struct gap_set collect(void)
{
    struct gap_set gaps = {0};

    outbox_collect_gaps(outbox, OUTBOX_WAIT, &gaps);
    return gaps;
}

START_TEST(batch_stays_until_it_is_stored)
{
    add(1, 3);
    uint64_t session = assert_oldest(best, 1, 6).session;
    backlog_give_back(backlog);
    struct backlog_post again = assert_oldest(best, 1, 6);
    ck_assert_uint_eq(again.session, session);
    ck_assert_uint_eq(again.seq, 1);
    ck_assert_uint_eq(again.floor, 1);
    backlog_stored(backlog, false, 0);
    ck_assert_uint_eq(backlog_due_ns(backlog), UINT64_MAX);
}
END_TEST

/* Of the second batch, which was encoded while the first one waited. */
START_TEST(batch_is_brought_into_the_form_that_is_taken)
{
    add(1, 1);
    add(2, 3);
    backlog_reject(backlog, "out of the way");
    ck_assert(agreement_refused(&agreement, best, 0));
    struct backlog_post post = assert_oldest(plain, 2, 6);
    ck_assert(span_starts_with(post.body, SPAN("{\"identifier\":\"h1\",")));
    ck_assert_uint_eq(post.seq, 2);
    backlog_give_back(backlog);
    agreement_init(&agreement, best);
    (void)assert_oldest(best, 2, 6);
}
END_TEST

START_TEST(batch_that_finds_the_queue_empty_is_encoded_when_it_is_sent)
{
    add(1, 3);
    ck_assert(agreement_refused(&agreement, best, 0));
    (void)assert_oldest(plain, 1, 6);
    backlog_give_back(backlog);
    agreement_init(&agreement, best);
    (void)assert_oldest(best, 1, 6);
    backlog_stored(backlog, false, 0);
    ck_assert(agreement_refused(&agreement, best, 0));
    add(4, 1);
    agreement_init(&agreement, best);
    (void)assert_oldest(best, 4, 2);
}
END_TEST

/* 40 KiB of text that compress to nothing: they count as what they take. */
START_TEST(batch_that_is_not_encoded_counts_in_the_queue)
{
    struct outbox_slot slot = {0};
    static uint8_t text[11 * ITEM_BYTES - 256]; /* beside an item of its own */

    batch_init(&slot.batch, &batch_limits_default);
    batches_add(&slot.batch, START, SPAN("/proc/stat"), span_of(text, sizeof text));
    (void)backlog_add(backlog, &slot, &agreement, 0);
    batch_done(&slot.batch);
    for (uint64_t t = 1; t <= 4; t++)
        add(t, 1);
    ck_assert_uint_eq(counters.dropped, 0);
    add(5, 1);
    ck_assert_uint_eq(counters.dropped, 1);
    ck_assert_uint_eq(collect().notes[GAP_FULL].from_ns, START);
    (void)assert_oldest(best, 1, 2);
}
END_TEST

START_TEST(batch_that_was_dropped_before_it_was_encoded_leaves_no_trace)
{
    for (uint64_t t = 1; t <= 20; t++)
        add(t, 1); /* the first was held, and dropped */
    for (uint64_t t = 5; t <= 20; t++) {
        (void)assert_oldest(best, t, 2);
        backlog_stored(backlog, false, 0);
    }
    add(21, 3);
    (void)assert_oldest(best, 21, 6);
}
END_TEST

START_TEST(slot_gets_an_empty_batch_with_as_much_room)
{
    struct outbox_slot *open;
    struct batch *batch;

    for (int i = 0; i < 3; i++) {
        open = outbox_open(outbox);
        batch = &open->batch;
        const void *bytes = batch->bytes.data;
        batches_add(batch, START, SPAN("/proc/stat"), SPAN("cpu 1\n"));
        ck_assert_int_eq(outbox_seal(outbox, OUTBOX_WAIT), 0);
        ck_assert_ptr_eq(outbox_take(outbox), open);
        (void)backlog_add(backlog, open, &agreement, 0);
        ck_assert_ptr_ne(batch->bytes.data, bytes);
        ck_assert_uint_eq(batch->n_items, 0);
        ck_assert_uint_eq(batch->identifier_n, 0);
        ck_assert_uint_ge(batch->bytes.cap, 1000);
        ck_assert_uint_ge(batch->cap_items, 10);
        outbox_release(outbox, open);
        struct backlog_post post;
        ck_assert_int_eq(backlog_begin(backlog, &agreement, 0, &post), 0);
        backlog_stored(backlog, false, 0);
    }
}
END_TEST

START_TEST(batches_that_are_sent_in_time_take_turns_in_two_memories)
{
    const void *bytes[6];

    for (size_t i = 0; i < sizeof bytes / sizeof bytes[0]; i++) {
        struct outbox_slot *open = outbox_open(outbox);
        struct backlog_post post;
        bytes[i] = open->batch.bytes.data;
        batches_add(&open->batch, START, SPAN("/proc/stat"), SPAN("cpu 1\n"));
        ck_assert_int_eq(outbox_seal(outbox, OUTBOX_WAIT), 0);
        ck_assert_ptr_eq(outbox_take(outbox), open);
        (void)backlog_add(backlog, open, &agreement, 0);
        outbox_release(outbox, open);
        ck_assert_int_eq(backlog_begin(backlog, &agreement, 0, &post), 0);
        backlog_stored(backlog, false, 0);
        if (i >= 2)
            ck_assert_ptr_eq(bytes[i], bytes[i - 2]);
    }
}
END_TEST

START_TEST(too_large_batch_is_cut_at_a_tick_down_to_one)
{
    add(1, 5);
    (void)assert_oldest(best, 1, 10);
    backlog_give_back(backlog);
    ck_assert_int_eq(backlog_split(backlog), 0); /* 2 and 3 ticks */
    struct backlog_post post = assert_oldest(best, 1, 4);
    ck_assert_uint_eq(post.seq, 2);
    ck_assert_uint_eq(post.floor, 2);
    backlog_give_back(backlog);
    ck_assert_int_eq(backlog_split(backlog), 0);
    (void)assert_oldest(best, 1, 2);
    backlog_give_back(backlog);
    ck_assert_uint_eq(backlog_measurements(backlog), 10);

    /* One tick can't be cut. */
    ck_assert_int_eq(backlog_split(backlog), 0);
    ck_assert_uint_eq(counters.rejected, 2);
    (void)assert_oldest(best, 2, 2);
    backlog_stored(backlog, false, 0);
    post = assert_oldest(best, 3, 6);
    ck_assert_uint_eq(post.seq, 3);
    struct gap_set gaps = collect();
    ck_assert_uint_eq(gaps.notes[GAP_REJECTED].measurements, 2);
    ck_assert_uint_eq(gaps.notes[GAP_REJECTED].from_ns, START + SEC);
}
END_TEST

/* A host whose clock was never set: no server takes its time, and neither do we. */
START_TEST(batch_that_cannot_be_read_back_is_rejected)
{
    struct outbox_slot slot = {0};
    struct backlog_post post;

    add(1, 1);
    batch_init(&slot.batch, &batch_limits_default);
    batches_add(&slot.batch, SEC, SPAN("/proc/stat"), SPAN("cpu 1\n"));
    batches_add(&slot.batch, 2 * SEC, SPAN("/proc/stat"), SPAN("cpu 1\n"));
    (void)backlog_add(backlog, &slot, &agreement, 0);
    batch_done(&slot.batch);
    add(5, 1);
    (void)assert_oldest(best, 1, 2);
    backlog_stored(backlog, false, 0);
    ck_assert(agreement_refused(&agreement, best, 0));
    ck_assert_int_eq(backlog_begin(backlog, &agreement, 0, &post), E_MALFORMED);
    ck_assert_int_eq(backlog_split(backlog), 0);
    ck_assert_uint_eq(counters.rejected, 2);
    ck_assert_uint_eq(collect().notes[GAP_REJECTED].measurements, 2);
    (void)assert_oldest(plain, 5, 2);
}
END_TEST

START_TEST(rejected_batch_becomes_a_gap)
{
    add(1, 3);
    add(4, 1);
    backlog_reject(backlog, "bad");
    ck_assert_uint_eq(counters.rejected, 6);
    struct gap_set gaps = collect();
    ck_assert_uint_eq(gaps.notes[GAP_REJECTED].ticks, 3);
    ck_assert_uint_eq(gaps.notes[GAP_MISSED].ticks, 1); /* that the first one told of */
    ck_assert_uint_eq(gaps.notes[GAP_MISSED].from_ns, 1);
    ck_assert_uint_eq(gaps.notes[GAP_REJECTED].to_ns, START + 3 * SEC);
    (void)assert_oldest(best, 4, 2);
}
END_TEST

START_TEST(full_backlog_drops_the_oldest_as_a_gap)
{
    for (uint64_t t = 1; t <= 20; t++)
        add(t, 1); /* there is room for 16 */
    ck_assert_uint_eq(counters.dropped, 8);
    struct gap_set gaps = collect();
    ck_assert_uint_eq(gaps.notes[GAP_FULL].ticks, 4);
    ck_assert_uint_eq(gaps.notes[GAP_FULL].from_ns, START + SEC);
    ck_assert_uint_eq(gaps.notes[GAP_FULL].to_ns, START + 4 * SEC);
    struct backlog_post post = assert_oldest(best, 5, 2);
    ck_assert_uint_eq(post.seq, 5);
    ck_assert_uint_eq(post.floor, 5);
}
END_TEST

/* Wherever memory runs out: all is queued, or all is a gap. */
START_TEST(batch_that_finds_no_memory_becomes_a_gap)
{
    struct outbox_slot slot = {0};
    uint64_t n = 0;
    bool fired = true;

    batch_init(&slot.batch, &batch_limits_default);
    for (long nth = 0; fired; nth++) {
        backlog_free(backlog);
        ck_assert_int_eq(backlog_new(&conf, outbox, &counters, NULL, &backlog), 0);
        if (_i > 0)
            add(1, 1); /* then the next is encoded at once */
        batch_reset(&slot.batch);
        batches_add(&slot.batch, START + SEC, SPAN("/proc/stat"), SPAN("cpu 1\n"));
        uint64_t before = backlog_measurements(backlog);
        fault_arm(nth);
        (void)backlog_add(backlog, &slot, &agreement, 0);
        fired = fault_disarm();
        n += fired;
        ck_assert_uint_eq(backlog_measurements(backlog), before + !fired);
        ck_assert_uint_eq(counters.dropped, n);
    }
    ck_assert_uint_gt(n, 0);
    ck_assert_uint_eq(collect().notes[GAP_UNENCODED].measurements, n);
    batch_done(&slot.batch);
}
END_TEST

/* Held, encoded, or to be brought into another form. */
START_TEST(batch_stays_wherever_memory_runs_out_while_it_is_begun)
{
    struct backlog_post post;
    bool fired = true;

    add(1, 3);
    add(4, 3);
    if (_i > 0)
        backlog_reject(backlog, "out of the way");
    if (_i > 1)
        ck_assert(agreement_refused(&agreement, best, 0));
    const uint64_t n = backlog_measurements(backlog);
    for (long nth = 0; fired; nth++) {
        fault_arm(nth);
        int r = backlog_begin(backlog, &agreement, 0, &post);
        fired = fault_disarm();
        ck_assert_int_eq(r, fired ? -ENOMEM : 0);
        ck_assert_uint_eq(backlog_measurements(backlog), n);
    }
    backlog_give_back(backlog);
    (void)assert_oldest(_i > 1 ? plain : best, _i > 0 ? 4 : 1, 6);
}
END_TEST

/* A round of all that a batch goes through. */
static int one_round(struct outbox_slot *slot, const struct batch *tick)
{
    struct backlog_post post;
    int r = batch_append_range(&slot->batch, tick, 0, tick->n_items);

    if (r)
        return r;
    (void)backlog_add(backlog, slot, &agreement, 0);
    r = backlog_begin(backlog, &agreement, 0, &post);
    if (r == 0)
        backlog_stored(backlog, false, 0);
    batch_reset(&slot->batch);
    return r;
}

START_TEST(steady_traffic_allocates_nothing)
{
    struct outbox_slot slot = {0};
    CLEANUP(batch_done) struct batch tick;
    int r = 0;

    batch_init(&tick, &batch_limits_default);
    batches_add(&tick, START, SPAN("/proc/stat"), SPAN("cpu  1 2 3\ncpu0 1 2 3\n"));
    batches_add(&tick, START, SPAN("/proc/uptime"), SPAN("1.25 2.50\n"));
    batch_init(&slot.batch, &batch_limits_default);
    for (int i = 0; i < 3 && r == 0; i++)
        r = one_round(&slot, &tick);
    ck_assert_int_eq(r, 0);
    fault_arm(0);
    for (int i = 0; i < 50 && r == 0; i++)
        r = one_round(&slot, &tick);
    bool fired = fault_disarm();
    ck_assert_int_eq(r, 0);
    ck_assert(!fired);
    batch_done(&slot.batch);
}
END_TEST

START_TEST(batch_is_whole_wherever_memory_runs_out_while_it_is_split)
{
    bool fired = true;

    add(1, 4);
    add(5, 4);
    if (_i > 0)
        backlog_reject(backlog, "out of the way");
    const uint64_t n = backlog_measurements(backlog);
    for (long nth = 0; fired; nth++) {
        fault_arm(nth);
        int r = backlog_split(backlog);
        fired = fault_disarm();
        ck_assert_int_eq(r, fired ? -ENOMEM : 0);
        ck_assert_uint_eq(backlog_measurements(backlog), n);
    }
    (void)assert_oldest(best, _i > 0 ? 5 : 1, 4);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pcc_backlog");
    TCase *c = tcase_create("backlog");

    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_add_test(c, batch_stays_until_it_is_stored);
    tcase_add_test(c, batch_is_brought_into_the_form_that_is_taken);
    tcase_add_test(c, batch_that_finds_the_queue_empty_is_encoded_when_it_is_sent);
    tcase_add_test(c, batch_that_is_not_encoded_counts_in_the_queue);
    tcase_add_test(c, batch_that_was_dropped_before_it_was_encoded_leaves_no_trace);
    tcase_add_test(c, slot_gets_an_empty_batch_with_as_much_room);
    tcase_add_test(c, batches_that_are_sent_in_time_take_turns_in_two_memories);
    tcase_add_test(c, too_large_batch_is_cut_at_a_tick_down_to_one);
    tcase_add_test(c, batch_that_cannot_be_read_back_is_rejected);
    tcase_add_test(c, rejected_batch_becomes_a_gap);
    tcase_add_test(c, full_backlog_drops_the_oldest_as_a_gap);
    tcase_add_loop_test(c, batch_that_finds_no_memory_becomes_a_gap, 0, 2);
    tcase_add_loop_test(c, batch_stays_wherever_memory_runs_out_while_it_is_begun, 0, 3);
    tcase_add_test(c, steady_traffic_allocates_nothing);
    tcase_add_loop_test(c, batch_is_whole_wherever_memory_runs_out_while_it_is_split, 0,
                        2);
    suite_add_tcase(suite, c);
    return suite_run(suite);
}
