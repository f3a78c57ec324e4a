/* SPDX-License-Identifier: MIT */
#pragma once

/* What becomes of measurements that never arrive: counted, logged now and then, and noted
 * as a gap for a later batch to tell of. Thread: sender. */

#include "common/log.h"
#include "pcc/counters.h"
#include "pcc/outbox.h"

struct loss {
    struct outbox *outbox;
    struct counters *counters;
    struct log_limit limit;
};

/* What is given outlives it. */
void loss_init(struct loss *l, struct outbox *outbox, struct counters *counters);

/* @n measurements were dropped for one cause, of which @gaps tells beside what they told
 * of themselves; @why is for the log. */
void loss_dropped(struct loss *l, enum gap_id cause, uint64_t n,
                  const struct gap_set *gaps, const char *why);
