/* SPDX-License-Identifier: MIT */
#include "pcc/backlog.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/units.h"
#include "pcc/queue.h"
#include "pcc/recode.h"
#include "pcc/session.h"
#include "pcc/trace.h"

#include <errno.h>
#include <stdlib.h>

#define BODY_MAX (4 * LIMIT_DECODED_BYTES)
/* A buffer that an unusual batch made larger is given back after it. */
#define KEEP_MAX (2 * MIB)
#define LOG_EVERY (10 * SEC)
/* Of what goes on and on, for nothing is wrong with it. */
#define LOG_SELDOM HOUR

struct backlog {
    struct outbox *outbox;
    struct counters *counters;
    const char *identifier;
    struct recoder *recoder;
    struct session session;
    struct queue queue;
    struct batch held;        /* the first of the queue, where that has no body */
    uint64_t chain_session;   /* the chain: which session it is of, */
    uint64_t chain_ticks;     /* how many ticks it has since its snapshot, */
    uint64_t chain_max_ticks; /* and after how many there is another */
    struct buf encoded;       /* a new batch */
    struct buf sending;       /* the one in flight, where that is no body of the queue */
    struct log_limit drop_limit;
    struct log_limit delta_limit;
};

/* What to encode a batch in: the form that is agreed on, or what delta can't hold in the
 * other one. */
