/* SPDX-License-Identifier: MIT */

/*
 * A fleet of hosts that send batches to a pcd on this machine for a time, each right
 * after the answer to the one before or at a rate; then a summary, and on request a look
 * into pcd's home whether all that was acknowledged is there once.
 */

#include "common/clock.h"
#include "common/delta.h"
#include "common/json.h"
#include "common/log.h"
#include "common/msgpack.h"
#include "common/opt.h"
#include "common/units.h"
#include "tests/bench/check.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netdb.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#define PATIENCE_NS (30 * SEC)

struct load_conf {
    const char *server;
    const char *key;
    const char *prefix;
    const char *collection;
    const char *check;
    uint64_t clients;
    uint64_t seconds;
    uint64_t batches;
    uint64_t measurements;
    int form;
    bool gzip;
    const char *replay;
    uint64_t ticks;
    uint64_t cpus;
    uint64_t places;
    uint64_t tape;
    uint64_t connections;
    bool new_connections;
    uint64_t rate;
    uint64_t interval_ns;
    uint64_t jitter;
    uint64_t warmup;
    uint64_t hold_ns;
    bool json;
};

static const char *const forms[] = {"json", "msgpack", "delta", NULL};
static const struct codec *const codecs[] = {&json_codec, &msgpack_codec, &delta_codec};

#define AT(field) offsetof(struct load_conf, field)

static const struct opt load_opts[] = {
    {.name = "server",
     .type = OPT_STRING,
     .at = AT(server),
     .dflt = "http://127.0.0.1:8080",
     .help = "the pcd to load, on this machine"},
    {.name = "key",
     .type = OPT_STRING,
     .at = AT(key),
     .dflt = "",
     .help = "the API key; a throw-away one, for other users can see it"},
    {.name = "clients",
     .type = OPT_COUNT,
     .at = AT(clients),
     .dflt = "100",
     .min = 1,
     .max = 99999,
     .help = "hosts"},
    {.name = "connections",
     .type = OPT_COUNT,
     .at = AT(connections),
     .dflt = "0",
     .max = 60000,
     .help = "that the hosts share; 0: one each; those beyond one each stay idle"},
    {.name = "new-connections",
     .type = OPT_BOOL,
     .at = AT(new_connections),
     .dflt = "false",
     .help = "a connection for each batch, ended after it"},
    {.name = "rate",
     .type = OPT_COUNT,
     .at = AT(rate),
     .dflt = "0",
     .max = 10000000,
     .help = "batches a second of all hosts, sent when they are due and timed from then; "
             "0: as fast as they are answered"},
    {.name = "interval",
     .type = OPT_DURATION,
     .at = AT(interval_ns),
     .dflt = "0",
     .max = HOUR,
     .help = "the rate as the time between two batches of a host; 0: rate counts"},
    {.name = "jitter",
     .type = OPT_COUNT,
     .at = AT(jitter),
     .dflt = "10",
     .max = 100,
     .help = "how much later a batch is due at the most, in % of its interval"},
    {.name = "seconds",
     .type = OPT_COUNT,
     .at = AT(seconds),
     .dflt = "10",
     .min = 1,
     .max = 86400,
     .help = "how long batches are begun, in seconds"},
    {.name = "batches",
     .type = OPT_COUNT,
     .at = AT(batches),
     .dflt = "0",
     .max = 1000000000,
     .help = "batches of each client at the most; 0 = what the time allows"},
    {.name = "measurements",
     .type = OPT_COUNT,
     .at = AT(measurements),
     .dflt = "100",
     .min = 1,
     .max = 10000,
     .help = "measurements in a batch"},
    {.name = "form",
     .type = OPT_CHOICE,
     .at = AT(form),
     .dflt = "msgpack",
     .choices = forms,
     .help = "how batches are encoded"},
    {.name = "gzip",
     .type = OPT_BOOL,
     .at = AT(gzip),
     .dflt = "true",
     .help = "whether they are compressed"},
    {.name = "collection",
     .type = OPT_STRING,
     .at = AT(collection),
     .dflt = "",
     .help = "a file of measurements to replay; else what /proc says now"},
    {.name = "replay",
     .type = OPT_STRING,
     .at = AT(replay),
     .dflt = "",
     .help = "a file of measurements whose ticks the hosts send one after the other, in "
             "the place of measurements that are always the same"},
    {.name = "ticks",
     .type = OPT_COUNT,
     .at = AT(ticks),
     .dflt = "20",
     .min = 1,
     .max = 10000,
     .help = "ticks in a batch that is replayed"},
    {.name = "cpus",
     .type = OPT_COUNT,
     .at = AT(cpus),
     .dflt = "0",
     .max = 4096,
     .help = "CPUs that replayed hosts seem to have; 0: as recorded"},
    {.name = "places",
     .type = OPT_COUNT,
     .at = AT(places),
     .dflt = "16",
     .min = 1,
     .max = 1000,
     .help = "places that hosts begin to replay from"},
    {.name = "tape",
     .type = OPT_COUNT,
     .at = AT(tape),
     .dflt = "128",
     .min = 2,
     .max = 100000,
     .help = "batches that are made before the first is sent; then they come again"},
    {.name = "warmup",
     .type = OPT_COUNT,
     .at = AT(warmup),
     .dflt = "0",
     .max = 1000000,
     .help = "batches of each host before the time begins; then \"warm\" is said, and a "
             "line of input awaited"},
    {.name = "hold",
     .type = OPT_DURATION,
     .at = AT(hold_ns),
     .dflt = "0",
     .max = HOUR,
     .help = "keep the connections so long after the summary"},
    {.name = "json",
     .type = OPT_BOOL,
     .at = AT(json),
     .dflt = "false",
     .help = "the summary as one line of JSON"},
    {.name = "prefix",
     .type = OPT_STRING,
     .at = AT(prefix),
     .dflt = "load",
     .help = "how the clients' identifiers begin; letters, digits, dashes"},
    {.name = "check",
     .type = OPT_STRING,
     .at = AT(check),
     .dflt = "",
     .help = "pcd's home: compare what is stored there with what was sent"},
};

