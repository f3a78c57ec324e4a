/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The thread that writes acknowledged batches to their day files, in large pieces, and
 * makes the checkpoints that let old log go: sync the day files and their folders;
 * replace the keys, with the position P up to which all is filed; delete the logs wholly
 * before P, oldest first.
 *
 * What can go wrong, and what then:
 * - A day file can't be written or synced: its records since P are written again from
 *   the log, each second, until that works; no checkpoint until then.
 * - The filer is too slow for its memory: jobs leave their lines to the log, and are
 *   written from there in the same way.
 * - The keys can't be replaced: the checkpoint is tried again; the log keeps what it
 *   covers.
 */

#include "pcd/admit.h"
#include "pcd/dayfile.h"
#include "pcd/job.h"
#include "pcd/keys.h"

struct filer_conf {
    int log_fd;             /* the folder log/, borrowed */
    struct dayfiles *files; /* borrowed, as are the next two */
    struct keys *keys;
    struct admit *admit;
    struct log_position checkpoint; /* all before it is filed and in the checkpoint */
    struct log_position taken;      /* all before it too, but for files that are behind */
    uint64_t taken_total;           /* bytes of log in between */
    uint64_t behind_bytes;          /* of lines in between, of files that are behind */
    uint64_t checkpoint_ns; /* at most this long between two checkpoints with news */
    uint64_t log_max;       /* a checkpoint begins at half of it */
    uint64_t memory_max; /* bytes of lines kept for day files; beyond, the log has them */
};

struct filer_counts {
    uint64_t unfiled_bytes; /* of lines that don't stand in their day file yet, for
                               whatever reason */
    uint64_t log_total;     /* what job.log_total was at the checkpoint */
    uint64_t file_failures;
    uint64_t checkpoints;
    uint64_t checkpoint_failures;
    bool files_failed;
};

struct filer;

/* Starts the thread. Return: 0, and gives *ret for filer_free(); -errno. */
PC_MUST_CHECK int filer_new(const struct filer_conf *conf, struct filer **ret);

/**
 * filer_push() - take a batch that is durable in the log
 * @j: takes; its file is held by it
 *
 * Thread: the committer, in the order of the log. Never waits for the disk.
 */
void filer_push(struct filer *f, struct job *j);

/* Files what is there, makes a last checkpoint and ends the thread. Return: 0, or the
 * -errno for which the checkpoint could not be made. */
int filer_stop(struct filer *f);
/* Frees a filer that is stopped; takes NULL. */
void filer_free(struct filer *f);

/* Any thread. */
void filer_count(const struct filer *f, struct filer_counts *ret);
