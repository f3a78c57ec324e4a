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
#define NUMBER_DIGITS 5 /* of a host's number in its identifier */

/* One machine that is measured. */
struct host {
    uint64_t session;
    uint64_t seq;                  /* of the batch on its way, from 1 */
    bool is_retry;                 /* it was sent before */
    struct buf head;               /* of a payload's bodies, not compressed */
    struct delta_encoder *encoder; /* of deltas, which have no head; else NULL */
    uint64_t on_tape;              /* how many bodies it has played */
};

/* A connection, and the hosts that take turns on it. */
struct client {
    enum { WAITING, CONNECTING, IDLE, SENDING, RECEIVING, FINISHED } state;
    int fd;                 /* -1 without a connection */
    uint32_t waits_for;     /* what epoll watches */
    uint64_t turn;          /* batches that were stored on it, */
    uint64_t turn_at_start; /* and when this run began */
    struct buf request;     /* headers and what a host begins its body with */
    struct span tail;       /* which follows, and is shared by hosts */
    uint8_t end[TAPE_END_BYTES];
    size_t end_n;
    size_t n_measurements; /* in the batch */
    size_t sent;
    uint64_t due_ns;   /* when the batch should have been sent */
    uint64_t began_ns; /* this request, or the wait */
    uint8_t answer[ANSWER_MAX];
    size_t answer_n;
};

static void identifier_of(const struct fleet *f, size_t number,
                          char ret[LIMIT_IDENTIFIER_BYTES + 1])
{
    snprintf(ret, LIMIT_IDENTIFIER_BYTES + 1, "%s-%0*zu", f->conf.prefix, NUMBER_DIGITS,
             number + 1);
}

size_t fleet_identifier_n(const char *prefix)
{
    return strlen(prefix) + 1 + NUMBER_DIGITS;
}

static size_t index_of(const struct fleet *f, const struct client *c)
{
    return (size_t)(c - f->clients);
}

/* How many hosts take turns on a connection. */
static size_t hosts_on(const struct fleet *f, const struct client *c)
{
    size_t i = index_of(f, c), m = f->conf.n_connections;

    return i < f->conf.n_hosts ? (f->conf.n_hosts - i - 1) / m + 1 : 0;
}

/* The host whose turn it is; the connection must have one. */
static size_t host_index(const struct fleet *f, const struct client *c)
{
    return index_of(f, c) + c->turn % hosts_on(f, c) * f->conf.n_connections;
}

static struct host *host_of(const struct fleet *f, const struct client *c)
{
    return &f->hosts[host_index(f, c)];
}

static int host_init(struct fleet *f, size_t number)
{
    struct host *h = &f->hosts[number];
    char identifier[LIMIT_IDENTIFIER_BYTES + 1];

    h->session = clock_random_u64();
    h->seq = 1;
    buf_init(&h->head, REQUEST_MAX);
    if (f->tape)
        return 0;
    if (f->codec == &delta_codec)
        return delta_encoder_new(&(struct delta_encoder_conf){0}, &h->encoder);
    identifier_of(f, number, identifier);
    return payload_head(f->payload, span_of_str(identifier), h->session, &h->head);
}

static int allocate(struct fleet *f)
{
    f->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (f->epoll_fd < 0)
        return -errno;
    f->hosts = calloc(f->conf.n_hosts, sizeof(*f->hosts));
    f->clients = calloc(f->conf.n_connections, sizeof(*f->clients));
    f->due = calloc(f->conf.n_connections, sizeof(struct client *));
    if (!f->hosts || !f->clients || !f->due)
        return -ENOMEM;
    for (size_t i = 0; i < f->conf.n_connections; i++) {
        f->clients[i].fd = -1;
        buf_init(&f->clients[i].request, REQUEST_MAX);
    }
    return 0;
}

