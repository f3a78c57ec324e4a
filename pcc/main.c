/* SPDX-License-Identifier: MIT */

/*
 * pcc, the agent: start and stop order, nothing else. The main thread blocks the signals
 * before it creates threads and waits for one, or for the time to end.
 */

#include "common/clock.h"
#include "common/confine.h"
#include "common/log.h"
#include "common/notify.h"
#include "common/units.h"
#include "common/version.h"
#include "pcc/apikey.h"
#include "pcc/early.h"
#include "pcc/options.h"
#include "pcc/sampler.h"
#include "pcc/sender.h"
#include "pcc/session.h"
#include "pcc/spool_tool.h"
#include "pcc/status_show.h"

#include <curl/curl.h>
#include <errno.h>
#include <inttypes.h>
#include <malloc.h>
#include <msgpack.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

#define EXIT_USAGE 2
#define FLUSH_MAX (10 * SEC)
/* Its files may be read by others, as /proc can be, but not written. */
#define UMASK 022
/* Room in a batch beyond its limits, for the tick that passes them. */
#define SPARE_MEASUREMENTS 32u
#define SPARE_BYTES (256 * KIB)
/* How long the sender may be kept from taking batches, by a disk, before any is lost. */
#define BEHIND_NS (30 * SEC)

/* Everything that lives as long as the program. */
struct program {
    struct pcc_conf conf;
    struct counters counters;
    struct outbox *outbox;
    struct sources *sources;
    struct collection *collection;
    struct spool *spool;
    struct delivery *delivery;
    struct status about;
    struct tracker *tracker;
    struct status_socket *status;
    struct sender *sender;
    struct sampler *sampler;
    struct notify notify;
    uint64_t points;   /* of the grid, as last seen, */
    uint64_t moved_ns; /* and when they were seen to move (monotonic clock) */
};

/* Not made at every start: curl_version() asks each of curl's libraries, one of which
 * loads plug-ins for it that would stay in memory. */
static void print_version(void)
{
    (void)printf("pcc %s (revision %s)\nbuilt %s\n%s\nzlib/%s\nmsgpack-c/%s\n", VERSION,
                 VERSION_REVISION, VERSION_BUILT, curl_version(), zlibVersion(),
                 msgpack_version());
}

static const char *home_folder(void)
{
    const char *home = getenv("HOME");

    if (home && *home)
        return home;
    const struct passwd *user = getpwuid(getuid()); /* no other thread yet */
    return user ? user->pw_dir : NULL;
}

static struct pcc_surroundings surroundings(void)
{
    static char host_name[256];

    (void)gethostname(host_name, sizeof host_name - 1); /* too long: cut */
    return (struct pcc_surroundings){host_name, home_folder(), getenv("XDG_STATE_HOME")};
}

static int usage_error(const char *what)
{
    (void)fprintf(stderr, "pcc: %s\n", what);
    return EXIT_USAGE;
}

/* What opt_load() had to say but go on with, a line each. */
static void log_warnings(const struct opt_state *state)
{
    struct span left = buf_span(&state->warnings);

    while (left.n > 0) {
        const uint8_t *end = memchr(left.data, '\n', left.n);
        size_t n = end ? (size_t)(end - left.data) : left.n;
        log_event(LOG_WARNING, "option_ignored", LOG_SPAN("why", span_of(left.data, n)));
        left = span_from(left, n + 1);
    }
}

/* The first place that can be had; the last one's result if none can. */
static int open_spool(struct program *p, const char **ret_path)
{
    int r = -ENOENT;

    for (size_t i = 0; i < 2 && r && p->conf.spool_dirs[i]; i++) {
        const struct spool_conf conf = {
            .path = p->conf.spool_dirs[i],
            .max_bytes = p->conf.spool_max_bytes,
            .reserve_bytes = p->conf.spool_reserve_bytes,
            .rejected_bytes = p->conf.rejected_max_bytes,
        };
        *ret_path = conf.path;
        r = spool_open(&conf, &p->spool);
    }
    return r;
}

/* Without it the next agent can't tell what was lost with this one. */
static void start_tracker(struct program *p, const char *folder)
{
    char boot_id[40];
    uint64_t boot_ns = clock_boot_ns();
    const struct mark_start start = {
        .identifier = p->conf.identifier,
        .boot_id = boot_id,
        .interval_ns = p->conf.frequency_ns,
        .sources = sources_count(p->sources),
        .boot_ns = boot_ns,
        .time_ns = early_clock(boot_ns, clock_wall_ns()),
    };
    session_boot_id(boot_id);
    int r = tracker_open(folder, &start, p->outbox, &p->counters, &p->tracker);
    if (r)
        log_event(LOG_WARNING, "mark_unavailable", LOG_STR("folder", folder),
                  LOG_RESULT("error", r));
}