struct forms {
    struct form best;
    struct form but_delta;
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
    b->chain_max_ticks = conf->snapshot_interval;
    b->drop_limit.every_ns = LOG_EVERY;
    b->delta_limit.every_ns = LOG_SELDOM;
    buf_init(&b->encoded, BODY_MAX);
    buf_init(&b->sending, BODY_MAX);
    session_init(&b->session);
    queue_init(&b->queue, conf->queue_max_bytes, b->session.id);
    batch_init(&b->held, &batch_limits_default);
    int r = outbox_reserve(outbox, &b->held);
    if (r == 0)
        r = recode_new((int)conf->compression_level, conf->delta_threshold_millionths,
                       &b->recoder);
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
    batch_done(&b->held);
    buf_done(&b->encoded);
    buf_done(&b->sending);
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

static struct forms agreed_forms(const struct agreement *a, uint64_t now_ns)
{
    return (struct forms){agreement_form(a, now_ns), agreement_form_but_delta(a, now_ns)};
}

/* Is this result delta's, and another form worth a try? Whoever asks why more bytes are
 * sent finds it in the log. */
static bool delta_is_too_small(struct backlog *b, int result, struct form form,
                               const struct batch *batch)
{
    uint64_t suppressed = 0;

    if (result != E_TOO_LARGE || form.media != MEDIA_DELTA)
        return false;
    if (log_limit_pass(&b->delta_limit, clock_boot_ns(), &suppressed))
        log_event(LOG_INFO, "not_in_delta", LOG_U64("measurements", batch->n_items),
                  LOG_U64("subsystems_max", LIMIT_DELTA_SUBSYSTEMS),
                  LOG_STR("reason", "more subsystems than delta holds, or too large"),
                  LOG_U64("suppressed", suppressed));
    return true;
}

/* In delta it stands alone. */
static int encode_alone(struct backlog *b, const struct batch *batch, uint64_t first_tick,
                        const struct forms *forms, struct buf *to, struct form *ret_form)
{
    *ret_form = forms->best;
    int r = recode_encode(b->recoder, batch, *ret_form, first_tick, to);
    if (!delta_is_too_small(b, r, *ret_form, batch))
        return r;
    *ret_form = forms->but_delta;
    return recode_encode(b->recoder, batch, *ret_form, first_tick, to);
}

/* The batch changes places with the one that was held before; no byte is copied. */
static int hold(struct backlog *b, struct outbox_slot *slot, struct form form)
{
    const struct batch batch = slot->batch;
    const struct queue_batch item = {
        .form = form,
        .held_bytes = batch.bytes.len + batch.n_items * sizeof *batch.items,
        .range = gaps_of_batch(&batch),
        .carried = slot->carried,
    };
    int r = queue_push(&b->queue, &item);

    if (r)
        return r;
    batch_reset(&b->held);
    slot->batch = b->held;
    b->held = batch;
    return 0;
}

static int encode_and_push(struct backlog *b, const struct outbox_slot *slot,
                           const struct forms *forms)
{
    struct form form;
    int r = encode_alone(b, &slot->batch, b->queue.next_tick, forms, &b->encoded, &form);

    if (r)
        return r;
    const struct queue_batch item = {
        .body = buf_span(&b->encoded),
        .form = form,
        .range = gaps_of_batch(&slot->batch),
        .carried = slot->carried,
    };
    r = queue_push(&b->queue, &item);
    forget(&b->encoded);
    return r;
}

void backlog_add(struct backlog *b, struct outbox_slot *slot, const struct agreement *a,
                 uint64_t now_ns)
{
    const struct forms forms = agreed_forms(a, now_ns);
    struct gap_set lost = {0};
    int r = batch_set_identifier(&slot->batch, span_of_str(b->identifier));

    if (r == 0)
        r = backlog_empty(b) ? hold(b, slot, forms.best)
                             : encode_and_push(b, slot, &forms);
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

/* The batch that is held, as the next of the chain. */
static int encode_chained(struct backlog *b, const struct queue_item *item,
                          struct delta_place *ret)
{
    if (b->chain_session != item->session || b->chain_ticks >= b->chain_max_ticks)
        recode_forget(b->recoder);
    int r = recode_encode_chained(b->recoder, &b->held, item->form.coding,
                                  item->first_tick, &b->sending, ret);
    if (r)
        return r;
    if (ret->number == 0)
        b->chain_ticks = 0;
    b->chain_ticks += item->range.ticks;
    b->chain_session = item->session;
    return 0;
}

/* The batch that is held, in a form that it then has. */
static int encode_held(struct backlog *b, struct queue_item *item,
                       const struct forms *forms, struct delta_place *ret)
{
    item->form = forms->best;
    if (item->form.media == MEDIA_DELTA) {
        int r = encode_chained(b, item, ret);
        if (!delta_is_too_small(b, r, item->form, &b->held))
            return r;
        item->form = forms->but_delta;
    }
    return recode_encode(b->recoder, &b->held, item->form, item->first_tick, &b->sending);
}

/* Reads the batch back and encodes it in another form. */
static int transcode(struct backlog *b, const struct queue_item *item,
                     const struct forms *forms, struct form *ret_form)
{
    CLEANUP(batch_done) struct batch batch;

    batch_init(&batch, &batch_limits_default);
    int r = recode_decode(b->recoder, buf_span(&item->body), item->form, &batch);
    return r ? r
             : encode_alone(b, &batch, item->first_tick, forms, &b->sending, ret_form);
}

int backlog_begin(struct backlog *b, const struct agreement *a, uint64_t now_ns,
                  struct backlog_post *ret)
{
    struct queue_item *item = b->queue.head;
    struct delta_place place = {.chained = false};
    struct form form = item->form;
    struct span body = buf_span(&item->body);

    if (item->held_bytes > 0 || !agreement_fits(a, form, now_ns)) {
        const struct forms forms = agreed_forms(a, now_ns);
        int r = item->held_bytes > 0 ? encode_held(b, item, &forms, &place)
                                     : transcode(b, item, &forms, &form);
        if (r)
            return r;
        if (item->held_bytes > 0)
            form = item->form;
        body = buf_span(&b->sending);
    }
    item->in_flight = true;
    *ret = (struct backlog_post){
        .body = body,
        .form = form,
        .place = place,
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
    forget(&b->sending);
    recode_forget(b->recoder);
}

void backlog_stored(struct backlog *b, bool replayed)
{
    queue_pop(&b->queue);
    forget(&b->sending);
    if (replayed)
        recode_forget(b->recoder);
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

/* What becomes a batch of its own. */
struct part {
    size_t from; /* measurements */
    size_t n;
    uint64_t first_tick;
};

/* Encodes a part of a batch into @body, in the form that @ret has. */
static int encode_part(struct backlog *b, const struct batch *whole,
                       const struct part *part, struct buf *body, struct queue_batch *ret)
{
    CLEANUP(batch_done) struct batch batch;

    batch_init(&batch, &batch_limits_default);
    int r = batch_set_identifier(&batch, batch_identifier(whole));
    if (r == 0)
        r = batch_append_range(&batch, whole, part->from, part->n);
    if (r == 0)
        r = recode_encode(b->recoder, &batch, ret->form, part->first_tick, body);
    if (r)
        return r;
    ret->body = buf_span(body);
    ret->range = gaps_of_batch(&batch);
    return 0;
}

/* Puts two halves into the place of the first batch, which is @whole. */
static int split_at(struct backlog *b, const struct batch *whole, size_t middle)
{
    const struct form form = b->queue.head->form;
    struct queue_batch halves[2] = {{.form = form}, {.form = form}};
    struct part part = {.n = middle, .first_tick = queue_split_tick(&b->queue)};
    CLEANUP(buf_done) struct buf second;

    buf_init(&second, BODY_MAX);
    int r = encode_part(b, whole, &part, &b->encoded, &halves[0]);
    if (r == 0) {
        part.from = middle;
        part.n = whole->n_items - middle;
        part.first_tick += halves[0].range.ticks;
        r = encode_part(b, whole, &part, &second, &halves[1]);
    }
    if (r == 0)
        r = queue_split(&b->queue, halves);
    if (r == 0)
        log_event(LOG_INFO, "batch_split", LOG_U64("measurements", whole->n_items),
                  LOG_U64("first_half", middle));
    forget(&b->encoded);
    return r;
}

int backlog_split(struct backlog *b)
{
    const struct queue_item *item = b->queue.head;
    const struct batch *whole = &b->held;
    CLEANUP(batch_done) struct batch decoded;
    int r = 0;

    batch_init(&decoded, &batch_limits_default);
    if (item->held_bytes == 0) {
        r = recode_decode(b->recoder, buf_span(&item->body), item->form, &decoded);
        whole = &decoded;
    }
    if (r > 0)
        backlog_reject(b, err_text(r)); /* a time that the protocol doesn't know */
    if (r)
        return r > 0 ? 0 : r;
    size_t middle = batch_middle_tick(whole);
    if (middle > 0)
        return split_at(b, whole, middle);
    backlog_reject(b, "a single tick is too large for the server");
    return 0;
}

void backlog_trace(struct backlog *b, const struct backlog_post *post)
{
    CLEANUP(batch_done) struct batch decoded;

    batch_init(&decoded, &batch_limits_default);
    if (b->queue.head->held_bytes > 0)
        trace_batch(&b->held);
    else if (recode_decode(b->recoder, post->body, post->form, &decoded) == 0)
        trace_batch(&decoded);
    else
        log_event(LOG_TRACE, "unreadable", LOG_U64("bytes", post->body.n));
}
