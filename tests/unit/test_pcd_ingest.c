/* SPDX-License-Identifier: MIT */
#include "common/clock.h"
#include "common/io.h"
#include "common/units.h"
#include "pcd/hosts.h"
#include "pcd/ingest.h"
#include "pcd/options.h"
#include "pcd/stats.h"
#include "pcd/store.h"
#include "tests/lib/fault.h"
#include "tests/lib/home.h"
#include "tests/lib/suite.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>

#define SESSION "0123456789abcdef"

static struct span header(const char *text)
{
    return text ? suite_exact(span_of_str(text)) : (struct span){NULL, 0};
}

static int parse(const char *key, const char *floor, bool *ret_has, struct key *ret,
                 const char **reterr_what)
{
    struct span k = header(key);
    struct span f = header(floor);
    int r = ingest_parse_key(k, f, ret_has, ret, reterr_what);

    free((void *)(uintptr_t)k.data);
    free((void *)(uintptr_t)f.data);
    return r;
}

START_TEST(keys_of_the_right_form_are_read)
{
    const char *what;
    struct key key;
    bool has;

    ck_assert_int_eq(parse(NULL, NULL, &has, &key, &what), 0);
    ck_assert(!has);
    ck_assert_int_eq(parse(SESSION "-1", NULL, &has, &key, &what), 0);
    ck_assert(has);
    ck_assert_uint_eq(key.session, UINT64_C(0x0123456789abcdef));
    ck_assert_uint_eq(key.seq, 1);
    ck_assert_uint_eq(key.floor, 0);
    ck_assert_int_eq(parse("ffffffffffffffff-9223372036854775807", "9223372036854775807",
                           &has, &key, &what),
                     0);
    ck_assert_uint_eq(key.session, UINT64_MAX);
    ck_assert_uint_eq(key.seq, INT64_MAX);
    ck_assert_uint_eq(key.floor, INT64_MAX);
}
END_TEST

static const struct {
    const char *key;
    const char *floor;
} bad_keys[] = {
    {"", NULL},
    {SESSION, NULL},
    {SESSION "-", NULL},
    {SESSION "-0", NULL},
    {SESSION "-01", NULL},
    {SESSION "-+1", NULL},
    {SESSION "-1 ", NULL},
    {SESSION "-1x", NULL},
    {SESSION "--1", NULL},
    {SESSION "_1", NULL},
    {SESSION "-9223372036854775808", NULL},
    {SESSION "-99999999999999999999", NULL},
    {"0123456789ABCDEF-1", NULL},
    {"0123456789abcde-1", NULL},
    {"0123456789abcdef0-1", NULL},
    {"0123456789abcdeg-1", NULL},
    {NULL, "1"},
    {SESSION "-5", ""},
    {SESSION "-5", "0"},
    {SESSION "-5", "05"},
    {SESSION "-5", "6"}, /* the batch itself would count as stored */
    {SESSION "-5", "-1"},
};

START_TEST(any_other_form_is_refused_and_named)
{
    struct key key = {1, 2, 3};
    const char *what = NULL;
    bool has;

    ck_assert_int_eq(parse(bad_keys[_i].key, bad_keys[_i].floor, &has, &key, &what),
                     E_MALFORMED);
    ck_assert(!has);
    ck_assert(key.session == 1 && key.seq == 2 && key.floor == 3);
    ck_assert(strstr(what, "Idempotency-"));
}
END_TEST

static struct home home;
static struct pcd_conf conf;
static struct store_conf store_conf;
static struct admit admit;
static struct stats stats;
static struct log_limit limit;
static struct log_limit states_limit;
static struct service service;
static struct auth *auth;
static struct auth_grant grant; /* of a key that may write as anybody */
static struct scratch scratch;
static struct delta_encoder *encoder;

/* Takes keys, one of which is "key"; what that one may write holds from now on. */
static void set_keys(struct span text)
{
    struct auth_hint hint = {0};
    struct key_lines lines;

    auth_grant_done(&grant);
    ck_assert_int_eq(auth_take(auth, text, &lines), 0);
    ck_assert_int_eq(auth_ask(auth, SPAN("key"), &hint, &grant), 0);
}

