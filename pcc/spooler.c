/* SPDX-License-Identifier: MIT */
#include "pcc/spooler.h"

#include "common/clock.h"
#include "common/units.h"

#define LOG_EVERY MINUTE

void spooler_init(struct spooler *s, const struct pcc_conf *conf, struct spool *spool,
                  struct outbox *outbox, struct loss *loss)
{
    uint64_t half = conf->queue_max_bytes / 2;

    *s = (struct spooler){
        .spool = spool,
        .loss = loss,
        .outbox = outbox,
        .full = (enum pcc_spool_full)conf->spool_full,
        .max_bytes = conf->queue_max_bytes,
        /* Files of batches that are in memory, too, leave the spool room for others. */
        .keep_bytes = half < conf->spool_max_bytes / 4 ? half : conf->spool_max_bytes / 4,
    };
    s->limit.every_ns = LOG_EVERY;
}

static void tell_unspooled(struct spooler *s, int r)
{
    uint64_t suppressed = 0;

    if (log_limit_pass(&s->limit, clock_boot_ns(), &suppressed))
        log_event(LOG_WARNING, "spool_takes_nothing",
                  LOG_STR("reason", r == E_FULL      ? "PCC_SPOOL_MAX is reached"
                                    : r == E_NO_ROOM ? "PCC_SPOOL_RESERVE is reached"
                                                     : err_text(r)),
                  LOG_U64("suppressed", suppressed));
}

/* Return: was there something? */
static bool drop_oldest(struct spooler *s)
{
    struct gap_set lost = {0};
    uint64_t n = spool_weigh_oldest(s->spool, &lost);

    if (n == 0)
        return false;
    loss_dropped(s->loss, GAP_SPOOL_FULL, n, &lost, "the spool is full");
    spool_drop_oldest(s->spool);
    return true;
}

int spooler_put(struct spooler *s, struct span identifier, const struct label *label,
                struct span body, struct queue_item *item)
{
    int r;

    do {
        r = spool_put(s->spool, identifier, label, body, true, &item->file);
    } while (r == E_FULL && s->full == PCC_FULL_DROP && drop_oldest(s));
    s->refused = r != 0;
    if (r)
        tell_unspooled(s, r);
    return r;
}

/* Where there is a spool, much in memory alone says nothing: it may be one batch. */
static void hold(struct spooler *s, const struct queue *q)
{
    const uint64_t mark = s->spool ? s->keep_bytes : s->max_bytes / 2;
    const bool held = outbox_held(s->outbox);

    if (s->full != PCC_FULL_STOP)
        return;
    if (!held && q->bytes > mark && (!s->spool || s->refused)) {
        outbox_hold(s->outbox, true);
        log_event(LOG_WARNING, "sampling_stopped",
                  LOG_STR("reason", "there is no room for more"),
                  LOG_U64("queue_bytes", q->bytes));
    } else if (held && q->bytes <= mark / 2) {
        outbox_hold(s->outbox, false);
        log_event(LOG_INFO, "sampling_resumed", LOG_U64("queue_bytes", q->bytes));
    }
}

/* Takes a batch out of memory. Return: how many measurements are lost by it. */
static uint64_t drop(const struct spooler *s, struct queue *q,
                     const struct queue_item *item, struct gap_set *lost)
{
    uint64_t n = item->file ? 0 : item->label.range.measurements;

    if (item->file) {
        spool_uncover(s->spool, item->file);
    } else {
        gaps_add(lost, GAP_FULL, &item->label.range);
        gaps_fold(lost, &item->label.carried);
    }
    queue_drop(q, item);
    return n;
}

void spooler_room(struct spooler *s, struct queue *q)
{
    const struct queue_item *oldest;
    struct gap_set lost = {0};
    uint64_t n = 0;

    hold(s, q);
    while (q->bytes > s->max_bytes && (oldest = queue_oldest_idle(q)))
        n += drop(s, q, oldest, &lost);
    if (n > 0)
        loss_dropped(s->loss, GAP_FULL, n, &lost, "the queue is full");
}

void spooler_tell(struct spooler *s)
{
    bool waiting = s->spool && spool_waiting(s->spool);

    if (waiting == s->waiting)
        return;
    s->waiting = waiting;
    if (waiting)
        log_event(LOG_INFO, "spooling",
                  LOG_STR("what", "batches wait on disk for the server"));
    else
        log_event(LOG_INFO, "spool_empty");
}
