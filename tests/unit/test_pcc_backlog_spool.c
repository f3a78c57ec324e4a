/* SPDX-License-Identifier: MIT */
#include "common/units.h"
#include "pcc/backlog.h"
#include "pcc/spool_folder.h"
#include "tests/lib/batches.h"
#include "tests/lib/fault.h"
#include "tests/lib/home.h"
#include "tests/lib/suite.h"
#include "tests/unit/queue_room.h"

#include <errno.h>
#include <stdlib.h>

#define START (UINT64_C(1700000000) * SEC)

static struct home home;
static struct spool_conf spool_conf;
static struct pcc_conf conf;
static struct counters counters;
static struct outbox *outbox;
static struct spool *spool;
static struct backlog *backlog;
static struct agreement agreement;

/* As a process that starts. */
static void begin(void)
{
    ck_assert_int_eq(spool_open(&spool_conf, &spool), 0);
    ck_assert_int_eq(outbox_new(OUTBOX_SLOTS, 10, 1000, &counters, &outbox), 0);
    ck_assert_int_eq(backlog_new(&conf, outbox, &counters, spool, &backlog), 0);
}

static void end(void)
{
    backlog_free(backlog);
    outbox_free(outbox);
    spool_free(spool);
    backlog = NULL;
}

static void set_up(void)
{
    home_make(&home);
    spool_conf =
        (struct spool_conf){.path = home.path, .max_bytes = MIB, .rejected_bytes = MIB};
    conf = (struct pcc_conf){.identifier = "h1",
                             .queue_max_bytes = 16 * ITEM_BYTES,
                             .spool = PCC_SPOOL_AUTO,
                             .spool_max_bytes = MIB,
                             .catchup_share_millionths = MILLION / 2,
                             .compression_level = 1,
                             .snapshot_interval = 1000};
    counters = (struct counters){0};
    agreement_init(&agreement, (struct form){MEDIA_MSGPACK, CODING_GZIP});
    begin();
}

static void tear_down(void)
{
    end();
    home_remove(&home);
}

/* A batch of @ticks ticks of one measurement each, from second @from on. */
static void add(uint64_t from, uint64_t ticks)
{
    struct outbox_slot slot = {0};

    batch_init(&slot.batch, &batch_limits_default);
    for (uint64_t t = from; t < from + ticks; t++)
        batches_add(&slot.batch, START + t * SEC, SPAN("/proc/stat"), SPAN("cpu 1\n"));
    (void)backlog_add(backlog, &slot, &agreement, 0);
    batch_done(&slot.batch);
}

static struct spool_counts on_disk(void)
{
    struct spool_counts c;

    spool_count(spool, &c);
    return c;
}

/* Begins with what is next at this time, and says which it is. */
static struct backlog_post next(uint64_t now_ns)
{
    struct backlog_post post;

    ck_assert_uint_le(backlog_due_ns(backlog), now_ns);
    ck_assert_int_eq(backlog_begin(backlog, &agreement, now_ns, &post), 0);
    return post;
}

static void assert_next(uint64_t now_ns, uint64_t seq, uint64_t floor)
{
    struct backlog_post post = next(now_ns);

    ck_assert_uint_eq(post.seq, seq);
    ck_assert_uint_eq(post.floor, floor);
}

/* Batches of 4 KiB in memory, as many as it takes to have this many on disk. */
static void fill_disk(uint64_t n)
{
    for (uint64_t t = 1; on_disk().uncovered < n; t++)
        add(t, 1);
}

START_TEST(memory_keeps_the_fresh_half)
{
    fill_disk(3);
    ck_assert_uint_eq(on_disk().files, 3);
    ck_assert_uint_eq(counters.dropped, 0);
    ck_assert_uint_eq(backlog_measurements(backlog), 3 + backlog_fresh(backlog));
    ck_assert_uint_le(backlog_fresh(backlog), 8);
    ck_assert_uint_ge(backlog_fresh(backlog), 7);
    assert_next(0, 4, 1);
}
END_TEST

