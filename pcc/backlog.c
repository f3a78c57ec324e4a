/* SPDX-License-Identifier: MIT */
#include "pcc/backlog.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/units.h"
#include "pcc/queue.h"
#include "pcc/recode.h"
#include "pcc/session.h"

#include <errno.h>
#include <stdlib.h>

#define BODY_MAX (4 * LIMIT_DECODED_BYTES)
/* A buffer that an unusual batch made larger is given back after it. */
#define KEEP_MAX (2 * MIB)
#define LOG_EVERY (10 * SEC)

struct backlog {
    struct outbox *outbox;
    struct counters *counters;
    const char *identifier;
    struct recoder *recoder;
    struct session session;
    struct queue queue;
    struct buf encoded;    /* a new batch */
    struct buf other_form; /* the one in flight, where its form had to change */
    struct log_limit drop_limit;
};

int backlog_new(const struct pcc_conf *conf, struct outbox *outbox,
                struct counters *counters, struct backlog **ret)
{
    struct backlog *b = calloc(1, sizeof *b);
    if (!b)
        return -ENOMEM;
    b->outbox = outbox;
    b->counters = counters;
    b->identifier = conf->identifier;
    b->drop_limit.every_ns = LOG_EVERY;
    buf_init(&b->encoded, BODY_MAX);
    buf_init(&b->other_form, BODY_MAX);
    session_init(&b->session);
    queue_init(&b->queue, conf->queue_max_bytes, b->session.id);
    int r = recode_new((int)conf->compression_level, &b->recoder);
    if (r) {
        backlog_free(b);
        return r;
    }
    *ret = b;
    return 0;
}

void backlog_free(struct backlog *b)
{
    if (!b)
        return;
    recode_free(b->recoder);
    queue_done(&b->queue);
    buf_done(&b->encoded);
    buf_done(&b->other_form);
    free(b);
}

static void forget(struct buf *buf)
{
    buf_reset(buf);
    buf_shrink(buf, KEEP_MAX);
}

static void tell_dropped(struct backlog *b, uint64_t n, const char *why)
{
    uint64_t suppressed = 0;

    b->counters->dropped += n;
    if (log_limit_pass(&b->drop_limit, clock_boot_ns(), &suppressed))
        log_event(LOG_WARNING, "batches_dropped", LOG_U64("measurements", n),
                  LOG_U64("dropped_so_far", b->counters->dropped), LOG_STR("reason", why),
                  LOG_U64("suppressed", suppressed));
}

static int encode_and_push(struct backlog *b, struct batch *batch, struct form form,
                           const struct gap_set *carried)
{
    int r = batch_set_identifier(batch, span_of_str(b->identifier));
    if (r == 0)
        r = recode_encode(b->recoder, batch, form, &b->encoded);
    if (r)
        return r;
    struct queue_batch item = {
        .body = buf_span(&b->encoded),
        .form = form,
        .range = gaps_of_batch(batch),
        .carried = *carried,
    };
    r = queue_push(&b->queue, &item);
    forget(&b->encoded);
    return r;
}

void backlog_add(struct backlog *b, struct outbox_slot *slot, struct form form)
{
    struct gap_set lost = {0};
    int r = encode_and_push(b, &slot->batch, form, &slot->carried);

    if (r) {
        struct gap_note note = gaps_of_batch(&slot->batch);
        gaps_add(&lost, GAP_UNENCODED, &note);
        gaps_fold(&lost, &slot->carried);
        tell_dropped(b, note.measurements, err_text(r));
    }
    uint64_t n = queue_trim(&b->queue, &lost);
    if (n > 0)
        tell_dropped(b, n, "the queue is full");
    if (!gaps_empty(&lost))
        outbox_note_gaps(b->outbox, &lost);
}

bool backlog_empty(const struct backlog *b)
{
    return b->queue.n == 0;
}

uint64_t backlog_measurements(const struct backlog *b)
{
    return queue_measurements(&b->queue);
}

void backlog_check_session(struct backlog *b)
{
    if (!session_renew(&b->session))
        return;
    log_event(LOG_INFO, "boot_id_changed", LOG_STR("boot_id", b->session.boot_id));
    queue_new_session(&b->queue, b->session.id);
}

/* Reads the batch back and encodes it in the other form. */
static int transcode(struct backlog *b, const struct queue_item *item, struct form form)
{
    CLEANUP(batch_done) struct batch batch;

    batch_init(&batch, &batch_limits_default);
    int r = recode_decode(b->recoder, buf_span(&item->body), item->form, &batch);
    return r ? r : recode_encode(b->recoder, &batch, form, &b->other_form);
}

