/* SPDX-License-Identifier: MIT */
#include "pcd/ingest.h"

#include "common/clock.h"
#include "common/json.h"
#include "common/log.h"
#include "common/units.h"
#include "pcd/gunzip.h"
#include "pcd/hosts.h"
#include "pcd/options.h"
#include "pcd/stats.h"
#include "pcd/store.h"
#include "proto/wire.h"

#include <errno.h>

/* What a scratch keeps between batches; an everyday batch fits. */
#define SCRATCH_KEEP (4 * MIB)
/* A line has this much beside its texts, about; and a text grows by an eighth, about,
 * for its line ends and quotes. */
#define LINE_OVERHEAD 96u

int scratch_init(struct scratch *s, const struct pcd_conf *conf)
{
    const struct batch_limits limits = {
        .measurements = conf->measurements_max,
        .text_bytes = conf->text_max,
        .subsystem_bytes = conf->subsystem_max,
        .bytes = conf->decoded_max,
        .nesting = conf->nesting_max,
    };

    buf_init(&s->decoded, conf->decoded_max);
    batch_init(&s->batch, &limits);
    int r = inflater_new(&s->inflater);
    if (r == 0)
        r = gunzip_new(&s->gunzip);
    return r ? r : delta_decoder_new(&s->delta);
}

void scratch_done(struct scratch *s)
{
    inflater_free(s->inflater);
    gunzip_free(s->gunzip);
    delta_decoder_free(s->delta);
    buf_done(&s->decoded);
    batch_done(&s->batch);
    *s = (struct scratch){0};
}

void scratch_reset(struct scratch *s)
{
    delta_decoder_reset(s->delta);
    buf_reset(&s->decoded);
    buf_shrink(&s->decoded, SCRATCH_KEEP);
    batch_reset(&s->batch);
    if (s->batch.bytes.cap > SCRATCH_KEEP ||
        s->batch.cap_items > SCRATCH_KEEP / sizeof(struct batch_item)) {
        struct batch_limits limits = s->batch.limits;

        batch_done(&s->batch);
        batch_init(&s->batch, &limits);
    }
}

int scratch_inflate(struct scratch *s, enum coding coding, struct span body,
                    struct buf *to, struct span *ret, struct err_at *reterr_at)
{
    if (coding == CODING_IDENTITY) {
        *ret = body;
        return 0;
    }
    bool is_done = coding == CODING_GZIP && gunzip_try(s->gunzip, body, to);
    int r = is_done ? 0 : inflater_run(s->inflater, coding, body, to, reterr_at);
    if (r == 0)
        *ret = buf_span(to);
    return r;
}

static int parse_session(struct span digits, uint64_t *ret)
{
    uint64_t value = 0;

    for (size_t i = 0; i < digits.n; i++) {
        uint8_t b = digits.data[i];

        if (b >= '0' && b <= '9')
            value = value << 4 | (uint64_t)(b - '0');
        else if (b >= 'a' && b <= 'f')
            value = value << 4 | (uint64_t)(b - 'a' + 10);
        else
            return E_MALFORMED;
    }
    *ret = value;
    return 0;
}

static int parse_seq(struct span digits, uint64_t *ret)
{
    uint64_t value;

    if (digits.n == 0 || digits.data[0] == '0')
        return E_MALFORMED;
    if (units_parse_u64(digits, &value) || value > INT64_MAX)
        return E_MALFORMED;
    *ret = value;
    return 0;
}

int ingest_parse_key(struct span key, struct span floor, bool *ret_has, struct key *ret,
                     const char **reterr_what)
{
    struct key k = {0};

    *ret_has = false;
    if (!key.data && !floor.data)
        return 0;
    *reterr_what = WIRE_IDEMPOTENCY_FLOOR " without " WIRE_IDEMPOTENCY_KEY;
    if (!key.data)
        return E_MALFORMED;
    *reterr_what =
        WIRE_IDEMPOTENCY_KEY ": expected 16 lower-case hexadecimal digits, a hyphen "
                             "and a number from 1 to 9223372036854775807";
    if (key.n <= LIMIT_SESSION_DIGITS + 1 || key.data[LIMIT_SESSION_DIGITS] != '-' ||
        parse_session(span_of(key.data, LIMIT_SESSION_DIGITS), &k.session) ||
        parse_seq(span_from(key, LIMIT_SESSION_DIGITS + 1), &k.seq))
        return E_MALFORMED;
    *reterr_what =
        WIRE_IDEMPOTENCY_FLOOR ": expected a number from 1 to 9223372036854775807";
    if (floor.data && parse_seq(floor, &k.floor))
        return E_MALFORMED;
    /* It would be answered as stored, which it may not be. */
    *reterr_what = WIRE_IDEMPOTENCY_FLOOR ": above the batch's own number";
    if (k.floor > k.seq)
        return E_MALFORMED;
    *ret_has = true;
    *ret = k;
    return 0;
}

