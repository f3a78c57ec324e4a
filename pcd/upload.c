/* SPDX-License-Identifier: MIT */
#include "pcd/upload.h"

#include "common/clock.h"
#include "common/units.h"
#include "pcd/options.h"
#include "pcd/store.h"
#include "proto/wire.h"

#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

/* The budget of a body grows in steps, doubling, as its buffer does. */
#define CHARGE_FIRST (64 * KIB)

struct upload *upload_new(struct worker *w, struct connection *e,
                          struct MHD_Connection *mhd)
{
    struct upload *u = calloc(1, sizeof *u);

    if (!u)
        return NULL;
    u->worker = w;
    u->connection = e;
    u->mhd = mhd;
    u->route = STATS_OTHER;
    u->start_ns = clock_boot_ns();
    return u;
}

static void release_body(struct upload *u)
{
    buf_done(&u->body);
    admit_release(u->worker->service->admit, u->charged);
    u->charged = 0;
}

void upload_free(struct upload *u)
{
    if (!u)
        return;
    release_body(u);
    auth_grant_done(&u->grant);
    free(u);
}

void upload_refuse(struct upload *u, unsigned code, const char *error)
{
    (void)snprintf(u->error, sizeof u->error, "%s", error);
    u->reply.code = code;
    u->reply.error = u->error;
    if (code == MHD_HTTP_SERVICE_UNAVAILABLE || code == MHD_HTTP_INSUFFICIENT_STORAGE ||
        code == MHD_HTTP_TOO_MANY_REQUESTS)
        u->reply.retry_after_s = reply_retry_after_s();
}

/* Refuses for a limit that an option sets. */
static void refuse_over(struct upload *u, const char *what, uint64_t limit)
{
    char text[160];

    (void)snprintf(text, sizeof text, "%s: more than %" PRIu64 " bytes", what, limit);
    upload_refuse(u, MHD_HTTP_CONTENT_TOO_LARGE, text);
}

/* Says what became of a batch, or why none is taken now. */
static void refuse_result(struct upload *u, int r)
{
    const char *text = "the store failed";

    if (r == E_FULL)
        text = "busy: too much waits to be written";
    else if (r == E_NO_ROOM)
        text = "the disk is full, below its reserve, or can't be written";
    else if (r == E_STOPPED)
        text = "shutting down";
    else if (r == E_TOO_LARGE)
        text = "the batch is too large once it is decoded";
    else if (r == E_CONFLICT)
        text = WIRE_ERROR_SNAPSHOT;
    else if (r == E_TRUNCATED || r == E_MALFORMED)
        text = "another request that brought this batch was refused: it does not decode";
    else if (r == -ENOMEM)
        text = "out of memory";
    upload_refuse(u, reply_code(r), text);
}

static uint64_t body_max(const struct upload *u)
{
    uint64_t max = u->worker->service->conf->body_max;

    return u->route == STATS_PING && max > UPLOAD_PING_BYTES ? UPLOAD_PING_BYTES : max;
}

static void refuse_type(struct upload *u, enum head_field field, const char *taken)
{
    const char *name =
        field == HEAD_CONTENT_TYPE ? WIRE_CONTENT_TYPE : WIRE_CONTENT_ENCODING;
    struct span given = u->head.fields[field];
    char text[256];

    if (u->head.repeated[field])
        given = SPAN("more than one");
    (void)snprintf(text, sizeof text, "%s: given %.*s; taken are %s", name,
                   given.n > 80 ? 80 : (int)given.n, (const char *)given.data, taken);
    upload_refuse(u, MHD_HTTP_UNSUPPORTED_MEDIA_TYPE, text);
}

static void accept_type(struct upload *u)
{
    const struct head *h = &u->head;

    if (h->repeated[HEAD_CONTENT_TYPE] ||
        media_of_content_type(h->fields[HEAD_CONTENT_TYPE], &u->ingest.form))
        refuse_type(u, HEAD_CONTENT_TYPE, media_accept_post());
    else if (h->repeated[HEAD_CONTENT_ENCODING] ||
             media_of_content_encoding(h->fields[HEAD_CONTENT_ENCODING],
                                       &u->ingest.coding))
        refuse_type(u, HEAD_CONTENT_ENCODING, media_accept_encoding());
}