int backlog_begin(struct backlog *b, const struct agreement *a, uint64_t now_ns,
                  struct backlog_post *ret)
{
    struct queue_item *item = b->queue.head;
    struct form form = item->form;
    struct span body = buf_span(&item->body);

    if (!agreement_fits(a, form, now_ns)) {
        form = agreement_form(a, now_ns);
        int r = transcode(b, item, form);
        if (r)
            return r;
        body = buf_span(&b->other_form);
    }
    item->in_flight = true;
    *ret = (struct backlog_post){
        .body = body,
        .form = form,
        .session = item->session,
        .seq = item->seq,
        .floor = queue_floor(&b->queue),
        .n_measurements = (size_t)item->range.measurements,
    };
    return 0;
}

void backlog_give_back(struct backlog *b)
{
    b->queue.head->in_flight = false;
    forget(&b->other_form);
}

void backlog_stored(struct backlog *b)
{
    backlog_give_back(b);
    queue_pop(&b->queue);
}

void backlog_reject(struct backlog *b, const char *why)
{
    const struct queue_item *item = b->queue.head;
    struct gap_set lost = {0};

    gaps_add(&lost, GAP_REJECTED, &item->range);
    gaps_fold(&lost, &item->carried);
    b->counters->rejected += item->range.measurements;
    log_event(LOG_WARNING, "batch_rejected", LOG_U64("seq", item->seq),
              LOG_U64("measurements", item->range.measurements), LOG_STR("reason", why));
    queue_pop(&b->queue);
    outbox_note_gaps(b->outbox, &lost);
}

/* Encodes measurements @from to @to of the batch as one of its own, in the form that @ret
 * has and into @body. */
static int encode_part(struct backlog *b, const struct batch *whole, size_t from,
                       size_t to, struct buf *body, struct queue_batch *ret)
{
    CLEANUP(batch_done) struct batch part;

    batch_init(&part, &batch_limits_default);
    int r = batch_set_identifier(&part, batch_identifier(whole));
    if (r == 0)
        r = batch_append_range(&part, whole, from, to - from);
    if (r == 0)
        r = recode_encode(b->recoder, &part, ret->form, body);
    if (r)
        return r;
    ret->body = buf_span(body);
    ret->range = gaps_of_batch(&part);
    return 0;
}

int backlog_split(struct backlog *b)
{
    const struct queue_item *item = b->queue.head;
    CLEANUP(batch_done) struct batch whole;
    CLEANUP(buf_done) struct buf second;
    struct queue_batch halves[2] = {{.form = item->form}, {.form = item->form}};

    batch_init(&whole, &batch_limits_default);
    buf_init(&second, BODY_MAX);
    int r = recode_decode(b->recoder, buf_span(&item->body), item->form, &whole);
    if (r > 0)
        backlog_reject(b, err_text(r)); /* a time that the protocol doesn't know */
    if (r)
        return r > 0 ? 0 : r;
    size_t middle = batch_middle_tick(&whole);
    if (middle == 0) {
        backlog_reject(b, "a single tick is too large for the server");
        return 0;
    }
    r = encode_part(b, &whole, 0, middle, &b->encoded, &halves[0]);
    if (r == 0)
        r = encode_part(b, &whole, middle, whole.n_items, &second, &halves[1]);
    if (r == 0)
        r = queue_split(&b->queue, halves);
    if (r == 0)
        log_event(LOG_INFO, "batch_split", LOG_U64("measurements", whole.n_items),
                  LOG_U64("first_half", middle));
    forget(&b->encoded);
    return r;
}

void backlog_trace(struct backlog *b, const struct backlog_post *post)
{
    CLEANUP(batch_done) struct batch batch;

    batch_init(&batch, &batch_limits_default);
    if (recode_decode(b->recoder, post->body, post->form, &batch)) {
        log_event(LOG_TRACE, "unreadable", LOG_U64("bytes", post->body.n));
        return;
    }
    for (size_t i = 0; i < batch.n_items; i++) {
        struct measurement m = batch_get(&batch, i);
        log_event(LOG_TRACE, "measurement", LOG_U64("timestamp", m.time_ns / SEC),
                  LOG_U64("nanoseconds", m.time_ns % SEC),
                  LOG_SPAN("subsystem", m.subsystem), LOG_SPAN("measurement", m.text));
    }
}
