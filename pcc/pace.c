/* SPDX-License-Identifier: MIT */
#include "pcc/pace.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/units.h"
#include "proto/limits.h"

#include <stdio.h>

#define BACKOFF_FIRST SEC
#define BACKOFF_CAP MINUTE

/* So that a fleet to which the same happened isn't there at once. */
static void spread(struct pace *p, const char *after, uint64_t now_ns)
{
    uint64_t wait_ns = backoff_spread(p->spread_ns, clock_random_u64());

    if (p->hurrying)
        return;
    p->not_before_ns = now_ns + wait_ns;
    log_event(LOG_DEBUG, "spread", LOG_STR("after", after), LOG_MS("wait_ms", wait_ns));
}

void pace_init(struct pace *p, uint64_t interval_ns, uint64_t spread_ns, uint64_t now_ns)
{
    *p = (struct pace){.spread_ns = spread_ns};
    backoff_init(&p->backoff, BACKOFF_FIRST,
                 interval_ns > BACKOFF_CAP ? interval_ns : BACKOFF_CAP);
    spread(p, "start", now_ns);
}

void pace_wait(struct pace *p, const struct pace_failure *f, uint64_t now_ns,
               uint64_t wait_ns)
{
    enum log_level level =
        p->in_trouble && p->trouble == f->status ? LOG_DEBUG : LOG_WARNING;

    p->not_before_ns = now_ns + wait_ns;
    log_event(level, "delivery_failed", LOG_U64("status", f->status),
              LOG_STR("reason", f->why), LOG_MS("retry_ms", wait_ns),
              LOG_U64("waiting", f->waiting));
    p->in_trouble = true;
    p->trouble = f->status;
    p->was_away = f->status == 0;
    p->error_ns = now_ns;
    (void)snprintf(p->last_error, sizeof p->last_error, "%s", f->why); /* long: cut */
}

void pace_back_off(struct pace *p, const struct pace_failure *f, uint64_t now_ns)
{
    pace_wait(p, f, now_ns, backoff_next(&p->backoff, clock_random_u64()));
}

void pace_back_off_anew(struct pace *p, const struct pace_failure *f, uint64_t now_ns)
{
    backoff_reset(&p->backoff);
    pace_back_off(p, f, now_ns);
}

void pace_wait_long(struct pace *p, const struct pace_failure *f, uint64_t now_ns)
{
    pace_wait(p, f, now_ns, backoff_long(&p->backoff, clock_random_u64()));
}

void pace_wait_as_told(struct pace *p, const struct pace_failure *f, uint64_t now_ns,
                       uint64_t told_s)
{
    if (told_s > LIMIT_RETRY_AFTER_S)
        told_s = LIMIT_RETRY_AFTER_S;
    if (told_s > 0)
        pace_wait(p, f, now_ns, told_s * SEC);
    else
        pace_back_off(p, f, now_ns);
}

void pace_answered(struct pace *p, uint64_t now_ns)
{
    if (p->was_away)
        spread(p, "outage", now_ns);
    p->was_away = false;
}

void pace_succeeded(struct pace *p, uint64_t waiting, uint64_t now_ns)
{
    if (p->in_trouble)
        log_event(LOG_INFO, "delivery_resumed", LOG_U64("waiting", waiting));
    p->in_trouble = false;
    p->was_away = false;
    p->stored_ns = now_ns;
    backoff_reset(&p->backoff);
}

void pace_go(struct pace *p, uint64_t now_ns)
{
    if (p->not_before_ns > now_ns)
        p->not_before_ns = now_ns;
}

void pace_hurry(struct pace *p, uint64_t now_ns)
{
    p->hurrying = true;
    pace_go(p, now_ns);
}
