/* SPDX-License-Identifier: MIT */
#include "tests/bench/fleet.h"

#include "common/clock.h"
#include "common/delta.h"
#include "common/gzip.h"
#include "common/io.h"
#include "common/units.h"
#include "proto/wire.h"
#include "tests/bench/answer.h"

#include <errno.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/uio.h>

#define REQUEST_MAX LIMIT_BODY_BYTES
#define ANSWER_MAX 4096
#define RETRY_NS (100 * MSEC)
#define GZIP_LEVEL 1
#define EVENTS 256

struct client {
    enum { WAITING, CONNECTING, SENDING, RECEIVING, FINISHED } state;
    int fd;             /* -1 without a connection */
    uint32_t waits_for; /* what epoll watches */
    uint64_t session;
    uint64_t seq;                  /* of the batch on its way, from 1 */
    bool is_retry;                 /* it was sent before */
    struct buf head;               /* of its bodies, not compressed */
    struct delta_encoder *encoder; /* of deltas, which have no head; else NULL */
    struct buf request;            /* headers and head; the payload's tail follows */
    size_t sent;
    uint64_t began_ns; /* this request, or the wait */
    uint8_t answer[ANSWER_MAX];
    size_t answer_n;
};

static void identifier_of(const struct fleet *f, size_t number,
                          char ret[LIMIT_IDENTIFIER_BYTES + 1])
{
    snprintf(ret, LIMIT_IDENTIFIER_BYTES + 1, "%s-%04zu", f->conf.prefix, number + 1);
}

static int client_init(struct fleet *f, size_t number)
{
    struct client *c = &f->clients[number];
    char identifier[LIMIT_IDENTIFIER_BYTES + 1];

    c->session = clock_random_u64();
    c->seq = 1;
    buf_init(&c->head, REQUEST_MAX);
    buf_init(&c->request, REQUEST_MAX);
    if (f->payload->conf.codec == &delta_codec)
        return delta_encoder_new(&(struct delta_encoder_conf){0}, &c->encoder);
    identifier_of(f, number, identifier);
    return payload_head(f->payload, span_of_str(identifier), c->session, &c->head);
}

int fleet_init(struct fleet *f, const struct fleet_conf *conf, struct payload *payload)
{
    int r = 0;

    memset(f, 0, sizeof(*f));
    f->conf = *conf;
    f->payload = payload;
    f->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (f->epoll_fd < 0)
        return -errno;
    f->clients = calloc(conf->n_clients, sizeof(*f->clients));
    if (!f->clients)
        r = -ENOMEM;
    for (size_t i = 0; r == 0 && i < conf->n_clients; i++)
        f->clients[i].fd = -1;
    if (r == 0 && payload->conf.gzip)
        r = deflater_new(GZIP_LEVEL, &f->deflater);
    for (size_t i = 0; r == 0 && i < conf->n_clients; i++)
        r = client_init(f, i);
    if (r)
        fleet_done(f);
    return r;
}

void fleet_done(struct fleet *f)
{
    for (size_t i = 0; f->clients && i < f->conf.n_clients; i++) {
        buf_done(&f->clients[i].head);
        buf_done(&f->clients[i].request);
        delta_encoder_free(f->clients[i].encoder);
        io_close(&f->clients[i].fd);
    }
    free(f->clients);
    f->clients = NULL;
    deflater_free(f->deflater);
    io_close(&f->epoll_fd);
}

static void disconnect(struct client *c)
{
    io_close(&c->fd); /* which takes it out of epoll, too */
    c->waits_for = 0;
}

/* Something went wrong: the same batch again, a moment later. */
static void client_retry(struct client *c)
{
    c->state = WAITING;
    c->answer_n = 0;
    c->is_retry = true;
    c->began_ns = clock_monotonic_ns();
}

static void client_failed(struct fleet *f, struct client *c)
{
    f->counts.transport_errors++;
    disconnect(c);
    client_retry(c);
}

static void client_finish(struct fleet *f, struct client *c)
{
    disconnect(c);
    c->state = FINISHED;
    f->n_running--;
}

static int client_watch(struct fleet *f, struct client *c, uint32_t events)
{
    struct epoll_event e = {.events = events, .data.ptr = c};

    if (c->waits_for == events)
        return 0;
    int op = c->waits_for ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
    c->waits_for = events;
    return epoll_ctl(f->epoll_fd, op, c->fd, &e) ? -errno : 0;
}