static void setup(void)
{
    const uint64_t seed[2] = {1, 2};
    const char *what;

    home_make(&home);
    conf = (struct pcd_conf){
        .decoded_max = MIB,
        .measurements_max = 100,
        .text_max = MIB,
        .subsystem_max = 255,
        .queue_max = 4 * MIB,
        .delta_state_max = MIB,
    };
    admit = (struct admit){.max_bytes = conf.queue_max};
    stats = (struct stats){0};
    store_conf = (struct store_conf){
        .home = home.path,
        .log_max = 16 * MIB,
        .disk_reserve = MIB,
        .keys_keep_ns = DAY,
        .checkpoint_ns = HOUR,
        .files_max = 8,
        .admit = &admit,
    };
    service = (struct service){
        .conf = &conf,
        .admit = &admit,
        .stats = &stats,
        .two_sessions = &limit,
        .states_full = &states_limit,
    };
    ck_assert_int_eq(auth_new(&auth), 0);
    set_keys(SPAN("key\n"));
    ck_assert_int_eq(hosts_new(10, seed, &service.hosts), 0);
    ck_assert_int_eq(chains_new(conf.delta_state_max, seed, &service.chains), 0);
    ck_assert_int_eq(store_open(&store_conf, NULL, &service.store, &what), 0);
    ck_assert_int_eq(scratch_init(&scratch, &conf), 0);
    ck_assert_int_eq(delta_encoder_new(&(struct delta_encoder_conf){0}, &encoder), 0);
}

static void teardown(void)
{
    delta_encoder_free(encoder);
    scratch_done(&scratch);
    ck_assert_int_eq(store_close(service.store), 0);
    ck_assert_uint_eq(admit.bytes, 0);
    chains_free(service.chains);
    hosts_free(service.hosts);
    auth_grant_done(&grant);
    auth_free(auth);
    home_remove(&home);
}

struct waiting {
    struct ingest ingest;
    sem_t done;
    /* Where it isn't NULL, who hears of the result at once takes the chain for this. */
    const struct delta_place *next;
    int next_r;
};

static void on_settled(struct ingest *i)
{
    struct waiting *w = (struct waiting *)((char *)i - offsetof(struct waiting, ingest));

    if (w->next) {
        struct chain *e;

        w->next_r = chains_take(service.chains, SPAN("h"), 1, w->next, 0, &e);
        if (w->next_r == 0)
            chains_settle(service.chains, e, true, 0);
    }
    (void)sem_post(&w->done);
}

static void begin(struct waiting *w, uint64_t seq)
{
    *w = (struct waiting){
        .ingest = {.service = &service, .grant = &grant, .settled = on_settled}};
    w->ingest.has_key = seq != 0;
    w->ingest.key = (struct key){.session = 1, .seq = seq};
    ck_assert_int_eq(sem_init(&w->done, 0, 0), 0);
}

static int read_body(struct waiting *w, const char *body, struct err_at *reterr_at)
{
    struct span exact = suite_exact(span_of_str(body));
    int r = ingest_read(&w->ingest, &scratch, exact, reterr_at);

    free((void *)(uintptr_t)exact.data);
    return r;
}

static int wait_settled(struct waiting *w)
{
    while (sem_wait(&w->done))
        ck_assert_int_eq(errno, EINTR);
    (void)sem_destroy(&w->done);
    return w->ingest.r;
}

/* Reads and submits, and waits for the result. */
static int bring(const char *body, uint64_t seq)
{
    struct waiting w;
    struct err_at at;

    begin(&w, seq);
    ck_assert_int_eq(read_body(&w, body, &at), 0);
    ingest_submit(&w.ingest, &scratch);
    scratch_reset(&scratch);
    return wait_settled(&w);
}

#define LINE                                                                             \
    "{\"timestamp\":1767813011,\"subsystem\":\"/proc/stat\",\"measurement\":\"cpu "      \
    "1\\n\"}"
#define BODY "{\"identifier\":\"h\",\"measurements\":[" LINE "]}"

START_TEST(a_batch_is_stored_once_and_then_a_replay)
{
    ck_assert_int_eq(bring(BODY, 1), 0);
    ck_assert_int_eq(bring(BODY, 1), E_REPLAY);
    ck_assert_int_eq(bring(BODY, 2), 0);
    ck_assert_int_eq(bring(BODY, 0), 0);
    ck_assert_uint_eq(stats.counters[STATS_BATCHES], 3);
    ck_assert_uint_eq(stats.counters[STATS_MEASUREMENTS], 3);
    ck_assert_uint_eq(stats.counters[STATS_REPLAYS], 1);
    ck_assert_uint_eq(stats.counters[STATS_RECEIVED_BYTES], 4 * (sizeof BODY - 1));
}
END_TEST

START_TEST(a_key_that_may_not_write_as_somebody_leaves_no_trace)
{
    struct auth_grant none = {0};
    struct chains_counts chains;
    struct hosts_counts hosts;
    struct waiting w;
    struct err_at at;

    set_keys(SPAN("key web-*\n"));
    begin(&w, 1);
    ck_assert_int_eq(read_body(&w, BODY, &at), E_DENIED);
    ck_assert(span_equal_str(ingest_identifier(&w.ingest, &scratch), "h"));
    scratch_reset(&scratch);
    w.ingest.grant = &none;
    ck_assert_int_eq(read_body(&w, BODY, &at), E_DENIED);
    scratch_reset(&scratch);
    (void)sem_destroy(&w.done);
    hosts_count(service.hosts, clock_boot_ns(), &hosts);
    ck_assert_uint_eq(hosts.known, 0);
    chains_count(service.chains, &chains);
    ck_assert_uint_eq(chains.states, 0);
    set_keys(SPAN("key h\n"));
    ck_assert_int_eq(bring(BODY, 1), 0); /* its number is free */
}
END_TEST