/* What is on disk counts for the floor: the server takes what is below for stored. */
START_TEST(fresh_go_first_then_old_ones_with_their_share_of_the_time)
{
    fill_disk(2);
    assert_next(0, 3, 1);
    backlog_give_back(backlog); /* still nothing gets through */
    assert_next(0, 3, 1);
    backlog_stored(backlog, false, 10 * SEC);
    assert_next(10 * SEC, 1, 1); /* took two seconds: */
    backlog_stored(backlog, false, 12 * SEC);
    assert_next(12 * SEC, 4, 2);
    backlog_stored(backlog, false, 13 * SEC);
    assert_next(13 * SEC, 5, 2);
    backlog_stored(backlog, false, 14 * SEC);
    assert_next(14 * SEC, 2, 2); /* so others had two */
    backlog_stored(backlog, false, 14 * SEC);
    assert_next(20 * SEC, 6, 6);
    ck_assert_uint_eq(on_disk().files, 0);
}
END_TEST

/* A request that hangs: what is behind it moves to disk, but not before it. */
START_TEST(one_in_flight_keeps_its_place_before_those_that_move_to_disk)
{
    add(1, 1);
    assert_next(0, 1, 1);
    for (uint64_t t = 2; on_disk().uncovered < 2; t++)
        add(t, 1);
    backlog_give_back(backlog);
    for (uint64_t t = 100; on_disk().uncovered < 4; t++)
        add(t, 1);
    assert_next(0, 5, 1);
    backlog_stored(backlog, false, 1 * SEC);
    assert_next(1 * SEC, 1, 1);
}
END_TEST

START_TEST(old_ones_alone_keep_to_their_share)
{
    add(1, 1);
    add(2, 1);
    backlog_secure(backlog, &agreement, 0);
    end();
    begin();
    ck_assert_uint_eq(backlog_due_ns(backlog), 0);
    assert_next(10 * SEC, 1, 1);
    backlog_stored(backlog, false, 15 * SEC);
    ck_assert_uint_eq(backlog_due_ns(backlog), 20 * SEC);
    assert_next(20 * SEC, 2, 2);
    backlog_give_back(backlog); /* how often it is tried is for others to say */
    ck_assert_uint_eq(backlog_due_ns(backlog), 0);
    assert_next(20 * SEC, 2, 2);
    backlog_stored(backlog, false, 20 * SEC);
    ck_assert_uint_eq(backlog_due_ns(backlog), UINT64_MAX);
}
END_TEST

START_TEST(all_that_is_secured_at_the_end_is_there_after_a_restart)
{
    add(1, 2);
    add(3, 1);
    uint64_t session = next(0).session; /* in flight, and held until then */
    ck_assert_uint_eq(backlog_unsecured(backlog), 3);
    backlog_secure(backlog, &agreement, 0);
    ck_assert_uint_eq(backlog_unsecured(backlog), 0);
    end();
    begin();
    ck_assert_uint_eq(backlog_measurements(backlog), 3);
    struct backlog_post post = next(0);
    ck_assert_uint_eq(post.session, session);
    ck_assert_uint_eq(post.seq, 1);
    ck_assert_uint_eq(post.n_measurements, 2);
}
END_TEST

START_TEST(batches_of_an_older_session_have_the_floor_of_that)
{
    add(1, 1);
    add(2, 1);
    backlog_secure(backlog, &agreement, 0);
    uint64_t old = next(0).session;
    end();
    begin();
    add(10, 1);
    struct backlog_post post = next(0);
    ck_assert_uint_ne(post.session, old);
    ck_assert_uint_eq(post.seq, 1);
    ck_assert_uint_eq(post.floor, 1);
    backlog_stored(backlog, false, 0);
    for (uint64_t seq = 1; seq <= 2; seq++) {
        post = next(HOUR);
        ck_assert_uint_eq(post.session, old);
        ck_assert_uint_eq(post.seq, seq);
        ck_assert_uint_eq(post.floor, seq);
        backlog_stored(backlog, false, HOUR);
    }
    ck_assert_uint_eq(backlog_due_ns(backlog), UINT64_MAX);
}
END_TEST

