/* SPDX-License-Identifier: MIT */
#include "common/units.h"
#include "pcc/outbox.h"
#include "tests/lib/batches.h"
#include "tests/lib/fault.h"
#include "tests/lib/suite.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>

/* The sender holds the lock as long as a test says so. */
static bool lock_is_busy;

int __real_pthread_mutex_trylock(pthread_mutex_t *m);
int __wrap_pthread_mutex_trylock(pthread_mutex_t *m);

int __wrap_pthread_mutex_trylock(pthread_mutex_t *m)
{
    return lock_is_busy ? EBUSY : __real_pthread_mutex_trylock(m);
}

static struct counters counters;
static struct outbox *outbox;

static void set_up(void)
{
    counters = (struct counters){0};
    lock_is_busy = false;
    ck_assert_int_eq(outbox_new(OUTBOX_SLOTS, 10, 1000, &counters, &outbox), 0);
}

static void tear_down(void)
{
    outbox_free(outbox);
}

static void fill(uint64_t seconds)
{
    struct batch *b = &outbox_open(outbox)->batch;

    batches_add(b, seconds * SEC, SPAN("a"), SPAN("x"));
    batches_add(b, seconds * SEC, SPAN("b"), SPAN("y"));
}

static void seal(uint64_t seconds)
{
    fill(seconds);
    ck_assert_int_eq(outbox_seal(outbox, OUTBOX_TRY), 0);
}

static bool is_awake(void)
{
    struct pollfd p = {.fd = outbox_fd(outbox), .events = POLLIN};

    return poll(&p, 1, 0) == 1;
}

static uint64_t time_of(const struct outbox_slot *slot)
{
    return slot->batch.items[0].time_ns / SEC;
}

START_TEST(sealed_batches_come_out_in_order_and_wake_the_sender)
{
    ck_assert(!is_awake());
    ck_assert_ptr_null(outbox_take(outbox));
    seal(1);
    ck_assert(is_awake());
    seal(2);
    outbox_clear(outbox);
    ck_assert(!is_awake());
    for (uint64_t i = 1; i <= 2; i++) {
        struct outbox_slot *slot = outbox_take(outbox);
        ck_assert_ptr_nonnull(slot);
        ck_assert_uint_eq(time_of(slot), i);
        ck_assert_uint_eq(slot->batch.n_items, 2);
        outbox_release(outbox, slot);
    }
    ck_assert_ptr_null(outbox_take(outbox));
    ck_assert_uint_eq(counters.behind, 0);
}
END_TEST

START_TEST(busy_lock_keeps_the_batch_open)
{
    fill(1);
    struct outbox_slot *open = outbox_open(outbox);
    lock_is_busy = true;
    ck_assert_int_eq(outbox_seal(outbox, OUTBOX_TRY), E_PENDING);
    ck_assert_int_eq(outbox_seal(outbox, OUTBOX_IF_IDLE), E_PENDING);
    ck_assert_ptr_eq(outbox_open(outbox), open);
    ck_assert(!is_awake());
    fill(2);
    lock_is_busy = false;
    ck_assert_int_eq(outbox_seal(outbox, OUTBOX_TRY), 0);
    struct outbox_slot *slot = outbox_take(outbox);
    ck_assert_uint_eq(slot->batch.n_items, 4);
    ck_assert_uint_eq(slot->batch.n_ticks, 2);
}
END_TEST

START_TEST(idle_seal_waits_for_a_sender_with_nothing_to_do)
{
    fill(1);
    ck_assert_int_eq(outbox_seal(outbox, OUTBOX_IF_IDLE), 0);
    fill(2);
    ck_assert_int_eq(outbox_seal(outbox, OUTBOX_IF_IDLE), E_PENDING); /* one is sealed */
    struct outbox_slot *slot = outbox_take(outbox);
    ck_assert_int_eq(outbox_seal(outbox, OUTBOX_IF_IDLE), E_PENDING); /* one is out */
    outbox_release(outbox, slot);
    ck_assert_int_eq(outbox_seal(outbox, OUTBOX_IF_IDLE), 0);
}
END_TEST

START_TEST(batch_reserved_like_its_own_takes_as_much_without_allocating)
{
    CLEANUP(batch_done) struct batch b;
    struct measurement m = {SEC, SPAN("a"), SPAN("xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx")};
    int r = 0;

    batch_init(&b, &batch_limits_default);
    ck_assert_int_eq(outbox_reserve(outbox, &b), 0);
    fault_arm(0);
    for (int i = 0; i < 10 && r == 0; i++)
        r = batch_append(&b, &m);
    bool fired = fault_disarm();
    ck_assert_int_eq(r, 0);
    ck_assert(!fired);
}
END_TEST

/* All but the open one and the one that is out. */
#define SEALED_MAX (OUTBOX_SLOTS - 2)

