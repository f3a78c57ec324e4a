/* SPDX-License-Identifier: MIT */
#include "pcd/server.h"

#include "common/clock.h"
#include "common/units.h"
#include "pcd/acceptor.h"
#include "pcd/listeners.h"
#include "pcd/options.h"
#include "pcd/route.h"
#include "pcd/store.h"
#include "pcd/tls.h"
#include "pcd/upload.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

/* Descriptors that aren't for connections, besides day files: logs, what lingers. */
#define DESCRIPTORS_KEPT 1024u
/* At a stop, how long requests may take that have begun. */
#define STOP_NS (10 * SEC)
#define ERROR_BYTES 640u

struct server {
    struct service *service;
    struct listeners listeners;
    struct connections *connections;
    struct lingerer *linger;
    struct acceptor *acceptor;
    struct tls *tls; /* NULL: plain HTTP */
    struct log_limit log_limit;
    size_t n_workers;
    struct worker *workers;
    struct MHD_Daemon **daemons; /* one a worker; NULL where not started */
};

uint64_t server_connections_max(uint64_t wanted, uint64_t descriptors, uint64_t files)
{
    uint64_t kept = DESCRIPTORS_KEPT + files;
    uint64_t most = descriptors > kept ? descriptors - kept : 1;

    return wanted < most ? wanted : most;
}

/* Raises the soft limit of descriptors. Return: the connections that it allows. */
static uint64_t allow_connections(uint64_t wanted, uint64_t files)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit))
        return wanted;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit))
        log_event(LOG_WARNING, "descriptors_not_raised", LOG_RESULT("reason", -errno));
    uint64_t max = server_connections_max(wanted, limit.rlim_max, files);
    if (max < wanted)
        log_event(LOG_WARNING, "connections_limited", LOG_U64("wanted", wanted),
                  LOG_U64("max", max), LOG_U64("descriptors", limit.rlim_max));
    return max;
}

static int start_tls(struct server *s, char *reterr_text, size_t size)
{
    const struct pcd_conf *conf = s->service->conf;
    const struct tls_conf tls = {
        .cert = conf->tls_cert,
        .key = conf->tls_key,
        .client_ca = conf->tls_client_ca,
    };

    return conf->tls_cert[0] ? tls_new(&tls, &s->tls, reterr_text, size) : 0;
}

/* Thread: any. What libmicrohttpd has to say is mostly of clients' mistakes. */
PC_PRINTF(2, 0) static void log_library(void *cls, const char *format, va_list args)
{
    struct server *s = cls;
    char text[256];
    uint64_t suppressed;

    if (!log_limit_pass(&s->log_limit, clock_boot_ns(), &suppressed))
        return;
    int n = vsnprintf(text, sizeof text, format, args);
    size_t kept = n < 0 ? 0 : (size_t)n < sizeof text ? (size_t)n : sizeof text - 1;
    log_event(LOG_INFO, "libmicrohttpd",
              LOG_SPAN("message", span_trim(span_of(text, kept))),
              LOG_U64("suppressed", suppressed));
}

static struct MHD_Daemon *start_daemon(struct server *s, struct worker *w)
{
    const struct pcd_conf *conf = s->service->conf;
    unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME |
                     MHD_USE_ITC | MHD_USE_NO_LISTEN_SOCKET | MHD_USE_ERROR_LOG;
    struct MHD_OptionItem no_options[] = {{MHD_OPTION_END, 0, NULL}};

    if (s->tls)
        flags |= MHD_USE_TLS;
    /* Its limit on connections is out of reach: the acceptor keeps ours, and a daemon
     * of 0.9.75 that reaches its own stops for good. */
    return MHD_start_daemon(
        flags, 0, NULL, NULL, route_handle, w, MHD_OPTION_EXTERNAL_LOGGER, log_library, s,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)conf->connection_memory,
        MHD_OPTION_CONNECTION_LIMIT, (unsigned)(conf->connections_max + DESCRIPTORS_KEPT),
        MHD_OPTION_CONNECTION_TIMEOUT,
        (unsigned)((conf->idle_timeout_ns + SEC - 1) / SEC), MHD_OPTION_STRICT_FOR_CLIENT,
        0, MHD_OPTION_NOTIFY_CONNECTION, route_connection, w, MHD_OPTION_URI_LOG_CALLBACK,
        route_request_line, w, MHD_OPTION_NOTIFY_COMPLETED, route_completed, w,
        MHD_OPTION_ARRAY, s->tls ? tls_options() : no_options, MHD_OPTION_END);
}

