/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The tick: a thread that reads every source on an absolute grid (pcc/grid.h) into the
 * open batch of the outbox and seals it when it is time. It does no network, no disk, no
 * logging, waits for nobody, and after warm-up allocates nothing. A tick that comes late
 * is taken; ticks that were missed are counted and told of as a gap.
 *
 * Timestamps follow the wall clock wherever it is stepped, the grid doesn't. While the
 * wall clock isn't set, timestamps are of the boot clock (pcc/early.h) and gaps wait.
 */

#include "pcc/counters.h"
#include "pcc/outbox.h"
#include "pcc/source.h"

/* When a batch is sealed. */
struct seal_rule {
    uint64_t measurements; /* at the end of the tick that reaches these */
    uint64_t bytes;        /* or these, of names and texts */
    uint64_t flush_ns;     /* or whose age would pass this by the end of the next tick */
    bool each_tick;        /* whenever the sender is idle */
};

/**
 * sampler_must_seal() - is the batch complete at the end of this tick?
 * @next_age_ns: how long after the batch's first tick the next one will be
 */
bool sampler_must_seal(const struct seal_rule *rule, size_t measurements, size_t bytes,
                       uint64_t next_age_ns);

struct sampler;

/**
 * sampler_start() - start the thread; the first tick is taken at once
 * @sources, @outbox, @counters: the sampler's until sampler_stop(), as their headers say
 *
 * Return: 0, and gives *ret for sampler_stop(); -ENOMEM; -errno.
 */
PC_MUST_CHECK int sampler_start(uint64_t interval_ns, const struct seal_rule *rule,
                                struct sources *sources, struct outbox *outbox,
                                struct counters *counters, struct sampler **ret);

/* Seals what there is, ends the thread and frees the sampler. NULL is fine. */
void sampler_stop(struct sampler *s);
