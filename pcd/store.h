/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The store as a whole: the home folder with its lock, log, keys and day files; the
 * committer that makes batches durable and the filer that writes them to their day
 * files. What pcd's HTTP side knows of the disk is this header, job.h and keys.h.
 */

#include "pcd/admit.h"
#include "pcd/job.h"
#include "pcd/keys.h"
#include "pcd/retain.h"

enum store_sync {
    STORE_SYNC_ALWAYS,   /* answer when the log is synced */
    STORE_SYNC_INTERVAL, /* answer when it is written; sync each second */
};

struct store_conf {
    const char *home; /* made if missing */
    enum store_sync sync;
    uint64_t gather_ns;     /* wait this long for more batches before a sync */
    uint64_t log_max;       /* bytes of log not yet filed, past which E_FULL */
    uint64_t disk_reserve;  /* free bytes that are left to others */
    uint64_t keys_keep_ns;  /* keys_conf.keep_ns */
    uint64_t checkpoint_ns; /* at most this long between two checkpoints */
    uint64_t files_max;     /* day files held open */
    uint64_t retain_days;   /* retain_conf.keep_days */
    uint64_t retain_bytes;  /* retain_conf.max_bytes */
    struct admit *admit;    /* borrowed: what jobs release their bytes to */
};

/* What recovery found; for the log line at start and /metrics. */
struct store_recovery {
    uint64_t records; /* applied */
    uint64_t bytes;   /* of log read */
    uint64_t damaged; /* bytes of damage inside logs, which were set aside as .bad */
    uint64_t duration_ns;
};

/* A moment's view, for /metrics and /readyz. */
struct store_counts {
    uint64_t queued_jobs;   /* waiting for the committer */
    uint64_t unfiled_bytes; /* of lines in the log but not yet in day files */
    uint64_t log_bytes;     /* of log since the checkpoint */
    uint64_t groups;        /* group commits */
    uint64_t syncs;         /* of the log */
    uint64_t sync_failures; /* failed writes and syncs of the log */
    uint64_t file_failures; /* failed writes and syncs of day files */
    uint64_t checkpoints;
    uint64_t checkpoint_failures;
    uint64_t open_files; /* day files held open */
    uint64_t free_bytes; /* of the disk, for us */
    bool disk_busy;      /* the committer waits for it */
    bool log_failed;     /* no log can be written: batches get 503 or 507 */
    bool files_failed;   /* a day file can't be written; the log keeps its records */
    struct keys_counts keys;
    struct retain_counts retain;
    struct store_recovery recovery;
};

struct store;

/* Told of what happens inside; each may be NULL. */
struct store_observer {
    /* The duration of each sync of the log; called by the committer. */
    void (*synced)(void *arg, uint64_t duration_ns);
    /* Recovery goes on: one more record, or its last step; called by store_open(). */
    void (*recovers)(void *arg);
    void *arg;
};

/**
 * store_open() - lock the home, recover, begin to take jobs
 * @conf:     borrowed for the life of the store
 * @observer: copied; may be NULL
 *
 * Return: 0, and gives *ret for store_close(); E_PENDING: another pcd has the home;
 *         E_MALFORMED: the checkpoint is damaged; -errno.
 *         @reterr_what names the step that failed, a literal.
 */
PC_MUST_CHECK int store_open(const struct store_conf *conf,
                             const struct store_observer *observer, struct store **ret,
                             const char **reterr_what);

/**
 * store_room() - may a batch be taken now?
 * @bytes: about how much it is
 *
 * Cheap; asked from the headers and again before a job is pushed. Any thread.
 *
 * Return: 0; E_TOO_LARGE: the log could never hold it; E_NO_ROOM: the disk is below its
 * reserve or can't be written; E_FULL: the log is at its limit, or failed; E_STOPPED.
 */
PC_MUST_CHECK int store_room(struct store *s, uint64_t bytes);

/* The keys; owned by the store. */
struct keys *store_keys(struct store *s);

/**
 * store_push() - hand a job to the committer
 * @j: takes, always; its settled() is called by the committer, or here and now where the
 *     store is stopping
 *
 * Any thread.
 */
void store_push(struct store *s, struct job *j);

/* Settles everything that was pushed; later pushes are settled with E_STOPPED. */
void store_drain(struct store *s);

/**
 * store_close() - drain, file, make a last checkpoint, end the threads, free
 *
 * Takes NULL. Return: 0; -errno of the last checkpoint: the log then has the rest; -EIO:
 * batches answered under STORE_SYNC_INTERVAL were lost.
 */
int store_close(struct store *s);

void store_count(struct store *s, struct store_counts *ret);