/* Makes the next delta of the client's chain in the place of a head. */
static int client_delta(struct fleet *f, struct client *c)
{
    CLEANUP(batch_done) struct batch b;
    char identifier[LIMIT_IDENTIFIER_BYTES + 1];
    struct delta_place place;

    batch_init(&b, &f->payload->batch.limits);
    identifier_of(f, (size_t)(c - f->clients), identifier);
    int r = payload_batch(f->payload, span_of_str(identifier), c->session, c->seq, &b);
    if (r)
        return r;
    if (c->is_retry)
        delta_encoder_forget(c->encoder);
    buf_reset(&c->head);
    return delta_encode_chained(c->encoder, &b, (c->seq - 1) * b.n_ticks, &c->head,
                                &place);
}

/* Makes the request for the client's batch: headers, and the head of the body. */
static int client_request(struct fleet *f, struct client *c)
{
    CLEANUP(buf_done) struct buf head;
    int r = 0;

    buf_init(&head, REQUEST_MAX);
    if (c->encoder)
        r = client_delta(f, c);
    else
        payload_number(&c->head, c->seq);
    struct span body = buf_span(&c->head);
    if (r == 0 && f->deflater) {
        r = deflater_gzip(f->deflater, body, &head);
        body = buf_span(&head);
    }
    buf_reset(&c->request);
    if (r == 0)
        r = buf_printf(&c->request,
                       "POST " WIRE_TRICKLE " HTTP/1.1\r\nHost: %s\r\n" WIRE_APIKEY
                       ": %s\r\n" WIRE_CONTENT_TYPE ": %s\r\n%s" WIRE_IDEMPOTENCY_KEY
                       ": %016" PRIx64 "-%" PRIu64 "\r\n" WIRE_IDEMPOTENCY_FLOOR
                       ": %" PRIu64 "\r\n" WIRE_CONTENT_LENGTH ": %zu\r\n\r\n",
                       f->conf.host, f->conf.key, f->payload->conf.codec->media_type,
                       f->deflater ? WIRE_CONTENT_ENCODING ": " WIRE_CODING_GZIP "\r\n"
                                   : "",
                       c->session, c->seq, c->seq, body.n + f->payload->tail.len);
    return r ? r : buf_append(&c->request, body);
}

static void client_send(struct fleet *f, struct client *c)
{
    const struct buf *tail = &f->payload->tail;

    while (c->sent < c->request.len + tail->len) {
        struct span first = span_from(buf_span(&c->request), c->sent);
        size_t of_tail = c->sent > c->request.len ? c->sent - c->request.len : 0;
        struct span second = span_from(buf_span(tail), of_tail);
        struct iovec parts[] = {{(void *)(uintptr_t)first.data, first.n},
                                {(void *)(uintptr_t)second.data, second.n}};
        struct msghdr m = {.msg_iov = parts, .msg_iovlen = 2};
        ssize_t n = sendmsg(c->fd, &m, MSG_NOSIGNAL);

        if (n < 0 && errno == EAGAIN) {
            if (client_watch(f, c, EPOLLIN | EPOLLOUT))
                client_failed(f, c);
            return;
        }
        if (n < 0 && errno != EINTR)
            return client_failed(f, c);
        if (n > 0) {
            c->sent += (size_t)n;
            f->counts.bytes_sent += (size_t)n;
        }
    }
    c->state = RECEIVING;
    if (client_watch(f, c, EPOLLIN))
        client_failed(f, c);
}

static void client_begin(struct fleet *f, struct client *c)
{
    uint64_t now_ns = clock_monotonic_ns();
    bool enough = f->conf.batches && c->seq > f->conf.batches;

    if (enough || (now_ns >= f->end_ns && !c->is_retry))
        return client_finish(f, c);
    if (client_request(f, c))
        return client_failed(f, c);
    c->state = SENDING;
    c->sent = 0;
    c->answer_n = 0;
    c->began_ns = now_ns;
    client_send(f, c);
}

static void client_connect(struct fleet *f, struct client *c)
{
    const struct sockaddr *address = (const struct sockaddr *)&f->conf.address;
    int on = 1;

    c->began_ns = clock_monotonic_ns();
    c->fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0 || setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)))
        return client_failed(f, c);
    f->counts.connections++;
    c->state = CONNECTING;
    if (connect(c->fd, address, f->conf.address_n) && errno != EINPROGRESS)
        return client_failed(f, c);
    if (client_watch(f, c, EPOLLIN | EPOLLOUT))
        client_failed(f, c);
}

static void client_go_on(struct fleet *f, struct client *c)
{
    if (c->fd < 0)
        client_connect(f, c);
    else
        client_begin(f, c);
}

