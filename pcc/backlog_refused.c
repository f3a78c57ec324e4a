/* SPDX-License-Identifier: MIT */
#include "pcc/backlog_state.h"

#include "common/log.h"
#include "pcc/halve.h"
#include "pcc/recode.h"

#include <assert.h>

/* What the server refused is kept for a person to look at. */
static void keep_refused(struct backlog *b, struct queue_item *item)
{
    struct label label = item->label;
    struct span body = buf_span(&item->body);
    const struct forms as_it_is = {label.form, {MEDIA_MSGPACK, label.form.coding}};
    int r = 0;

    if (item->file) {
        spool_set_aside(b->spool, item->file);
        return;
    }
    if (item->held_bytes > 0) {
        r = encoding_alone(b->encoding, &b->held, &as_it_is, &label, &b->encoded);
        body = buf_span(&b->encoded);
    }
    if (r == 0)
        spool_keep_rejected(b->spool, b->identifier, &label, body);
    backlog_forget(&b->encoded);
}

static void reject(struct backlog *b, const struct label *label, const char *why)
{
    struct gap_set lost = label->carried;

    gaps_add(&lost, GAP_REJECTED, &label->range);
    b->counters->rejected += label->range.measurements;
    b->counters->lost[GAP_REJECTED] += label->range.measurements;
    log_event(LOG_WARNING, "batch_rejected", LOG_U64("seq", label->seq),
              LOG_U64("measurements", label->range.measurements), LOG_STR("reason", why));
    outbox_note_gaps(b->loss.outbox, &lost);
}

void backlog_reject(struct backlog *b, const char *why)
{
    if (b->from == FROM_SPOOL) {
        reject(b, spool_taken(b->spool).label, why);
        spool_refused(b->spool);
    } else {
        struct queue_item *head = b->queue.head;
        assert(head);
        reject(b, &head->label, why);
        if (b->spool)
            keep_refused(b, head);
        backlog_pop(b);
    }
    spooler_tell(&b->spooler);
}

/* Puts two halves into the place of the first batch of the queue. */
static int put_in_queue(struct backlog *b, const struct half halves[2])
{
    const struct queue_batch items[2] = {
        {.body = buf_span(&halves[0].body), .label = halves[0].label},
        {.body = buf_span(&halves[1].body), .label = halves[1].label},
    };

    return queue_split(&b->queue, items);
}

static int put_in_spool(struct backlog *b, const struct half halves[2])
{
    const struct spool_part parts[2] = {
        {.body = buf_span(&halves[0].body), .label = halves[0].label},
        {.body = buf_span(&halves[1].body), .label = halves[1].label},
    };

    return spool_split(b->spool, parts);
}

static int cut(struct backlog *b, const struct batch *whole, const struct label *label)
{
    const struct session before = b->session;
    struct half halves[2];

    halves_init(halves, BACKLOG_BODY_MAX);
    int r = halve(encoding_recoder(b->encoding), whole, label, &b->session, halves);
    if (r == 0)
        r = b->from == FROM_SPOOL ? put_in_spool(b, halves) : put_in_queue(b, halves);
    if (r == 0)
        log_event(LOG_INFO, "batch_split", LOG_U64("measurements", whole->n_items),
                  LOG_U64("first_half", halves[0].label.range.measurements));
    else if (b->from == FROM_MEMORY) /* on disk they may be, for all that failed */
        b->session = before;
    halves_done(halves);
    if (r != E_TOO_LARGE)
        return r;
    backlog_reject(b, "a single tick is too large for the server");
    return 0;
}

int backlog_split(struct backlog *b)
{
    struct queue_item *head = b->from == FROM_MEMORY ? b->queue.head : NULL;
    CLEANUP(batch_done) struct batch decoded;

    batch_init(&decoded, &batch_limits_default);
    if (head && head->file) {
        /* Its file must be cut with it, at once: that is done to what is on disk only. */
        spool_uncover(b->spool, head->file);
        backlog_pop(b);
        return 0;
    }
    if (head && head->held_bytes > 0)
        return cut(b, &b->held, &head->label);
    const struct spool_batch old =
        head ? (struct spool_batch){&head->label, buf_span(&head->body)}
             : spool_taken(b->spool);
    batch_init(&decoded, &batch_limits_default);
    int r =
        recode_decode(encoding_recoder(b->encoding), old.body, old.label->form, &decoded);
    if (r == 0)
        return cut(b, &decoded, old.label);
    if (r > 0)
        backlog_reject(b, err_text(r)); /* a time that the protocol doesn't know */
    return r > 0 ? 0 : r;
}