START_TEST(full_outbox_recycles_the_oldest_and_notes_a_gap)
{
    struct gap_set gaps = {0};

    seal(1);
    struct outbox_slot *out = outbox_take(outbox); /* a sender that hangs */
    for (uint64_t i = 0; i < SEALED_MAX; i++)
        seal(2 + i);
    ck_assert_uint_eq(counters.behind, 0);
    seal(2 + SEALED_MAX); /* its slot is batch 2's */
    ck_assert_uint_eq(counters.behind, 2);
    outbox_collect_gaps(outbox, OUTBOX_TRY, &gaps);
    ck_assert_uint_eq(gaps.notes[GAP_BEHIND].ticks, 1);
    ck_assert_uint_eq(gaps.notes[GAP_BEHIND].measurements, 2);
    ck_assert_uint_eq(gaps.notes[GAP_BEHIND].from_ns, 2 * SEC);
    ck_assert_uint_eq(time_of(out), 1); /* untouched */
    for (uint64_t i = 0; i < SEALED_MAX; i++) {
        outbox_release(outbox, out);
        out = outbox_take(outbox);
        ck_assert_uint_eq(time_of(out), 3 + i);
    }
}
END_TEST

START_TEST(recycled_batch_gives_back_the_gaps_it_told_of)
{
    struct gap_set gaps = {0};

    for (uint64_t i = 1; i <= OUTBOX_SLOTS; i++) {
        gaps_add(&outbox_open(outbox)->carried, GAP_MISSED,
                 &(struct gap_note){i * SEC, i * SEC, 1, 5});
        seal(i);
    }
    outbox_collect_gaps(outbox, OUTBOX_TRY, &gaps);
    ck_assert_uint_eq(gaps.notes[GAP_MISSED].ticks, 1);
    ck_assert_uint_eq(gaps.notes[GAP_MISSED].from_ns, SEC);
    ck_assert(gaps_empty(&outbox_open(outbox)->carried));
    ck_assert_uint_eq(outbox_open(outbox)->batch.n_items, 0);
}
END_TEST

/* So that memory that was never needed is never touched. */
START_TEST(sender_that_keeps_up_uses_two_batches_only)
{
    const struct outbox_slot *seen[2] = {outbox_open(outbox), NULL};

    for (uint64_t i = 0; i < 3 * OUTBOX_SLOTS; i++) {
        seal(i);
        struct outbox_slot *out = outbox_take(outbox);
        if (!seen[1] && out == seen[0])
            seen[1] = outbox_open(outbox);
        ck_assert(outbox_open(outbox) == seen[0] || outbox_open(outbox) == seen[1]);
        outbox_release(outbox, out);
    }
}
END_TEST

START_TEST(exchanged_batch_is_the_next_to_be_filled)
{
    CLEANUP(batch_done) struct batch used;
    struct outbox_slot *slot;

    batch_init(&used, &batch_limits_default);
    ck_assert_int_eq(outbox_reserve(outbox, &used), 0);
    const void *bytes = used.bytes.data;
    outbox_exchange(outbox, &used);
    ck_assert_ptr_ne(used.bytes.data, bytes);
    ck_assert_uint_ge(used.bytes.cap, 1000);
    fill(1);
    ck_assert_int_eq(outbox_seal(outbox, OUTBOX_WAIT), 0);
    ck_assert_ptr_eq(outbox_open(outbox)->batch.bytes.data, bytes);
    while ((slot = outbox_take(outbox)))
        outbox_release(outbox, slot);
}
END_TEST

START_TEST(exchange_waits_for_a_slot_that_is_free)
{
    CLEANUP(batch_done) struct batch used;

    batch_init(&used, &batch_limits_default);
    ck_assert_int_eq(outbox_reserve(outbox, &used), 0);
    for (uint64_t i = 0; i < OUTBOX_SLOTS - 1; i++) {
        fill(i);
        ck_assert_int_eq(outbox_seal(outbox, OUTBOX_WAIT), 0);
    }
    const void *bytes = used.bytes.data;
    outbox_exchange(outbox, &used); /* none is: nothing happens */
    ck_assert_ptr_eq(used.bytes.data, bytes);
}
END_TEST

START_TEST(gaps_wait_for_a_free_lock_and_are_given_once)
{
    struct gap_set noted = {0};
    struct gap_set gaps = {0};

    gaps_add(&noted, GAP_FULL, &(struct gap_note){1, 2, 3, 4});
    outbox_note_gaps(outbox, &noted);
    lock_is_busy = true;
    outbox_collect_gaps(outbox, OUTBOX_TRY, &gaps);
    ck_assert(gaps_empty(&gaps));
    outbox_collect_gaps(outbox, OUTBOX_WAIT, &gaps);
    ck_assert_uint_eq(gaps.notes[GAP_FULL].measurements, 4);
    lock_is_busy = false;
    outbox_collect_gaps(outbox, OUTBOX_TRY, &gaps);
    ck_assert_uint_eq(gaps.notes[GAP_FULL].measurements, 4);
}
END_TEST