START_TEST(with_always_each_batch_has_a_file_until_it_is_stored)
{
    end();
    conf.spool = PCC_SPOOL_ALWAYS;
    begin();
    add(1, 1);
    ck_assert_uint_eq(on_disk().files, 1);
    ck_assert_uint_eq(on_disk().uncovered, 0);
    ck_assert_uint_eq(backlog_unsecured(backlog), 0);
    ck_assert_uint_eq(backlog_measurements(backlog), 1);
    add(2, 1);
    assert_next(0, 1, 1);
    backlog_stored(backlog, false, 0);
    ck_assert_uint_eq(on_disk().files, 1);
    assert_next(0, 2, 2);
    backlog_stored(backlog, false, 0);
    ck_assert_uint_eq(on_disk().files, 0);
}
END_TEST

/* In memory, with a file, and on disk only. */
START_TEST(batch_that_is_too_large_is_cut_wherever_it_is)
{
    end();
    conf.spool = _i == 0 ? PCC_SPOOL_AUTO : PCC_SPOOL_ALWAYS;
    begin();
    add(1, 4);
    if (_i == 2) {
        end();
        begin();
    }
    (void)next(0);
    backlog_give_back(backlog);
    ck_assert_int_eq(backlog_split(backlog), 0);
    if (_i == 1) { /* it is on disk only now */
        (void)next(0);
        backlog_give_back(backlog);
        ck_assert_int_eq(backlog_split(backlog), 0);
    }
    ck_assert_uint_eq(backlog_measurements(backlog), 4);
    ck_assert_uint_eq(on_disk().files, _i == 0 ? 0 : 1);
    for (int half = 0; half < 2; half++) {
        struct backlog_post post = next(HOUR);
        ck_assert_uint_eq(post.n_measurements, 2);
        ck_assert_uint_eq(post.floor, post.seq);
        backlog_stored(backlog, false, HOUR);
    }
    ck_assert_uint_eq(backlog_measurements(backlog), 0);
    ck_assert_uint_eq(on_disk().files, 0);
}
END_TEST

/* Gaps are told of in a batch's first tick, or its last: with which half are they lost?
 */
START_TEST(half_that_tells_of_a_gap_has_it_in_its_label)
{
    struct outbox_slot slot = {0};
    struct gap_set pending = {0};
    struct gap_set lost = {0};

    batch_init(&slot.batch, &batch_limits_default);
    for (uint64_t t = 1; t <= 4; t++) {
        batches_add(&slot.batch, START + t * SEC, SPAN("/proc/stat"), SPAN("cpu 1\n"));
        if (t == 1)
            gaps_add(&pending, GAP_FULL, &(struct gap_note){1, 2, 3, 4});
        if (t == 4)
            gaps_add(&pending, GAP_MISSED, &(struct gap_note){5, 6, 7, 8});
        gaps_emit(&pending, &slot.carried, &slot.batch, START + t * SEC);
    }
    (void)backlog_add(backlog, &slot, &agreement, 0);
    batch_done(&slot.batch);
    (void)next(0);
    backlog_give_back(backlog);
    ck_assert_int_eq(backlog_split(backlog), 0);
    (void)next(0);
    if (_i == 0) {
        backlog_give_back(backlog);
        backlog_reject(backlog, "bad");
    } else {
        backlog_stored(backlog, false, 0);
        (void)next(0);
        backlog_give_back(backlog);
        backlog_reject(backlog, "bad");
    }
    outbox_collect_gaps(outbox, OUTBOX_WAIT, &lost);
    ck_assert_uint_eq(lost.notes[GAP_FULL].measurements, _i == 0 ? 4 : 0);
    ck_assert_uint_eq(lost.notes[GAP_MISSED].measurements, _i == 0 ? 0 : 8);
}
END_TEST

