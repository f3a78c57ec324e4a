/* SPDX-License-Identifier: MIT */
#include "pcd/route.h"

#include "common/clock.h"
#include "common/log.h"
#include "pcd/auth.h"
#include "pcd/options.h"
#include "pcd/pages.h"
#include "pcd/rate.h"
#include "pcd/tls.h"
#include "pcd/upload.h"
#include "proto/wire.h"

#include <netdb.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <string.h>

#define PAGE_BYTES MIB

static const struct route {
    const char *path;
    enum stats_route id;
    bool takes_post; /* else GET and HEAD */
    const char *allow;
} routes[] = {
    {WIRE_TRICKLE, STATS_TRICKLE, true, "POST"},
    {WIRE_PING, STATS_PING, true, "POST"},
    {WIRE_HEALTHZ, STATS_HEALTHZ, false, "GET, HEAD"},
    {WIRE_READYZ, STATS_READYZ, false, "GET, HEAD"},
    {WIRE_METRICS, STATS_METRICS, false, "GET, HEAD"},
};

static const struct route *find_route(const char *path)
{
    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++)
        if (strcmp(routes[i].path, path) == 0)
            return &routes[i];
    return NULL;
}

static bool method_fits(const struct route *route, const char *method)
{
    if (route->takes_post)
        return strcmp(method, MHD_HTTP_METHOD_POST) == 0;
    return strcmp(method, MHD_HTTP_METHOD_GET) == 0 ||
           strcmp(method, MHD_HTTP_METHOD_HEAD) == 0;
}

static struct connection *connection_of(struct MHD_Connection *mhd)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

    return info ? info->socket_context : NULL;
}

void route_connection(void *cls, struct MHD_Connection *mhd, void **context,
                      enum MHD_ConnectionNotificationCode what)
{
    struct worker *w = cls;
    struct connection *e = *context;

    if (what == MHD_CONNECTION_NOTIFY_STARTED) {
        const union MHD_ConnectionInfo *info =
            MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD);

        e = info ? connection_begin(w->connections, info->connect_fd) : NULL;
        if (e && w->tls)
            e->tls = tls_begin(w->tls, mhd);
        *context = e;
        return;
    }
    if (!e) {
        connections_leave_place(w->connections);
        return;
    }
    /* Where the request line was all right but the arguments behind it were not,
     * libmicrohttpd 0.9.75 never says that the request is over. */
    upload_free(e->upload);
    lingerer_start(w->linger, e->linger_fd);
    tls_end(w->tls, e->tls);
    connection_end(w->connections, e);
    *context = NULL;
}

/* Cuts the arguments off, which nothing here reads and which cost libmicrohttpd memory
 * of the connection, until it fails in a way that loses the request. The cast is what
 * the callback is for: the text is in the connection's own buffer. */
static void cut_arguments(const char *uri)
{
    char *mark = strchr((char *)(uintptr_t)uri, '?');

    if (mark)
        mark[1] = '\0';
}

static bool is_printable(const char *text)
{
    for (; *text; text++)
        if (*text <= ' ' || *text > '~')
            return false;
    return true;
}

void *route_request_line(void *cls, const char *uri, struct MHD_Connection *mhd)
{
    struct worker *w = cls;
    struct connection *e = connection_of(mhd);

    /* Late: the handler is going to find no request, and ends the connection. */
    if (!e || connection_enter(w->connections, e, CONNECTION_RECEIVING))
        return NULL;
    connection_describe(w->connections, e, STATS_OTHER, MEDIA_JSON);
    struct upload *u = upload_new(w, e, mhd);
    if (u)
        u->bad_uri = !is_printable(uri);
    cut_arguments(uri);
    e->upload = u;
    return u;
}

/* The form of the answer: the request's own, even where that isn't taken, unless Accept
 * names another. */
static enum media_form answer_form(const struct head *h)
{
    struct span type = h->fields[HEAD_CONTENT_TYPE];
    struct span suffix = SPAN("+msgpack"); /* RFC 6839 */
    const uint8_t *parameters = type.n > 0 ? memchr(type.data, ';', type.n) : NULL;
    enum media_form form = MEDIA_JSON;

    if (media_of_content_type(type, &form)) {
        if (parameters)
            type = span_trim(span_of(type.data, (size_t)(parameters - type.data)));
        form = type.n > suffix.n &&
                       span_equal_nocase(span_from(type, type.n - suffix.n), suffix)
                   ? MEDIA_MSGPACK
                   : MEDIA_JSON;
    }
    return media_of_accept(h->fields[HEAD_ACCEPT], form);
}

static bool needs_key(const struct upload *u)
{
    return u->route == STATS_TRICKLE ||
           (u->route == STATS_METRICS && u->worker->service->conf->metrics_auth);
}

