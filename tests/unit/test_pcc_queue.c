/* SPDX-License-Identifier: MIT */
#include "common/units.h"
#include "pcc/queue.h"
#include "pcc/session.h"
#include "pcc/spooler.h"
#include "tests/lib/fault.h"
#include "tests/lib/suite.h"

#include <errno.h>

#define SESSION UINT64_C(0x1111)

static struct queue queue;
static struct session session;
static struct spooler spooler;
static struct loss loss;
static struct counters counters;
static struct outbox *outbox;
static struct pcc_conf conf = {
    .queue_max_bytes = 40 * 1024,
    .spool_max_bytes = 64 * MIB,
};
static uint8_t bytes[64 * 1024];

static void begin_session(uint64_t id)
{
    session = (struct session){.id = id, .next_seq = 1};
}

static void set_up(void)
{
    counters = (struct counters){0};
    conf.spool_full = PCC_FULL_DROP;
    ck_assert_int_eq(outbox_new(OUTBOX_SLOTS, 1, 1, &counters, &outbox), 0);
    loss_init(&loss, outbox, &counters);
    spooler_init(&spooler, &conf, NULL, outbox, &loss);
    queue_init(&queue);
    begin_session(SESSION);
}

static void tear_down(void)
{
    queue_done(&queue);
    outbox_free(outbox);
}

static struct queue_batch batch_of(size_t n, uint64_t measurements)
{
    return (struct queue_batch){
        .body = span_of(bytes, n),
        .label = {.form = {MEDIA_MSGPACK, CODING_GZIP}, .range = {1, 2, 1, measurements}},
    };
}

static void push_batch(struct queue_batch *batch)
{
    session_number(&session, &batch->label);
    ck_assert_int_eq(queue_push(&queue, batch), 0);
}

static void push(size_t n)
{
    struct queue_batch batch = batch_of(n, 5);

    push_batch(&batch);
}

/* Numbers the halves and puts them into the place of the first batch. */
static void split(struct queue_batch halves[2])
{
    struct label labels[2] = {halves[0].label, halves[1].label};

    session_number_halves(&session, &queue.head->label, labels);
    labels[0].carried = queue.head->label.carried;
    halves[0].label = labels[0];
    halves[1].label = labels[1];
    ck_assert_int_eq(queue_split(&queue, halves), 0);
}

/* Drops what is beyond the maximum. Return: how many measurements were lost. */
static uint64_t trim(void)
{
    uint64_t before = counters.dropped;

    spooler_room(&spooler, &queue);
    return counters.dropped - before;
}

static struct gap_set collect(void)
{
    struct gap_set gaps = {0};

    outbox_collect_gaps(outbox, OUTBOX_WAIT, &gaps);
    return gaps;
}

/* The SEQs from the oldest on. */
static void assert_seqs(const uint64_t *seqs, size_t n)
{
    const struct queue_item *item = queue.head;

    ck_assert_uint_eq(queue.n, n);
    for (size_t i = 0; i < n; i++, item = item->next)
        ck_assert_uint_eq(item->label.seq, seqs[i]);
    ck_assert_ptr_null(item);
}

START_TEST(batches_keep_their_order_and_count_up)
{
    for (int i = 0; i < 3; i++)
        push(100);
    assert_seqs((const uint64_t[]){1, 2, 3}, 3);
    ck_assert_uint_eq(queue_measurements(&queue), 15);
    queue_pop(&queue);
    push(100);
    assert_seqs((const uint64_t[]){2, 3, 4}, 3);
    while (queue.n > 0)
        queue_pop(&queue);
    ck_assert_uint_eq(queue.bytes, 0);
    push(100);
    assert_seqs((const uint64_t[]){5}, 1);
}
END_TEST

/* First ticks from the oldest on. */
static void assert_ticks(const uint64_t *ticks, size_t n)
{
    const struct queue_item *item = queue.head;

    ck_assert_uint_eq(queue.n, n);
    for (size_t i = 0; i < n; i++, item = item->next)
        ck_assert_uint_eq(item->label.first_tick, ticks[i]);
}

static void push_ticks(uint64_t ticks)
{
    struct queue_batch batch = batch_of(100, ticks);

    batch.label.range.ticks = ticks;
    push_batch(&batch);
}

