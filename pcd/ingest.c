/* SPDX-License-Identifier: MIT */
#include "pcd/ingest.h"

#include "common/clock.h"
#include "common/json.h"
#include "common/log.h"
#include "common/units.h"
#include "pcd/hosts.h"
#include "pcd/options.h"
#include "pcd/stats.h"
#include "pcd/store.h"

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
    return inflater_new(&s->inflater);
}

void scratch_done(struct scratch *s)
{
    inflater_free(s->inflater);
    buf_done(&s->decoded);
    batch_done(&s->batch);
    *s = (struct scratch){0};
}

void scratch_reset(struct scratch *s)
{
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
    int r = inflater_run(s->inflater, coding, body, to, reterr_at);
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
    *reterr_what = "Idempotency-Floor without Idempotency-Key";
    if (!key.data)
        return E_MALFORMED;
    *reterr_what = "Idempotency-Key: expected 16 lower-case hexadecimal digits, a hyphen "
                   "and a number from 1 to 9223372036854775807";
    if (key.n <= LIMIT_SESSION_DIGITS + 1 || key.data[LIMIT_SESSION_DIGITS] != '-' ||
        parse_session(span_of(key.data, LIMIT_SESSION_DIGITS), &k.session) ||
        parse_seq(span_from(key, LIMIT_SESSION_DIGITS + 1), &k.seq))
        return E_MALFORMED;
    *reterr_what = "Idempotency-Floor: expected a number from 1 to 9223372036854775807";
    if (floor.data && parse_seq(floor, &k.floor))
        return E_MALFORMED;
    /* It would be answered as stored, which it may not be. */
    *reterr_what = "Idempotency-Floor: above the batch's own number";
    if (k.floor > k.seq)
        return E_MALFORMED;
    *ret_has = true;
    *ret = k;
    return 0;
}

int ingest_read(struct ingest *i, struct scratch *s, struct span body,
                struct err_at *reterr_at)
{
    uint64_t start_ns = clock_boot_ns();
    struct span decoded;

    *reterr_at = (struct err_at){.offset = ERR_AT_UNKNOWN, .item = ERR_AT_UNKNOWN};
    int r = scratch_inflate(s, i->coding, body, &s->decoded, &decoded, reterr_at);
    if (r == 0)
        r = media_codec(i->form)->decode_request(decoded, &s->batch, reterr_at);
    if (r)
        return r;
    stats_add(i->service->stats, STATS_RECEIVED_BYTES, body.n);
    stats_add(i->service->stats, STATS_DECODED_BYTES, decoded.n);
    i->n_measurements = s->batch.n_items;
    i->decode_ns = clock_boot_ns() - start_ns;
    return 0;
}

static void settle(struct ingest *i, int r)
{
    struct stats *stats = i->service->stats;

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

/* Return: 0, and the key is reserved where there is one; else why it isn't. E_PENDING:
 * peer_settled() will be called. */
static int reserve_key(struct ingest *i, const struct batch *b, uint64_t now_ns)
{
    if (!i->has_key)
        return 0;
    i->waiter = (struct keys_waiter){.settled = peer_settled, .arg = i};
    return keys_reserve(store_keys(i->service->store), batch_identifier(b), &i->key,
                        &i->waiter, now_ns);
}

void ingest_submit(struct ingest *i, struct scratch *s)
{
    const struct batch *b = &s->batch;
    struct store *store = i->service->store;
    uint64_t start_ns = clock_boot_ns();
    uint64_t now_ns = clock_wall_ns();
    struct stats *stats = i->service->stats;
    struct job *job;

    note_host(i, b, now_ns);
    int r = reserve_key(i, b, now_ns);
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
    r = make_job(i, b, now_ns, &job);
    if (r == 0) {
        r = store_room(store, job->lines.len);
        if (r) {
            admit_release(i->service->admit, job->charged);
            job_free(job);
        }
    }
    if (r) {
        if (i->has_key)
            keys_settle(store_keys(store), batch_identifier(b), &i->key, r, now_ns);
        settle(i, r);
        return;
    }
    i->pushed_ns = clock_boot_ns();
    stats_observe(stats, STATS_DECODE, i->decode_ns + (i->pushed_ns - start_ns));
    store_push(store, job);
}
