/* SPDX-License-Identifier: MIT */

/*
 * What of pcd's work remains without HTTP: bodies of a tape (tape.h) are decompressed,
 * decoded, checked and put into the log by pcd's own modules, synced in groups, and by
 * default not filed. Or only decompressed. Prints JSON: ticks, the CPU seconds that they
 * took (user and system, all threads, without making the bodies), and the seconds.
 */

#include "pcd/ingest.h"
#include "common/clock.h"
#include "common/json.h"
#include "common/msgpack.h"
#include "pcd/dayfile.h"
#include "pcd/filer.h"
#include "pcd/hosts.h"
#include "pcd/options.h"
#include "pcd/stats.h"
#include "pcd/store.h"
#include "tests/bench/tape.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define HOSTS_KNOWN 200000u
#define KEY "0123456789abcdef"

struct ingest_conf {
    const char *home;
    const char *replay;
    int form;
    bool gzip;
    bool file;
    bool inflate;
    uint64_t hosts;
    uint64_t batches;
    uint64_t ticks;
    uint64_t waiting;
};

static const char *const forms[] = {"json", "msgpack", "delta", NULL};
static const struct codec *const codecs[] = {&json_codec, &msgpack_codec, &delta_codec};
static const enum media_form medias[] = {MEDIA_JSON, MEDIA_MSGPACK, MEDIA_DELTA};

#define AT(field) offsetof(struct ingest_conf, field)

static const struct opt ingest_opts[] = {
    {.name = "home",
     .type = OPT_STRING,
     .at = AT(home),
     .dflt = "",
     .help = "an empty folder for the store"},
    {.name = "replay",
     .type = OPT_STRING,
     .at = AT(replay),
     .dflt = "",
     .help = "a file of measurements"},
    {.name = "form",
     .type = OPT_CHOICE,
     .at = AT(form),
     .dflt = "delta",
     .choices = forms,
     .help = "how batches are encoded"},
    {.name = "gzip",
     .type = OPT_BOOL,
     .at = AT(gzip),
     .dflt = "true",
     .help = "whether they are compressed"},
    {.name = "file",
     .type = OPT_BOOL,
     .at = AT(file),
     .dflt = "false",
     .help = "write day files too"},
    {.name = "inflate",
     .type = OPT_BOOL,
     .at = AT(inflate),
     .dflt = "false",
     .help = "only decompress"},
    {.name = "hosts",
     .type = OPT_COUNT,
     .at = AT(hosts),
     .dflt = "1000",
     .min = 1,
     .max = 99999,
     .help = "whose batches take turns"},
    {.name = "batches",
     .type = OPT_COUNT,
     .at = AT(batches),
     .dflt = "8",
     .min = 1,
     .max = 1000000,
     .help = "of each, after one that isn't counted"},
    {.name = "ticks",
     .type = OPT_COUNT,
     .at = AT(ticks),
     .dflt = "20",
     .min = 1,
     .max = 10000,
     .help = "in a batch"},
    {.name = "waiting",
     .type = OPT_COUNT,
     .at = AT(waiting),
     .dflt = "100",
     .min = 1,
     .max = 99999,
     .help = "batches that may wait for the disk; fewer than hosts"},
};

static const struct opt_program ingest_program = {
    .name = "ingest",
    .prefix = "PC_INGEST_",
    .summary = "takes batches as pcd does, without a network",
    .more = "",
    .version = "ingest, of perfcollector\n",
    .opts = ingest_opts,
    .n_opts = sizeof(ingest_opts) / sizeof(ingest_opts[0]),
};

struct one;

struct run {
    struct ingest_conf conf;
    struct pcd_conf pcd;
    struct opt_state pcd_state;
    struct tape tape;
    struct admit admit;
    struct stats stats;
    struct service service;
    struct log_limit limits[2];
    struct auth_grant grant;
    struct scratch scratch;
    struct one *hosts;
    struct buf body;
    uint64_t making_ns; /* CPU that bodies took, which pcd wouldn't spend */

    pthread_mutex_t lock;
    pthread_cond_t less;
    /* guarded by lock */
    size_t n_waiting;
    int failure; /* the last one of a batch */
};

/* A host, and its batch while that waits. */
struct one {
    struct ingest ingest;
    struct run *run;
    uint64_t session;
    uint64_t seq;
};

/* Without --file the linker puts this in the filer's place: what is in the log is done
 * with. */
static struct admit *released_to;
void __real_filer_push(struct filer *f, struct job *j);
void __wrap_filer_push(struct filer *f, struct job *j);

void __wrap_filer_push(struct filer *f, struct job *j)
{
    if (!released_to) {
        __real_filer_push(f, j);
        return;
    }
    admit_release(released_to, j->charged);
    dayfile_put(j->file);
    job_free(j);
}