START_TEST(ticks_are_numbered_through_the_session)
{
    push_ticks(3);
    push_ticks(1);
    push_ticks(5);
    assert_ticks((const uint64_t[]){0, 3, 4}, 3);
    queue_pop(&queue);
    begin_session(0x2222);
    push_ticks(2);
    push_ticks(1);
    assert_ticks((const uint64_t[]){3, 4, 0, 2}, 4);
}
END_TEST

START_TEST(halves_share_the_ticks_of_the_whole)
{
    struct queue_batch halves[2] = {batch_of(50, 2), batch_of(60, 3)};

    halves[0].label.range.ticks = 2;
    halves[1].label.range.ticks = 3;
    push_ticks(4);
    push_ticks(5);
    queue_pop(&queue);
    push_ticks(1);
    split(halves);
    assert_ticks((const uint64_t[]){4, 6, 9}, 3);
    push_ticks(1);
    assert_ticks((const uint64_t[]){4, 6, 9, 10}, 4);
}
END_TEST

/* They get SEQs of the new session, in which the old numbers may be another batch's. */
START_TEST(halves_of_an_older_session_get_the_next_ticks_of_the_new_one)
{
    struct queue_batch halves[2] = {batch_of(50, 2), batch_of(60, 3)};

    halves[0].label.range.ticks = 2;
    halves[1].label.range.ticks = 3;
    push_ticks(5);
    begin_session(0x2222);
    push_ticks(7);
    split(halves);
    push_ticks(1);
    assert_ticks((const uint64_t[]){7, 9, 0, 12}, 4);
}
END_TEST

static void push_held(uint64_t held_bytes)
{
    struct queue_batch batch = batch_of(0, 5);

    batch.held_bytes = held_bytes;
    push_batch(&batch);
}

START_TEST(held_batch_counts_as_the_bytes_that_it_is_held_in)
{
    push_held(20000);
    push(7000);
    push(7000);
    ck_assert_uint_eq(trim(), 0);
    ck_assert_uint_ge(queue.bytes, 30000);
    push(7000);
    ck_assert_uint_eq(trim(), 5);
    assert_seqs((const uint64_t[]){2, 3, 4}, 3);
    while (queue.n > 0)
        queue_pop(&queue);
    ck_assert_uint_eq(queue.bytes, 0);
}
END_TEST

START_TEST(held_batch_in_flight_is_never_dropped)
{
    push_held(20000);
    queue.head->in_flight = true;
    for (int i = 0; i < 4; i++) {
        push(7000);
        (void)trim();
    }
    assert_seqs((const uint64_t[]){1, 4, 5}, 3);
}
END_TEST

START_TEST(full_queue_drops_the_oldest_with_what_it_told_of)
{
    struct queue_batch telling = batch_of(10000, 7);

    gaps_add(&telling.label.carried, GAP_MISSED, &(struct gap_note){1, 1, 3, 3});
    push_batch(&telling);
    for (int i = 0; i < 3; i++) {
        push(10000);
        ck_assert_uint_eq(trim(), i < 2 ? 0 : 7);
    }
    assert_seqs((const uint64_t[]){2, 3, 4}, 3);
    ck_assert_uint_le(queue.bytes, conf.queue_max_bytes);
    struct gap_set lost = collect();
    ck_assert_uint_eq(lost.notes[GAP_FULL].measurements, 7);
    ck_assert_uint_eq(lost.notes[GAP_MISSED].ticks, 3);
}
END_TEST

START_TEST(batch_in_flight_is_never_dropped)
{
    push(10000);
    queue.head->in_flight = true;
    for (int i = 0; i < 5; i++) {
        push(10000);
        (void)trim();
    }
    assert_seqs((const uint64_t[]){1, 5, 6}, 3);
    ck_assert_uint_eq(collect().notes[GAP_FULL].measurements, 15);
}
END_TEST

START_TEST(lone_batch_may_be_larger_than_the_queue)
{
    push(60000);
    ck_assert_uint_eq(trim(), 0);
    push(100);
    ck_assert_uint_eq(trim(), 5);
    assert_seqs((const uint64_t[]){2}, 1);
}
END_TEST

