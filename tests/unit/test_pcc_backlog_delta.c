/* SPDX-License-Identifier: MIT */

/* The backlog towards a server that takes delta: what stands in which place of the chain.
 * Every body is decoded as a server would. */

#include "common/decimal.h"
#include "common/units.h"
#include "pcc/backlog.h"
#include "pcc/session.h"
#include "tests/lib/batches.h"
#include "tests/lib/bytes.h"
#include "tests/lib/fault.h"
#include "tests/lib/suite.h"

#include <errno.h>
#include <inttypes.h>

/* Seconds in these tests count from here: the protocol takes none before 2000. */
#define START (UINT64_C(1700000000) * SEC)
#define DELTA "application/vnd.perfcollector.delta+msgpack"

/* The boot id changes when a test says so. */
static bool boots;

bool __real_session_renew(struct session *s);
bool __wrap_session_renew(struct session *s);

bool __wrap_session_renew(struct session *s)
{
    bool booted = boots;

    boots = false;
    if (booted) {
        s->id++;
        s->next_seq = 1;
        s->next_tick = 0;
    }
    return booted;
}

static struct pcc_conf conf;
static struct counters counters;
static struct outbox *outbox;
static struct backlog *backlog;
static struct agreement agreement;

/* The server. */
static struct inflater *inflater;
static struct delta_decoder *decoder;
static struct delta_state *state;
static struct delta_head head; /* of the body received last */
static struct batch received;  /* its measurements */

static void learn(const char *accept_post)
{
    agreement_learn(&agreement, span_of_str(accept_post), SPAN("gzip"));
}

static void make_backlog(void)
{
    backlog_free(backlog);
    ck_assert_int_eq(backlog_new(&conf, outbox, &counters, NULL, &backlog), 0);
}

static void set_up(void)
{
    conf = (struct pcc_conf){.identifier = "h1",
                             .queue_max_bytes = 64 * 1024,
                             .spool_max_bytes = 64 * MIB,
                             .compression_level = 6,
                             .snapshot_interval = 1000};
    counters = (struct counters){0};
    agreement_init(&agreement, (struct form){MEDIA_DELTA, CODING_GZIP});
    learn("application/json, application/msgpack, " DELTA);
    ck_assert_int_eq(outbox_new(OUTBOX_SLOTS, 10, 1000, &counters, &outbox), 0);
    make_backlog();
    ck_assert_int_eq(inflater_new(&inflater), 0);
    ck_assert_int_eq(delta_decoder_new(&decoder), 0);
    ck_assert_int_eq(delta_state_new(&state), 0);
    batch_init(&received, &batch_limits_default);
}

static void tear_down(void)
{
    batch_done(&received);
    delta_state_free(state);
    delta_decoder_free(decoder);
    inflater_free(inflater);
    backlog_free(backlog);
    backlog = NULL;
    outbox_free(outbox);
}

/* A number that grows steadily, and one that can't be foretold. */
static void fill(struct batch *b, uint64_t from, uint64_t ticks)
{
    char text[64];

    for (uint64_t t = from; t < from + ticks; t++) {
        uint64_t seed = t + 1;
        (void)snprintf(text, sizeof text, "cpu  %d %" PRIu64 "\n", 1000 + (int)t * 3,
                       bytes_random(&seed));
        batches_add(b, START + t * SEC, SPAN("/proc/stat"), span_of_str(text));
        batches_add(b, START + t * SEC, SPAN("/proc/meminfo"), SPAN("\xff raw\n"));
    }
}

/* A batch of @ticks ticks with two measurements each, from second @from on. */
static void add(uint64_t from, uint64_t ticks)
{
    struct outbox_slot slot = {0};

    batch_init(&slot.batch, &batch_limits_default);
    fill(&slot.batch, from, ticks);
    (void)backlog_add(backlog, &slot, &agreement, 0);
    batch_done(&slot.batch);
}

static struct backlog_post begin(void)
{
    struct backlog_post post;

