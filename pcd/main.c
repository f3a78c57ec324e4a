/* SPDX-License-Identifier: MIT */

/* pcd: start and stop order, and the signals in between. */

#include "common/clock.h"
#include "common/confine.h"
#include "common/log.h"
#include "common/notify.h"
#include "common/units.h"
#include "common/version.h"
#include "pcd/apikeys.h"
#include "pcd/auth.h"
#include "pcd/chains.h"
#include "pcd/gunzip.h"
#include "pcd/hosts.h"
#include "pcd/keygen.h"
#include "pcd/options.h"
#include "pcd/rate.h"
#include "pcd/server.h"
#include "pcd/stats.h"
#include "pcd/store.h"

#include <errno.h>
#include <inttypes.h>
#include <microhttpd.h>
#include <msgpack.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#define EXIT_USAGE 2
#define HOSTS_MAX 100000u
/* What is stored is nobody else's. */
#define UMASK 077
/* While recovery goes on it says so each second, and asks for time until it next does. */
#define RECOVERY_TELL_NS SEC
#define RECOVERY_EXTEND_USEC (2 * MINUTE / USEC)
/* How often the file of keys is looked at. */
#define LOOK_NS SEC

/* Everything that lives as long as the program. */
struct pcd {
    struct pcd_conf conf;
    struct admit admit;
    struct stats stats;
    struct log_limit two_sessions;
    struct log_limit states_full;
    struct log_limit over_rate;
    struct auth *auth;
    struct apikeys apikeys;
    struct rate *key_rate;
    struct rate *address_rate;
    struct hosts *hosts;
    struct chains *chains;
    struct service service;
    struct server *server;
    struct notify notify;
    uint64_t told_ns; /* when recovery last said that it goes on; 0: not yet */
    uint64_t moved;   /* how far the committer was when last looked at */
};

static void complain(const char *what, const char *which, const char *why)
{
    (void)fprintf(stderr, "pcd: %s %s: %s\n", what, which, why);
}

/* Blocks the signals that main takes, in all threads that come, and SIGPIPE, which
 * nobody takes: writing to a connection that has gone is an error like others. */
static void block_signals(sigset_t *ret)
{
    sigset_t blocked;

    (void)sigemptyset(ret);
    (void)sigaddset(ret, SIGTERM);
    (void)sigaddset(ret, SIGINT);
    (void)sigaddset(ret, SIGHUP);
    blocked = *ret;
    (void)sigaddset(&blocked, SIGPIPE);
    (void)sigprocmask(SIG_BLOCK, &blocked, NULL);
}

static int start_keys(struct pcd *p)
{
    const char *path = p->conf.apikeys_path;
    char text[200];
    int r = auth_new(&p->auth);

    if (r) {
        complain("can't", "begin", err_text(r));
        return r;
    }
    p->apikeys = (struct apikeys){.auth = p->auth, .path = path};
    r = apikeys_read(&p->apikeys, text, sizeof text);
    if (r == -ENOENT || r == E_GONE)
        (void)fprintf(stderr,
                      "pcd: no key in %s; make one: umask 077; mkdir -p %s; pcd keygen > "
                      "pcc.key; tail -n 1 pcc.key >> %s; an agent takes pcc.key as "
                      "PCC_APIKEY_FILE\n",
                      path, p->conf.home_path, path);
    else if (r)
        complain("can't use", path, text);
    return r;
}

static void count_sync(void *arg, uint64_t duration_ns)
{
    struct pcd *p = arg;

    stats_observe(&p->stats, STATS_SYNC, duration_ns);
}

static void tell_of_recovery(void *arg)
{
    struct pcd *p = arg;
    uint64_t now_ns = clock_monotonic_ns();

    if (p->told_ns && now_ns - p->told_ns < RECOVERY_TELL_NS)
        return;
    p->told_ns = now_ns;
    (void)notify_send(&p->notify, "EXTEND_TIMEOUT_USEC=%" PRIu64 "\nSTATUS=recovering",
                      RECOVERY_EXTEND_USEC);
}

