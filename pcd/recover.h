/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * What happens before the port opens: every whole record that the log has behind the
 * checkpoint is written to its day file at its offset and its key noted, everything is
 * synced, and a new checkpoint says so. Doing it twice is the same as doing it once, so
 * a crash in here does no harm.
 *
 * The end of a log is its first record that isn't whole. A whole record behind that, of a
 * group that began later, proves that the bad place was synced once: then it is damage,
 * not a tail. The log is kept as NUMBER.log.bad, the whole records are applied, and the
 * loss is counted and noted as pcd/gap: in the hole that it leaves in a host's day file,
 * and under the identifier RECOVER_IDENTIFIER.
 *
 * Where the disk is full, or one host's folder can't be written, a log without damage is
 * synced once more as it is and left to the filer, which tries each second; the port
 * opens all the same. What the log holds is durable then, so it may be answered as
 * stored.
 */

#include "pcd/dayfile.h"
#include "pcd/keys.h"
#include "pcd/store.h"

/* The host that pcd/gap measurements about the store as a whole are stored under. */
#define RECOVER_IDENTIFIER "pcd"

struct recover_conf {
    int log_fd;             /* the folder log/, borrowed */
    struct dayfiles *files; /* borrowed, as are the next two */
    struct keys *keys;
    const struct store_observer *observer; /* may be NULL; told that it goes on */
    struct log_position from;              /* the position that the checkpoint holds */
};

/* Where recovery ended, and the log goes on. */
struct recover_end {
    uint64_t next_number;           /* of the first log to be written */
    struct log_position before;     /* what its first record is to name */
    struct log_position checkpoint; /* P */
    struct log_position read;       /* all before it was applied, but for files behind */
    uint64_t log_bytes;             /* from the one to the other */
    uint64_t behind_bytes;          /* of lines there, where files are behind */
};

/**
 * recover_run() - bring day files and keys up to date with the log
 *
 * Return: 0; -errno, and nothing is lost: the log is as it was.
 */
PC_MUST_CHECK int recover_run(const struct recover_conf *conf,
                              struct recover_end *ret_end, struct store_recovery *ret);