START_TEST(a_batch_of_nothing_is_stored)
{
    ck_assert_int_eq(bring("{\"identifier\":\"h\",\"measurements\":[]}", 1), 0);
    ck_assert_int_eq(bring("{\"identifier\":\"h\",\"measurements\":[]}", 1), E_REPLAY);
}
END_TEST

START_TEST(the_lines_are_those_of_a_collection_in_the_file_of_the_first_day)
{
    CLEANUP(buf_done) struct buf file;

    ck_assert_int_eq(bring(BODY, 1), 0);
    ck_assert_int_eq(store_close(service.store), 0);
    service.store = NULL;
    buf_init(&file, 4096);
    ck_assert_int_eq(io_read_file(home.fd, "data/h/2026-01-07.jsonl", &file), 0);
    ck_assert(span_equal(buf_span(&file), SPAN(LINE "\n")));
}
END_TEST

static const struct {
    const char *body;
    int r;
} bad_bodies[] = {
    {"", E_TRUNCATED},
    {"{\"identifier\":\"h\",\"measurements\":[" LINE, E_TRUNCATED},
    {"{\"identifier\":\"\",\"measurements\":[]}", E_MALFORMED},
    {"{\"measurements\":[]}", E_MALFORMED},
    {BODY BODY, E_MALFORMED},
};

START_TEST(a_body_that_does_not_decode_says_why)
{
    struct err_at at = {0};
    struct waiting w;

    begin(&w, 1);
    ck_assert_int_eq(read_body(&w, bad_bodies[_i].body, &at), bad_bodies[_i].r);
    scratch_reset(&scratch);
    ck_assert_uint_ne(at.offset, ERR_AT_UNKNOWN);
    ck_assert_int_eq(bring(BODY, 1), 0); /* its key was not used up */
}
END_TEST

START_TEST(without_budget_nothing_is_kept_and_the_key_is_free_again)
{
    ck_assert_int_eq(admit_charge(&admit, admit.max_bytes), 0);
    ck_assert_int_eq(bring(BODY, 1), E_FULL);
    admit_release(&admit, admit.max_bytes);
    ck_assert_int_eq(bring(BODY, 1), 0);
}
END_TEST

START_TEST(lines_that_grow_over_the_budget_are_given_up)
{
    CLEANUP(buf_done) struct buf body;

    /* As a line a control character takes six bytes, more than is reckoned with. */
    buf_init(&body, MIB);
    ck_assert_int_eq(
        buf_append(&body, SPAN("{\"identifier\":\"h\",\"measurements\":[{"
                               "\"timestamp\":1767813011,\"subsystem\":\"s\","
                               "\"measurement\":\"")),
        0);
    for (size_t i = 0; i < 10000; i++)
        ck_assert_int_eq(buf_append(&body, SPAN("\\u0001")), 0);
    ck_assert_int_eq(buf_append(&body, span_of("\"}]}", 5)), 0);
    admit.max_bytes = 20000;
    ck_assert_int_eq(bring((const char *)body.data, 1), E_FULL);
    ck_assert_uint_eq(admit.bytes, 0);
    admit.max_bytes = 4 * MIB;
    ck_assert_int_eq(bring((const char *)body.data, 1), 0);
}
END_TEST

START_TEST(a_batch_that_can_never_fit_is_too_large)
{
    conf.queue_max = 64;
    admit.max_bytes = 64;
    ck_assert_int_eq(bring(BODY, 1), E_TOO_LARGE);
    conf.queue_max = 4 * MIB;
    admit.max_bytes = 4 * MIB;
    ck_assert_int_eq(bring(BODY, 1), 0);
}
END_TEST

START_TEST(a_batch_after_the_end_is_not_stored)
{
    store_drain(service.store);
    ck_assert_int_eq(bring(BODY, 1), E_STOPPED);
}
END_TEST

START_TEST(the_same_batch_at_once_is_stored_once)
{
    struct waiting twins[8];
    struct err_at at;
    size_t stored = 0;

    for (size_t i = 0; i < 8; i++) {
        begin(&twins[i], 7);
        ck_assert_int_eq(read_body(&twins[i], BODY, &at), 0);
        ingest_submit(&twins[i].ingest, &scratch);
        scratch_reset(&scratch);
    }
    for (size_t i = 0; i < 8; i++) {
        int r = wait_settled(&twins[i]);
        ck_assert(r == 0 || r == E_REPLAY);
        stored += r == 0;
    }
    ck_assert_uint_eq(stored, 1);
}
END_TEST

