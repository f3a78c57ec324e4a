/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The committer: one thread that takes all batches that wait, appends them to the log,
 * syncs once, and settles everyone: group commit.
 *
 * What can go wrong, and what then:
 * - A write or sync of the log fails: it is never repeated as if it had not been. What
 *   it covered is settled with E_NO_ROOM or -errno, the offsets and keys are taken back,
 *   and a new log begins that says how far the old one counts.
 * - No new log can be begun: it is tried each second where the reason may pass (no room,
 *   read-only, no descriptor); after any other only a restart helps. Batches are settled
 *   with E_NO_ROOM or -errno meanwhile.
 *
 * With STORE_SYNC_INTERVAL batches are settled once written and kept in memory until
 * synced: a failed sync then writes them again, into the new log, and until that worked
 * no other batch is taken.
 */

#include "pcd/dayfile.h"
#include "pcd/filer.h"
#include "pcd/job.h"
#include "pcd/store.h"

struct commit_conf {
    int log_fd;             /* the folder log/, borrowed */
    struct dayfiles *files; /* borrowed, as are the next three */
    struct keys *keys;
    struct filer *filer;
    struct admit *admit;
    uint64_t first_number;      /* of the log to begin with */
    struct log_position before; /* as log_begin() has it */
    uint64_t log_total;         /* bytes of log that the checkpoint doesn't cover yet */
    uint64_t log_bytes;         /* a log at least this long is followed by another */
    uint64_t gather_ns;
    enum store_sync sync;
    struct store_observer observer;
};

struct commit_counts {
    uint64_t queued_jobs;
    uint64_t queued_bytes; /* of lines not settled yet, or not synced */
    uint64_t log_total;    /* bytes of log written since start */
    uint64_t groups;
    uint64_t syncs;
    uint64_t sync_failures;
    bool disk_busy;   /* the thread waits for the disk */
    bool log_failed;  /* there is no log to write to */
    bool beyond_help; /* and none will be begun before a restart */
};

struct commit;

/* Begins the first log, or goes on trying where the reason may pass, and starts the
 * thread. Return: 0, and gives *ret for commit_free(); -errno. */
PC_MUST_CHECK int commit_new(const struct commit_conf *conf, struct commit **ret);

/* As store_push(). Any thread. */
void commit_push(struct commit *c, struct job *j);

/**
 * commit_stop() - settle what was pushed and end the thread
 *
 * Later pushes are settled with E_STOPPED by the thread that pushes.
 *
 * Return: 0; -EIO if batches that were answered could not be synced (only with
 *         STORE_SYNC_INTERVAL).
 */
int commit_stop(struct commit *c);
/* Frees a stopped one; takes NULL. */
void commit_free(struct commit *c);

/* Any thread. */
void commit_count(const struct commit *c, struct commit_counts *ret);