START_TEST(halves_take_the_place_of_the_first_with_new_numbers)
{
    struct queue_batch halves[2] = {batch_of(50, 2), batch_of(60, 3)};

    push(100);
    push(100);
    gaps_add(&queue.head->label.carried, GAP_FULL, &(struct gap_note){1, 1, 1, 1});
    split(halves);
    assert_seqs((const uint64_t[]){3, 4, 2}, 3);
    ck_assert_uint_eq(queue_measurements(&queue), 10);
    ck_assert(!gaps_empty(&queue.head->label.carried));
    ck_assert(gaps_empty(&queue.head->next->label.carried));
    push(100); /* goes to the end still */
    assert_seqs((const uint64_t[]){3, 4, 2, 5}, 4);
}
END_TEST

START_TEST(only_batch_can_be_split_too)
{
    struct queue_batch halves[2] = {batch_of(50, 2), batch_of(60, 3)};

    push(100);
    split(halves);
    push(100);
    assert_seqs((const uint64_t[]){2, 3, 4}, 3);
}
END_TEST

START_TEST(floor_is_the_lowest_number_still_to_be_sent)
{
    struct queue_batch halves[2] = {batch_of(50, 2), batch_of(60, 3)};

    for (int i = 0; i < 4; i++)
        push(100);
    ck_assert_uint_eq(queue_floor(&queue, queue.head->label.session), 1);
    queue_pop(&queue);
    ck_assert_uint_eq(queue_floor(&queue, queue.head->label.session), 2);
    split(halves); /* 5 6 3 4 */
    ck_assert_uint_eq(queue_floor(&queue, queue.head->label.session), 3);
    split(halves); /* 7 8 6 3 4 */
    ck_assert_uint_eq(queue_floor(&queue, queue.head->label.session), 3);
    for (int i = 0; i < 3; i++)
        queue_pop(&queue);
    queue_pop(&queue);
    ck_assert_uint_eq(queue_floor(&queue, queue.head->label.session), 4);
}
END_TEST

START_TEST(floor_of_halves_alone_is_the_first_of_them)
{
    struct queue_batch halves[2] = {batch_of(50, 2), batch_of(60, 3)};

    push(100);
    split(halves); /* 2 3 */
    ck_assert_uint_eq(queue_floor(&queue, queue.head->label.session), 2);
    split(halves); /* 4 5 3 */
    ck_assert_uint_eq(queue_floor(&queue, queue.head->label.session), 3);
}
END_TEST

START_TEST(new_session_counts_from_one_and_old_batches_keep_theirs)
{
    push(100);
    push(100);
    begin_session(0x2222);
    push(100);
    assert_seqs((const uint64_t[]){1, 2, 1}, 3);
    ck_assert_uint_eq(queue.head->label.session, SESSION);
    ck_assert_uint_eq(queue_floor(&queue, queue.head->label.session), 1);
    queue_pop(&queue);
    ck_assert_uint_eq(queue_floor(&queue, queue.head->label.session), 2);
    queue_pop(&queue);
    ck_assert_uint_eq(queue.head->label.session, 0x2222);
    ck_assert_uint_eq(queue_floor(&queue, queue.head->label.session), 1);
}
END_TEST

START_TEST(floor_passes_over_batches_of_another_session)
{
    struct queue_batch halves[2] = {batch_of(50, 2), batch_of(60, 3)};

    push(100);
    push(100);
    begin_session(0x2222);
    for (int i = 0; i < 3; i++)
        push(100);
    split(halves);
    assert_seqs((const uint64_t[]){4, 5, 2, 1, 2, 3}, 6);
    ck_assert_uint_eq(queue_floor(&queue, queue.head->label.session), 1);
}
END_TEST

START_TEST(session_that_has_nothing_waiting_has_no_floor)
{
    ck_assert_uint_eq(queue_floor(&queue, SESSION), UINT64_MAX);
    push(100);
    ck_assert_uint_eq(queue_floor(&queue, 0x2222), UINT64_MAX);
}
END_TEST

/* Nothing is dropped before sampling has stopped, and it goes on well before it would
 * have to stop again. */