    ck_assert_int_eq(backlog_begin(backlog, &agreement, 0, &post), 0);
    return post;
}

/* Decodes a body as the server, whose state it changes where it is in the chain. */
static void receive(const struct backlog_post *post)
{
    CLEANUP(buf_done) struct buf plain;

    buf_init(&plain, MIB);
    ck_assert_int_eq((int)post->form.media, MEDIA_DELTA);
    ck_assert_int_eq((int)post->form.coding, CODING_GZIP);
    ck_assert_int_eq(inflater_run(inflater, CODING_GZIP, post->body, &plain, NULL), 0);
    batch_reset(&received);
    ck_assert_int_eq(
        delta_decoder_open(decoder, buf_span(&plain), &batch_limits_default, &head, NULL),
        0);
    ck_assert_int_eq(delta_decoder_run(decoder, state, &received, NULL), 0);
    head.identifier = SPAN("gone with the message");
    delta_decoder_reset(decoder);
    ck_assert_uint_eq(head.place.chained, post->place.chained);
    if (head.place.chained) {
        ck_assert_uint_eq(head.place.snapshot, post->place.snapshot);
        ck_assert_uint_eq(head.place.number, post->place.number);
    }
    ck_assert_uint_eq(received.n_items, post->n_measurements);
}

static void assert_received(uint64_t from, uint64_t ticks)
{
    CLEANUP(batch_done) struct batch want;

    batch_init(&want, &batch_limits_default);
    ck_assert_int_eq(batch_set_identifier(&want, SPAN("h1")), 0);
    fill(&want, from, ticks);
    batches_assert_same(&received, &want);
}

/* Begins with the oldest, which has these ticks, the first of them number @k, and is
 * received in this place of the chain. It stays in flight. */
static struct backlog_post send_chained(uint64_t from, uint64_t ticks, uint64_t k,
                                        uint64_t number)
{
    struct backlog_post post = begin();

    ck_assert(post.place.chained);
    ck_assert_uint_eq(post.place.number, number);
    receive(&post);
    assert_received(from, ticks);
    ck_assert_uint_eq(head.first_tick, k);
    return post;
}

static void send_alone(uint64_t from, uint64_t ticks, uint64_t k)
{
    struct backlog_post post = begin();

    ck_assert(!post.place.chained);
    receive(&post);
    assert_received(from, ticks);
    ck_assert_uint_eq(head.first_tick, k);
}

static void stored(void)
{
    backlog_stored(backlog, false, 0);
}

/* A batch that is sent as the next of the chain, and stored. */
static void deliver(uint64_t from, uint64_t ticks, uint64_t number)
{
    add(from, ticks);
    (void)send_chained(from, ticks, from, number);
    stored();
}

START_TEST(first_batch_is_a_snapshot_and_others_build_on_it)
{
    uint64_t snapshot = 0;

    for (uint64_t i = 0; i < 5; i++) {
        add(i * 3, 3);
        struct backlog_post post = send_chained(i * 3, 3, i * 3, i);
        ck_assert_uint_eq(post.seq, i + 1);
        if (i == 0)
            snapshot = post.place.snapshot;
        ck_assert_uint_eq(post.place.snapshot, snapshot);
        stored();
    }
}
END_TEST

/* The server may have taken it or not: its state isn't known. */
START_TEST(batch_that_is_sent_again_is_a_snapshot_under_the_same_number)
{
    add(0, 2);
    struct backlog_post first = send_chained(0, 2, 0, 0);
    stored();
    add(2, 2);
    struct backlog_post lost = send_chained(2, 2, 2, 1);
    backlog_give_back(backlog);
    struct backlog_post again = send_chained(2, 2, 2, 0);
    ck_assert_uint_eq(again.seq, lost.seq);
    ck_assert_uint_eq(again.session, lost.session);
    ck_assert_uint_gt(again.place.snapshot, first.place.snapshot);
    backlog_give_back(backlog);
    struct backlog_post third = send_chained(2, 2, 2, 0);
    ck_assert_uint_gt(third.place.snapshot, again.place.snapshot);
    stored();
    add(4, 2);
    (void)send_chained(4, 2, 4, 1);
}
END_TEST