START_TEST(refused_batch_is_kept_wherever_it_is)
{
    static const enum pcc_spool when[] = {PCC_SPOOL_AUTO, PCC_SPOOL_ALWAYS,
                                          PCC_SPOOL_ALWAYS};
    struct gap_set gaps = {0};
    uint64_t *numbers;
    size_t n;

    end();
    conf.spool = (int)when[_i];
    begin();
    add(1, 4);
    if (_i == 2) {
        end();
        begin();
    }
    (void)next(0);
    backlog_give_back(backlog);
    backlog_reject(backlog, "bad");
    ck_assert_uint_eq(counters.rejected, 4);
    ck_assert_uint_eq(backlog_measurements(backlog), 0);
    ck_assert_uint_eq(on_disk().files, 0);
    outbox_collect_gaps(outbox, OUTBOX_WAIT, &gaps);
    ck_assert_uint_eq(gaps.notes[GAP_REJECTED].ticks, 4);
    struct spool_folder folder;
    end();
    ck_assert_int_eq(spool_folder_open(home.path, false, &folder), 0);
    ck_assert_int_eq(spool_folder_list(folder.rejected_fd, &numbers, &n), 0);
    ck_assert_uint_eq(n, 1);
    free(numbers);
    spool_folder_close(&folder);
    begin();
}
END_TEST

START_TEST(full_spool_drops_its_oldest)
{
    struct gap_set gaps = {0};

    end();
    spool_conf.max_bytes = conf.spool_max_bytes = 16 * 4096;
    begin();
    for (uint64_t t = 1; counters.dropped < 3; t++)
        add(t, 1);
    ck_assert_uint_eq(on_disk().files, 16);
    outbox_collect_gaps(outbox, OUTBOX_WAIT, &gaps);
    ck_assert_uint_eq(gaps.notes[GAP_SPOOL_FULL].from_ns, START + SEC);
    ck_assert_uint_eq(gaps.notes[GAP_SPOOL_FULL].ticks, 3);
    ck_assert_uint_eq(gaps.notes[GAP_FULL].ticks, 0);
}
END_TEST

static uint64_t n_noted;
static uint64_t files_when_noted;

static void gap_is_noted(void *arg)
{
    (void)arg;
    n_noted++;
    files_when_noted = on_disk().files;
}

static void remove_files(void)
{
    struct spool_folder folder;
    uint64_t *numbers;
    size_t n;

    ck_assert_int_eq(spool_folder_open(home.path, false, &folder), 0);
    ck_assert_int_eq(spool_folder_list(folder.fd, &numbers, &n), 0);
    for (size_t i = 0; i < n; i++)
        spool_folder_remove(folder.fd, numbers[i]);
    free(numbers);
    spool_folder_close(&folder);
}

/* Who dies in between tells of it twice, and not never. */
START_TEST(loss_is_noted_before_its_file_leaves)
{
    end();
    spool_conf.max_bytes = conf.spool_max_bytes = 4 * 4096;
    begin();
    n_noted = 0;
    outbox_watch(outbox, gap_is_noted, NULL);
    for (uint64_t t = 1; counters.dropped < 1; t++)
        add(t, 1);
    ck_assert_uint_eq(n_noted, 1);
    ck_assert_uint_eq(files_when_noted, 4);
    end();
    /* Somebody removes them, which is found when it is their turn. */
    begin();
    outbox_watch(outbox, gap_is_noted, NULL);
    remove_files();
    struct backlog_post post;
    ck_assert_int_eq(backlog_begin(backlog, &agreement, 0, &post), E_GONE);
    ck_assert_uint_eq(n_noted, 5);
    ck_assert_uint_eq(files_when_noted, 1);
    ck_assert_uint_eq(counters.lost[GAP_DAMAGED], 4);
    ck_assert_uint_eq(on_disk().files, 0);
}
END_TEST

START_TEST(sampling_stops_when_all_is_full_if_that_is_wanted)
{
    end();
    spool_conf.max_bytes = conf.spool_max_bytes = 16 * 4096;
    conf.spool_full = PCC_FULL_STOP;
    begin();
    for (uint64_t t = 1; !outbox_held(outbox); t++)
        add(t, 1);
    ck_assert_uint_eq(counters.dropped, 0);
    ck_assert_uint_eq(on_disk().files, 16);
    while (outbox_held(outbox)) {
        (void)next(HOUR);
        backlog_stored(backlog, false, HOUR);
    }
    ck_assert_uint_gt(backlog_measurements(backlog), 0);
}
END_TEST

