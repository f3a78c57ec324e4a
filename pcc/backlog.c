/* SPDX-License-Identifier: MIT */
#include "pcc/backlog_state.h"

#include "common/log.h"
#include "common/units.h"
#include "pcc/recode.h"
#include "pcc/trace.h"

#include <errno.h>
#include <stdlib.h>

/* A buffer that an unusual batch made larger is given back after it. */
#define KEEP_MAX (2 * MIB)

int backlog_new(const struct pcc_conf *conf, struct outbox *outbox,
                struct counters *counters, struct spool *spool, struct backlog **ret)
{
    struct backlog *b = calloc(1, sizeof *b);
    if (!b)
        return -ENOMEM;
    b->counters = counters;
    b->outbox = outbox;
    b->identifier = span_of_str(conf->identifier);
    b->spool_all = spool && conf->spool == PCC_SPOOL_ALWAYS;
    b->spool = spool;
    b->probing = true;
    buf_init(&b->encoded, BACKLOG_BODY_MAX);
    buf_init(&b->sending, BACKLOG_BODY_MAX);
    session_init(&b->session);
    queue_init(&b->queue);
    loss_init(&b->loss, outbox, counters);
    spooler_init(&b->spooler, conf, spool, outbox, &b->loss);
    catchup_init(&b->catchup, conf->catchup_share_millionths);
    batch_init(&b->held, &batch_limits_default);
    int r = outbox_reserve(outbox, &b->held);
    if (r == 0)
        r = encoding_new(conf, &b->encoding);
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
    encoding_free(b->encoding);
    queue_done(&b->queue);
    batch_done(&b->held);
    buf_done(&b->encoded);
    buf_done(&b->sending);
    free(b);
}

void backlog_forget(struct buf *buf)
{
    buf_reset(buf);
    buf_shrink(buf, KEEP_MAX);
}

void backlog_pop(struct backlog *b)
{
    queue_pop(&b->queue);
    spooler_room(&b->spooler, &b->queue);
}