static void accept_batch(struct upload *u)
{
    const struct span *fields = u->head.fields;
    struct service *service = u->worker->service;
    const char *what;

    u->ingest.service = service;
    u->ingest.grant = &u->grant;
    if (ingest_parse_key(fields[HEAD_IDEMPOTENCY_KEY], fields[HEAD_IDEMPOTENCY_FLOOR],
                         &u->ingest.has_key, &u->ingest.key, &what)) {
        upload_refuse(u, MHD_HTTP_BAD_REQUEST, what);
        return;
    }
    /* Asked for early, so that a body that can't be kept need not come; charged only as
     * it does: what is merely announced takes nobody's room. */
    int r = store_room(service->store, u->head.length);
    if (r == 0)
        r = admit_charge(service->admit, u->head.length);
    if (r == 0)
        admit_release(service->admit, u->head.length);
    else
        refuse_result(u, r);
}

void upload_accept(struct upload *u)
{
    uint64_t max = body_max(u);

    accept_type(u);
    if (u->reply.code == 0 && u->head.length > max)
        refuse_over(u, "the body", max);
    if (u->reply.code == 0 && u->route == STATS_TRICKLE)
        accept_batch(u);
    if (u->reply.code)
        return;
    /* A length that was announced is the most that comes; memory is taken as it does. */
    buf_init(&u->body, u->head.chunked ? max : u->head.length);
    u->state = UPLOAD_RECEIVING;
}

/* Charges for what a body is going to need, in steps as its buffer grows. */
static int charge_part(struct upload *u, size_t n)
{
    uint64_t want = u->charged > 0 ? u->charged : CHARGE_FIRST;

    if (u->route != STATS_TRICKLE || n <= u->charged - u->body.len)
        return 0;
    while (want < u->body.len + n)
        want *= 2;
    if (want > u->body.max)
        want = u->body.max;
    int r = admit_charge(u->worker->service->admit, want - u->charged);
    if (r == 0)
        u->charged = want;
    return r;
}

static void keep_part(struct upload *u, struct span part)
{
    int r = part.n > u->body.max - u->body.len ? E_TOO_LARGE : charge_part(u, part.n);

    if (r == 0)
        r = buf_append(&u->body, part);
    if (r == 0)
        return;
    if (r == E_TOO_LARGE)
        refuse_over(u, "the body", u->body.max);
    else
        refuse_result(u, r);
    release_body(u);
    u->state = UPLOAD_DROPPING;
}

/* Ends a request in the middle of its body, where libmicrohttpd takes no answer. */
static enum MHD_Result give_up(struct upload *u)
{
    struct worker *w = u->worker;

    stats_request(w->service->stats, u->route, u->reply.code);
    if (!w->service->conf->tls_cert[0])
        reply_raw(u->connection->fd, u->reply.form, u->reply.code, u->error);
    u->connection->linger_fd = lingerer_dup(w->linger, u->connection->fd);
    u->state = UPLOAD_ANSWERED;
    return MHD_NO;
}

enum MHD_Result upload_part(struct upload *u, struct span part)
{
    if (u->state == UPLOAD_RECEIVING) {
        keep_part(u, part);
        return MHD_YES;
    }
    /* After a refusal as much again is dropped for the sake of the connection. */
    uint64_t max = body_max(u);
    if (part.n > max - u->dropped)
        return give_up(u);
    u->dropped += part.n;
    return MHD_YES;
}

static void refuse_decode(struct upload *u, int r, const struct err_at *at)
{
    char text[LIMIT_ERROR_BYTES];

    if (r < 0) {
        refuse_result(u, r);
        return;
    }
    err_describe(r, at, text, sizeof text);
    upload_refuse(u, reply_code(r), text);
}

static void refuse_identifier(struct upload *u, struct span identifier)
{
    char text[LIMIT_ERROR_BYTES];

    (void)snprintf(text, sizeof text, "this key may not write as \"%.*s\"",
                   (int)identifier.n, (const char *)identifier.data);
    upload_refuse(u, reply_code(E_DENIED), text);
}

