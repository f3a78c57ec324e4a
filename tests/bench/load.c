/* SPDX-License-Identifier: MIT */

/*
 * A load generator: many clients send batches to a pcd on this machine, one right after
 * the other's answer, for a time; then a summary, and on request a look into pcd's home
 * whether all that was acknowledged is there once.
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
     .max = 9999,
     .help = "hosts, each with a connection of its own"},
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
    .summary = "many clients send batches to a pcd on this machine",
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
        printf("errors        %" PRIu64 " clients without a last answer\n",
               c->unanswered);
}

static void print_summary(const struct load_conf *conf, const struct fleet *f)
{
    const struct fleet_counts *c = &f->counts;
    double seconds = (double)c->elapsed_ns / (double)SEC;
    double batches = c->stored ? (double)c->stored : 1;
    struct rusage own;

    printf("clients       %" PRIu64 ", %" PRIu64 " connections, %.1f s, %s%s\n",
           conf->clients, c->connections, seconds, forms[conf->form],
           conf->gzip ? "+gzip" : "");
    printf("batches       %" PRIu64 " stored, %.0f a second; %" PRIu64 " replayed\n",
           c->stored, (double)c->stored / seconds, c->replayed);
    printf("measurements  %.0f, %.0f a second; %" PRIu64 " a batch\n",
           (double)(c->stored * conf->measurements),
           (double)(c->stored * conf->measurements) / seconds, conf->measurements);
    printf("bytes         %.1f MB sent, %.1f kB a batch; %.1f kB as JSON\n",
           (double)c->bytes_sent / 1e6, (double)c->bytes_sent / batches / 1e3,
           (double)f->payload->stored_n / 1e3);
    printf("latency       p50 %.1f ms, p99 %.1f ms, most %.1f ms\n",
           (double)latency_at(&f->latency, 0.5) / (double)MSEC,
           (double)latency_at(&f->latency, 0.99) / (double)MSEC,
           (double)f->latency.max_ns / (double)MSEC);
    if (getrusage(RUSAGE_SELF, &own) == 0)
        printf("this program  %.0f %% of a CPU\n",
               100 * (seconds_of(own.ru_utime) + seconds_of(own.ru_stime)) / seconds);
    print_errors(c);
}

static bool all_stored(const struct fleet_counts *c)
{
    uint64_t answers = 0;

    for (unsigned i = 0; i < FLEET_STATUSES; i++)
        answers += c->by_status[i];
    return c->stored > 0 && c->stored == answers && c->transport_errors == 0 &&
           c->timeouts == 0 && c->unanswered == 0;
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

static int load_run(const struct load_conf *conf, const struct fleet_conf *fleet_conf)
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
    r = fleet_init(&fleet, fleet_conf, &payload);
    if (r == 0) {
        r = fleet_run(&fleet);
        if (r == 0) {
            print_summary(conf, &fleet);
            r = check(conf, &fleet);
        }
        if (r == 0 && !all_stored(&fleet.counts))
            r = E_MALFORMED;
        fleet_done(&fleet);
    }
    payload_done(&payload);
    return r;
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
    } else if (!resolve(conf.server, &fleet_conf)) {
        fprintf(stderr,
                "load: --server is %s: should be http://HOST:PORT on this machine\n",
                conf.server);
        r = E_MALFORMED;
    } else {
        fleet_conf.host = conf.server + strlen("http://");
        fleet_conf.key = conf.key;
        fleet_conf.prefix = conf.prefix;
        fleet_conf.n_clients = conf.clients;
        fleet_conf.batches = conf.batches;
        fleet_conf.duration_ns = conf.seconds * SEC;
        raise_descriptors();
        r = load_run(&conf, &fleet_conf);
    }
    opt_done(&state);
    return r ? EXIT_FAILURE : EXIT_SUCCESS;
}
