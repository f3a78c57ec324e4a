/* SPDX-License-Identifier: MIT */
#include "pcc/catchup.h"

#include "common/units.h"

#define MILLION UINT64_C(1000000)
/* A batch that took longer, or a share that is tiny, doesn't stop the rest for good. */
#define TOOK_MAX MINUTE
#define WAIT_MAX (10 * MINUTE)

void catchup_init(struct catchup *c, uint64_t share_millionths)
{
    *c = (struct catchup){.share_millionths = share_millionths};
}

void catchup_restart(struct catchup *c, uint64_t now_ns)
{
    c->due_ns = now_ns;
}

void catchup_sent(struct catchup *c, uint64_t now_ns, uint64_t took_ns)
{
    uint64_t took = took_ns < TOOK_MAX ? took_ns : TOOK_MAX;
    uint64_t wait = took * (MILLION - c->share_millionths) / c->share_millionths;

    c->due_ns = now_ns + (wait < WAIT_MAX ? wait : WAIT_MAX);
}