static int start_store(struct pcd *p, struct store_conf *conf)
{
    const struct store_observer observer = {
        .synced = count_sync, .recovers = tell_of_recovery, .arg = p};
    struct store_counts counts;
    const char *what = "";

    *conf = (struct store_conf){
        .home = p->conf.home_path,
        .sync = (enum store_sync)p->conf.sync,
        .gather_ns = p->conf.gather_ns,
        .log_max = p->conf.log_max,
        .disk_reserve = p->conf.disk_reserve,
        .keys_keep_ns = p->conf.keys_keep_ns,
        .checkpoint_ns = p->conf.checkpoint_ns,
        .files_max = p->conf.files_max,
        .retain_days = p->conf.retain_ns / DAY,
        .retain_bytes = p->conf.retain_bytes,
        .admit = &p->admit,
    };
    int r = store_open(conf, &observer, &p->service.store, &what);
    if (r) {
        (void)fprintf(stderr, "pcd: can't open the store in %s: %s: %s\n",
                      p->conf.home_path, what,
                      r == E_PENDING ? "another pcd has it" : err_text(r));
        return r;
    }
    store_count(p->service.store, &counts);
    log_event(LOG_INFO, "store_open", LOG_STR("home", p->conf.home_path),
              LOG_U64("recovered_records", counts.recovery.records),
              LOG_U64("recovered_bytes", counts.recovery.bytes),
              LOG_U64("damaged_bytes", counts.recovery.damaged),
              LOG_MS("duration_ms", counts.recovery.duration_ns));
    return 0;
}

static int start(struct pcd *p, struct store_conf *store_conf)
{
    const uint64_t seed[2] = {clock_random_u64(), clock_random_u64()};
    char text[640];

    p->admit.max_bytes = p->conf.queue_max;
    p->two_sessions.every_ns = MINUTE;
    p->states_full.every_ns = MINUTE;
    p->over_rate.every_ns = MINUTE;
    int r = start_keys(p);
    if (r)
        return r;
    r = hosts_new(HOSTS_MAX, seed, &p->hosts);
    if (r == 0)
        r = chains_new(p->conf.delta_state_max, seed, &p->chains);
    if (r == 0 && p->conf.rate)
        r = rate_new(p->conf.rate, seed, &p->key_rate);
    if (r == 0 && p->conf.rate_address)
        r = rate_new(p->conf.rate_address, seed, &p->address_rate);
    if (r) {
        complain("can't", "begin", err_text(r));
        return r;
    }
    p->service = (struct service){
        .conf = &p->conf,
        .auth = p->auth,
        .key_rate = p->key_rate,
        .address_rate = p->address_rate,
        .admit = &p->admit,
        .hosts = p->hosts,
        .chains = p->chains,
        .stats = &p->stats,
        .two_sessions = &p->two_sessions,
        .states_full = &p->states_full,
        .over_rate = &p->over_rate,
        .start_s = clock_wall_ns() / SEC,
    };
    r = start_store(p, store_conf);
    if (r)
        return r;
    r = server_start(&p->service, &p->server, text, sizeof text);
    if (r)
        (void)fprintf(stderr, "pcd: can't serve on %s: %s\n", p->conf.listen, text);
    return r;
}

static void tell_ready(const struct pcd *p)
{
    (void)notify_send(&p->notify, "READY=1\nSTATUS=listening on %s", p->conf.listen);
}

/* Does the committer get on? With nothing to do it need not; and a disk that doesn't
 * answer is no reason to be killed: a restart would wait for it too. */
static bool is_committing(struct pcd *p)
{
    struct store_counts c;

    store_count(p->service.store, &c);
    uint64_t moved = c.groups + c.syncs + c.sync_failures;
    bool is_stuck = c.queued_jobs > 0 && !c.disk_busy && moved == p->moved;
    p->moved = moved;
    return !is_stuck;
}

/* Until a signal comes, or it is time to look around. Return: the signal; 0. */
static int wait_for_signal(const sigset_t *signals, uint64_t most_ns)
{
    const struct timespec most = {.tv_sec = (time_t)(most_ns / SEC),
                                  .tv_nsec = (long)(most_ns % SEC)};
    int taken = sigtimedwait(signals, NULL, &most);

    return taken < 0 ? 0 : taken;
}

