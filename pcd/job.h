/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * One validated batch on its way to the disk: made by a worker, taken by the committer,
 * which appends it to the log, then by the filer, which writes it to its day file and
 * frees it. At any moment one thread owns it.
 */

#include "common/buf.h"
#include "pcd/keys.h"
#include "proto/limits.h"

struct dayfile;

struct job {
    struct job *next;

    /* Set by the worker. */
    uint8_t identifier[LIMIT_IDENTIFIER_BYTES];
    size_t identifier_n;
    bool has_key;
    struct key key; /* reserved in keys; the committer settles it */
    uint64_t arrival_ns;
    uint32_t day; /* of the first measurement, days since the Unix epoch, UTC */
    uint32_t n_measurements;
    struct buf lines;   /* the batch as lines of a collection */
    uint32_t lines_crc; /* CRC-32C of the lines; set by store_push() */
    uint64_t charged;   /* bytes charged to admit for it, released when it is freed */

    /*
     * Called once by the committer when the batch's fate is known. r: 0: durable
     * (PCD_SYNC=always) or written (interval); E_NO_ROOM; E_FULL; E_STOPPED; -errno.
     * The job itself must not be touched from then on. NULL: nobody waits.
     */
    void (*settled)(void *arg, int r);
    void *arg;

    /* Set by the committer. */
    struct dayfile *file; /* held */
    uint64_t file_offset;
    struct log_position end; /* where its record ends in the log */
    uint64_t log_total;      /* bytes of log written up to its end, since start */

    /* Set by filer_push(). */
    size_t n_bytes; /* of lines; they may be left to the log themselves */
};

static inline struct span job_identifier(const struct job *j)
{
    return span_of(j->identifier, j->identifier_n);
}

/* Allocates a job with an empty buffer of lines of at most @max_lines bytes; NULL
 * without memory. */
struct job *job_new(size_t max_lines);
/* Frees it; takes NULL. What is charged for it must have been released before. */
void job_free(struct job *j);
