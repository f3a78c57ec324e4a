/* SPDX-License-Identifier: MIT */
#include "pcc/delivery.h"

#include "common/clock.h"
#include "common/json.h"
#include "common/log.h"
#include "common/units.h"
#include "common/version.h"
#include "pcc/apikey.h"
#include "pcc/backlog.h"
#include "pcc/http_post.h"
#include "pcc/pace.h"
#include "pcc/trace.h"
#include "proto/wire.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Changes of form that are tried at once; a server that goes on so is left in peace. */
#define LOWER_MAX 3u
#define PING_MAX 256u

enum stage {
    STAGE_IDLE,
    STAGE_PING,
    STAGE_POST,
};

struct delivery {
    const struct pcc_conf *conf;
    struct counters *counters;
    struct http *http;
    struct backlog *backlog;
    struct agreement agreement;
    struct pace pace;
    struct buf ping;
    struct backlog_post post; /* what is in flight */
    enum stage stage;
    bool greeted;     /* a first ping was tried */
    unsigned lowered; /* changes of form since the last success */
    bool conflicted;  /* a snapshot was asked for since then */
    bool key_untried; /* no request has shown the key yet */
    char key[APIKEY_MAX + 1];
};

/* Return: 0; as apikey_read(), and the key is what it was. */
static int load_key(struct delivery *d)
{
    char old[sizeof d->key];
    int r = 0;

    memcpy(old, d->key, sizeof old);
    if (!*d->conf->apikey)
        r = apikey_read(d->conf->apikey_file, d->key);
    else
        memcpy(d->key, d->conf->apikey, strlen(d->conf->apikey) + 1);
    if (strcmp(old, d->key) != 0)
        d->key_untried = true;
    explicit_bzero(old, sizeof old);
    return r;
}

int delivery_new(const struct pcc_conf *conf, struct outbox *outbox,
                 struct counters *counters, struct spool *spool, struct delivery **ret)
{
    const struct http_conf http = {
        .url = conf->server_url,
        .user_agent = "perfcollector-pcc/" VERSION,
        .tls_ca = conf->tls_ca,
        .tls_cert = conf->tls_cert,
        .tls_key = conf->tls_key,
        .tls_skip_verify = conf->tls_skip_verify,
        .timeout_ns = conf->timeout_ns,
        .connect_timeout_ns = conf->connect_timeout_ns,
    };
    struct delivery *d = calloc(1, sizeof *d);
    if (!d)
        return -ENOMEM;
    d->conf = conf;
    d->counters = counters;
    pace_init(&d->pace, conf->frequency_ns, conf->spread_ns, clock_boot_ns());
    buf_init(&d->ping, PING_MAX);
    agreement_init(&d->agreement, (struct form){(enum media_form)conf->serialization,
                                                (enum coding)conf->compression});
    int r = load_key(d);
    if (r == 0)
        r = http_new(&http, &d->http);
    if (r == 0)
        r = backlog_new(conf, outbox, counters, spool, &d->backlog);
    if (r) {
        delivery_free(d);
        return r;
    }
    *ret = d;
    return 0;
}

void delivery_free(struct delivery *d)
{
    if (!d)
        return;
    http_free(d->http);
    backlog_free(d->backlog);
    buf_done(&d->ping);
    explicit_bzero(d->key, sizeof d->key);
    free(d);
}

const struct batch *delivery_add(struct delivery *d, struct outbox_slot *slot,
                                 uint64_t now_ns)
{
    return backlog_add(d->backlog, slot, &d->agreement, now_ns);
}

static struct pace_failure failure(const struct delivery *d, unsigned status,
                                   const char *why)
{
    return (struct pace_failure){status, why, delivery_unsent(d)};
}

static void back_off(struct delivery *d, unsigned status, const char *why,
                     uint64_t now_ns)
{
    const struct pace_failure f = failure(d, status, why);

    pace_back_off(&d->pace, &f, now_ns);
}

static void wait_as_told(struct delivery *d, const struct http_answer *a, const char *why,
                         uint64_t now_ns)
{
    const struct pace_failure f = failure(d, a->status, why);

    pace_wait_as_told(&d->pace, &f, now_ns, a->retry_after_s);
}

/* Return: can the key be read? */
static bool reread_key(struct delivery *d)
{
    int r = load_key(d);

    if (r)
        log_event(LOG_WARNING, "key_unreadable", LOG_STR("file", d->conf->apikey_file),
                  LOG_STR("error", apikey_text(r)));
    return r == 0;
}

/* With a new key it is worth trying soon; with the old one only somebody's hand helps. It
 * is new also where it came while the request was on its way with the old one. */
