/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * How far the agent came, in a small file, so that one that was killed is missed: it
 * can't tell of its own loss, but the next one can. The file is written in place and
 * without a sync, often: the kernel keeps it through any end of the process, and a power
 * cut costs the last half minute of it, so that the loss is then told a little too large.
 *
 * Times are those of ticks: of the wall clock or, from before it was set, of the boot
 * clock (pcc/early.h). Thread: sender; one process a file.
 */

#include "pcc/gaps.h"

/* What would be lost with the process. */
struct mark_state {
    uint64_t first_ns;     /* the first tick that is only in memory; 0 for none */
    uint64_t last_ns;      /* the last tick that was handed over, or the start */
    uint64_t measurements; /* that are only in memory, of those handed over */
};

/* The agent that starts. */
struct mark_start {
    const char *identifier;
    const char *boot_id; /* at most 39 bytes */
    uint64_t interval_ns;
    uint64_t sources; /* measurements a tick */
    uint64_t boot_ns; /* now */
    uint64_t time_ns; /* now, as ticks are stamped */
};

struct mark;

/**
 * mark_open() - open the file `mark`, made if it isn't there, and read it
 * @dir_fd: the folder; not kept
 * @start:  copied, its texts too
 *
 * A file that can't be read as one is taken for empty.
 *
 * Return: 0, and gives *ret for mark_free(); -ENOMEM; -errno.
 */
PC_MUST_CHECK int mark_open(int dir_fd, const struct mark_start *start,
                            struct mark **ret);
void mark_free(struct mark *m);

/**
 * mark_loss() - what was lost with the agent before this one, under the same identifier
 * @ret_id: GAP_KILLED: nobody knows how far it came after its last mark, so the gap
 *          reaches up to this one's start, and counts every tick that was due;
 *          GAP_UNSENT: it came to its end, and could not deliver these
 *
 * Return: is there a loss? The file tells of it until mark_note() is called.
 */
bool mark_loss(const struct mark *m, enum gap_id *ret_id, struct gap_note *ret);

/**
 * mark_note() - write down how far this agent is
 * @ended: it comes to its end: nothing follows
 *
 * Return: 0, also where nothing has changed; -errno.
 */
PC_MUST_CHECK int mark_note(struct mark *m, const struct mark_state *state, bool ended);