static const struct opt_program load_program = {
    .name = "load",
    .prefix = "PC_LOAD_",
    .summary = "many hosts send batches to a pcd on this machine",
    .more = "The status is 0 if every batch was stored, and the check held.\n",
    .version = "load, of perfcollector\n",
    .opts = load_opts,
    .n_opts = sizeof(load_opts) / sizeof(load_opts[0]),
};

static bool is_loopback(const struct sockaddr *a)
{
    if (a->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)a;

        return ntohl(in->sin_addr.s_addr) >> 24 == 127;
    }
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)a;
    return a->sa_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr);
}

/* Splits http://HOST:PORT, the host perhaps in brackets. Return: is it one? */
static bool split_url(const char *url, char host[64], char port[8])
{
    char end;

    return sscanf(url, "http://[%63[0-9a-fA-F:]]:%7[0-9]%c", host, port, &end) == 2 ||
           sscanf(url, "http://%63[^:/[]:%7[0-9]%c", host, port, &end) == 2;
}

static bool resolve(const char *url, struct fleet_conf *ret)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct addrinfo *found;
    char host[64], port[8];

    if (!split_url(url, host, port) || getaddrinfo(host, port, &hints, &found))
        return false;
    bool ok = is_loopback(found->ai_addr);

    if (ok) {
        memcpy(&ret->address, found->ai_addr, found->ai_addrlen);
        ret->address_n = found->ai_addrlen;
    }
    freeaddrinfo(found);
    return ok;
}

/* A connection needs a descriptor. */
static void raise_descriptors(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        int r = setrlimit(RLIMIT_NOFILE, &limit);
        (void)r; /* connections that can't be made will be counted */
    }
}

static double seconds_of(struct timeval t)
{
    return (double)t.tv_sec + (double)t.tv_usec / 1e6;
}

static void print_errors(const struct fleet_counts *c)
{
    for (unsigned i = 0; i < FLEET_STATUSES; i++)
        if (c->by_status[i] && i != 200)
            printf("errors        %" PRIu64 " answers %u\n", c->by_status[i], i);
    if (c->bad_answers)
        printf("errors        %" PRIu64 " answers that don't say stored\n",
               c->bad_answers);
    if (c->transport_errors)
        printf("errors        %" PRIu64 " connections failed\n", c->transport_errors);
    if (c->timeouts)
        printf("errors        %" PRIu64 " answers took too long\n", c->timeouts);
    if (c->unanswered)
        printf("errors        %" PRIu64 " connections without a last answer\n",
               c->unanswered);
    if (c->dropped)
        printf("errors        %" PRIu64 " idle connections ended\n", c->dropped);
    if (c->unsent)
        printf("late          %" PRIu64 " batches were due and never sent\n", c->unsent);
}

/* User and system time of this program so far. */
static double cpu_seconds(void)
{
    struct rusage own;

    if (getrusage(RUSAGE_SELF, &own))
        return 0;
    return seconds_of(own.ru_utime) + seconds_of(own.ru_stime);
}

static double milliseconds_at(const struct fleet *f, double share)
{
    return (double)latency_at(&f->latency, share) / (double)MSEC;
}

/* Tries of a batch after which it wasn't stored. */
static uint64_t failures(const struct fleet_counts *c)
{
    uint64_t answers = 0;

    for (unsigned i = 0; i < FLEET_STATUSES; i++)
        answers += c->by_status[i];
    return answers - c->stored + c->transport_errors + c->timeouts + c->unanswered;
}