static int decode_whole(struct ingest *i, struct scratch *s, struct span decoded,
                        struct err_at *reterr_at)
{
    int r = media_codec(i->form)->decode_request(decoded, &s->batch, reterr_at);

    i->n_measurements = s->batch.n_items;
    return r;
}

static int open_delta(struct ingest *i, struct scratch *s, struct span decoded,
                      struct err_at *reterr_at)
{
    int r = 0;

    if (i->coding == CODING_IDENTITY) { /* the body goes before the message is decoded */
        r = buf_append(&s->decoded, decoded);
        decoded = buf_span(&s->decoded);
    }
    if (r == 0)
        r = delta_decoder_open(s->delta, decoded, &s->batch.limits, &s->head, reterr_at);
    if (r == 0 && s->head.place.chained && !i->has_key) {
        reterr_at->what = "a batch of a chain (" WIRE_DELTA_SNAPSHOT
                          ") without " WIRE_IDEMPOTENCY_KEY ", which names the session";
        r = E_MALFORMED;
    }
    return r;
}

struct span ingest_identifier(const struct ingest *i, const struct scratch *s)
{
    return i->form == MEDIA_DELTA ? s->head.identifier : batch_identifier(&s->batch);
}

int ingest_read(struct ingest *i, struct scratch *s, struct span body,
                struct err_at *reterr_at)
{
    uint64_t start_ns = clock_boot_ns();
    struct span decoded;

    *reterr_at = ERR_AT_NOWHERE;
    int r = scratch_inflate(s, i->coding, body, &s->decoded, &decoded, reterr_at);
    if (r == 0 && i->form == MEDIA_DELTA)
        r = open_delta(i, s, decoded, reterr_at);
    else if (r == 0)
        r = decode_whole(i, s, decoded, reterr_at);
    if (r)
        return r;
    if (!auth_grant_writes(i->grant, ingest_identifier(i, s)))
        return E_DENIED;
    stats_add(i->service->stats, STATS_RECEIVED_BYTES, body.n);
    stats_add(i->service->stats, STATS_DECODED_BYTES, decoded.n);
    i->decode_ns = clock_boot_ns() - start_ns;
    return 0;
}

static void settle(struct ingest *i, int r)
{
    struct stats *stats = i->service->stats;

    /* First: who hears the result may send the next batch of the chain at once. */
    if (i->chain)
        chains_settle(i->service->chains, i->chain, r == 0, clock_boot_ns());
    i->r = r;
    if (r == 0) {
        stats_add(stats, STATS_BATCHES, 1);
        stats_add(stats, STATS_MEASUREMENTS, i->n_measurements);
    } else if (r == E_REPLAY) {
        stats_add(stats, STATS_REPLAYS, 1);
    }
    i->settled(i);
}

/* Thread: that of the request that brought the batch first, or the committer. */
static void peer_settled(void *arg, int r)
{
    settle(arg, r);
}

/* Thread: the committer, or the worker where the store is stopping. */
static void job_settled(void *arg, int r)
{
    struct ingest *i = arg;

    stats_observe(i->service->stats, STATS_COMMIT, clock_boot_ns() - i->pushed_ns);
    settle(i, r);
}

/* The capacity, not the length, is what a buffer costs. */
static int charge_capacity(struct admit *admit, struct job *job)
{
    if (job->lines.cap <= job->charged)
        return 0;
    int r = admit_charge(admit, job->lines.cap - job->charged);
    if (r == 0)
        job->charged = job->lines.cap;
    return r;
}

static int format_lines(struct admit *admit, const struct batch *b, struct job *job)
{
    size_t bytes = b->bytes.len;
    size_t guess = bytes + bytes / 8 + b->n_items * LINE_OVERHEAD;

    if (guess > job->lines.max)
        return E_TOO_LARGE;
    int r = admit_charge(admit, guess);
    if (r)
        return r;
    job->charged = guess;
    r = buf_reserve(&job->lines, guess);
    for (size_t n = 0; n < b->n_items && r == 0; n++) {
        struct measurement m = batch_get(b, n);

        r = json_append_line(&m, &job->lines);
        if (r == 0)
            r = charge_capacity(admit, job);
    }
    return r;
}

/* Makes the job of a batch. Return: 0, and gives *ret; E_FULL; E_TOO_LARGE; -ENOMEM. */
static int make_job(struct ingest *i, const struct batch *b, uint64_t now_ns,
                    struct job **ret)
{
    struct admit *admit = i->service->admit;
    struct job *job = job_new(i->service->conf->queue_max / 2);

    if (!job)
        return -ENOMEM;
    int r = format_lines(admit, b, job);
    if (r) {
        admit_release(admit, job->charged);
        job_free(job);
        return r;
    }
    uint64_t first_ns = b->n_items > 0 ? b->items[0].time_ns : now_ns;

