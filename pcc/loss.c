/* SPDX-License-Identifier: MIT */
#include "pcc/loss.h"

#include "common/clock.h"
#include "common/units.h"

#define LOG_EVERY (10 * SEC)

void loss_init(struct loss *l, struct outbox *outbox, struct counters *counters)
{
    *l = (struct loss){.outbox = outbox, .counters = counters};
    l->limit.every_ns = LOG_EVERY;
}

void loss_dropped(struct loss *l, enum gap_id cause, uint64_t n,
                  const struct gap_set *gaps, const char *why)
{
    uint64_t suppressed = 0;

    if (!gaps_empty(gaps))
        outbox_note_gaps(l->outbox, gaps);
    l->counters->dropped += n;
    l->counters->lost[cause] += n;
    if (log_limit_pass(&l->limit, clock_boot_ns(), &suppressed))
        log_event(LOG_WARNING, "batches_dropped", LOG_U64("measurements", n),
                  LOG_U64("dropped_so_far", l->counters->dropped), LOG_STR("reason", why),
                  LOG_U64("suppressed", suppressed));
}
