/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * What no agent can do without: the four files of /proc, kept open, read anew, and one
 * statfs(2). What pcc's tick is compared with. One thread at a time.
 */

#include "common/err.h"

#define BARE_FILES 4u
#define BARE_ROOM (256u * 1024u)

struct bare {
    int fds[BARE_FILES];
    char *room; /* what is read goes here, each file over the one before */
};

/* Return: 0, for bare_done(); -errno. */
PC_MUST_CHECK int bare_init(struct bare *b);
void bare_done(struct bare *b);

/* All once. Return: 0; -errno. */
PC_MUST_CHECK int bare_tick(struct bare *b);
