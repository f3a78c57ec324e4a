/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * A home folder of its own for a test of pcd/keys, and the calls on it in short. Each
 * call asserts what must never fail.
 */

#include "pcd/keys.h"

#define KEEP_NS UINT64_C(1000000)
#define NOW_NS UINT64_C(1700000000000000000)

struct keys_home {
    char path[64];
    int fd;
    struct keys_conf conf; /* may be changed before an open */
    struct keys *keys;     /* NULL while closed */
    struct log_position at;
};

void home_make(struct keys_home *h);
/* Closes the keys, removes the folder. */
void home_done(struct keys_home *h);
void home_open(struct keys_home *h);
/* Opens so that the sorted file is rewritten at each checkpoint that has news of two
 * sessions, and next to nothing stays in memory. */
void home_open_eager(struct keys_home *h);
/* Closes and opens again: what a crash leaves, for closing writes nothing. */
void home_reopen(struct keys_home *h);

/* keys_reserve() for a request that may not wait. */
int home_reserve(struct keys_home *h, const char *identifier, struct key key,
                 uint64_t now_ns);
void home_settle(struct keys_home *h, const char *identifier, struct key key, int r);
/* Reserves and settles a SEQ that must be new. */
void home_store(struct keys_home *h, const char *identifier, struct key key,
                uint64_t now_ns);
/* Is it answered as stored? One that isn't is not stored after this either, but its
 * session was used. */
bool home_has(struct keys_home *h, const char *identifier, struct key key);
void home_checkpoint(struct keys_home *h, uint64_t now_ns);
struct keys_counts home_counts(struct keys_home *h);
/* The names in sessions/, of which there must be at most one; 0 for none. */
uint64_t home_sorted_number(struct keys_home *h);

/* Of a file in the home; 0 where it isn't there. */
uint64_t home_size_of(struct keys_home *h, const char *path);
/* Turns one bit of a file over; once more turns it back. */
void home_damage(struct keys_home *h, const char *path, uint64_t offset);
void home_put_file(struct keys_home *h, const char *path, struct span bytes);