static void settle_denied(struct delivery *d, const struct http_answer *a,
                          const char *why, uint64_t now_ns)
{
    const struct pace_failure f = failure(d, a->status, why);

    (void)reread_key(d);
    if (d->key_untried)
        pace_back_off_anew(&d->pace, &f, now_ns);
    else
        pace_wait_long(&d->pace, &f, now_ns);
}

static void settle_lower(struct delivery *d, const struct http_answer *a, const char *why,
                         uint64_t now_ns)
{
    bool another = agreement_refused(&d->agreement, d->post.form, now_ns);

    if (another && d->lowered++ < LOWER_MAX)
        log_event(LOG_INFO, "form_refused", LOG_U64("status", a->status),
                  LOG_STR("reason", why));
    else if (!another && a->status == 400)
        backlog_reject(d->backlog, why);
    else
        back_off(d, a->status, why, now_ns);
}

static void settle_split(struct delivery *d, unsigned status, uint64_t now_ns)
{
    int r = backlog_split(d->backlog);

    if (r)
        back_off(d, status, err_text(r), now_ns);
}

/* The same batch goes again at once, now as a snapshot; but a server that wants one where
 * it got one, or once more, is left in peace. */
static void settle_snapshot(struct delivery *d, const struct http_answer *a,
                            const char *why, uint64_t now_ns)
{
    bool builds = d->post.place.chained && d->post.place.number > 0;

    d->counters->conflicts++;
    if (builds && !d->conflicted)
        log_event(LOG_DEBUG, "snapshot_required", LOG_U64("seq", d->post.seq),
                  LOG_STR("reason", why));
    else
        back_off(d, a->status, why, now_ns);
    d->conflicted = true;
}

static void settle_stored(struct delivery *d, const struct http_answer *a,
                          uint64_t now_ns)
{
    const uint64_t n = d->post.n_measurements;
    const bool replayed = span_equal_nocase(a->replayed, SPAN("true"));

    d->counters->sent += n;
    if (replayed)
        d->counters->replayed += n;
    log_event(LOG_DEBUG, "batch_stored", LOG_U64("seq", d->post.seq),
              LOG_U64("measurements", n), LOG_U64("bytes", d->post.body.n));
    backlog_stored(d->backlog, replayed, now_ns);
    pace_succeeded(&d->pace, delivery_unsent(d), now_ns);
    d->lowered = 0;
    d->conflicted = false;
}

static void settle_post(struct delivery *d, const struct http_answer *a, uint64_t now_ns)
{
    struct answer why;

    /* A server that can't read it and names nothing isn't the one that named what it
     * takes: that has gone, with no connection of ours to show it. */
    if (a->status == 400 && !a->accept_post.data)
        agreement_forget(&d->agreement);
    agreement_learn(&d->agreement, a->accept_post, a->accept_encoding);
    enum outcome outcome =
        answer_outcome(a, d->post.n_measurements, d->agreement.named, &why);
    if (outcome == OUTCOME_STORED) {
        settle_stored(d, a, now_ns);
        return;
    }
    backlog_give_back(d->backlog);
    switch (outcome) {
    case OUTCOME_WAIT:
        wait_as_told(d, a, why.error, now_ns);
        break;
    case OUTCOME_DENIED:
        settle_denied(d, a, why.error, now_ns);
        break;
    case OUTCOME_REFUSED:
        backlog_reject(d->backlog, why.error);
        break;
    case OUTCOME_LOWER:
        settle_lower(d, a, why.error, now_ns);
        break;
    case OUTCOME_SPLIT:
        settle_split(d, a->status, now_ns);
        break;
    case OUTCOME_SNAPSHOT:
        settle_snapshot(d, a, why.error, now_ns);
        break;
    case OUTCOME_STORED:
    case OUTCOME_RETRY:
    case OUTCOME_STRANGE:
        back_off(d, a->status, why.error, now_ns);
        break;
    }
}

/* Any answer shows that somebody is there, and what it takes; a busy one is spared. */
static void settle_ping(struct delivery *d, const struct http_answer *a, uint64_t now_ns)
{
    if (a->status == 0) {
        back_off(d, 0, a->failure, now_ns);
        return;
    }
    pace_answered(&d->pace, now_ns);
    if (!a->accept_post.data)
        agreement_forget(&d->agreement);
    agreement_learn(&d->agreement, a->accept_post, a->accept_encoding);
    if (a->status == 429 || a->status >= 500)
        wait_as_told(d, a, "ping refused", now_ns);
    else
        log_event(LOG_DEBUG, "connected", LOG_STR("url", d->conf->server_url),
                  LOG_U64("status", a->status));
}