/* Notes what the key that is shown may do. Return: does the request go on? */
static bool let_in(struct upload *u)
{
    const struct span *fields = u->head.fields;
    int r = auth_ask(u->worker->service->auth,
                     auth_key_of(fields[HEAD_APIKEY], fields[HEAD_AUTHORIZATION]),
                     &u->connection->hint, &u->grant);

    if (r < 0) {
        upload_refuse(u, MHD_HTTP_SERVICE_UNAVAILABLE, "out of memory");
    } else if (r) {
        upload_refuse(u, MHD_HTTP_UNAUTHORIZED, "no key, or one that is not known");
        u->reply.asks_for_key = true;
    }
    return r == 0;
}

static const struct sockaddr *peer_of(const struct upload *u)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(u->mhd, MHD_CONNECTION_INFO_CLIENT_ADDRESS);

    return info ? info->client_addr : NULL;
}

/* The peer's address as text; empty where it isn't known. */
static void show_peer(const struct upload *u, char ret_host[NI_MAXHOST])
{
    const struct sockaddr *peer = peer_of(u);

    ret_host[0] = '\0';
    if (peer)
        (void)getnameinfo(peer,
                          peer->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6)
                                                      : sizeof(struct sockaddr_in),
                          ret_host, NI_MAXHOST, NULL, 0, NI_NUMERICHOST);
}

static void refuse_rate(struct upload *u, enum stats_counter counter, const char *whose)
{
    struct service *service = u->worker->service;
    char host[NI_MAXHOST];
    uint64_t suppressed;

    upload_refuse(u, MHD_HTTP_TOO_MANY_REQUESTS,
                  counter == STATS_OVER_KEY_RATE ? "too many batches with this key"
                                                 : "too many requests from this address");
    stats_add(service->stats, counter, 1);
    if (!log_limit_pass(service->over_rate, clock_boot_ns(), &suppressed))
        return;
    show_peer(u, host);
    log_event(LOG_WARNING, "over_rate", LOG_STR("of", whose), LOG_STR("client", host),
              LOG_U64("suppressed", suppressed));
}

/* Those that ask whether pcd is well have to hear it: whoever else is at their address,
 * and without a certificate, as without a key. */
static bool is_health(const struct upload *u)
{
    return u->route == STATS_HEALTHZ || u->route == STATS_READYZ;
}

/* Return: does the request go on? */
static bool passes_certificate(struct upload *u)
{
    struct connection *e = u->connection;
    struct tls *tls = u->worker->tls;
    char text[LIMIT_ERROR_BYTES];

    if (!tls || e->client_checked)
        return true;
    e->client_checked = tls_check_client(tls, u->mhd, text, sizeof text) == 0;
    if (e->client_checked)
        return true;
    upload_refuse(u, MHD_HTTP_FORBIDDEN, text);
    u->reply.closes = true; /* a better certificate comes with a new connection */
    return false;
}

/* Return: does the request go on? */
static bool passes_address_rate(struct upload *u)
{
    const struct sockaddr *peer = peer_of(u);
    uint8_t address[RATE_ADDRESS_BYTES];
    struct rate *rate = u->worker->service->address_rate;

    if (!peer || is_health(u) ||
        rate_take(rate, rate_address(peer, address), clock_boot_ns()) == 0)
        return true;
    refuse_rate(u, STATS_OVER_ADDRESS_RATE, "address");
    return false;
}

/* Return: does the request, whose key is known, go on? */
static bool passes_key_rate(struct upload *u)
{
    uint64_t id = auth_grant_id(&u->grant);

    if (rate_take(u->worker->service->key_rate, span_of(&id, sizeof id),
                  clock_boot_ns()) == 0)
        return true;
    refuse_rate(u, STATS_OVER_KEY_RATE, "key");
    return false;
}

/* Return: does the request go on? */
static bool passes_key(struct upload *u)
{
    if (!needs_key(u))
        return true;
    return let_in(u) && (u->route != STATS_TRICKLE || passes_key_rate(u));
}

static void decide_route(struct upload *u, const struct route *route, const char *method)
{
    if (!route) {
        upload_refuse(u, MHD_HTTP_NOT_FOUND, "no such route");
    } else if (!method_fits(route, method)) {
        upload_refuse(u, MHD_HTTP_METHOD_NOT_ALLOWED, "this route takes another method");
        u->reply.allow = route->allow;
    } else if (passes_key(u) && route->takes_post) {
        if (atomic_load(&u->worker->service->stops))
            upload_refuse(u, MHD_HTTP_SERVICE_UNAVAILABLE, "shutting down");
        else
            upload_accept(u);
    }
}