    memcpy(job->identifier, b->identifier, b->identifier_n);
    job->identifier_n = b->identifier_n;
    job->has_key = i->has_key;
    job->key = i->key;
    job->arrival_ns = now_ns;
    job->day = (uint32_t)(first_ns / DAY);
    job->n_measurements = (uint32_t)b->n_items;
    job->settled = job_settled;
    job->arg = i;
    *ret = job;
    return 0;
}

static void note_host(struct ingest *i, const struct batch *b, uint64_t now_ns)
{
    uint64_t first_ns = b->n_items > 0 ? b->items[0].time_ns : now_ns;
    uint64_t boot_ns = clock_boot_ns();
    uint64_t suppressed;

    if (!hosts_seen(i->service->hosts, batch_identifier(b), i->has_key ? &i->key : NULL,
                    first_ns, boot_ns))
        return;
    if (log_limit_pass(i->service->two_sessions, boot_ns, &suppressed))
        log_event(LOG_WARNING, "two_sessions",
                  LOG_SPAN("identifier", batch_identifier(b)),
                  LOG_U64("suppressed", suppressed));
}

static void note_not_kept(struct ingest *i)
{
    uint64_t suppressed;

    if (log_limit_pass(i->service->states_full, clock_boot_ns(), &suppressed))
        log_event(LOG_WARNING, "delta_states_full",
                  LOG_U64("max", i->service->conf->delta_state_max),
                  LOG_STR("then", "what builds on a state that isn't kept gets 409"),
                  LOG_U64("suppressed", suppressed));
}

/* Decodes the message that is open, on its chain's state where it has one. Return: 0;
 * E_CONFLICT; a decoder's verdict, with i->at; -errno. */
static int decode_delta(struct ingest *i, struct scratch *s, uint64_t now_ns)
{
    struct chains *chains = i->service->chains;
    const struct delta_place *place = &s->head.place;
    int r = 0;

    if (place->chained)
        r = chains_take(chains, s->head.identifier, i->key.session, place,
                        clock_boot_ns(), &i->chain);
    if (r)
        return r;
    bool kept = i->chain != NULL || !place->chained;

    i->at = ERR_AT_NOWHERE;
    r = delta_decoder_run(s->delta, i->chain ? chain_state(i->chain) : NULL, &s->batch,
                          &i->at);
    i->has_at = r > 0 && r != E_CONFLICT;
    if (r)
        return r;
    if (i->chain)
        kept = chains_decoded(chains, i->chain, clock_boot_ns());
    if (!kept)
        note_not_kept(i);
    i->n_measurements = s->batch.n_items;
    note_host(i, &s->batch, now_ns);
    return 0;
}

/* Return: 0, and the key is reserved where there is one; else why it isn't. E_PENDING:
 * peer_settled() will be called. */
static int reserve_key(struct ingest *i, struct span identifier)
{
    struct keys *keys = store_keys(i->service->store);

    if (!i->has_key)
        return 0;
    i->waiter = (struct keys_waiter){.settled = peer_settled, .arg = i};
    return keys_reserve(keys, identifier, &i->key, &i->waiter, keys_now_ns(keys));
}

/* What becomes a job of the batch, if there is room for it. Return: 0, and gives *ret;
 * as decode_delta(), make_job() and store_room(). */
static int prepare(struct ingest *i, struct scratch *s, uint64_t now_ns, struct job **ret)
{
    int r = 0;

    if (i->form == MEDIA_DELTA)
        r = decode_delta(i, s, now_ns);
    if (r == 0)
        r = make_job(i, &s->batch, now_ns, ret);
    if (r)
        return r;
    r = store_room(i->service->store, (*ret)->lines.len);
    if (r) {
        admit_release(i->service->admit, (*ret)->charged);
        job_free(*ret);
    }
    return r;
}

void ingest_submit(struct ingest *i, struct scratch *s)
{
    struct span identifier = ingest_identifier(i, s);
    struct store *store = i->service->store;
    uint64_t start_ns = clock_boot_ns();
    uint64_t now_ns = clock_wall_ns();
    struct stats *stats = i->service->stats;
    struct job *job;

    if (i->form != MEDIA_DELTA)
        note_host(i, &s->batch, now_ns);
    int r = reserve_key(i, identifier);
    if (r == E_PENDING) {
        /* Its result may have come already: @i is no longer ours to read. */
        stats_add(stats, STATS_PENDING_WAITS, 1);
        return;
    }
    if (r) {
        i->keys_full = r == E_FULL;
        settle(i, r);
        return;
    }
    r = prepare(i, s, now_ns, &job);
    if (r) {
        if (i->has_key)
            keys_settle(store_keys(store), identifier, &i->key, r,
                        keys_now_ns(store_keys(store)));
        settle(i, r);
        return;
    }
    i->pushed_ns = clock_boot_ns();
    stats_observe(stats, STATS_DECODE, i->decode_ns + (i->pushed_ns - start_ns));
    store_push(store, job);
}