START_TEST(sampling_stops_while_there_is_no_room_if_that_is_wanted)
{
    conf.spool_full = PCC_FULL_STOP;
    spooler_init(&spooler, &conf, NULL, outbox, &loss);
    push(10000);
    ck_assert_uint_eq(trim(), 0);
    ck_assert(!outbox_held(outbox));
    push(10000);
    ck_assert_uint_eq(trim(), 0);
    ck_assert(outbox_held(outbox));
    push(10000);
    ck_assert_uint_eq(trim(), 0);
    queue_pop(&queue);
    (void)trim();
    ck_assert(outbox_held(outbox));
    queue_pop(&queue);
    queue_pop(&queue);
    (void)trim();
    ck_assert(!outbox_held(outbox));
}
END_TEST

START_TEST(steady_traffic_allocates_nothing)
{
    struct queue_batch batch = batch_of(9000, 5);
    int r = 0;

    push(11000); /* the largest */
    queue_pop(&queue);
    fault_arm(0);
    for (size_t i = 0; i < 50 && r == 0; i++) {
        batch.body.n = 8500 + i * 50;
        r = queue_push(&queue, &batch);
        if (r == 0)
            queue_pop(&queue);
    }
    bool fired = fault_disarm();
    ck_assert_int_eq(r, 0);
    ck_assert(!fired);
}
END_TEST

START_TEST(steady_traffic_of_held_batches_allocates_nothing)
{
    struct queue_batch batch = batch_of(0, 5);
    int r = 0;

    batch.held_bytes = 1000;
    push_held(1000);
    queue_pop(&queue);
    fault_arm(0);
    for (size_t i = 0; i < 50 && r == 0; i++) {
        r = queue_push(&queue, &batch);
        if (r == 0)
            queue_pop(&queue);
    }
    bool fired = fault_disarm();
    ck_assert_int_eq(r, 0);
    ck_assert(!fired);
}
END_TEST

START_TEST(queue_is_as_it_was_wherever_memory_runs_out)
{
    struct queue_batch halves[2] = {batch_of(5000, 2), batch_of(6000, 3)};
    bool fired = true;

    push(100);
    for (long nth = 0; fired; nth++) {
        fault_arm(nth);
        int r = queue_split(&queue, halves);
        fired = fault_disarm();
        ck_assert_int_eq(r, fired ? -ENOMEM : 0);
        ck_assert_uint_eq(queue.n, fired ? 1 : 2);
        ck_assert_uint_eq(queue_measurements(&queue), 5);
    }
    fired = true;
    for (long nth = 0; fired; nth++) {
        struct queue_batch large = batch_of(50000, 1);
        fault_arm(nth);
        int r = queue_push(&queue, &large);
        fired = fault_disarm();
        ck_assert_int_eq(r, fired ? -ENOMEM : 0);
        ck_assert_uint_eq(queue.n, fired ? 2 : 3);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pcc_queue");
    TCase *c = tcase_create("queue");

    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_add_test(c, batches_keep_their_order_and_count_up);
    tcase_add_test(c, ticks_are_numbered_through_the_session);
    tcase_add_test(c, halves_share_the_ticks_of_the_whole);
    tcase_add_test(c, halves_of_an_older_session_get_the_next_ticks_of_the_new_one);
    tcase_add_test(c, held_batch_counts_as_the_bytes_that_it_is_held_in);
    tcase_add_test(c, held_batch_in_flight_is_never_dropped);
    tcase_add_test(c, full_queue_drops_the_oldest_with_what_it_told_of);
    tcase_add_test(c, batch_in_flight_is_never_dropped);
    tcase_add_test(c, lone_batch_may_be_larger_than_the_queue);
    tcase_add_test(c, halves_take_the_place_of_the_first_with_new_numbers);
    tcase_add_test(c, only_batch_can_be_split_too);
    tcase_add_test(c, floor_is_the_lowest_number_still_to_be_sent);
    tcase_add_test(c, floor_of_halves_alone_is_the_first_of_them);
    tcase_add_test(c, new_session_counts_from_one_and_old_batches_keep_theirs);
    tcase_add_test(c, floor_passes_over_batches_of_another_session);
    tcase_add_test(c, session_that_has_nothing_waiting_has_no_floor);
    tcase_add_test(c, sampling_stops_while_there_is_no_room_if_that_is_wanted);
    tcase_add_test(c, steady_traffic_allocates_nothing);
    tcase_add_test(c, steady_traffic_of_held_batches_allocates_nothing);
    tcase_add_test(c, queue_is_as_it_was_wherever_memory_runs_out);
    suite_add_tcase(suite, c);
    return suite_run(suite);
}