/* Return: 0; with PCC_SPOOL=always also the reason why there is none. */
static int start_spool(struct program *p)
{
    const char *path = "";
    struct spool_counts counts;

    if (p->conf.spool == PCC_SPOOL_NEVER)
        return 0;
    int r = open_spool(p, &path);
    if (r == 0) {
        spool_count(p->spool, &counts);
        log_event(LOG_INFO, "spool", LOG_STR("folder", path),
                  LOG_U64("batches", counts.files),
                  LOG_U64("measurements", counts.measurements));
        start_tracker(p, path);
        return 0;
    }
    bool needed = p->conf.spool == PCC_SPOOL_ALWAYS;
    log_event(needed ? LOG_ERROR : LOG_WARNING, "spool_unavailable",
              LOG_STR("folder", path),
              LOG_STR("reason", r == E_PENDING ? "another pcc has it" : err_text(r)));
    return needed ? r : 0;
}

static int start_delivery(struct program *p)
{
    CURLcode code = curl_global_init(CURL_GLOBAL_DEFAULT);

    if (code != CURLE_OK) {
        log_event(LOG_ERROR, "start_failed", LOG_STR("error", curl_easy_strerror(code)));
        return -ENOMEM;
    }
    if (p->conf.tls_skip_verify)
        log_event(LOG_WARNING, "tls_not_verified",
                  LOG_STR("what", "any server is trusted with the key and the data"));
    int r = delivery_new(&p->conf, p->outbox, &p->counters, p->spool, &p->delivery);
    if (r)
        log_event(LOG_ERROR, "start_failed", LOG_STR("error", apikey_text(r)),
                  LOG_STR("apikey_file", p->conf.apikey_file));
    return r;
}

static int start_collection(struct program *p)
{
    int r = collection_new(p->conf.collection, &p->collection);

    if (r)
        log_event(LOG_ERROR, "start_failed", LOG_RESULT("error", r),
                  LOG_STR("collection", p->conf.collection));
    return r;
}

/* Nobody can ask then, and all the rest goes on. */
static void open_status(struct program *p)
{
    p->about = (struct status){
        .version = VERSION,
        .identifier = p->conf.identifier,
        .server = p->conf.mode == PCC_TRICKLE ? p->conf.server_url : "",
        .serialization = "json",
        .compression = "none",
        .pid = (uint64_t)getpid(),
        .start_ns = clock_boot_ns(),
        .interval_ns = p->conf.frequency_ns,
        .counters = &p->counters,
        .last_error = "",
    };
    if (strcmp(p->conf.status_socket, "off") == 0)
        return;
    int r = status_socket_open(p->conf.status_socket, &p->status);
    if (r)
        log_event(*p->conf.status_socket ? LOG_WARNING : LOG_INFO, "status_unavailable",
                  LOG_RESULT("error", r), LOG_STR("socket", p->conf.status_socket));
    else
        log_event(LOG_DEBUG, "status", LOG_STR("socket", status_socket_path(p->status)));
}

static int start_threads(struct program *p)
{
    const struct seal_rule rule = {
        .measurements = p->conf.batch_size,
        .bytes = p->conf.batch_bytes,
        .flush_ns = p->conf.flush_interval_ns,
        .each_tick = p->conf.mode == PCC_LOCAL,
    };
    const struct sender_parts parts = {
        .outbox = p->outbox,
        .sources = p->sources,
        .counters = &p->counters,
        .collection = p->collection,
        .delivery = p->delivery,
        .tracker = p->tracker,
        .status = p->status,
        .about = &p->about,
        .interval_ns = p->conf.frequency_ns,
        .early_max_bytes = p->conf.queue_max_bytes,
    };
    int r = sender_start(&parts, &p->sender);

    if (r == 0)
        r = sampler_start(p->conf.frequency_ns, &rule, p->sources, p->outbox,
                          &p->counters, &p->sampler);
    if (r)
        log_event(LOG_ERROR, "start_failed", LOG_RESULT("error", r));
    return r;
}