int fleet_init(struct fleet *f, const struct fleet_conf *conf, struct payload *payload,
               const struct tape *tape)
{
    memset(f, 0, sizeof(*f));
    f->conf = *conf;
    f->payload = payload;
    f->tape = tape;
    f->codec = tape ? tape->conf.codec : payload->conf.codec;
    f->gzip = tape ? tape->conf.gzip : payload->conf.gzip;
    int r = allocate(f);
    if (r == 0 && !tape && f->gzip)
        r = deflater_new(GZIP_LEVEL, &f->deflater);
    for (size_t i = 0; r == 0 && i < conf->n_hosts; i++)
        r = host_init(f, i);
    if (r)
        fleet_done(f);
    return r;
}

void fleet_done(struct fleet *f)
{
    for (size_t i = 0; f->hosts && i < f->conf.n_hosts; i++) {
        buf_done(&f->hosts[i].head);
        delta_encoder_free(f->hosts[i].encoder);
    }
    for (size_t i = 0; f->clients && i < f->conf.n_connections; i++) {
        buf_done(&f->clients[i].request);
        io_close(&f->clients[i].fd);
    }
    free(f->hosts);
    free(f->clients);
    free(f->due);
    f->hosts = NULL;
    f->clients = NULL;
    f->due = NULL;
    deflater_free(f->deflater);
    io_close(&f->epoll_fd);
}

static void swap_due(struct fleet *f, size_t a, size_t b)
{
    struct client *c = f->due[a];

    f->due[a] = f->due[b];
    f->due[b] = c;
}

static void push_due(struct fleet *f, struct client *c)
{
    size_t i = f->n_due++;

    f->due[i] = c;
    for (; i && f->due[i]->due_ns < f->due[(i - 1) / 2]->due_ns; i = (i - 1) / 2)
        swap_due(f, i, (i - 1) / 2);
}

static struct client *pop_due(struct fleet *f)
{
    struct client *first = f->due[0];
    size_t i = 0;

    f->due[0] = f->due[--f->n_due];
    for (;;) {
        size_t least = i;

        for (size_t child = 2 * i + 1; child <= 2 * i + 2 && child < f->n_due; child++)
            if (f->due[child]->due_ns < f->due[least]->due_ns)
                least = child;
        if (least == i)
            return first;
        swap_due(f, i, least);
        i = least;
    }
}

/* Between two batches on a connection. */
static double interval_ns(const struct fleet *f, const struct client *c)
{
    return (double)SEC / f->conf.rate * (double)f->conf.n_hosts / (double)hosts_on(f, c);
}

/* A number from 0 to 1, the same for the same batch. */
static double scatter(uint64_t a, uint64_t b)
{
    uint64_t x = (a * UINT64_C(0x9e3779b97f4a7c15) + b) * UINT64_C(0xbf58476d1ce4e5b9);

    x = (x ^ x >> 29) * UINT64_C(0x94d049bb133111eb);
    return (double)(x >> 11) / (double)(UINT64_C(1) << 53);
}

/* When the next batch of a connection is due, by the rate. */
static uint64_t next_due(const struct fleet *f, const struct client *c)
{
    double step_ns = interval_ns(f, c);
    double phase = (double)index_of(f, c) / (double)f->conf.n_connections;
    double jitter = f->conf.jitter * scatter(index_of(f, c), c->turn);

    return f->start_ns +
           (uint64_t)(((double)(c->turn - c->turn_at_start) + phase + jitter) * step_ns);
}

static void disconnect(struct client *c)
{
    io_close(&c->fd); /* which takes it out of epoll, too */
    c->waits_for = 0;
}

/* A host's batch wasn't stored: it goes again, as a snapshot where it is a delta. */
static void host_failed(const struct fleet *f, struct host *h)
{
    uint64_t n = f->tape ? f->tape->conf.n_batches : 1;

    h->is_retry = true;
    if (f->tape && tape_is_chained(f->tape, h->on_tape))
        h->on_tape += n - h->on_tape % n;
}

/* Something went wrong: the same batch again, a moment later. */
static void client_retry(struct fleet *f, struct client *c)
{
    c->state = WAITING;
    c->answer_n = 0;
    c->began_ns = clock_monotonic_ns();
    if (hosts_on(f, c))
        host_failed(f, host_of(f, c));
}

static void client_failed(struct fleet *f, struct client *c)
{
    f->counts.transport_errors++;
    disconnect(c);
    client_retry(f, c);
}