START_TEST(replay_makes_the_next_batch_a_snapshot)
{
    add(0, 2);
    (void)send_chained(0, 2, 0, 0);
    backlog_stored(backlog, true, 0);
    deliver(2, 2, 0);
    add(4, 2);
    (void)send_chained(4, 2, 4, 1);
}
END_TEST

START_TEST(batches_that_come_meanwhile_stand_alone_and_the_chain_goes_on_after)
{
    add(0, 2);
    (void)send_chained(0, 2, 0, 0);
    add(2, 1);
    add(3, 3);
    stored();
    send_alone(2, 1, 2);
    stored();
    send_alone(3, 3, 3);
    stored();
    add(6, 2);
    (void)send_chained(6, 2, 6, 1);
}
END_TEST

START_TEST(failure_of_a_batch_that_stands_alone_makes_the_next_one_a_snapshot)
{
    add(0, 2);
    (void)send_chained(0, 2, 0, 0);
    add(2, 1);
    stored();
    send_alone(2, 1, 2);
    backlog_give_back(backlog);
    send_alone(2, 1, 2);
    stored();
    add(3, 1);
    (void)send_chained(3, 1, 3, 0);
}
END_TEST

START_TEST(batch_that_waits_may_be_a_snapshot_while_those_behind_it_stand_alone)
{
    add(0, 2);
    (void)send_chained(0, 2, 0, 0);
    backlog_give_back(backlog);
    add(2, 2);
    (void)send_chained(0, 2, 0, 0);
    stored();
    send_alone(2, 2, 2);
    stored();
    add(4, 2);
    (void)send_chained(4, 2, 4, 1);
}
END_TEST

START_TEST(rejected_batch_makes_the_next_one_a_snapshot)
{
    deliver(0, 2, 0);
    add(2, 2);
    (void)begin();
    backlog_give_back(backlog);
    backlog_reject(backlog, "bad");
    add(4, 2);
    (void)send_chained(4, 2, 4, 0); /* the ticks that were lost keep their numbers */
}
END_TEST

START_TEST(halves_stand_alone_and_the_next_batch_is_a_snapshot)
{
    deliver(0, 1, 0);
    add(1, 5);
    (void)begin();
    backlog_give_back(backlog);
    ck_assert_int_eq(backlog_split(backlog), 0);
    send_alone(1, 2, 1);
    stored();
    send_alone(3, 3, 3);
    stored();
    add(6, 1);
    (void)send_chained(6, 1, 6, 0);
}
END_TEST

START_TEST(halves_of_a_batch_that_stood_alone_keep_its_ticks)
{
    add(0, 1);
    (void)begin();
    add(1, 5);
    stored();
    send_alone(1, 5, 1);
    backlog_give_back(backlog);
    ck_assert_int_eq(backlog_split(backlog), 0);
    send_alone(1, 2, 1);
    stored();
    send_alone(3, 3, 3);
}
END_TEST

/* In which session is the batch, and what of the chain? */
START_TEST(new_session_begins_its_own_chain_and_counts_from_zero)
{
    add(0, 2);
    struct backlog_post old = send_chained(0, 2, 0, 0);
    stored();
    add(2, 2); /* waits with its old identity */
    boots = true;
    backlog_check_session(backlog);
    struct backlog_post post = send_chained(2, 2, 2, 1);
    ck_assert_uint_eq(post.session, old.session);
    stored();
    add(4, 3);
    post = send_chained(4, 3, 0, 0);
    ck_assert_uint_eq(post.session, old.session + 1);
    ck_assert_uint_eq(post.seq, 1);
    stored();
    add(7, 1);
    (void)send_chained(7, 1, 3, 1);
}
END_TEST

