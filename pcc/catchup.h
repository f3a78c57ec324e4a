/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * How fast a backlog may be sent beside fresh batches: after each old batch the
 * connection is left to others until it was busy with old ones for no more than a share
 * of the time. Pure.
 */

#include <stdint.h>

struct catchup {
    uint64_t share_millionths; /* 1 to a million: as fast as it goes */
    uint64_t due_ns;           /* when the next old batch may go */
};

void catchup_init(struct catchup *c, uint64_t share_millionths);
/* Something fresh got through for the first time since a failure: old ones may follow. */
void catchup_restart(struct catchup *c, uint64_t now_ns);
/* An old batch has been sent, which took that long. */
void catchup_sent(struct catchup *c, uint64_t now_ns, uint64_t took_ns);