static void settled(struct ingest *i)
{
    struct one *one = (struct one *)(void *)i; /* its first member */
    struct run *run = one->run;

    (void)pthread_mutex_lock(&run->lock);
    run->n_waiting--;
    if (i->r)
        run->failure = i->r;
    (void)pthread_cond_signal(&run->less);
    (void)pthread_mutex_unlock(&run->lock);
}

/* Waits until no more than @n batches wait. Return: 0; how one failed. */
static int wait_for(struct run *run, size_t n)
{
    (void)pthread_mutex_lock(&run->lock);
    while (run->n_waiting > n)
        (void)pthread_cond_wait(&run->less, &run->lock);
    int r = run->failure;
    (void)pthread_mutex_unlock(&run->lock);
    return r;
}

static uint64_t thread_cpu_ns(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * SEC + (uint64_t)t.tv_nsec;
}

static double process_cpu_seconds(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / (double)SEC;
}

/* Makes the next body of a host, whole. */
static int make_body(struct run *run, size_t number)
{
    uint64_t start_ns = thread_cpu_ns();
    const struct tape_body *body = tape_body(&run->tape, number % run->tape.conf.n_places,
                                             run->hosts[number].seq - 1);
    char identifier[LIMIT_IDENTIFIER_BYTES + 1];
    struct tape_cut cut;

    (void)snprintf(identifier, sizeof(identifier), "host-%05zu", number);
    buf_reset(&run->body);
    int r = tape_cut(&run->tape, body, span_of_str(identifier), &run->body, &cut);
    if (r == 0)
        r = buf_append(&run->body, cut.tail);
    if (r == 0)
        r = buf_append(&run->body, span_of(cut.end, cut.end_n));
    run->making_ns += thread_cpu_ns() - start_ns;
    return r;
}

static int inflate_one(struct run *run)
{
    struct err_at at;
    struct span plain;

    scratch_reset(&run->scratch);
    return scratch_inflate(&run->scratch, run->conf.gzip ? CODING_GZIP : CODING_IDENTITY,
                           buf_span(&run->body), &run->scratch.decoded, &plain, &at);
}

static int submit_one(struct run *run, struct one *one)
{
    struct err_at at;

    one->ingest = (struct ingest){
        .service = &run->service,
        .grant = &run->grant,
        .form = medias[run->conf.form],
        .coding = run->conf.gzip ? CODING_GZIP : CODING_IDENTITY,
        .has_key = true,
        .key = {.session = one->session, .seq = one->seq, .floor = one->seq},
        .settled = settled,
    };
    scratch_reset(&run->scratch);
    int r = wait_for(run, run->conf.waiting);
    if (r == 0)
        r = ingest_read(&one->ingest, &run->scratch, buf_span(&run->body), &at);
    if (r)
        return r;
    (void)pthread_mutex_lock(&run->lock);
    run->n_waiting++;
    (void)pthread_mutex_unlock(&run->lock);
    ingest_submit(&one->ingest, &run->scratch);
    return 0;
}

/* A batch of each host; all are in the log when this returns. */
static int take_round(struct run *run)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < run->conf.hosts; i++) {
        r = make_body(run, i);
        if (r == 0)
            r = run->conf.inflate ? inflate_one(run) : submit_one(run, &run->hosts[i]);
        run->hosts[i].seq++;
    }
    return r;
}

static int take_all(struct run *run)
{
    struct store_counts before = {0}, after = {0};

    int r = take_round(run);
    if (r == 0)
        r = wait_for(run, 0);
    if (r)
        return r;
    if (run->service.store)
        store_count(run->service.store, &before);
    run->making_ns = 0;
    double cpu = process_cpu_seconds();
    uint64_t begin_ns = clock_monotonic_ns();
    for (uint64_t i = 0; r == 0 && i < run->conf.batches; i++)
        r = take_round(run);
    if (r == 0)
        r = wait_for(run, 0);
    if (run->service.store)
        store_count(run->service.store, &after);
    cpu = process_cpu_seconds() - cpu - (double)run->making_ns / (double)SEC;
    if (r == 0)
        printf("{\"ticks\": %" PRIu64 ", \"cpu_seconds\": %.6f, \"seconds\": %.6f, "
               "\"groups\": %" PRIu64 ", \"plain_bytes\": %.1f, \"body_bytes\": %.1f}\n",
               run->conf.hosts * run->conf.batches * run->conf.ticks, cpu,
               (double)(clock_monotonic_ns() - begin_ns) / (double)SEC,
               after.groups - before.groups,
               (double)run->tape.plain_bytes / (double)run->tape.n_bodies,
               (double)run->tape.sent_bytes / (double)run->tape.n_bodies);
    return r;
}

