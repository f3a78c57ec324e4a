/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * When the next request may begin, and what stands in the way: waits after failures, at
 * random (pcc/backoff.h), and before what a whole fleet would do at the same moment. Logs
 * a kind of failure once, and its end. Times are of the boot clock. Thread: sender.
 */

#include "pcc/backoff.h"

#include <stdbool.h>

struct pace {
    struct backoff backoff;
    uint64_t spread_ns;
    uint64_t not_before_ns;
    bool hurrying;        /* the end is near: nothing is spread any more */
    bool was_away;        /* the last request got no answer */
    bool in_trouble;      /* the last answer was none that we like, */
    unsigned trouble;     /* but one with this status, and that was logged */
    char last_error[256]; /* whatever came after it, */
    uint64_t error_ns;    /* and when it was */
    uint64_t stored_ns;   /* the last success; 0 for never */
};

/* @interval_ns: of ticks; with rare ones waits may be as long. Spreads the first request
 * over @spread_ns. */
void pace_init(struct pace *p, uint64_t interval_ns, uint64_t spread_ns, uint64_t now_ns);

struct pace_failure {
    unsigned status;  /* 0 where there was no answer */
    const char *why;  /* borrows; copied */
    uint64_t waiting; /* measurements, for the log */
};

/* It failed: the next try waits so long; or as ever longer after each failure; or as
 * after the first one, for something has changed; or long, where trying often helps
 * nobody; or as the server said, within reason, if that is not 0. */
void pace_wait(struct pace *p, const struct pace_failure *f, uint64_t now_ns,
               uint64_t wait_ns);
void pace_back_off(struct pace *p, const struct pace_failure *f, uint64_t now_ns);
void pace_back_off_anew(struct pace *p, const struct pace_failure *f, uint64_t now_ns);
void pace_wait_long(struct pace *p, const struct pace_failure *f, uint64_t now_ns);
void pace_wait_as_told(struct pace *p, const struct pace_failure *f, uint64_t now_ns,
                       uint64_t told_s);

/* There is somebody, after a request that got no answer: what follows is spread. */
void pace_answered(struct pace *p, uint64_t now_ns);
/* A batch was stored. */
void pace_succeeded(struct pace *p, uint64_t waiting, uint64_t now_ns);

/* The next request may begin now. */
void pace_go(struct pace *p, uint64_t now_ns);
/* From now on all may. */
void pace_hurry(struct pace *p, uint64_t now_ns);