/* Does the answer say that the batch is stored (protocol, status codes)? */
static bool says_stored(const struct fleet *f, const struct http_answer *a)
{
    struct answer body;

    if (a->status != 200 || f->payload->conf.codec->decode_answer(a->body, &body, NULL))
        return false;
    if (a->has_stored && a->stored != f->payload->conf.n_measurements)
        return false;
    return !body.is_error;
}

static void client_answered(struct fleet *f, struct client *c,
                            const struct http_answer *a)
{
    if (a->status < FLEET_STATUSES)
        f->counts.by_status[a->status]++;
    if (a->closes)
        disconnect(c);
    if (!says_stored(f, a)) {
        f->counts.bad_answers += a->status == 200;
        return client_retry(c);
    }
    latency_add(&f->latency, clock_monotonic_ns() - c->began_ns);
    f->counts.stored++;
    f->counts.replayed += a->replayed;
    if (a->replayed && c->encoder)
        delta_encoder_forget(c->encoder);
    c->seq++;
    c->is_retry = false;
    client_go_on(f, c);
}

static void client_receive(struct fleet *f, struct client *c)
{
    struct http_answer a;
    ssize_t n = recv(c->fd, c->answer + c->answer_n, sizeof(c->answer) - c->answer_n, 0);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0)
        return client_failed(f, c);
    c->answer_n += (size_t)n;
    int r = http_answer_parse(span_of(c->answer, c->answer_n), &a);

    if (r == E_TRUNCATED && c->answer_n < sizeof(c->answer))
        return;
    /* An answer before the request was all sent ends the connection, for us as well. */
    if (r || a.n != c->answer_n || c->state == SENDING) {
        if (r == 0 && a.status < FLEET_STATUSES)
            f->counts.by_status[a.status]++;
        f->counts.bad_answers++;
        disconnect(c);
        return client_retry(c);
    }
    client_answered(f, c, &a);
}

static void client_event(struct fleet *f, struct client *c, uint32_t events)
{
    if (c->state == CONNECTING) {
        int error = 0;
        socklen_t n = sizeof(error);

        if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &n) || error)
            return client_failed(f, c);
        return client_begin(f, c);
    }
    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
        client_receive(f, c);
    else if (c->state == SENDING)
        client_send(f, c);
}

/* What time alone brings about: a new try, or the end of patience. */
static void client_tick(struct fleet *f, struct client *c, uint64_t now_ns)
{
    uint64_t for_ns = now_ns - c->began_ns;

    if (c->state == FINISHED)
        return;
    if (now_ns >= f->give_up_ns) {
        f->counts.unanswered++;
        return client_finish(f, c);
    }
    if (c->state == WAITING && for_ns >= RETRY_NS) {
        client_go_on(f, c);
    } else if (c->state != WAITING && for_ns >= f->conf.patience_ns) {
        f->counts.timeouts++;
        disconnect(c);
        client_retry(c);
    }
}

static void fleet_tick(struct fleet *f)
{
    uint64_t now_ns = clock_monotonic_ns();

    for (size_t i = 0; i < f->conf.n_clients; i++)
        client_tick(f, &f->clients[i], now_ns);
}

int fleet_run(struct fleet *f)
{
    struct epoll_event events[EVENTS];
    uint64_t start_ns = clock_monotonic_ns(), tick_ns = start_ns;

    f->end_ns = start_ns + f->conf.duration_ns;
    f->give_up_ns = f->end_ns + f->conf.patience_ns;
    f->n_running = f->conf.n_clients;
    for (size_t i = 0; i < f->conf.n_clients; i++)
        client_connect(f, &f->clients[i]);

    while (f->n_running) {
        int n = epoll_wait(f->epoll_fd, events, EVENTS, (int)(RETRY_NS / MSEC));

        if (n < 0 && errno != EINTR)
            return -errno;
        for (int i = 0; i < n; i++)
            client_event(f, events[i].data.ptr, events[i].events);
        if (clock_monotonic_ns() - tick_ns >= RETRY_NS) {
            tick_ns = clock_monotonic_ns();
            fleet_tick(f);
        }
    }
    f->counts.elapsed_ns = clock_monotonic_ns() - start_ns;
    return 0;
}

void fleet_client(const struct fleet *f, size_t i, struct fleet_client *ret)
{
    identifier_of(f, i, ret->identifier);
    ret->session = f->clients[i].session;
    ret->stored = f->clients[i].seq - 1;
}
