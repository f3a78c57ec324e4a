/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * What is inside struct keys: for keys.c, which answers requests, and keys_checkpoint.c,
 * which writes the checkpoint; nobody else includes this.
 *
 * A session that is not SESSION_NEW is in one of two lists. The checkpoint writes those
 * in `changed` to `keys`; nobody but the checkpoint takes one out of that list. Those in
 * `clean` equal what the sorted file says, have no reservation, and may leave memory.
 */

#include "pcd/keys.h"
#include "pcd/keys_sorted.h"
#include "pcd/sessions.h"

#include <pthread.h>

struct keys {
    struct keys_conf conf;
    int sessions_fd; /* the folder sessions/ */
    uint64_t k0;     /* the secret of the order in the sorted file, and of the table */
    uint64_t k1;

    /* Touched by keys_open() and keys_checkpoint() only. */
    uint64_t last_number; /* the last one given to a sorted file */
    uint64_t start_ns;    /* keys_now_ns() was that at the start, */
    uint64_t boot_ns;     /* and the boot clock this */

    pthread_mutex_t lock;
    /* guarded by lock */
    struct sessions table;
    struct session_list changed;
    uint64_t n_changed;
    uint64_t changed_bytes;     /* of those, as they will stand in `keys` */
    struct session_list clean;  /* idle longest first */
    struct keys_sorted *sorted; /* NULL until there is one */
    uint64_t newest_ns;         /* the latest use of any session ever */
    uint64_t forgotten;
    uint64_t expired;
    uint64_t damaged;
    uint64_t rewrite_failures;
};

static inline size_t keys_session_bytes(const struct session *s)
{
    return keys_record_bytes(s->identifier_n, s->stored.n);
}

/* Of a whole `keys`; some fifty million sessions. */
#define KEYS_FILE_MAX_BYTES (size_t)(4 * GIB)

/* Gives a sorted file that is damaged another name, by which it stays; says so. */
void keys_keep_as_bad(const struct keys *k, uint64_t number);

/* Removes the sorted files that no checkpoint names. Return: 0; -errno. */
PC_MUST_CHECK int keys_sweep(const struct keys *k);