START_TEST(gap_is_untold_until_a_batch_that_tells_of_it_is_taken)
{
    struct gap_set noted = {0};
    struct gap_set mine = {0};

    ck_assert_uint_eq(outbox_untold_ns(outbox), 0);
    seal(1); /* before it was known */
    gaps_add(&noted, GAP_FULL, &(struct gap_note){20, 30, 3, 4});
    outbox_note_gaps(outbox, &noted);
    ck_assert_uint_eq(outbox_untold_ns(outbox), 20);
    outbox_release(outbox, outbox_take(outbox));
    ck_assert_uint_eq(outbox_untold_ns(outbox), 20);
    fill(2);
    outbox_collect_gaps(outbox, OUTBOX_TRY, &mine);
    gaps_fold(&outbox_open(outbox)->carried, &mine);
    ck_assert_uint_eq(outbox_untold_ns(outbox), 20);
    ck_assert_int_eq(outbox_seal(outbox, OUTBOX_TRY), 0);
    /* One more that comes meanwhile stays. */
    noted = (struct gap_set){0};
    gaps_add(&noted, GAP_REJECTED, &(struct gap_note){25, 30, 3, 4});
    outbox_note_gaps(outbox, &noted);
    outbox_release(outbox, outbox_take(outbox));
    ck_assert_uint_eq(outbox_untold_ns(outbox), 25);
}
END_TEST

/* Of gaps at several times, of which the last came first: from before the clock was set,
 * and dated meanwhile; or each in a batch of its own. */
START_TEST(each_gap_is_untold_until_its_own_batch_is_taken)
{
    struct gap_set noted = {0};
    struct gap_set mine = {0};

    gaps_add(&noted, GAP_FULL, &(struct gap_note){20, 30, 3, 4});
    outbox_note_gaps(outbox, &noted);
    fill(1);
    outbox_collect_gaps(outbox, OUTBOX_TRY, &mine);
    gaps_shift(&mine, 100, 1000);
    gaps_fold(&outbox_open(outbox)->carried, &mine);
    ck_assert_int_eq(outbox_seal(outbox, OUTBOX_TRY), 0);
    fill(2);
    gaps_add(&outbox_open(outbox)->carried, GAP_BEHIND,
             &(struct gap_note){500, 600, 3, 4});
    ck_assert_int_eq(outbox_seal(outbox, OUTBOX_TRY), 0);
    ck_assert_uint_eq(outbox_untold_ns(outbox), 500);
    outbox_release(outbox, outbox_take(outbox));
    ck_assert_uint_eq(outbox_untold_ns(outbox), 500);
    outbox_release(outbox, outbox_take(outbox));
    ck_assert_uint_eq(outbox_untold_ns(outbox), 0);
}
END_TEST

START_TEST(filling_and_handing_over_allocate_nothing)
{
    struct batch *b;
    bool fired;

    fault_arm(0);
    for (uint64_t i = 0; i < 3 * OUTBOX_SLOTS; i++) {
        b = &outbox_open(outbox)->batch;
        struct measurement m = {i * SEC, SPAN("name"), SPAN("some text")};
        for (int k = 0; k < 10; k++)
            (void)!batch_append(b, &m);
        (void)!outbox_seal(outbox, OUTBOX_TRY);
        struct outbox_slot *slot = i % 3 ? outbox_take(outbox) : NULL;
        if (slot)
            outbox_release(outbox, slot);
    }
    fired = fault_disarm();
    ck_assert(!fired);
}
END_TEST

START_TEST(new_survives_any_failed_allocation)
{
    bool fired = true;

    for (long nth = 0; fired; nth++) {
        struct outbox *o = NULL;
        fault_arm(nth);
        int r = outbox_new(OUTBOX_SLOTS, 10, 1000, &counters, &o);
        fired = fault_disarm();
        ck_assert_int_eq(r, fired ? -ENOMEM : 0);
        outbox_free(o);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pcc_outbox");
    TCase *c = tcase_create("outbox");

    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_add_test(c, sealed_batches_come_out_in_order_and_wake_the_sender);
    tcase_add_test(c, busy_lock_keeps_the_batch_open);
    tcase_add_test(c, idle_seal_waits_for_a_sender_with_nothing_to_do);
    tcase_add_test(c, batch_reserved_like_its_own_takes_as_much_without_allocating);
    tcase_add_test(c, full_outbox_recycles_the_oldest_and_notes_a_gap);
    tcase_add_test(c, recycled_batch_gives_back_the_gaps_it_told_of);
    tcase_add_test(c, sender_that_keeps_up_uses_two_batches_only);
    tcase_add_test(c, exchanged_batch_is_the_next_to_be_filled);
    tcase_add_test(c, exchange_waits_for_a_slot_that_is_free);
    tcase_add_test(c, gaps_wait_for_a_free_lock_and_are_given_once);
    tcase_add_test(c, gap_is_untold_until_a_batch_that_tells_of_it_is_taken);
    tcase_add_test(c, each_gap_is_untold_until_its_own_batch_is_taken);
    tcase_add_test(c, filling_and_handing_over_allocate_nothing);
    tcase_add_test(c, new_survives_any_failed_allocation);
    suite_add_tcase(suite, c);
    return suite_run(suite);
}