static const struct {
    uint64_t interval;
    uint64_t ticks; /* of each batch */
    uint64_t numbers[6];
} intervals[] = {
    {1, 1, {0, 0, 0, 0, 0, 0}},  {1, 2, {0, 0, 0, 0, 0, 0}},  {2, 1, {0, 1, 0, 1, 0, 1}},
    {3, 2, {0, 1, 0, 1, 0, 1}},  {4, 2, {0, 1, 0, 1, 0, 1}},  {5, 2, {0, 1, 2, 0, 1, 2}},
    {10, 2, {0, 1, 2, 3, 4, 0}}, {11, 2, {0, 1, 2, 3, 4, 5}},
};

START_TEST(snapshot_comes_when_so_many_ticks_have_passed)
{
    const uint64_t ticks = intervals[_i].ticks;

    conf.snapshot_interval = intervals[_i].interval;
    make_backlog();
    for (uint64_t i = 0; i < 6; i++) {
        add(i * ticks, ticks);
        (void)send_chained(i * ticks, ticks, i * ticks, intervals[_i].numbers[i]);
        stored();
    }
}
END_TEST

/* What a delta state takes beside the well-known subsystems, and one more. */
#define NAMES_MAX (LIMIT_DELTA_SUBSYSTEMS - 16)
#define TOO_MANY (NAMES_MAX + 1)

/* Ticks of so many subsystems that are not well-known. */
static void fill_wide(struct batch *b, uint64_t from, uint64_t ticks, unsigned n_names)
{
    char name[32];

    for (uint64_t t = from; t < from + ticks; t++) {
        for (unsigned i = 0; i < n_names; i++) {
            (void)snprintf(name, sizeof name, "container/%u", i);
            batches_add(b, START + t * SEC, span_of_str(name), span_of_str(name));
        }
    }
}

static void add_wide(uint64_t from, uint64_t ticks, unsigned n_names)
{
    struct outbox_slot slot = {0};

    batch_init(&slot.batch, &batch_limits_default);
    fill_wide(&slot.batch, from, ticks, n_names);
    (void)backlog_add(backlog, &slot, &agreement, 0);
    batch_done(&slot.batch);
}

/* The oldest is no delta, but what was added so. It stays in flight. */
static void send_wide(enum media_form media, uint64_t from, uint64_t ticks)
{
    CLEANUP(batch_done) struct batch want;
    CLEANUP(buf_done) struct buf plain;
    struct backlog_post post = begin();

    batch_init(&want, &batch_limits_default);
    ck_assert_int_eq(batch_set_identifier(&want, SPAN("h1")), 0);
    fill_wide(&want, from, ticks, TOO_MANY);
    buf_init(&plain, MIB);
    ck_assert(!post.place.chained);
    ck_assert_int_eq((int)post.form.media, (int)media);
    ck_assert_int_eq((int)post.form.coding, CODING_GZIP);
    ck_assert_uint_eq(post.n_measurements, ticks * TOO_MANY);
    ck_assert_int_eq(inflater_run(inflater, CODING_GZIP, post.body, &plain, NULL), 0);
    batch_reset(&received);
    ck_assert_int_eq(
        media_codec(media)->decode_request(buf_span(&plain), &received, NULL), 0);
    batches_assert_same(&received, &want);
}

static void assert_nothing_lost(void)
{
    ck_assert_uint_eq(counters.rejected, 0);
    ck_assert_uint_eq(counters.dropped, 0);
}

START_TEST(next_of_the_chain_holds_as_many_subsystems_as_a_state)
{
    deliver(0, 1, 0);
    add_wide(1, 1, NAMES_MAX);
    struct backlog_post post = begin();
    receive(&post);
    ck_assert_uint_eq(head.place.number, 1);
    stored();
    add(2, 1);
    (void)send_chained(2, 1, 2, 2);
}
END_TEST