/* What is decided from the head, in the order of what matters more. */
static void decide(struct upload *u, const struct route *route, const char *method)
{
    if (u->head.bytes > u->worker->service->conf->headers_max) {
        upload_refuse(u, MHD_HTTP_REQUEST_HEADER_FIELDS_TOO_LARGE,
                      "request line and headers are over the limit");
        u->reply.closes = true;
    } else if (passes_address_rate(u) && (is_health(u) || passes_certificate(u))) {
        decide_route(u, route, method);
    }
}

/* Can the body be dropped rather than the connection? */
static bool is_small(const struct head *h)
{
    return !h->chunked && h->length <= UPLOAD_DROP_BYTES;
}

/* The first call for a request. */
static enum MHD_Result begin(struct upload *u, const char *url, const char *method,
                             const char *version)
{
    const struct route *route = find_route(url);
    const char *what;
    int r = head_read(u->mhd, method, version, &u->head, &what);

    u->route = route ? route->id : STATS_OTHER;
    u->reply.form = answer_form(&u->head);
    connection_describe(u->worker->connections, u->connection, u->route, u->reply.form);
    if (r || u->bad_uri) {
        upload_refuse(u, MHD_HTTP_BAD_REQUEST,
                      r ? what : "a byte in the path that should be escaped");
        u->reply.closes = true;
    } else {
        decide(u, route, method);
    }
    if (u->state == UPLOAD_RECEIVING)
        return MHD_YES;
    if (u->reply.code == 0 && !is_small(&u->head))
        upload_refuse(u, MHD_HTTP_CONTENT_TOO_LARGE, "this route takes no body");
    if (!u->reply.closes && is_small(&u->head)) {
        /* An answer in this call would end the connection, body or not. */
        u->state = UPLOAD_DROPPING;
        return MHD_YES;
    }
    u->reply.closes = true;
    if (head_has_body(&u->head))
        u->connection->linger_fd = lingerer_dup(u->worker->linger, u->connection->fd);
    return upload_answer(u);
}

/* Makes the answer of a route that takes no body. */
static void show_page(struct upload *u)
{
    struct service *s = u->worker->service;
    int r = 0;

    buf_init(&u->body, PAGE_BYTES);
    if (u->route == STATS_HEALTHZ)
        r = pages_health(&u->body, &u->reply.code);
    else if (u->route == STATS_READYZ)
        r = pages_ready(s, &u->body, &u->reply.code);
    else
        r = pages_metrics(s, u->worker->connections, &u->body, &u->reply.code);
    if (r) {
        upload_refuse(u, MHD_HTTP_SERVICE_UNAVAILABLE, "out of memory");
        return;
    }
    u->reply.body = buf_span(&u->body);
    u->reply.type = u->route == STATS_METRICS ? WIRE_TYPE_PROMETHEUS : WIRE_TYPE_TEXT;
}

/* NOLINTNEXTLINE(readability-function-size): libmicrohttpd's eight parameters. */
enum MHD_Result route_handle(void *cls, struct MHD_Connection *mhd, const char *url,
                             const char *method, const char *version, const char *part,
                             size_t *part_n, void **request)
{
    struct upload *u = *request;

    (void)cls;
    (void)mhd;
    if (!u)
        return MHD_NO;
    if (u->state == UPLOAD_NEW)
        return begin(u, url, method, version);
    if (*part_n > 0) {
        struct span bytes = span_of(part, *part_n);

        *part_n = 0;
        return upload_part(u, bytes);
    }
    /* Behind an expected body of no bytes 0.9.75 makes one call that looks like the last
     * but takes no answer; the last one follows. */
    if (part)
        return MHD_YES;
    if (u->state == UPLOAD_DROPPING && u->reply.code == 0)
        show_page(u);
    return upload_finish(u);
}

static void log_request(struct upload *u)
{
    char host[NI_MAXHOST];

    show_peer(u, host);
    log_event(LOG_DEBUG, "request", LOG_STR("client", host),
              LOG_STR("route", stats_route_names[u->route]),
              LOG_U64("status", u->reply.code),
              LOG_STR("error", u->reply.error ? u->reply.error : ""),
              LOG_U64("measurements", u->ingest.n_measurements),
              LOG_MS("duration_ms", clock_boot_ns() - u->start_ns));
}

void route_completed(void *cls, struct MHD_Connection *mhd, void **request,
                     enum MHD_RequestTerminationCode how)
{
    struct worker *w = cls;
    struct upload *u = *request;

    (void)mhd;
    (void)how;
    if (!u)
        return;
    if (log_enabled(LOG_DEBUG))
        log_request(u);
    if (u->reply.code == 0)
        stats_add(w->service->stats, STATS_UNANSWERED, 1);
    u->connection->upload = NULL;
    /* Where the connection has ended already there is nothing to wait for. */
    int r = connection_enter(w->connections, u->connection, CONNECTION_WAITING);
    (void)r;
    upload_free(u);
    *request = NULL;
}