static void client_finish(struct fleet *f, struct client *c)
{
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

/* Makes the next delta of a host's chain in the place of a head. */
static int host_delta(struct fleet *f, struct host *h)
{
    CLEANUP(batch_done) struct batch b;
    char identifier[LIMIT_IDENTIFIER_BYTES + 1];
    struct delta_place place;

    batch_init(&b, &f->payload->batch.limits);
    identifier_of(f, (size_t)(h - f->hosts), identifier);
    int r = payload_batch(f->payload, span_of_str(identifier), h->session, h->seq, &b);
    if (r)
        return r;
    if (h->is_retry)
        delta_encoder_forget(h->encoder);
    buf_reset(&h->head);
    return delta_encode_chained(h->encoder, &b, (h->seq - 1) * b.n_ticks, &h->head,
                                &place);
}

static int append_headers(const struct fleet *f, const struct host *h, size_t body_n,
                          struct buf *to)
{
    return buf_printf(to,
                      "POST " WIRE_TRICKLE " HTTP/1.1\r\nHost: %s\r\n" WIRE_APIKEY
                      ": %s\r\n" WIRE_CONTENT_TYPE ": %s\r\n%s%s" WIRE_IDEMPOTENCY_KEY
                      ": %016" PRIx64 "-%" PRIu64 "\r\n" WIRE_IDEMPOTENCY_FLOOR
                      ": %" PRIu64 "\r\n" WIRE_CONTENT_LENGTH ": %zu\r\n\r\n",
                      f->conf.host, f->conf.key, f->codec->media_type,
                      f->gzip ? WIRE_CONTENT_ENCODING ": " WIRE_CODING_GZIP "\r\n" : "",
                      f->conf.new_connections ? WIRE_CONNECTION ": close\r\n" : "",
                      h->session, h->seq, h->seq, body_n);
}

/* Makes the request for a host's batch by the payload: headers, and the head of the
 * body. */
static int request_payload(struct fleet *f, struct client *c)
{
    CLEANUP(buf_done) struct buf head;
    struct host *h = host_of(f, c);
    int r = 0;

    buf_init(&head, REQUEST_MAX);
    if (h->encoder)
        r = host_delta(f, h);
    else
        payload_number(&h->head, h->seq);
    struct span body = buf_span(&h->head);
    if (r == 0 && f->deflater) {
        r = deflater_gzip(f->deflater, body, &head);
        body = buf_span(&head);
    }
    c->tail = buf_span(&f->payload->tail);
    c->n_measurements = f->payload->conf.n_measurements;
    if (r == 0)
        r = append_headers(f, h, body.n + c->tail.n, &c->request);
    return r ? r : buf_append(&c->request, body);
}

/* Makes it from the tape. */
static int request_tape(struct fleet *f, struct client *c)
{
    size_t number = host_index(f, c);
    struct host *h = &f->hosts[number];
    const struct tape_body *body =
        tape_body(f->tape, number % f->tape->conf.n_places, h->on_tape);
    char identifier[LIMIT_IDENTIFIER_BYTES + 1];
    struct tape_cut cut;

    identifier_of(f, number, identifier);
    int r = append_headers(f, h, tape_sent_n(f->tape, body), &c->request);
    if (r == 0)
        r = tape_cut(f->tape, body, span_of_str(identifier), &c->request, &cut);
    if (r)
        return r;
    c->tail = cut.tail;
    memcpy(c->end, cut.end, cut.end_n);
    c->end_n = cut.end_n;
    c->n_measurements = body->n_measurements;
    return 0;
}

static int client_request(struct fleet *f, struct client *c)
{
    buf_reset(&c->request);
    c->end_n = 0;
    return f->tape ? request_tape(f, c) : request_payload(f, c);
}

/* Sends what the socket takes. Return: bytes; -1 with errno. */
static ssize_t send_some(struct client *c)
{
    const struct span all[] = {buf_span(&c->request), c->tail, span_of(c->end, c->end_n)};
    struct iovec parts[3];
    size_t skip = c->sent;

    for (size_t i = 0; i < 3; i++) {
        size_t n = skip < all[i].n ? skip : all[i].n;

        parts[i] = (struct iovec){(void *)(uintptr_t)(all[i].data + n), all[i].n - n};
        skip -= n;
    }
    struct msghdr m = {.msg_iov = parts, .msg_iovlen = 3};
    return sendmsg(c->fd, &m, MSG_NOSIGNAL);
}

static void client_send(struct fleet *f, struct client *c)
{
    while (c->sent < c->request.len + c->tail.n + c->end_n) {
        ssize_t n = send_some(c);

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

/* Sends the batch of the host whose turn it is. */
static void client_begin(struct fleet *f, struct client *c)
{
    c->began_ns = clock_monotonic_ns();
    if (client_request(f, c))
        return client_failed(f, c);
    c->state = SENDING;
    c->sent = 0;
    c->answer_n = 0;
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

/* Sends now, over a connection that is made where there is none. */
static void client_go_on(struct fleet *f, struct client *c)
{
    if (c->fd < 0)
        client_connect(f, c);
    else
        client_begin(f, c);
}

/* Has the host whose turn it is no batch to send any more? */
static bool is_over(const struct fleet *f, const struct client *c, uint64_t due_ns)
{
    return hosts_on(f, c) == 0 || due_ns >= f->end_ns ||
           (f->conf.batches && host_of(f, c)->seq > f->conf.batches);
}

/* After a batch, or at the start: the next one, at its time. */
static void client_next(struct fleet *f, struct client *c)
{
    uint64_t now_ns = clock_monotonic_ns();

    c->due_ns = f->conf.rate > 0 && hosts_on(f, c) ? next_due(f, c) : now_ns;
    if (is_over(f, c, c->due_ns))
        return client_finish(f, c);
    if (now_ns >= f->end_ns) {
        f->counts.unsent +=
            1 + (uint64_t)((double)(f->end_ns - c->due_ns) / interval_ns(f, c));
        return client_finish(f, c);
    }
    if (c->due_ns > now_ns) {
        c->state = IDLE;
        return push_due(f, c);
    }
    client_go_on(f, c);
}

/* Does the answer say that the batch is stored (protocol, status codes)? */
static bool says_stored(const struct fleet *f, const struct client *c,
                        const struct http_answer *a)
{
    struct answer body;

    if (a->status != 200 || f->codec->decode_answer(a->body, &body, NULL))
        return false;
    if (a->has_stored && a->stored != c->n_measurements)
        return false;
    return !body.is_error;
}

static void client_answered(struct fleet *f, struct client *c,
                            const struct http_answer *a)
{
    if (a->status < FLEET_STATUSES)
        f->counts.by_status[a->status]++;
    if (a->closes || f->conf.new_connections)
        disconnect(c);
    if (!says_stored(f, c, a)) {
        f->counts.bad_answers += a->status == 200;
        return client_retry(f, c);
    }
    struct host *h = host_of(f, c);
    latency_add(&f->latency, clock_monotonic_ns() - c->due_ns);
    f->counts.stored++;
    f->counts.measurements += c->n_measurements;
    f->counts.replayed += a->replayed;
    if (a->replayed && h->encoder)
        delta_encoder_forget(h->encoder);
    h->seq++;
    h->on_tape++;
    h->is_retry = false;
    c->turn++;
    client_next(f, c);
}

/* A connection without a request ends, or says what nobody asked for. */
static void client_dropped(struct fleet *f, struct client *c)
{
    f->counts.dropped++;
    disconnect(c);
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
    f->counts.bytes_received += (size_t)n;
    int r = http_answer_parse(span_of(c->answer, c->answer_n), &a);

    if (r == E_TRUNCATED && c->answer_n < sizeof(c->answer))
        return;
    /* An answer before the request was all sent ends the connection, for us as well. */
    if (r || a.n != c->answer_n || c->state == SENDING) {
        if (r == 0 && a.status < FLEET_STATUSES)
            f->counts.by_status[a.status]++;
        f->counts.bad_answers++;
        disconnect(c);
        return client_retry(f, c);
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
        if (hosts_on(f, c))
            return client_begin(f, c);
        if (client_watch(f, c, EPOLLIN))
            return client_failed(f, c);
        return client_finish(f, c);
    }
    if (c->state == IDLE || c->state == FINISHED)
        return client_dropped(f, c);
    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
        client_receive(f, c);
    else if (c->state == SENDING)
        client_send(f, c);
}

/* What time alone brings about: a new try, or the end of patience. */
static void client_tick(struct fleet *f, struct client *c, uint64_t now_ns)
{
    uint64_t for_ns = now_ns - c->began_ns;

    if (c->state == FINISHED || c->state == IDLE)
        return;
    if (now_ns >= f->give_up_ns) {
        f->counts.unanswered++;
        disconnect(c);
        return client_finish(f, c);
    }
    if (c->state == WAITING && for_ns >= RETRY_NS) {
        client_go_on(f, c);
    } else if (c->state != WAITING && for_ns >= f->conf.patience_ns) {
        f->counts.timeouts++;
        disconnect(c);
        client_retry(f, c);
    }
}

static void fleet_tick(struct fleet *f)
{
    uint64_t now_ns = clock_monotonic_ns();

    for (size_t i = 0; i < f->conf.n_connections; i++)
        client_tick(f, &f->clients[i], now_ns);
}

/* Begins what is due. Return: how long nothing is, RETRY_NS at the most. */
static uint64_t begin_due(struct fleet *f)
{
    uint64_t now_ns = clock_monotonic_ns();

    while (f->n_due && f->due[0]->due_ns <= now_ns)
        client_go_on(f, pop_due(f));
    if (f->n_due == 0)
        return RETRY_NS;
    uint64_t for_ns = f->due[0]->due_ns - now_ns;
    return for_ns < RETRY_NS ? for_ns : RETRY_NS;
}

/* Waits for events and does what they ask for. */
static int serve(struct fleet *f, uint64_t wait_ns)
{
    const struct timespec wait = {.tv_sec = (time_t)(wait_ns / SEC),
                                  .tv_nsec = (long)(wait_ns % SEC)};
    struct epoll_event events[EVENTS];
    int n = epoll_pwait2(f->epoll_fd, events, EVENTS, &wait, NULL);

    if (n < 0 && errno != EINTR)
        return -errno;
    for (int i = 0; i < n; i++)
        client_event(f, events[i].data.ptr, events[i].events);
    return 0;
}

static void start(struct fleet *f)
{
    f->counts = (struct fleet_counts){0};
    f->latency = (struct latency){0};
    f->start_ns = clock_monotonic_ns();
    f->end_ns = f->start_ns + f->conf.duration_ns;
    f->give_up_ns = f->end_ns + f->conf.patience_ns;
    f->n_running = f->conf.n_connections;
    for (size_t i = 0; i < f->conf.n_connections; i++) {
        struct client *c = &f->clients[i];

        c->turn_at_start = c->turn;
        if (hosts_on(f, c) || c->fd >= 0)
            client_next(f, c);
        else
            client_connect(f, c);
    }
}

int fleet_run(struct fleet *f)
{
    start(f);
    uint64_t tick_ns = f->start_ns;

    while (f->n_running) {
        int r = serve(f, begin_due(f));

        if (r)
            return r;
        if (clock_monotonic_ns() - tick_ns >= RETRY_NS) {
            tick_ns = clock_monotonic_ns();
            fleet_tick(f);
        }
    }
    f->counts.elapsed_ns = clock_monotonic_ns() - f->start_ns;
    return 0;
}

int fleet_hold(struct fleet *f, uint64_t duration_ns)
{
    uint64_t end_ns = clock_monotonic_ns() + duration_ns, now_ns;
    int r = 0;

    while (r == 0 && (now_ns = clock_monotonic_ns()) < end_ns)
        r = serve(f, end_ns - now_ns);
    return r;
}

void fleet_client(const struct fleet *f, size_t i, struct fleet_client *ret)
{
    identifier_of(f, i, ret->identifier);
    ret->session = f->hosts[i].session;
    ret->stored = f->hosts[i].seq - 1;
}