START_TEST(a_large_batch_leaves_no_memory_behind)
{
    CLEANUP(buf_done) struct buf body;

    conf.decoded_max = 16 * MIB;
    conf.text_max = 16 * MIB;
    scratch_done(&scratch);
    ck_assert_int_eq(scratch_init(&scratch, &conf), 0);
    conf.queue_max = 64 * MIB;
    admit.max_bytes = 64 * MIB;
    buf_init(&body, 16 * MIB);
    ck_assert_int_eq(
        buf_append(&body, SPAN("{\"identifier\":\"h\",\"measurements\":[{\"timestamp\":"
                               "1767813011,\"subsystem\":\"s\",\"measurement\":\"")),
        0);
    ck_assert_int_eq(buf_reserve(&body, 8 * MIB), 0);
    memset(buf_tail(&body), 'x', 8 * MIB);
    buf_commit(&body, 8 * MIB);
    ck_assert_int_eq(buf_append(&body, SPAN("\"}]}")), 0);
    ck_assert_int_eq(buf_append_byte(&body, '\0'), 0);
    ck_assert_int_eq(bring((const char *)body.data, 1), 0);
    ck_assert_uint_le(scratch.batch.bytes.cap, 4 * MIB);
    ck_assert_uint_eq(scratch.batch.limits.text_bytes, 16 * MIB);
}
END_TEST

/* Syncs of the log: the next so many fail; or they wait until they may go on. */
static _Atomic int failing_syncs;
static pthread_mutex_t sync_gate = PTHREAD_MUTEX_INITIALIZER;

int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd);

int __wrap_fdatasync(int fd)
{
    (void)pthread_mutex_lock(&sync_gate);
    (void)pthread_mutex_unlock(&sync_gate);
    if (failing_syncs > 0) {
        failing_syncs--;
        errno = ENOSPC;
        return -1;
    }
    return __real_fdatasync(fd);
}

#define FIRST_S UINT64_C(1767813011)

/* The batch of tick @n, which says so. */
static void make_batch(struct batch *b, uint64_t n)
{
    char text[32];

    batch_init(b, &batch_limits_default);
    (void)snprintf(text, sizeof text, "cpu  %u 7\n", (unsigned)n);
    const struct measurement m = {(FIRST_S + n) * SEC, SPAN("/proc/stat"),
                                  span_of_str(text)};
    ck_assert_int_eq(batch_set_identifier(b, SPAN("h")), 0);
    ck_assert_int_eq(batch_append(b, &m), 0);
}

static void append_lines(struct buf *to, uint64_t from, uint64_t n)
{
    for (uint64_t i = from; i < from + n; i++)
        ck_assert_int_eq(buf_printf(to,
                                    "{\"timestamp\":%u,\"subsystem\":\"/proc/stat\","
                                    "\"measurement\":\"cpu  %u 7\\n\"}\n",
                                    (unsigned)(FIRST_S + i), (unsigned)i),
                         0);
}

/* Closes the store, which then must hold these ticks and no others. */
static void expect_ticks(uint64_t from, uint64_t n)
{
    CLEANUP(buf_done) struct buf file;
    CLEANUP(buf_done) struct buf expected;

    ck_assert_int_eq(store_close(service.store), 0);
    service.store = NULL;
    buf_init(&file, MIB);
    buf_init(&expected, MIB);
    append_lines(&expected, from, n);
    ck_assert_int_eq(io_read_file(home.fd, "data/h/2026-01-07.jsonl", &file), 0);
    ck_assert(span_equal(buf_span(&file), buf_span(&expected)));
}

/* The encoder's next message. */
static void encode_tick(uint64_t n, struct buf *to)
{
    CLEANUP(batch_done) struct batch b;
    struct delta_place place;

    make_batch(&b, n);
    buf_init(to, MIB);
    ck_assert_int_eq(delta_encode_chained(encoder, &b, n, to, &place), 0);
}

/* The message is gone before it is decoded, as a body is. */
static int read_delta(struct waiting *w, struct span message, uint64_t seq,
                      struct err_at *reterr_at)
{
    struct span exact = suite_exact(message);

    begin(w, seq);
    w->ingest.form = MEDIA_DELTA;
    int r = ingest_read(&w->ingest, &scratch, exact, reterr_at);
    free((void *)(uintptr_t)exact.data);
    return r;
}

static void submit_delta(struct waiting *w, struct span message, uint64_t seq)
{
    struct err_at at;

    ck_assert_int_eq(read_delta(w, message, seq, &at), 0);
    ingest_submit(&w->ingest, &scratch);
    scratch_reset(&scratch);
}

static int bring_delta(struct span message, uint64_t seq)
{
    struct waiting w;

    submit_delta(&w, message, seq);
    return wait_settled(&w);
}