/* Batches for what is taken in BEHIND_NS, the open one and the one with the sender. */
static size_t slots_needed(const struct pcc_conf *conf, size_t n_sources)
{
    uint64_t ticks =
        n_sources > 0 && n_sources < conf->batch_size ? conf->batch_size / n_sources : 1;
    uint64_t batch_ns = ticks * conf->frequency_ns;
    uint64_t slots = 2;

    if (batch_ns > conf->flush_interval_ns)
        batch_ns = conf->flush_interval_ns;
    slots += (BEHIND_NS + batch_ns - 1) / batch_ns; /* options have a minimum above 0 */
    return slots < OUTBOX_SLOTS ? (size_t)slots : OUTBOX_SLOTS;
}

static int start(struct program *p)
{
    int r = sources_new(p->conf.subsystems, p->conf.root, &p->sources);

    if (r == 0)
        r = outbox_new(slots_needed(&p->conf, sources_count(p->sources)),
                       p->conf.batch_size + sources_count(p->sources) +
                           SPARE_MEASUREMENTS,
                       p->conf.batch_bytes + SPARE_BYTES, &p->counters, &p->outbox);
    if (r) {
        log_event(LOG_ERROR, "start_failed", LOG_RESULT("error", r));
        return r;
    }
    if (*p->conf.collection)
        r = start_collection(p);
    if (r == 0 && p->conf.mode == PCC_TRICKLE)
        r = start_spool(p);
    if (r == 0 && p->conf.mode == PCC_TRICKLE)
        r = start_delivery(p);
    if (r)
        return r;
    open_status(p);
    return start_threads(p);
}

static void free_parts(struct program *p)
{
    status_socket_close(p->status);
    delivery_free(p->delivery);
    tracker_free(p->tracker);
    spool_free(p->spool);
    collection_free(p->collection);
    sources_free(p->sources);
    outbox_free(p->outbox);
    if (p->conf.mode == PCC_TRICKLE)
        curl_global_cleanup();
}

static void reload_key(const struct program *p)
{
    if (p->delivery && !*p->conf.apikey)
        sender_reload(p->sender);
    else
        log_event(LOG_INFO, "signal_ignored", LOG_STR("signal", "SIGHUP"),
                  LOG_STR("reason", "there is no key file to read again"));
}

/* Do ticks go on, or is their next one only some time away? */
static bool is_sampling(struct program *p)
{
    uint64_t points = p->counters.ticks + p->counters.missed;
    uint64_t now_ns = clock_monotonic_ns();

    if (points != p->points)
        p->moved_ns = now_ns;
    p->points = points;
    return now_ns - p->moved_ns <= 2 * p->conf.frequency_ns;
}

/* Waits for a signal that ends the program, or for its time to be over. */
static void wait_for_end(struct program *p, const sigset_t *signals)
{
    uint64_t duration_ns = p->conf.duration_ns;
    uint64_t end_ns = duration_ns ? clock_boot_ns() + duration_ns : UINT64_MAX;
    /* A suspend doesn't count for sigtimedwait(2) but does for us: an hour at most. */
    uint64_t pause_ns = notify_pause_ns(&p->notify);
    uint64_t most_ns = pause_ns < HOUR ? pause_ns : HOUR;

    for (uint64_t now_ns = clock_boot_ns(); now_ns < end_ns; now_ns = clock_boot_ns()) {
        uint64_t left_ns = end_ns - now_ns < most_ns ? end_ns - now_ns : most_ns;
        const struct timespec left = {.tv_sec = (time_t)(left_ns / SEC),
                                      .tv_nsec = (long)(left_ns % SEC)};
        int signal = sigtimedwait(signals, NULL, &left);
        if (signal == SIGTERM || signal == SIGINT)
            return;
        if (signal == SIGHUP)
            reload_key(p);
        if (p->notify.watchdog_ns && is_sampling(p))
            (void)notify_alive(&p->notify);
    }
}

static uint64_t losses(const struct counters *c)
{
    return c->behind + c->dropped + c->rejected;
}

/* What was batched must still get through: its loss is the exit status. Earlier ones have
 * been told of at their time. */
