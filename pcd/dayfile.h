/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The day files, data/HOST/2026-11-22.jsonl: which exist, where the next batch of each
 * goes, and a limited number of them held open.
 *
 * Thread: the committer gets files and hands out offsets; the filer (recovery before
 * there is one) writes, syncs and forgets them. A file is forgotten only when nobody
 * holds it, so what the committer holds stays valid.
 */

#include "pcd/dayfile_name.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

struct dayfile {
    uint8_t identifier[LIMIT_IDENTIFIER_BYTES];
    size_t identifier_n;
    uint32_t day;

    _Atomic uint32_t holders; /* gets that were not put yet */

    /* The committer's. */
    uint64_t next_offset; /* where the next batch goes */

    /* The filer's. */
    int fd;                /* -1 while closed */
    bool dirty;            /* written since the last sync */
    uint64_t idle_bytes;   /* of that, what the disk was not told to begin with, */
    uint64_t idle_from;    /* and where that begins */
    bool entry_synced;     /* its folder entries are durable */
    bool behind;           /* records of it in the log may be missing in it */
    bool stuck;            /* catching up could not write it */
    struct dayfile *older; /* the open files, last used first */
    struct dayfile *newer;
    bool is_marked; /* in the list of files that are dirty or behind */
    struct dayfile *marked_next;
    struct job *todo; /* jobs to write, in order */
    struct job *todo_last;
    struct dayfile *todo_next; /* the files that have jobs to write */

    /* The table's, guarded by its lock. */
    struct dayfile *chain;
    bool used; /* since dayfiles_trim() last looked */
};

struct dayfiles;

/**
 * dayfiles_new() - an empty table
 * @data_fd:  the folder data/, borrowed for the life of the table
 * @max_open: files held open at the most, at least 1
 *
 * Return: 0, and gives *ret for dayfiles_free(); -ENOMEM.
 */
PC_MUST_CHECK int dayfiles_new(int data_fd, uint64_t max_open, struct dayfiles **ret);
/* Closes the files without a sync; takes NULL. */
void dayfiles_free(struct dayfiles *d);

/**
 * dayfile_get() - the file of a host and a day, held until dayfile_put()
 *
 * One that isn't known yet is looked up on the disk for its size; it is not created.
 * Thread: the committer.
 *
 * Return: 0; -EBUSY: its day is being deleted, try again in a moment; -errno.
 */
PC_MUST_CHECK int dayfile_get(struct dayfiles *d, struct span identifier, uint32_t day,
                              struct dayfile **ret);
/**
 * dayfile_expect() - as dayfile_get(), for who knows where the file ends
 * @size: the file's size where the disk can't be asked
 *
 * Thread: recovery. Return: 0; -ENOMEM.
 */
PC_MUST_CHECK int dayfile_expect(struct dayfiles *d, struct span identifier, uint32_t day,
                                 uint64_t size, struct dayfile **ret);
/**
 * dayfiles_begin_removal() - may all files of a day be deleted?
 *
 * Until dayfiles_end_removal() none of that day comes into use: dayfile_get() gives
 * -EBUSY. One day at a time. Any thread.
 *
 * Return: true; false where a file of that day is known, so that records of the log that
 *         the checkpoint doesn't cover may name it.
 */
bool dayfiles_begin_removal(struct dayfiles *d, uint32_t day);
/* They are gone, durably. */
void dayfiles_end_removal(struct dayfiles *d);

/* Ends a hold. Any thread. */
void dayfile_put(struct dayfile *f);

/**
 * dayfile_write() - write pieces at an offset, creating folder and file if need be
 * @parts: borrows; changed while working
 *
 * Return: 0, and the file is dirty; -errno, and it is behind.
 */
PC_MUST_CHECK int dayfile_write(struct dayfiles *d, struct dayfile *f,
                                struct iovec *parts, size_t n_parts, uint64_t offset);

/* Are these the last bytes of the file? No where it can't be read. */
bool dayfile_ends_with(struct dayfiles *d, struct dayfile *f, struct span bytes);

/* The size of the file on disk. Return: 0; -errno. */
PC_MUST_CHECK int dayfile_size(struct dayfiles *d, struct dayfile *f, uint64_t *ret);

/**
 * dayfiles_sync() - make everything durable that was written: files, then their folders
 *
 * Return: 0; -errno of the last that failed: such files are behind, for what the kernel
 *         could not write it may have dropped; the others were synced all the same.
 */
PC_MUST_CHECK int dayfiles_sync(struct dayfiles *d);

/* Says that records of a file stand in the log only. */
void dayfile_mark_behind(struct dayfiles *d, struct dayfile *f);
/* Is any file behind? */
bool dayfiles_behind(const struct dayfiles *d);
/* Says that every file that was behind, but for those that are stuck, has all records
 * again; stuck is over then. */
void dayfiles_caught_up(struct dayfiles *d);

/* Forgets the files that nobody holds, that need nothing, and that nobody asked for
 * since the last call. */
void dayfiles_trim(struct dayfiles *d);

/* A file that dayfile_get() gave before and that is not forgotten, without a hold; else
 * NULL. Thread: the filer. */
struct dayfile *dayfile_find(struct dayfiles *d, struct span identifier, uint32_t day);

uint64_t dayfiles_open_count(const struct dayfiles *d);