/* Encodes and brings a tick. */
static int bring_tick(uint64_t n, uint64_t seq)
{
    CLEANUP(buf_done) struct buf message;

    encode_tick(n, &message);
    return bring_delta(buf_span(&message), seq);
}

/* What a client does on 409: the same batch as a snapshot. */
static int bring_tick_anew(uint64_t n, uint64_t seq)
{
    delta_encoder_forget(encoder);
    return bring_tick(n, seq);
}

static struct chains_counts chains_now(void)
{
    struct chains_counts counts;

    chains_count(service.chains, &counts);
    return counts;
}

START_TEST(a_denied_delta_leaves_its_chain_alone)
{
    CLEANUP(buf_done) struct buf first;
    CLEANUP(buf_done) struct buf second;
    struct chains_counts chains;
    struct waiting w;
    struct err_at at;

    encode_tick(1, &first);
    encode_tick(2, &second);
    ck_assert_int_eq(bring_delta(buf_span(&first), 1), 0);
    set_keys(SPAN("key other\n"));
    ck_assert_int_eq(read_delta(&w, buf_span(&second), 2, &at), E_DENIED);
    ck_assert(span_equal_str(ingest_identifier(&w.ingest, &scratch), "h"));
    scratch_reset(&scratch);
    (void)sem_destroy(&w.done);
    chains_count(service.chains, &chains);
    ck_assert_uint_eq(chains.states, 1);
    set_keys(SPAN("key\n"));
    ck_assert_int_eq(bring_delta(buf_span(&second), 2), 0);
}
END_TEST

START_TEST(a_chain_is_stored_batch_by_batch)
{
    struct delta_state *empty;

    for (uint64_t n = 0; n < 20; n++)
        ck_assert_int_eq(bring_tick(n, n + 1), 0);
    ck_assert_uint_eq(chains_now().states, 1);
    ck_assert_int_eq(delta_state_new(&empty), 0);
    ck_assert_uint_gt(chains_now().bytes, CHAINS_OVERHEAD + delta_state_bytes(empty));
    delta_state_free(empty);
    ck_assert_uint_eq(chains_now().conflicts, 0);
    ck_assert_uint_eq(stats.counters[STATS_BATCHES], 20);
    ck_assert_uint_eq(stats.counters[STATS_MEASUREMENTS], 20);
    expect_ticks(0, 20);
}
END_TEST

START_TEST(the_state_is_back_before_anybody_hears_of_the_batch)
{
    CLEANUP(buf_done) struct buf message;
    CLEANUP(batch_done) struct batch b;
    struct delta_place place;
    struct waiting w;
    struct err_at at;

    make_batch(&b, 0);
    buf_init(&message, MIB);
    ck_assert_int_eq(delta_encode_chained(encoder, &b, 0, &message, &place), 0);
    ck_assert_int_eq(read_delta(&w, buf_span(&message), 1, &at), 0);
    place.number++;
    w.next = &place;
    ingest_submit(&w.ingest, &scratch);
    scratch_reset(&scratch);
    ck_assert_int_eq(wait_settled(&w), 0);
    ck_assert_int_eq(w.next_r, 0);
}
END_TEST

START_TEST(a_chain_without_a_key_is_refused_and_says_so)
{
    CLEANUP(buf_done) struct buf message;
    CLEANUP(batch_done) struct batch b;
    struct waiting w;
    struct err_at at;

    encode_tick(0, &message);
    ck_assert_int_eq(read_delta(&w, buf_span(&message), 0, &at), E_MALFORMED);
    ck_assert_msg(strstr(at.what, "Idempotency-Key"), "%s", at.what);
    scratch_reset(&scratch);

    make_batch(&b, 0);
    buf_reset(&message);
    ck_assert_int_eq(delta_encode_alone(encoder, &b, 0, &message), 0);
    ck_assert_int_eq(bring_delta(buf_span(&message), 0), 0);
    ck_assert_uint_eq(chains_now().states, 0);
    expect_ticks(0, 1);
}
END_TEST

START_TEST(a_batch_that_builds_on_no_state_conflicts_and_its_key_is_free)
{
    CLEANUP(buf_done) struct buf skipped;

    encode_tick(0, &skipped);
    ck_assert_int_eq(bring_tick(0, 1), E_CONFLICT);
    ck_assert_int_eq(bring_tick_anew(0, 1), 0);
    ck_assert_int_eq(bring_tick(1, 2), 0);
    ck_assert_uint_eq(chains_now().conflicts, 1);
    expect_ticks(0, 2);
}
END_TEST