static void answer_ping(struct upload *u)
{
    CLEANUP(buf_done) struct buf inflated;
    struct err_at at = ERR_AT_NOWHERE;
    struct span text;
    struct ping ping;

    buf_init(&inflated, UPLOAD_PING_BYTES);
    int r = scratch_inflate(&u->worker->scratch, u->ingest.coding, buf_span(&u->body),
                            &inflated, &text, &at);
    if (r == 0)
        r = media_codec(u->ingest.form)->decode_ping(text, &ping, &at);
    if (r) {
        refuse_decode(u, r, &at);
        return;
    }
    const struct codec *codec = media_codec(u->reply.form);
    const struct pong pong = {ping.timestamp, (int64_t)(clock_wall_ns() / SEC)};

    buf_done(&u->body);
    buf_init(&u->body, LIMIT_ANSWER_BYTES);
    r = codec->encode_pong(&pong, &u->body);
    if (r) {
        refuse_result(u, r);
        return;
    }
    u->reply.code = MHD_HTTP_OK;
    u->reply.body = buf_span(&u->body);
    u->reply.type = codec->media_type;
}

/* Thread: any, once. See ingest.h. */
static void settled(struct ingest *i)
{
    struct upload *u = (struct upload *)((char *)i - offsetof(struct upload, ingest));

    MHD_resume_connection(u->mhd);
}

static enum MHD_Result finish_batch(struct upload *u)
{
    struct worker *w = u->worker;
    struct err_at at;

    int r = ingest_read(&u->ingest, &w->scratch, buf_span(&u->body), &at);
    release_body(u);
    if (r == E_DENIED)
        refuse_identifier(u, ingest_identifier(&u->ingest, &w->scratch));
    else if (r)
        refuse_decode(u, r, &at);
    if (r == 0) {
        r = connection_enter(w->connections, u->connection, CONNECTION_SETTLING);
        if (r == E_STOPPED)
            refuse_result(u, r);
    }
    if (r == 0) {
        u->state = UPLOAD_SETTLING;
        u->ingest.settled = settled;
        /* Before anybody else can know of it, for whoever settles it resumes it, and
         * resuming what isn't suspended is undefined. */
        MHD_suspend_connection(u->mhd);
        ingest_submit(&u->ingest, &w->scratch);
    }
    scratch_reset(&w->scratch);
    return r == 0 ? MHD_YES : upload_answer(u);
}

static void take_result(struct upload *u)
{
    const struct ingest *i = &u->ingest;

    if (i->r == 0 || i->r == E_REPLAY) {
        u->reply.code = MHD_HTTP_OK;
        u->reply.replayed = i->r == E_REPLAY;
        u->reply.has_stored = i->r == 0;
        u->reply.stored = i->n_measurements;
    } else if (i->keys_full) {
        upload_refuse(
            u, MHD_HTTP_TOO_MANY_REQUESTS,
            "too many holes among this session's numbers: send " WIRE_IDEMPOTENCY_FLOOR
            ", or begin a new session");
    } else if (i->has_at) {
        refuse_decode(u, i->r, &i->at);
    } else {
        refuse_result(u, i->r);
    }
}

enum MHD_Result upload_finish(struct upload *u)
{
    if (u->state == UPLOAD_RECEIVING && u->route == STATS_TRICKLE)
        return finish_batch(u);
    if (u->state == UPLOAD_RECEIVING)
        answer_ping(u);
    else if (u->state == UPLOAD_SETTLING)
        take_result(u);
    return upload_answer(u);
}

enum MHD_Result upload_answer(struct upload *u)
{
    struct worker *w = u->worker;

    if (u->state == UPLOAD_ANSWERED ||
        connection_enter(w->connections, u->connection, CONNECTION_ANSWERING))
        return MHD_NO;
    u->state = UPLOAD_ANSWERED;
    u->reply.negotiates = u->route == STATS_PING || u->route == STATS_TRICKLE;
    u->reply.closes |=
        atomic_load(&w->service->stops) || connection_is_old(u->connection);
    stats_request(w->service->stats, u->route, u->reply.code);
    return reply_send(u->mhd, &u->reply);
}