START_TEST(batch_of_more_subsystems_goes_in_another_form_and_the_chain_begins_anew)
{
    deliver(0, 1, 0);
    for (uint64_t t = 1; t < 3; t++) {
        add_wide(t, 1, TOO_MANY);
        send_wide(MEDIA_MSGPACK, t, 1);
        backlog_give_back(backlog);
        send_wide(MEDIA_MSGPACK, t, 1);
        stored();
    }
    deliver(3, 1, 0);
    add(4, 1);
    (void)send_chained(4, 1, 4, 1);
    assert_nothing_lost();
}
END_TEST

START_TEST(batch_of_more_subsystems_that_comes_meanwhile_leaves_the_chain_as_it_is)
{
    add(0, 1);
    (void)send_chained(0, 1, 0, 0);
    add_wide(1, 1, TOO_MANY);
    add(2, 1);
    stored();
    send_wide(MEDIA_MSGPACK, 1, 1);
    stored();
    send_alone(2, 1, 2);
    stored();
    add(3, 1);
    (void)send_chained(3, 1, 3, 1);
    assert_nothing_lost();
}
END_TEST

/* Held, come meanwhile, and waiting in a form that is no longer taken. */
START_TEST(batch_of_more_subsystems_goes_in_json_where_only_that_and_delta_are_taken)
{
    if (_i < 2)
        learn(DELTA);
    add(0, 1);
    if (_i > 0)
        (void)begin();
    else
        backlog_reject(backlog, "out of the way");
    add_wide(1, 1, TOO_MANY);
    if (_i > 0)
        stored();
    learn(DELTA);
    send_wide(MEDIA_JSON, 1, 1);
    stored();
    ck_assert_uint_eq(backlog_due_ns(backlog), UINT64_MAX);
}
END_TEST

START_TEST(halves_of_a_batch_of_more_subsystems_go_in_the_other_form_too)
{
    add_wide(0, 3, TOO_MANY);
    send_wide(MEDIA_MSGPACK, 0, 3);
    backlog_give_back(backlog);
    ck_assert_int_eq(backlog_split(backlog), 0);
    send_wide(MEDIA_MSGPACK, 0, 1);
    stored();
    send_wide(MEDIA_MSGPACK, 1, 2);
    stored();
    assert_nothing_lost();
}
END_TEST

START_TEST(server_that_takes_no_delta_gets_what_waited_in_another_form)
{
    struct backlog_post post;

    add(0, 2);
    (void)begin();
    add(2, 2);
    backlog_give_back(backlog);
    learn("application/json, application/msgpack");
    for (int i = 0; i < 2; i++) {
        CLEANUP(buf_done) struct buf plain;
        buf_init(&plain, MIB);
        post = begin();
        ck_assert_int_eq((int)post.form.media, MEDIA_MSGPACK);
        ck_assert(!post.place.chained);
        ck_assert_int_eq(inflater_run(inflater, CODING_GZIP, post.body, &plain, NULL), 0);
        batch_reset(&received);
        ck_assert_int_eq(
            media_codec(MEDIA_MSGPACK)->decode_request(buf_span(&plain), &received, NULL),
            0);
        assert_received(i == 0 ? 0 : 2, 2);
        stored();
    }
    learn(DELTA);
    add(4, 1);
    (void)send_chained(4, 1, 4, 0);
}
END_TEST

/* The numbers are off by less than a hundredth, and the words are what they were. */
START_TEST(threshold_is_kept_to)
{
    bool any_off = false;

    conf.delta_threshold_millionths = 10000;
    make_backlog();
    for (uint64_t t = 0; t < 20; t++) {
        add(t, 1);
        struct backlog_post post = begin();
        receive(&post);
        uint64_t n = 0;
        struct span got = span_from(batch_get(&received, 0).text, strlen("cpu  "));
        const uint8_t *end = memchr(got.data, ' ', got.n);
        ck_assert_ptr_nonnull(end);
        ck_assert_int_eq(decimal_read(got.data, (size_t)(end - got.data), &n), 0);
        int off = 1000 + (int)t * 3 - (int)n;
        ck_assert_int_lt(off < 0 ? -off : off, 11);
        any_off |= off != 0;
        stored();
    }
    ck_assert(any_off);
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
        stored();
    batch_reset(&slot->batch);
    return r;
}