static int start_ping(struct delivery *d)
{
    const struct ping ping = {.timestamp = (int64_t)(clock_wall_ns() / SEC)};

    d->greeted = true;
    backlog_check_session(d->backlog);
    buf_reset(&d->ping);
    int r = json_codec.encode_ping(&ping, &d->ping);
    if (r)
        return r;
    const struct http_request request = {
        .path = WIRE_PING,
        .key = "",
        .body = buf_span(&d->ping),
        .form = {MEDIA_JSON, CODING_IDENTITY},
    };
    return http_start(d->http, &request);
}

static int start_post(struct delivery *d, uint64_t now_ns)
{
    int r = backlog_begin(d->backlog, &d->agreement, now_ns, &d->post);
    if (r)
        return r;
    const struct http_request request = {
        .path = WIRE_TRICKLE,
        .key = d->key,
        .body = d->post.body,
        .form = d->post.form,
        .session = d->post.session,
        .seq = d->post.seq,
        .floor = d->post.floor,
    };
    if (log_enabled(LOG_TRACE)) {
        trace_request(d->conf->server_url, &d->post);
        backlog_trace(d->backlog, &d->post);
    }
    r = http_start(d->http, &request);
    if (r) {
        backlog_give_back(d->backlog);
    } else {
        d->counters->bytes_sent += d->post.body.n;
        d->key_untried = false;
    }
    return r;
}

/* When the next request is to be begun; UINT64_MAX while there is nothing to do. */
static uint64_t due_ns(const struct delivery *d)
{
    uint64_t due = !d->greeted && !d->pace.hurrying ? 0 : backlog_due_ns(d->backlog);

    return due > d->pace.not_before_ns ? due : d->pace.not_before_ns;
}

static void start_next(struct delivery *d, uint64_t now_ns)
{
    bool ping = !http_connected(d->http) && !d->pace.hurrying;
    int r = ping ? start_ping(d) : start_post(d, now_ns);

    if (r == E_GONE && !ping)
        return; /* what was due was damaged: that was told */
    if (r > 0 && !ping) {
        settle_split(d, 0, now_ns); /* too large in the form that the server wants */
    } else if (r) {
        back_off(d, 0, err_text(r), now_ns);
    } else {
        d->counters->requests++;
        d->stage = ping ? STAGE_PING : STAGE_POST;
    }
}

void delivery_step(struct delivery *d, uint64_t now_ns)
{
    struct http_answer answer;
    enum stage stage = d->stage;

    if (stage != STAGE_IDLE) {
        if (!http_finished(d->http, &answer))
            return;
        d->stage = STAGE_IDLE;
        d->counters->connections = http_connections(d->http);
        if (stage == STAGE_PING)
            settle_ping(d, &answer, now_ns);
        else
            settle_post(d, &answer, now_ns);
    }
    if (now_ns >= due_ns(d))
        start_next(d, now_ns);
}

void delivery_wait(struct delivery *d, int fd, uint64_t now_ns, uint64_t until_ns)
{
    if (d->stage == STAGE_IDLE && due_ns(d) < until_ns)
        until_ns = due_ns(d);
    http_wait(d->http, fd, until_ns > now_ns ? until_ns - now_ns : 0);
}

void delivery_reload_key(struct delivery *d, uint64_t now_ns)
{
    bool refused =
        d->pace.in_trouble && (d->pace.trouble == 401 || d->pace.trouble == 403);

    if (!reread_key(d))
        return;
    log_event(LOG_INFO, "key_read", LOG_STR("file", d->conf->apikey_file),
              LOG_STR("key", d->key_untried ? "not tried yet" : "as before"));
    if (refused)
        pace_go(&d->pace, now_ns);
}

void delivery_hurry(struct delivery *d, uint64_t now_ns)
{
    backlog_secure(d->backlog, &d->agreement, now_ns);
    pace_hurry(&d->pace, now_ns);
}

bool delivery_done(const struct delivery *d)
{
    return backlog_fresh(d->backlog) == 0 ||
           (d->pace.in_trouble && backlog_unsecured(d->backlog) == 0);
}

uint64_t delivery_unsent(const struct delivery *d)
{
    return backlog_measurements(d->backlog);
}

uint64_t delivery_unsecured(const struct delivery *d)
{
    return backlog_unsecured(d->backlog);
}

uint64_t delivery_unsecured_first_ns(const struct delivery *d)
{
    return backlog_unsecured_first_ns(d->backlog);
}

void delivery_tell(const struct delivery *d, uint64_t now_ns, struct status *ret)
{
    struct form form = agreement_form(&d->agreement, now_ns);

    ret->serialization = pcc_serializations[form.media];
    ret->compression = pcc_compressions[form.coding];
    ret->stored_ns = d->pace.stored_ns;
    backlog_tell(d->backlog, ret);
    ret->failing = ret->failing || d->pace.in_trouble;
    if (!*ret->last_error) {
        ret->last_error = d->pace.last_error;
        ret->error_ns = d->pace.error_ns;
    }
}