START_TEST(a_replay_of_a_delta_changes_no_state)
{
    CLEANUP(buf_done) struct buf snapshot;
    CLEANUP(buf_done) struct buf next;

    encode_tick(0, &snapshot);
    encode_tick(1, &next);
    ck_assert_int_eq(bring_delta(buf_span(&snapshot), 1), 0);
    ck_assert_int_eq(bring_delta(buf_span(&next), 2), 0);
    ck_assert_int_eq(bring_delta(buf_span(&snapshot), 1), E_REPLAY);
    ck_assert_int_eq(bring_delta(buf_span(&next), 2), E_REPLAY);
    ck_assert_int_eq(bring_tick(2, 3), 0);
    ck_assert_uint_eq(stats.counters[STATS_REPLAYS], 2);
    expect_ticks(0, 3);
}
END_TEST

/* Brings a message that may be broken. Return: its result, wherever it was found out. */
static int bring_broken(struct span message, uint64_t seq, uint64_t *n_late)
{
    struct waiting w;
    struct err_at at;
    int r = read_delta(&w, message, seq, &at);

    if (r) {
        scratch_reset(&scratch);
        return r;
    }
    ingest_submit(&w.ingest, &scratch);
    scratch_reset(&scratch);
    r = wait_settled(&w);
    ck_assert(w.ingest.has_at == (r > 0 && r != E_CONFLICT));
    *n_late += w.ingest.has_at;
    if (w.ingest.has_at)
        ck_assert_ptr_nonnull(w.ingest.at.what);
    return r;
}

START_TEST(whatever_is_broken_in_a_message_its_chain_and_key_are_not)
{
    uint64_t n_late = 0, n = 0, seq = 0;
    CLEANUP(buf_done) struct buf message;

    encode_tick(0, &message);
    for (size_t at = 0; at < message.len; at++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            ck_assert_int_eq(bring_tick_anew(n++, ++seq), 0);
            buf_done(&message);
            encode_tick(n, &message);
            if (at >= message.len)
                break;
            message.data[at] ^= (uint8_t)(1u << bit);
            int r = bring_broken(buf_span(&message), ++seq, &n_late);
            ck_assert_int_ge(r, 0);
            /* Its key can be used, and no state was left halfway. */
            if (r)
                ck_assert_int_eq(bring_tick_anew(n, seq), 0);
            n++;
        }
    }
    ck_assert_uint_gt(n_late, 0);
    ck_assert_uint_le(chains_now().states, 1 + n);
}
END_TEST

START_TEST(a_delta_that_fails_leaves_no_state_to_build_on)
{
    CLEANUP(buf_done) struct buf message;
    uint64_t n_late = 0, n = 0, seq = 0;
    size_t at;

    encode_tick(0, &message);
    /* From the end, until a broken byte is one that only decoding finds. */
    for (at = message.len; n_late == 0; at--) {
        ck_assert_int_eq(bring_tick_anew(n++, ++seq), 0);
        buf_done(&message);
        encode_tick(n++, &message);
        at = at < message.len ? at : message.len;
        ck_assert_uint_gt(at, 0);
        message.data[at - 1] ^= 0x3f;
        ck_assert_int_ge(bring_broken(buf_span(&message), ++seq, &n_late), 0);
        message.data[at - 1] ^= 0x3f;
    }
    ck_assert_uint_eq(chains_now().states, 0);
    ck_assert_uint_eq(chains_now().bytes, 0);
    ck_assert_int_eq(bring_delta(buf_span(&message), seq), E_CONFLICT);
    ck_assert_int_eq(bring_tick_anew(n, seq), 0);
}
END_TEST

static const int verdicts[] = {E_TRUNCATED, E_MALFORMED, E_TOO_LARGE, E_CONFLICT, E_FULL};

START_TEST(who_waits_for_the_same_batch_gets_its_verdict)
{
    const struct key key = {.session = 1, .seq = 1};
    CLEANUP(buf_done) struct buf message;
    struct keys_waiter none;
    struct waiting w;

    ck_assert_int_eq(keys_reserve(store_keys(service.store), SPAN("h"), &key, &none, 1),
                     0);
    encode_tick(0, &message);
    submit_delta(&w, buf_span(&message), 1);
    ck_assert_uint_eq(stats.counters[STATS_PENDING_WAITS], 1);
    keys_settle(store_keys(service.store), SPAN("h"), &key, verdicts[_i], 1);
    ck_assert_int_eq(wait_settled(&w), verdicts[_i]);
    ck_assert(!w.ingest.has_at);
    ck_assert_uint_eq(chains_now().states, 0);
    ck_assert_int_eq(bring_delta(buf_span(&message), 1), 0);
    expect_ticks(0, 1);
}
END_TEST

START_TEST(who_waits_for_a_stored_batch_changes_no_state)
{
    const struct key key = {.session = 1, .seq = 2};
    CLEANUP(buf_done) struct buf again;
    struct keys_waiter none;
    struct waiting w;

    encode_tick(0, &again);
    ck_assert_int_eq(bring_delta(buf_span(&again), 1), 0);
    ck_assert_int_eq(keys_reserve(store_keys(service.store), SPAN("h"), &key, &none, 1),
                     0);
    submit_delta(&w, buf_span(&again), 2);
    keys_settle(store_keys(service.store), SPAN("h"), &key, 0, 1);
    ck_assert_int_eq(wait_settled(&w), E_REPLAY);
    ck_assert_int_eq(bring_tick(1, 3), 0);
    expect_ticks(0, 2);
}
END_TEST

