/* SPDX-License-Identifier: MIT */
#include "common/io.h"
#include "common/units.h"
#include "pcd/hosts.h"
#include "pcd/ingest.h"
#include "pcd/options.h"
#include "pcd/stats.h"
#include "pcd/store.h"
#include "tests/lib/home.h"
#include "tests/lib/suite.h"

#include <errno.h>
#include <semaphore.h>
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
static struct service service;
static struct scratch scratch;

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
    };
    ck_assert_int_eq(hosts_new(10, seed, &service.hosts), 0);
    ck_assert_int_eq(store_open(&store_conf, NULL, &service.store, &what), 0);
    ck_assert_int_eq(scratch_init(&scratch, &conf), 0);
}

static void teardown(void)
{
    scratch_done(&scratch);
    ck_assert_int_eq(store_close(service.store), 0);
    ck_assert_uint_eq(admit.bytes, 0);
    hosts_free(service.hosts);
    home_remove(&home);
}

struct waiting {
    struct ingest ingest;
    sem_t done;
};

static void on_settled(struct ingest *i)
{
    struct waiting *w = (struct waiting *)((char *)i - offsetof(struct waiting, ingest));

    (void)sem_post(&w->done);
}

static void begin(struct waiting *w, uint64_t seq)
{
    *w = (struct waiting){.ingest = {.service = &service, .settled = on_settled}};
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

/* Reads and submits, and waits for the result. */
static int bring(const char *body, uint64_t seq)
{
    struct waiting w;
    struct err_at at;

    begin(&w, seq);
    ck_assert_int_eq(read_body(&w, body, &at), 0);
    ingest_submit(&w.ingest, &scratch);
    scratch_reset(&scratch);
    while (sem_wait(&w.done))
        ck_assert_int_eq(errno, EINTR);
    (void)sem_destroy(&w.done);
    return w.ingest.r;
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
        while (sem_wait(&twins[i].done))
            ck_assert_int_eq(errno, EINTR);
        (void)sem_destroy(&twins[i].done);
        ck_assert(twins[i].ingest.r == 0 || twins[i].ingest.r == E_REPLAY);
        stored += twins[i].ingest.r == 0;
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
    return suite_run(suite);
}