static int make_tape(struct run *run)
{
    const struct tape_conf conf = {
        .codec = codecs[run->conf.form],
        .gzip = run->conf.gzip,
        .n_ticks = run->conf.ticks,
        .collection = run->conf.replay,
        .identifier_n = sizeof("host-00000") - 1,
        .time_ns = clock_wall_ns() / SEC * SEC,
        .n_places = 16,
        .n_batches = 128,
    };
    return tape_init(&run->tape, &conf);
}

static int make_hosts(struct run *run)
{
    run->hosts = calloc(run->conf.hosts, sizeof(*run->hosts));
    if (!run->hosts)
        return -ENOMEM;
    for (size_t i = 0; i < run->conf.hosts; i++)
        run->hosts[i] = (struct one){.run = run, .session = clock_random_u64(), .seq = 1};
    return 0;
}

/* pcd's settings as they are without any file, flag or variable. */
static int default_settings(struct run *run)
{
    char name[] = "pcd";
    char *const none[] = {NULL};
    char *const argv[] = {name, NULL};
    enum opt_action action;

    return opt_load(&options_program, argv, none, &run->pcd, &run->pcd_state, &action);
}

static int make_auth(struct run *run)
{
    struct key_lines lines;
    struct auth_hint hint = {0};
    int r = auth_new(&run->service.auth);

    if (r == 0)
        r = auth_take(run->service.auth, SPAN(KEY "\n"), &lines);
    return r ? r : auth_ask(run->service.auth, SPAN(KEY), &hint, &run->grant);
}

static int open_store(struct run *run, struct store_conf *conf)
{
    const uint64_t seed[2] = {clock_random_u64(), clock_random_u64()};
    const char *what;

    run->admit.max_bytes = run->pcd.queue_max;
    run->service.conf = &run->pcd;
    run->service.admit = &run->admit;
    run->service.stats = &run->stats;
    run->service.two_sessions = &run->limits[0];
    run->service.states_full = &run->limits[1];
    if (!run->conf.file)
        released_to = &run->admit;
    int r = make_auth(run);
    if (r == 0)
        r = hosts_new(HOSTS_KNOWN, seed, &run->service.hosts);
    if (r == 0)
        r = chains_new(run->pcd.delta_state_max, seed, &run->service.chains);
    if (r == 0)
        r = store_open(conf, NULL, &run->service.store, &what);
    return r;
}

static int run_init(struct run *run, struct store_conf *store)
{
    buf_init(&run->body, LIMIT_DECODED_BYTES);
    int r = default_settings(run);
    if (r == 0)
        r = make_tape(run);
    if (r == 0)
        r = make_hosts(run);
    if (r == 0)
        r = scratch_init(&run->scratch, &run->pcd);
    if (r || run->conf.inflate)
        return r;
    *store = (struct store_conf){
        .home = run->conf.home,
        .sync = STORE_SYNC_ALWAYS,
        .log_max = run->conf.file ? run->pcd.log_max : TIB, /* what isn't filed stays */
        .keys_keep_ns = run->pcd.keys_keep_ns,
        .checkpoint_ns = run->pcd.checkpoint_ns,
        .files_max = run->pcd.files_max,
        .admit = &run->admit,
    };
    return open_store(run, store);
}

static int run_done(struct run *run)
{
    int r = store_close(run->service.store);

    chains_free(run->service.chains);
    hosts_free(run->service.hosts);
    auth_grant_done(&run->grant);
    auth_free(run->service.auth);
    scratch_done(&run->scratch);
    tape_done(&run->tape);
    buf_done(&run->body);
    free(run->hosts);
    opt_done(&run->pcd_state);
    return r;
}

int main(int argc, char **argv)
{
    (void)argc; /* argv ends in NULL */
    struct opt_state state = {0};
    static struct run run = {.lock = PTHREAD_MUTEX_INITIALIZER,
                             .less = PTHREAD_COND_INITIALIZER};
    struct store_conf store;
    enum opt_action action = OPT_RUN;
    int r = opt_load(&ingest_program, argv, environ, &run.conf, &state, &action);

    if (r) {
        fprintf(stderr, "ingest: %s\n", state.error);
    } else if (action == OPT_HELP) {
        opt_help(&ingest_program, stdout);
    } else {
        if (run.conf.waiting >= run.conf.hosts) /* each has one batch on its way */
            run.conf.waiting = run.conf.hosts - 1;
        r = run_init(&run, &store);
        if (r == 0)
            r = take_all(&run);
        int closed = run_done(&run);
        r = r ? r : closed;
        if (r)
            fprintf(stderr, "ingest: %s\n", err_text(r));
    }
    opt_done(&state);
    return r ? EXIT_FAILURE : EXIT_SUCCESS;
}
