/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * A record of all that a process did to files below the root, in order, from which
 * journal.py builds what a disk may hold after a power cut at any moment of it.
 *
 * A record, integers in the machine's order:
 *
 *      0 u64 CLOCK_MONOTONIC, ns
 *      8 u32 type; u32 length of the path; u32 length of the other path; u32 0
 *     24 u64 offset, or a size
 *     32 u64 length of the bytes
 *     40 path, other path, bytes
 *
 * The caller holds the lock over a call that changes something and its record, so that
 * the order of records is that of the calls. A sync has two records, for it covers what
 * came before its begin and promises from its end on; no lock is held in between.
 */

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

enum journal_type {
    JOURNAL_CREATE = 1,
    JOURNAL_WRITE,
    JOURNAL_TRUNCATE,
    JOURNAL_SYNC_BEGIN,
    JOURNAL_SYNC_END,
    JOURNAL_SYNC_FAILED, /* instead of the end */
    JOURNAL_RENAME,
    JOURNAL_UNLINK,
    JOURNAL_LINK,
    JOURNAL_MKDIR,
};

/* NULL: no journal is kept. Before any other thread runs. */
void shim_journal_init(const char *path);

void shim_journal_lock(void);
void shim_journal_unlock(void);

/* Records a call; with the lock. */
void shim_journal_paths(enum journal_type type, const char *path, const char *other);
void shim_journal_size(enum journal_type type, const char *path, uint64_t size);
/* The first @n bytes of the parts were written at an offset. */
void shim_journal_write(const char *path, uint64_t offset, const struct iovec *parts,
                        size_t n);