/* Until it is time to stop. */
static void serve(struct pcd *p, const sigset_t *signals)
{
    uint64_t pause_ns = notify_pause_ns(&p->notify);
    int taken = 0;

    tell_ready(p);
    while (taken != SIGTERM && taken != SIGINT) {
        taken = wait_for_signal(signals, pause_ns < LOOK_NS ? pause_ns : LOOK_NS);
        if (taken == SIGHUP) {
            (void)notify_reloading(&p->notify);
            apikeys_reload(&p->apikeys);
            server_look_at_files(p->server, true);
            tell_ready(p);
        } else {
            apikeys_look(&p->apikeys);
            server_look_at_files(p->server, false);
        }
        if (p->notify.watchdog_ns && is_committing(p))
            (void)notify_alive(&p->notify);
    }
    log_event(LOG_INFO, "stopping", LOG_I64("signal", taken));
}

/* Ends what was started, whatever that is. Return: 0; -errno of the last checkpoint. */
static int stop(struct pcd *p)
{
    server_stop(p->server);
    int r = store_close(p->service.store);
    if (r)
        log_event(LOG_ERROR, "checkpoint_failed", LOG_RESULT("reason", r));
    chains_free(p->chains); /* no batch is on its way any more */
    hosts_free(p->hosts);
    rate_free(p->address_rate);
    rate_free(p->key_rate);
    auth_free(p->auth);
    return r;
}

/* What is done before anything is opened. It goes on where that fails. */
static void prepare(struct pcd *p)
{
    int r = confine(UMASK);

    if (r)
        log_event(LOG_WARNING, "not_confined", LOG_RESULT("error", r));
    r = notify_init(&p->notify);
    if (r)
        log_event(LOG_WARNING, "manager_not_told", LOG_RESULT("error", r));
}

static int run(struct pcd *p)
{
    struct store_conf store_conf;
    sigset_t signals;

    block_signals(&signals);
    log_init((enum log_level)p->conf.log_level);
    log_event(LOG_INFO, "starting", LOG_STR("version", VERSION),
              LOG_STR("revision", VERSION_REVISION));
    prepare(p);
    int r = start(p, &store_conf);
    if (r == 0)
        serve(p, &signals);
    (void)notify_send(&p->notify, "STOPPING=1");
    int stopped = stop(p);
    notify_done(&p->notify);
    if (r || stopped)
        return EXIT_FAILURE;
    log_event(LOG_INFO, "stopped");
    return EXIT_SUCCESS;
}

/* What is to be done with the options that were given. Return: main's result. */
static int act(const struct opt_program *program, struct pcd *p,
               const struct opt_state *state, enum opt_action action)
{
    const char *text;

    if (action == OPT_HELP) {
        opt_help(program, stdout);
        return EXIT_SUCCESS;
    }
    if (action == OPT_VERSION) {
        (void)fputs(program->version, stdout);
        return EXIT_SUCCESS;
    }
    if (options_finish(&p->conf, getenv("HOME"), &text)) {
        (void)fprintf(stderr, "pcd: %s\n", text);
        return EXIT_USAGE;
    }
    if (action == OPT_CHECK) {
        opt_print(program, &p->conf, state, stdout);
        return EXIT_SUCCESS;
    }
    return run(p);
}

int main(int argc, char *argv[])
{
    if (argc > 1 && strcmp(argv[1], "keygen") == 0)
        return keygen_run(argv + 2, stdout, stderr);
    struct opt_program program = options_program;
    struct opt_state state = {0};
    struct pcd p = {0};
    enum opt_action action;
    char version[256];

    (void)snprintf(version, sizeof version,
                   "pcd " VERSION " (revision " VERSION_REVISION ", built " VERSION_BUILT
                   ")\nlibmicrohttpd %s, zlib %s, libdeflate %s, msgpack-c %s\n",
                   MHD_get_version(), zlibVersion(), gunzip_version(), msgpack_version());
    program.version = version;
    int r = opt_load(&program, argv, environ, &p.conf, &state, &action);
    if (state.warnings.len > 0)
        (void)fwrite(state.warnings.data, 1, state.warnings.len, stderr);
    if (r)
        (void)fprintf(stderr, "pcd: %s\n", state.error);
    int result = r ? EXIT_USAGE : act(&program, &p, &state, action);
    options_done(&p.conf);
    opt_done(&state);
    return result;
}
