/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The next sorted file out of the last one and the sessions that changed since, without
 * those that are forgotten. Reads the old file twice, for what an identifier has too
 * many of is known only once all of its sessions were seen; never holds it in memory.
 */

#include "pcd/keys_sorted.h"

struct session;

/* A session that changed. */
struct merge_item {
    uint64_t hash;           /* of its identifier; set by keys_merge_write() */
    size_t at;               /* where it stands in the snapshot */
    struct session *session; /* the caller's, untouched */
    uint64_t last_use_ns;
    bool dropped; /* not in the new file; set by keys_merge_write() */
};

struct keys_merge {
    const struct keys_sorted *old; /* borrowed; NULL for none */
    struct span snapshot;          /* borrowed; sessions as keys_file.h has them */
    struct merge_item *items;      /* borrowed; will be in the order of the file */
    size_t n_items;
    uint64_t k0; /* the secret of the order */
    uint64_t k1;
    uint64_t now_ns;  /* keys_now_ns() */
    uint64_t keep_ns; /* sessions unused for longer are dropped */

    /* Set by keys_merge_write(). */
    uint64_t damaged; /* blocks of the old file whose sessions are lost */
    uint64_t expired; /* dropped since unused for keep_ns */
    uint64_t
        forgotten; /* dropped over LIMIT_SESSIONS_PER_IDENTIFIER, longest idle first */
};

/* Where the sessions of an identifier stand in the order. */
uint64_t keys_merge_hash(uint64_t k0, uint64_t k1, struct span identifier);

/**
 * keys_merge_write() - write the next sorted file
 * @dir_fd: the folder sessions/
 * @number: of a file that isn't there
 *
 * Return: 0, and the file is durable; -errno, and no file is left.
 */
PC_MUST_CHECK int keys_merge_write(struct keys_merge *m, int dir_fd, uint64_t number);