static bool all_stored(const struct fleet_counts *c)
{
    return c->stored > 0 && failures(c) == 0 && c->dropped == 0;
}

static void print_json(const struct load_conf *conf, const struct fleet *f, double cpu)
{
    const struct fleet_counts *c = &f->counts;

    printf("{\"seconds\": %.6f, \"cpu_seconds\": %.6f, \"hosts\": %zu, "
           "\"connections\": %" PRIu64 ", \"stored\": %" PRIu64 ", "
           "\"measurements\": %" PRIu64 ", \"bytes_sent\": %" PRIu64
           ", \"bytes_received\": %" PRIu64 ", ",
           (double)c->elapsed_ns / (double)SEC, cpu, f->conf.n_hosts, c->connections,
           c->stored, c->measurements, c->bytes_sent, c->bytes_received);
    if (f->tape)
        printf("\"ticks\": %" PRIu64 ", \"body_bytes\": %.1f, \"plain_bytes\": %.1f, "
               "\"making_us\": %.3f, ",
               c->stored * conf->ticks,
               (double)f->tape->sent_bytes / (double)f->tape->n_bodies,
               (double)f->tape->plain_bytes / (double)f->tape->n_bodies,
               (double)f->tape->making_ns / 1e3 / (double)f->tape->n_bodies);
    printf("\"p50_ms\": %.3f, \"p90_ms\": %.3f, \"p99_ms\": %.3f, \"p999_ms\": %.3f, "
           "\"max_ms\": %.3f, \"unsent\": %" PRIu64 ", \"dropped\": %" PRIu64
           ", \"failures\": %" PRIu64 "}\n",
           milliseconds_at(f, 0.5), milliseconds_at(f, 0.9), milliseconds_at(f, 0.99),
           milliseconds_at(f, 0.999), (double)f->latency.max_ns / (double)MSEC, c->unsent,
           c->dropped, failures(c));
}

static void print_summary(const struct load_conf *conf, const struct fleet *f, double cpu)
{
    const struct fleet_counts *c = &f->counts;
    double seconds = (double)c->elapsed_ns / (double)SEC;
    double batches = c->stored ? (double)c->stored : 1;

    printf("clients       %" PRIu64 ", %" PRIu64 " connections, %.1f s, %s%s\n",
           conf->clients, c->connections, seconds, forms[conf->form],
           conf->gzip ? "+gzip" : "");
    printf("batches       %" PRIu64 " stored, %.0f a second; %" PRIu64 " replayed\n",
           c->stored, (double)c->stored / seconds, c->replayed);
    printf("measurements  %" PRIu64 ", %.0f a second; %.0f a batch\n", c->measurements,
           (double)c->measurements / seconds, (double)c->measurements / batches);
    printf("bytes         %.1f MB sent, %.1f kB a batch; %.1f kB %s\n",
           (double)c->bytes_sent / 1e6, (double)c->bytes_sent / batches / 1e3,
           f->tape ? (double)f->tape->plain_bytes / (double)f->tape->n_bodies / 1e3
                   : (double)f->payload->stored_n / 1e3,
           f->tape ? "not compressed" : "as JSON");
    printf("latency       p50 %.1f ms, p99 %.1f ms, most %.1f ms\n",
           milliseconds_at(f, 0.5), milliseconds_at(f, 0.99),
           (double)f->latency.max_ns / (double)MSEC);
    printf("this program  %.0f %% of a CPU\n", 100 * cpu / seconds);
    print_errors(c);
}

static int check(const struct load_conf *conf, const struct fleet *f)
{
    char why[1024] = "";

    if (!conf->check[0])
        return 0;
    int r = check_store(f, conf->check, PATIENCE_NS, why, sizeof(why));
    if (r)
        printf("check         FAILED: %s\n", why[0] ? why : err_text(r));
    else
        printf("check         each batch is in the store, once\n");
    return r;
}

/* The first batches of each host, which aren't counted; then waits to be told to go on.
 */
static int warm_up(const struct load_conf *conf, struct fleet *f)
{
    char line[16];

    if (conf->warmup == 0)
        return 0;
    double rate = f->conf.rate;
    f->conf.rate = 0;
    f->conf.batches = conf->warmup;
    int r = fleet_run(f);
    f->conf.rate = rate;
    f->conf.batches = conf->batches ? conf->warmup + conf->batches : 0;
    if (r == 0 && f->counts.stored < conf->clients * conf->warmup) {
        print_errors(&f->counts);
        r = E_MALFORMED;
    }
    if (r)
        return r;
    puts("warm");
    (void)fflush(stdout);
    return fgets(line, sizeof(line), stdin) ? 0 : E_GONE;
}