/* One batch that is larger than memory's share moves to disk with the next: no reason to
 * stop while the spool takes it. */
START_TEST(sampling_goes_on_while_the_spool_takes_batches)
{
    end();
    conf.spool_full = PCC_FULL_STOP;
    begin();
    add(1, 2000);
    ck_assert(!outbox_held(outbox));
    add(3000, 2000);
    ck_assert(!outbox_held(outbox));
    ck_assert_uint_gt(on_disk().uncovered, 0);
}
END_TEST

/* One that the spool can't take is in flight, so those behind it don't move to disk: they
 * are there. */
START_TEST(batch_with_a_file_is_not_lost_where_memory_is_full)
{
    end();
    spool_conf.max_bytes = conf.spool_max_bytes = 4 * 4096;
    conf.spool = PCC_SPOOL_ALWAYS;
    agreement_init(&agreement, (struct form){MEDIA_MSGPACK, CODING_IDENTITY});
    begin();
    add(1, 1000);
    (void)next(0);
    for (uint64_t t = 2000; on_disk().uncovered == 0 && t < 2004; t++)
        add(t, 1);
    ck_assert_uint_gt(on_disk().uncovered, 0);
    ck_assert_uint_eq(counters.dropped, 0);
    ck_assert_uint_eq(backlog_measurements(backlog), 1000 + on_disk().measurements);
}
END_TEST

/* Wherever memory runs out, each batch is in memory or on disk, or a gap. */
START_TEST(nothing_is_lost_sight_of_wherever_memory_runs_out)
{
    uint64_t n = 0;
    bool fired = true;

    for (long nth = 0; fired || nth < 200; nth++) {
        struct outbox_slot slot = {0};
        batch_init(&slot.batch, &batch_limits_default);
        batches_add(&slot.batch, START + SEC, SPAN("/proc/stat"), SPAN("cpu 1\n"));
        fault_arm(nth % 12);
        (void)backlog_add(backlog, &slot, &agreement, 0);
        fired = fault_disarm();
        batch_done(&slot.batch);
        n++;
        ck_assert_uint_eq(backlog_measurements(backlog) + counters.dropped, n);
    }
    ck_assert_uint_gt(on_disk().files, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pcc_backlog_spool");
    TCase *c = tcase_create("backlog");

    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_add_test(c, memory_keeps_the_fresh_half);
    tcase_add_test(c, fresh_go_first_then_old_ones_with_their_share_of_the_time);
    tcase_add_test(c, one_in_flight_keeps_its_place_before_those_that_move_to_disk);
    tcase_add_test(c, old_ones_alone_keep_to_their_share);
    tcase_add_test(c, all_that_is_secured_at_the_end_is_there_after_a_restart);
    tcase_add_test(c, batches_of_an_older_session_have_the_floor_of_that);
    tcase_add_test(c, with_always_each_batch_has_a_file_until_it_is_stored);
    tcase_add_loop_test(c, batch_that_is_too_large_is_cut_wherever_it_is, 0, 3);
    tcase_add_loop_test(c, half_that_tells_of_a_gap_has_it_in_its_label, 0, 2);
    tcase_add_loop_test(c, refused_batch_is_kept_wherever_it_is, 0, 3);
    tcase_add_test(c, full_spool_drops_its_oldest);
    tcase_add_test(c, loss_is_noted_before_its_file_leaves);
    tcase_add_test(c, sampling_stops_when_all_is_full_if_that_is_wanted);
    tcase_add_test(c, sampling_goes_on_while_the_spool_takes_batches);
    tcase_add_test(c, batch_with_a_file_is_not_lost_where_memory_is_full);
    tcase_add_test(c, nothing_is_lost_sight_of_wherever_memory_runs_out);
    suite_add_tcase(suite, c);
    return suite_run(suite);
}