/* The batch changes places with the one that was held before; no byte is copied. */
static int hold(struct backlog *b, struct outbox_slot *slot, const struct label *label)
{
    const struct batch batch = slot->batch;
    const struct queue_batch item = {
        .held_bytes = batch.bytes.len + batch.n_items * sizeof *batch.items,
        .label = *label,
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
                           const struct forms *forms, const struct label *label)
{
    struct queue_batch item = {.label = *label};
    int r = encoding_alone(b->encoding, &slot->batch, forms, &item.label, &b->encoded);

    if (r)
        return r;
    item.body = buf_span(&b->encoded);
    r = queue_push(&b->queue, &item);
    backlog_forget(&b->encoded);
    return r;
}

static int push(struct backlog *b, struct outbox_slot *slot, const struct forms *forms)
{
    const struct session before = b->session;
    struct label label = {
        .form = forms->best,
        .range = gaps_of_batch(&slot->batch),
        .carried = slot->carried,
    };
    int r = batch_set_identifier(&slot->batch, b->identifier);

    session_number(&b->session, &label);
    if (r == 0)
        r = b->queue.n == 0 ? hold(b, slot, &label)
                            : encode_and_push(b, slot, forms, &label);
    if (r)
        b->session = before;
    return r;
}

static void lose(struct backlog *b, const struct outbox_slot *slot, int why)
{
    struct gap_set lost = slot->carried;
    struct gap_note note = gaps_of_batch(&slot->batch);

    gaps_add(&lost, GAP_UNENCODED, &note);
    loss_dropped(&b->loss, GAP_UNENCODED, note.measurements, &lost, err_text(why));
}

/* Makes a file of a batch in memory, in which it stands alone. */
static int secure(struct backlog *b, struct queue_item *item, const struct forms *forms)
{
    struct label label = item->label;
    struct span body = buf_span(&item->body);
    int r = 0;

    if (item->file)
        return 0;
    if (item->held_bytes > 0) {
        r = encoding_alone(b->encoding, &b->held, forms, &label, &b->encoded);
        body = buf_span(&b->encoded);
    }
    if (r == 0)
        r = spooler_put(&b->spooler, b->identifier, &label, body, item);
    backlog_forget(&b->encoded);
    return r;
}

/* Moves the oldest to the spool until memory keeps no more than its share. One that is in
 * flight stays, but has its file before those behind it, so that files are in order. */
static void move_to_spool(struct backlog *b, const struct forms *forms)
{
    struct queue_item *oldest;

    while (b->queue.bytes > b->spooler.keep_bytes &&
           (oldest = queue_oldest_idle(&b->queue))) {
        if (secure(b, b->queue.head, forms) || secure(b, oldest, forms))
            return;
        spool_uncover(b->spool, oldest->file);
        queue_drop(&b->queue, oldest);
    }
}

const struct batch *backlog_add(struct backlog *b, struct outbox_slot *slot,
                                const struct agreement *a, uint64_t now_ns)
{
    const struct batch *at = b->queue.n == 0 ? &b->held : &slot->batch;
    const struct forms forms = encoding_forms(a, now_ns);
    int r = push(b, slot, &forms);

    if (r) {
        lose(b, slot, r);
        at = &slot->batch;
    } else if (b->spool_all) {
        (void)secure(b, b->queue.last, &forms); /* if not, it is in memory, as always */
    }
    if (b->spool)
        move_to_spool(b, &forms);
    spooler_room(&b->spooler, &b->queue);
    spooler_tell(&b->spooler);
    return at;
}

void backlog_secure(struct backlog *b, const struct agreement *a, uint64_t now_ns)
{
    const struct forms forms = encoding_forms(a, now_ns);
    int r = 0;

    if (!b->spool)
        return;
    for (struct queue_item *i = b->queue.head; i && r == 0; i = i->next)
        r = secure(b, i, &forms);
}

static bool old_is_waiting(const struct backlog *b)
{
    return b->spool && spool_waiting(b->spool);
}

uint64_t backlog_due_ns(const struct backlog *b)
{
    if (b->queue.n > 0)
        return 0;
    if (!old_is_waiting(b))
        return UINT64_MAX;
    return b->probing ? 0 : b->catchup.due_ns;
}

uint64_t backlog_measurements(const struct backlog *b)
{
    struct spool_counts spooled = {.files = 0};

    if (b->spool)
        spool_count(b->spool, &spooled);
    return queue_measurements(&b->queue) + spooled.uncovered;
}

uint64_t backlog_fresh(const struct backlog *b)
{
    return queue_measurements(&b->queue);
}

void backlog_tell(const struct backlog *b, struct status *ret)
{
    struct spool_counts spool = {.files = 0};

    if (b->spool)
        spool_count(b->spool, &spool);
    ret->memory = (struct status_waiting){b->queue.n, backlog_fresh(b), b->queue.bytes};
    ret->spool = (struct status_waiting){spool.files, spool.measurements, spool.bytes};
}

uint64_t backlog_unsecured(const struct backlog *b)
{
    return queue_unfiled(&b->queue);
}

uint64_t backlog_unsecured_first_ns(const struct backlog *b)
{
    return queue_unfiled_first_ns(&b->queue);
}

void backlog_check_session(struct backlog *b)
{
    if (!session_renew(&b->session))
        return;
    log_event(LOG_INFO, "boot_id_changed", LOG_STR("boot_id", b->session.boot_id));
}

/* Return: is it an old one's turn? */
static bool turn_of_spool(const struct backlog *b, uint64_t now_ns)
{
    if (!old_is_waiting(b))
        return false;
    return b->queue.n == 0 || (!b->probing && now_ns >= b->catchup.due_ns);
}

/* The oldest that is whole. What is damaged is lost, and noted before it leaves. */
static int take_from_spool(struct backlog *b, struct spool_batch *ret)
{
    int r;

    do {
        struct gap_set lost = {0};
        r = spool_take(b->spool, &lost, ret);
        if (r == E_MALFORMED) {
            loss_dropped(&b->loss, GAP_DAMAGED, lost.notes[GAP_DAMAGED].measurements,
                         &lost, "a file of the spool is damaged or gone");
            spool_give_up(b->spool);
        }
    } while (r == E_MALFORMED);
    return r;
}

/* Finds the batch that is to be sent next. */
static int choose(struct backlog *b, uint64_t now_ns, struct spool_batch *ret)
{
    int r = E_GONE;

    b->from = FROM_SPOOL;
    if (turn_of_spool(b, now_ns))
        r = take_from_spool(b, ret);
    if (r != E_GONE || b->queue.n == 0)
        return r;
    b->from = FROM_MEMORY;
    ret->label = &b->queue.head->label;
    ret->body = buf_span(&b->queue.head->body);
    return 0;
}

static uint64_t lowest_seq(const struct backlog *b, uint64_t session)
{
    uint64_t in_memory = queue_floor(&b->queue, session);
    uint64_t on_disk = b->spool ? spool_floor(b->spool, session) : UINT64_MAX;

    return in_memory < on_disk ? in_memory : on_disk;
}

/* Brings the batch into a form that the server takes, if it isn't in one. */
static int encode(struct backlog *b, const struct spool_batch *chosen,
                  const struct agreement *a, uint64_t now_ns, struct backlog_post *post)
{
    struct queue_item *head = b->from == FROM_MEMORY ? b->queue.head : NULL;
    const struct forms forms = encoding_forms(a, now_ns);
    int r;

    post->form = chosen->label->form;
    post->body = chosen->body;
    if (head && head->held_bytes > 0) {
        r = encoding_next(b->encoding, &b->held, &forms, &head->label, &b->sending,
                          &post->place);
        post->form = head->label.form;
    } else if (!agreement_fits(a, post->form, now_ns)) {
        r = encoding_again(b->encoding, chosen->body, chosen->label, &forms, &b->sending,
                           &post->form);
    } else {
        return 0;
    }
    post->body = buf_span(&b->sending);
    return r;
}

int backlog_begin(struct backlog *b, const struct agreement *a, uint64_t now_ns,
                  struct backlog_post *ret)
{
    struct spool_batch chosen;
    struct backlog_post post = {.place = {.chained = false}};
    int r = choose(b, now_ns, &chosen);

    if (r == 0)
        r = encode(b, &chosen, a, now_ns, &post);
    if (r)
        return r;
    if (b->from == FROM_MEMORY)
        b->queue.head->in_flight = true;
    else
        spool_in_flight(b->spool, true);
    post.session = chosen.label->session;
    post.seq = chosen.label->seq;
    post.floor = lowest_seq(b, post.session);
    post.n_measurements = (size_t)chosen.label->range.measurements;
    b->begun_ns = now_ns;
    *ret = post;
    return 0;
}

void backlog_give_back(struct backlog *b)
{
    if (b->from == FROM_MEMORY) {
        b->queue.head->in_flight = false;
        encoding_break_chain(b->encoding);
    } else {
        spool_in_flight(b->spool, false);
    }
    b->probing = true;
    backlog_forget(&b->sending);
}

void backlog_stored(struct backlog *b, bool replayed, uint64_t now_ns)
{
    if (b->from == FROM_SPOOL) {
        spool_stored(b->spool);
        catchup_sent(&b->catchup, now_ns, now_ns - b->begun_ns);
    } else {
        bool was_held = b->queue.head->held_bytes > 0;

        if (b->queue.head->file)
            spool_remove(b->spool, b->queue.head->file);
        backlog_pop(b);
        if (was_held) {
            batch_reset(&b->held);
            outbox_exchange(b->outbox, &b->held);
        }
        if (replayed)
            encoding_break_chain(b->encoding);
        if (b->probing)
            catchup_restart(&b->catchup, now_ns);
    }
    b->probing = false;
    backlog_forget(&b->sending);
    spooler_tell(&b->spooler);
}

void backlog_trace(struct backlog *b, const struct backlog_post *post)
{
    CLEANUP(batch_done) struct batch decoded;

    batch_init(&decoded, &batch_limits_default);
    if (b->from == FROM_MEMORY && b->queue.head->held_bytes > 0)
        trace_batch(&b->held);
    else if (recode_decode(encoding_recoder(b->encoding), post->body, post->form,
                           &decoded) == 0)
        trace_batch(&decoded);
    else
        log_event(LOG_TRACE, "unreadable", LOG_U64("bytes", post->body.n));
}