START_TEST(a_failed_commit_ends_the_chain)
{
    ck_assert_int_eq(bring_tick(0, 1), 0);
    failing_syncs = 1;
    ck_assert_int_eq(bring_tick(1, 2), E_NO_ROOM);
    ck_assert_uint_eq(chains_now().states, 0);
    ck_assert_uint_eq(chains_now().bytes, 0);
    ck_assert_int_eq(bring_tick(1, 2), E_CONFLICT);
    failing_syncs = 1;
    ck_assert_int_eq(bring_tick_anew(1, 2), E_NO_ROOM); /* a snapshot too */
    ck_assert_int_eq(bring_tick(1, 2), E_CONFLICT);
    ck_assert_int_eq(bring_tick_anew(1, 2), 0);
    ck_assert_int_eq(bring_tick(2, 3), 0);
    expect_ticks(0, 3);
}
END_TEST

START_TEST(with_interval_sync_a_chain_goes_on_from_what_was_answered)
{
    const char *what;

    ck_assert_int_eq(store_close(service.store), 0);
    store_conf.sync = STORE_SYNC_INTERVAL;
    ck_assert_int_eq(store_open(&store_conf, NULL, &service.store, &what), 0);
    ck_assert_int_eq(bring_tick(0, 1), 0);
    ck_assert_int_eq(bring_tick(1, 2), 0);
    failing_syncs = 1; /* what was answered is written again */
    for (struct store_counts c = {0}; c.sync_failures == 0;)
        store_count(service.store, &c);
    ck_assert_int_eq(bring_tick(2, 3), 0);
    ck_assert_uint_eq(chains_now().conflicts, 0);
    expect_ticks(0, 3);
}
END_TEST

START_TEST(while_a_batch_is_being_stored_the_next_one_conflicts)
{
    CLEANUP(buf_done) struct buf first;
    CLEANUP(buf_done) struct buf second;
    struct waiting w;

    ck_assert_int_eq(bring_tick(0, 1), 0);
    encode_tick(1, &first);
    encode_tick(2, &second);
    (void)pthread_mutex_lock(&sync_gate);
    submit_delta(&w, buf_span(&first), 2);
    int early = bring_delta(buf_span(&second), 3);
    (void)pthread_mutex_unlock(&sync_gate);
    ck_assert_int_eq(early, E_CONFLICT);
    ck_assert_int_eq(wait_settled(&w), 0);
    ck_assert_int_eq(bring_delta(buf_span(&second), 3), 0);
    expect_ticks(0, 3);
}
END_TEST

START_TEST(while_a_batch_is_being_stored_a_snapshot_begins_the_chain_anew)
{
    CLEANUP(buf_done) struct buf first;
    CLEANUP(buf_done) struct buf second;
    struct waiting w, anew;

    ck_assert_int_eq(bring_tick(0, 1), 0);
    encode_tick(1, &first);
    delta_encoder_forget(encoder);
    encode_tick(2, &second);
    (void)pthread_mutex_lock(&sync_gate);
    submit_delta(&w, buf_span(&first), 2);
    submit_delta(&anew, buf_span(&second), 3);
    (void)pthread_mutex_unlock(&sync_gate);
    ck_assert_int_eq(wait_settled(&w), 0);
    ck_assert_int_eq(wait_settled(&anew), 0);
    ck_assert_uint_eq(chains_now().states, 1);
    ck_assert_int_eq(bring_tick(3, 4), 0);
    expect_ticks(0, 4);
}
END_TEST

START_TEST(without_budget_a_delta_is_not_kept_nor_is_its_state)
{
    ck_assert_int_eq(bring_tick(0, 1), 0);
    admit.max_bytes = 0;
    ck_assert_int_eq(bring_tick(1, 2), E_FULL);
    admit.max_bytes = conf.queue_max;
    ck_assert_uint_eq(chains_now().states, 0);
    ck_assert_int_eq(bring_tick_anew(1, 2), 0);
    expect_ticks(0, 2);
}
END_TEST

START_TEST(a_state_that_is_not_kept_costs_a_conflict_a_batch)
{
    const uint64_t seed[2] = {1, 2};

    chains_free(service.chains);
    ck_assert_int_eq(chains_new(CHAINS_OVERHEAD, seed, &service.chains), 0);
    for (uint64_t n = 0; n < 3; n++) {
        ck_assert_int_eq(bring_tick_anew(n, n + 1), 0);
        ck_assert_int_eq(bring_tick(n + 1, n + 2), E_CONFLICT);
    }
    ck_assert_uint_eq(chains_now().not_kept, 3);
    ck_assert_uint_eq(chains_now().conflicts, 3);
    ck_assert_uint_eq(chains_now().states, 0);
    ck_assert_uint_eq(states_limit.suppressed, 0);
    expect_ticks(0, 3);
}
END_TEST