/* From one snapshot to the next. */
START_TEST(steady_traffic_allocates_nothing)
{
    struct outbox_slot slot = {0};
    CLEANUP(batch_done) struct batch tick;
    int r = 0;

    batch_init(&tick, &batch_limits_default);
    batch_init(&slot.batch, &batch_limits_default);
    for (uint64_t i = 0; i < 70 && r == 0; i++) {
        batch_reset(&tick);
        fill(&tick, i, 2);
        if (i > 20)
            fault_arm(0);
        r = one_round(&slot, &tick);
        ck_assert(!fault_disarm());
    }
    ck_assert_int_eq(r, 0);
    batch_done(&slot.batch);
}
END_TEST

/* In every place of the chain; what was not sent is not built on. */
START_TEST(batch_is_a_snapshot_after_memory_ran_out)
{
    struct backlog_post post;
    bool fired = true;
    uint64_t t = 0;

    for (long nth = 0; fired; nth++) {
        make_backlog(); /* each time without what warm-up has allocated */
        add(t, 1);
        if (_i > 0) {
            (void)send_chained(t, 1, 0, 0);
            stored();
            add(++t, 1000);
        }
        fault_arm(nth);
        int r = backlog_begin(backlog, &agreement, 0, &post);
        fired = fault_disarm();
        ck_assert_int_eq(r, fired ? -ENOMEM : 0);
        if (fired)
            (void)send_chained(t, _i > 0 ? 1000 : 1, (uint64_t)_i, 0);
        stored();
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pcc_backlog_delta");
    TCase *c = tcase_create("backlog");

    tcase_set_timeout(c, 60);
    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_add_test(c, first_batch_is_a_snapshot_and_others_build_on_it);
    tcase_add_test(c, batch_that_is_sent_again_is_a_snapshot_under_the_same_number);
    tcase_add_test(c, replay_makes_the_next_batch_a_snapshot);
    tcase_add_test(c,
                   batches_that_come_meanwhile_stand_alone_and_the_chain_goes_on_after);
    tcase_add_test(c, failure_of_a_batch_that_stands_alone_makes_the_next_one_a_snapshot);
    tcase_add_test(c,
                   batch_that_waits_may_be_a_snapshot_while_those_behind_it_stand_alone);
    tcase_add_test(c, rejected_batch_makes_the_next_one_a_snapshot);
    tcase_add_test(c, halves_stand_alone_and_the_next_batch_is_a_snapshot);
    tcase_add_test(c, halves_of_a_batch_that_stood_alone_keep_its_ticks);
    tcase_add_test(c, new_session_begins_its_own_chain_and_counts_from_zero);
    tcase_add_loop_test(c, snapshot_comes_when_so_many_ticks_have_passed, 0, 8);
    tcase_add_test(c, next_of_the_chain_holds_as_many_subsystems_as_a_state);
    tcase_add_test(
        c, batch_of_more_subsystems_goes_in_another_form_and_the_chain_begins_anew);
    tcase_add_test(
        c, batch_of_more_subsystems_that_comes_meanwhile_leaves_the_chain_as_it_is);
    tcase_add_loop_test(
        c, batch_of_more_subsystems_goes_in_json_where_only_that_and_delta_are_taken, 0,
        3);
    tcase_add_test(c, halves_of_a_batch_of_more_subsystems_go_in_the_other_form_too);
    tcase_add_test(c, server_that_takes_no_delta_gets_what_waited_in_another_form);
    tcase_add_test(c, threshold_is_kept_to);
    tcase_add_test(c, steady_traffic_allocates_nothing);
    tcase_add_loop_test(c, batch_is_a_snapshot_after_memory_ran_out, 0, 2);
    suite_add_tcase(suite, c);
    return suite_run(suite);
}