static int start_workers(struct server *s, const char **reterr_what)
{
    const struct pcd_conf *conf = s->service->conf;
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    size_t n = conf->threads ? (size_t)conf->threads : cores > 0 ? (size_t)cores : 1;

    s->workers = calloc(n, sizeof *s->workers);
    s->daemons = calloc(n, sizeof(struct MHD_Daemon *));
    if (!s->workers || !s->daemons)
        return -ENOMEM;
    for (s->n_workers = 0; s->n_workers < n; s->n_workers++) {
        struct worker *w = &s->workers[s->n_workers];

        w->service = s->service;
        w->connections = s->connections;
        w->linger = s->linger;
        w->tls = s->tls;
        int r = scratch_init(&w->scratch, conf);
        if (r == 0) {
            *reterr_what = MHD_is_feature_supported(MHD_FEATURE_TLS) == MHD_YES || !s->tls
                               ? "libmicrohttpd doesn't start"
                               : "this libmicrohttpd was built without TLS";
            s->daemons[s->n_workers] = start_daemon(s, w);
            r = s->daemons[s->n_workers] ? 0 : E_MALFORMED;
        }
        if (r) {
            scratch_done(&w->scratch);
            return r;
        }
    }
    return 0;
}

static int start_all(struct server *s, const char **reterr_what)
{
    const struct pcd_conf *conf = s->service->conf;
    const struct connections_conf connections = {
        .max = allow_connections(conf->connections_max, conf->files_max),
        .idle_ns = conf->idle_timeout_ns,
        .request_ns = conf->request_timeout_ns,
        .age_ns = conf->connection_age_ns,
        .tls = conf->tls_cert[0] != '\0',
        .stats = s->service->stats,
    };

    *reterr_what = "threads";
    int r = connections_new(&connections, &s->connections);
    if (r == 0)
        r = lingerer_new(&s->linger);
    if (r == 0)
        r = start_workers(s, reterr_what);
    if (r == 0)
        log_event(LOG_INFO, "serving", LOG_U64("threads", s->n_workers),
                  LOG_U64("connections_max", connections.max),
                  LOG_STR("tls", connections.tls ? "yes" : "no"));
    if (r == 0)
        r = listeners_open(conf->listen, &s->listeners, reterr_what);
    if (r)
        return r;
    if (!s->tls && listeners_beyond_loopback(&s->listeners))
        log_event(LOG_WARNING, "no_tls", LOG_STR("listen", conf->listen),
                  LOG_STR("reason", "keys and measurements can be read on the way"));
    const struct acceptor_conf acceptor = {
        .listeners = &s->listeners,
        .connections = s->connections,
        .linger = s->linger,
        .tls = s->tls != NULL,
        .stats = s->service->stats,
        .daemons = s->daemons,
        .n_daemons = s->n_workers,
    };
    *reterr_what = "threads";
    return acceptor_new(&acceptor, &s->acceptor);
}

/* Ends what was started, whatever that is; no connection may be suspended. */
static void end_all(struct server *s)
{
    for (size_t i = 0; i < s->n_workers; i++) {
        MHD_stop_daemon(s->daemons[i]);
        scratch_done(&s->workers[i].scratch);
    }
    listeners_close(&s->listeners);
    lingerer_free(s->linger);
    connections_free(s->connections);
    tls_free(s->tls);
    free(s->workers);
    free(s->daemons);
    free(s);
}

int server_start(struct service *service, struct server **ret, char *reterr_text,
                 size_t size)
{
    struct server *s = calloc(1, sizeof *s);
    const char *what = "";

    (void)snprintf(reterr_text, size, "out of memory");
    if (!s)
        return -ENOMEM;
    s->service = service;
    s->log_limit.every_ns = MINUTE;
    int r = start_tls(s, reterr_text, size);
    if (r == 0) {
        r = start_all(s, &what);
        if (r)
            (void)snprintf(reterr_text, size, "%s%s%s", what,
                           r == E_MALFORMED ? "" : ": ",
                           r == E_MALFORMED ? "" : err_text(r));
    }
    if (r) {
        end_all(s);
        return r;
    }
    *ret = s;
    return 0;
}

void server_look_at_files(struct server *s, bool asked)
{
    char text[ERROR_BYTES];

    if (s->tls && (asked || tls_changed(s->tls)) && tls_reload(s->tls, text, sizeof text))
        log_event(LOG_ERROR, "certificate_not_loaded", LOG_STR("reason", text));
}

void server_stop(struct server *s)
{
    if (!s)
        return;
    acceptor_free(s->acceptor);
    listeners_close(&s->listeners);
    atomic_store(&s->service->stops, true);
    connections_end_waiting(s->connections);
    if (!connections_wait_quiet(s->connections, STOP_NS))
        log_event(LOG_WARNING, "stop_cuts_requests");
    /* From here on no connection gets suspended, and the store resumes those that are:
     * stopping a daemon that has suspended ones is undefined. */
    connections_refuse_settling(s->connections);
    store_drain(s->service->store);
    connections_wait_settled(s->connections);
    end_all(s);
}