START_TEST(where_memory_runs_out_nothing_of_a_delta_is_left)
{
    CLEANUP(buf_done) struct buf message;
    bool fired = true;
    struct waiting w;
    struct err_at at;

    encode_tick(0, &message);
    store_drain(service.store); /* from here on this thread does everything */
    for (long nth = 0; fired; nth++) {
        scratch_done(&scratch);
        ck_assert_int_eq(scratch_init(&scratch, &conf), 0);
        struct span exact = suite_exact(buf_span(&message));
        begin(&w, 1);
        w.ingest.form = MEDIA_DELTA;
        fault_arm(nth);
        int r = ingest_read(&w.ingest, &scratch, exact, &at);
        if (r == 0)
            ingest_submit(&w.ingest, &scratch);
        fired = fault_disarm();
        r = r ? r : wait_settled(&w);
        free((void *)(uintptr_t)exact.data);
        scratch_reset(&scratch);
        /* A host that can't be noted is no reason to fail. */
        ck_assert(r == E_STOPPED || (fired && r == -ENOMEM));
        ck_assert_uint_eq(chains_now().bytes, 0);
        ck_assert_uint_eq(admit.bytes, 0);
    }
}
END_TEST

static TCase *delta_cases(void)
{
    TCase *c = tcase_create("deltas");

    tcase_add_checked_fixture(c, setup, teardown);
    tcase_set_timeout(c, 60);
    tcase_add_test(c, a_chain_is_stored_batch_by_batch);
    tcase_add_test(c, the_state_is_back_before_anybody_hears_of_the_batch);
    tcase_add_test(c, a_chain_without_a_key_is_refused_and_says_so);
    tcase_add_test(c, a_batch_that_builds_on_no_state_conflicts_and_its_key_is_free);
    tcase_add_test(c, a_denied_delta_leaves_its_chain_alone);
    tcase_add_test(c, a_replay_of_a_delta_changes_no_state);
    tcase_add_test(c, whatever_is_broken_in_a_message_its_chain_and_key_are_not);
    tcase_add_test(c, a_delta_that_fails_leaves_no_state_to_build_on);
    tcase_add_loop_test(c, who_waits_for_the_same_batch_gets_its_verdict, 0,
                        sizeof verdicts / sizeof *verdicts);
    tcase_add_test(c, who_waits_for_a_stored_batch_changes_no_state);
    tcase_add_test(c, a_failed_commit_ends_the_chain);
    tcase_add_test(c, with_interval_sync_a_chain_goes_on_from_what_was_answered);
    tcase_add_test(c, while_a_batch_is_being_stored_the_next_one_conflicts);
    tcase_add_test(c, while_a_batch_is_being_stored_a_snapshot_begins_the_chain_anew);
    tcase_add_test(c, without_budget_a_delta_is_not_kept_nor_is_its_state);
    tcase_add_test(c, a_state_that_is_not_kept_costs_a_conflict_a_batch);
    tcase_add_test(c, where_memory_runs_out_nothing_of_a_delta_is_left);
    return c;
}

int main(void)
{
    Suite *suite = suite_create("pcd ingest");
    TCase *keys = tcase_create("keys");
    TCase *c = tcase_create("batches");

    tcase_add_test(keys, keys_of_the_right_form_are_read);
    tcase_add_loop_test(keys, any_other_form_is_refused_and_named, 0,
                        sizeof bad_keys / sizeof *bad_keys);
    suite_add_tcase(suite, keys);

    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, a_batch_is_stored_once_and_then_a_replay);
    tcase_add_test(c, a_key_that_may_not_write_as_somebody_leaves_no_trace);
    tcase_add_test(c, a_batch_of_nothing_is_stored);
    tcase_add_test(c, the_lines_are_those_of_a_collection_in_the_file_of_the_first_day);
    tcase_add_loop_test(c, a_body_that_does_not_decode_says_why, 0,
                        sizeof bad_bodies / sizeof *bad_bodies);
    tcase_add_test(c, without_budget_nothing_is_kept_and_the_key_is_free_again);
    tcase_add_test(c, lines_that_grow_over_the_budget_are_given_up);
    tcase_add_test(c, a_batch_that_can_never_fit_is_too_large);
    tcase_add_test(c, a_batch_after_the_end_is_not_stored);
    tcase_add_test(c, the_same_batch_at_once_is_stored_once);
    tcase_add_test(c, a_large_batch_leaves_no_memory_behind);
    suite_add_tcase(suite, c);
    suite_add_tcase(suite, delta_cases());
    return suite_run(suite);
}