static int run_fleet(const struct load_conf *conf, struct fleet *f)
{
    int r = warm_up(conf, f);
    double before = cpu_seconds();

    if (r == 0)
        r = fleet_run(f);
    if (r)
        return r;
    double cpu = cpu_seconds() - before;
    if (!conf->json)
        print_summary(conf, f, cpu);
    else
        print_json(conf, f, cpu);
    (void)fflush(stdout);
    r = check(conf, f);
    if (r == 0 && conf->hold_ns)
        r = fleet_hold(f, conf->hold_ns);
    if (r == 0 && !all_stored(&f->counts)) {
        if (conf->json)
            print_errors(&f->counts);
        r = E_MALFORMED;
    }
    return r;
}

static int run_payload(const struct load_conf *conf, const struct fleet_conf *fleet_conf)
{
    const struct payload_conf payload_conf = {
        .codec = codecs[conf->form],
        .gzip = conf->gzip,
        .n_measurements = conf->measurements,
        .collection = conf->collection[0] ? conf->collection : NULL,
        .time_ns = clock_wall_ns() / SEC * SEC};
    struct payload payload;
    struct fleet fleet;

    int r = payload_init(&payload, &payload_conf);
    if (r) {
        fprintf(stderr, "load: nothing to send: %s\n", err_text(r));
        return r;
    }
    r = fleet_init(&fleet, fleet_conf, &payload, NULL);
    if (r == 0) {
        r = run_fleet(conf, &fleet);
        fleet_done(&fleet);
    }
    payload_done(&payload);
    return r;
}

static int run_tape(const struct load_conf *conf, const struct fleet_conf *fleet_conf)
{
    const struct tape_conf tape_conf = {
        .codec = codecs[conf->form],
        .gzip = conf->gzip,
        .n_ticks = conf->ticks,
        .collection = conf->replay,
        .cpus = conf->cpus,
        .identifier_n = fleet_identifier_n(conf->prefix),
        .time_ns = clock_wall_ns() / SEC * SEC,
        .n_places = conf->places,
        .n_batches = conf->tape,
    };
    struct tape tape;
    struct fleet fleet;

    int r = tape_init(&tape, &tape_conf);
    if (r) {
        fprintf(stderr, "load: %s: %s\n", conf->replay, err_text(r));
        return r;
    }
    r = fleet_init(&fleet, fleet_conf, NULL, &tape);
    if (r == 0) {
        r = run_fleet(conf, &fleet);
        fleet_done(&fleet);
    }
    tape_done(&tape);
    return r;
}

static void set_fleet(const struct load_conf *conf, struct fleet_conf *to)
{
    to->host = conf->server + strlen("http://");
    to->key = conf->key;
    to->prefix = conf->prefix;
    to->n_hosts = conf->clients;
    to->n_connections = conf->connections ? conf->connections : conf->clients;
    to->new_connections = conf->new_connections;
    to->batches = conf->batches;
    to->duration_ns = conf->seconds * SEC;
    to->rate = (double)conf->rate;
    if (conf->interval_ns)
        to->rate = (double)conf->clients * (double)SEC / (double)conf->interval_ns;
    to->jitter = (double)conf->jitter / 100;
}

int main(int argc, char **argv)
{
    (void)argc; /* argv ends in NULL */
    struct opt_state state = {0};
    struct load_conf conf = {0};
    struct fleet_conf fleet_conf = {.patience_ns = PATIENCE_NS};
    enum opt_action action = OPT_RUN;
    int r = opt_load(&load_program, argv, environ, &conf, &state, &action);

    log_init(LOG_INFO);
    if (r) {
        fprintf(stderr, "load: %s\n", state.error);
    } else if (action == OPT_HELP) {
        opt_help(&load_program, stdout);
    } else if (action == OPT_VERSION) {
        fputs(load_program.version, stdout);
    } else if (action == OPT_CHECK) {
        opt_print(&load_program, &conf, &state, stdout);
    } else if (conf.replay[0] && conf.check[0]) {
        fputs("load: --check is for what is known byte by byte, without --replay\n",
              stderr);
        r = E_MALFORMED;
    } else if (!resolve(conf.server, &fleet_conf)) {
        fprintf(stderr,
                "load: --server is %s: should be http://HOST:PORT on this machine\n",
                conf.server);
        r = E_MALFORMED;
    } else {
        set_fleet(&conf, &fleet_conf);
        raise_descriptors();
        r = conf.replay[0] ? run_tape(&conf, &fleet_conf)
                           : run_payload(&conf, &fleet_conf);
    }
    opt_done(&state);
    return r ? EXIT_FAILURE : EXIT_SUCCESS;
}