static int stop(struct program *p)
{
    const struct counters *c = &p->counters;
    uint64_t within_ns = p->conf.timeout_ns < FLUSH_MAX ? p->conf.timeout_ns : FLUSH_MAX;
    uint64_t before = losses(c);

    struct spool_counts left = {.files = 0};

    sampler_stop(p->sampler);
    uint64_t lost = sender_stop(p->sender, within_ns);
    lost += losses(c) - before;
    if (lost > 0)
        log_event(LOG_ERROR, "measurements_lost", LOG_U64("measurements", lost),
                  LOG_STR("reason", "they could not be delivered before the end"));
    if (p->spool)
        spool_count(p->spool, &left);
    log_event(LOG_INFO, "stopped", LOG_U64("spooled", left.measurements),
              LOG_U64("ticks", c->ticks), LOG_U64("missed", c->missed),
              LOG_U64("measurements", c->measurements), LOG_U64("appended", c->appended),
              LOG_U64("sent", c->sent), LOG_U64("replayed", c->replayed),
              LOG_U64("dropped", c->dropped + c->behind),
              LOG_U64("rejected", c->rejected), LOG_U64("conflicts", c->conflicts),
              LOG_U64("bytes_sent", c->bytes_sent), LOG_U64("requests", c->requests),
              LOG_U64("connections", c->connections));
    return lost > 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* What is done before anything is opened. It goes on where that fails: less safe, but
 * measuring. */
static void prepare(struct program *p)
{
    int r = confine(UMASK);

    if (r)
        log_event(LOG_WARNING, "not_confined", LOG_RESULT("error", r));
    r = notify_init(&p->notify);
    if (r)
        log_event(LOG_WARNING, "manager_not_told", LOG_RESULT("error", r));
}

/* To who started it: the sampler samples. */
static void announce(struct program *p)
{
    char each[UNITS_TEXT];

    p->moved_ns = clock_monotonic_ns();
    units_print_duration(p->conf.frequency_ns, each);
    (void)notify_send(&p->notify, "READY=1\nSTATUS=a tick each %s, %s", each,
                      p->conf.mode == PCC_LOCAL ? "to a collection" : "to the server");
}

static int run(struct program *p)
{
    sigset_t signals;

#ifdef M_ARENA_MAX
    /* One heap for all threads: the sampler doesn't allocate, so nobody contends. */
    (void)mallopt(M_ARENA_MAX, 1);
#endif
    (void)sigemptyset(&signals);
    (void)sigaddset(&signals, SIGTERM);
    (void)sigaddset(&signals, SIGINT);
    (void)sigaddset(&signals, SIGHUP);
    (void)sigaddset(&signals, SIGPIPE); /* blocked for good: a write then fails instead */
    (void)pthread_sigmask(SIG_BLOCK, &signals, NULL);
    (void)sigdelset(&signals, SIGPIPE);

    prepare(p);
    int r = start(p);
    if (r == 0) {
        log_event(LOG_INFO, "started", LOG_STR("version", VERSION),
                  LOG_STR("mode", p->conf.mode == PCC_LOCAL ? "local" : "trickle"),
                  LOG_STR("identifier", p->conf.identifier),
                  LOG_MS("frequency_ms", p->conf.frequency_ns));
        announce(p);
        wait_for_end(p, &signals);
    }
    (void)notify_send(&p->notify, "STOPPING=1");
    int status = stop(p);
    notify_done(&p->notify);
    free_parts(p);
    return r ? EXIT_FAILURE : status;
}

static int act(enum opt_action action, const struct opt_program *table, struct program *p,
               const struct opt_state *state)
{
    char error[512];

    if (action == OPT_HELP) {
        opt_help(table, stdout);
        return EXIT_SUCCESS;
    }
    if (action == OPT_VERSION) {
        print_version();
        return EXIT_SUCCESS;
    }
    const struct pcc_surroundings around = surroundings();
    if (options_finish(&p->conf, &around, error, sizeof error))
        return usage_error(error);
    log_init((enum log_level)p->conf.loglevel);
    log_warnings(state);
    if (action == OPT_CHECK) {
        opt_print(table, &p->conf, state, stdout);
        return EXIT_SUCCESS;
    }
    return run(p);
}

int main(int argc, char *argv[])
{
    static struct program program;
    const struct opt_program table = options_program();
    struct opt_state state = {0};
    enum opt_action action = OPT_RUN;

    if (argc > 1 && strcmp(argv[1], "status") == 0)
        return status_show(argv + 1, environ);
    if (argc > 1 && strcmp(argv[1], "spool") == 0) {
        const struct pcc_surroundings around = surroundings();
        return spool_tool(argv + 1, environ, &around);
    }
    int r = opt_load(&table, argv, environ, &program.conf, &state, &action);
    int status = r ? usage_error(*state.error ? state.error : err_text(r))
                   : act(action, &table, &program, &state);
    opt_done(&state);
    return status;
}
