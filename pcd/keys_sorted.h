/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The sorted file sessions/N: the sessions that need not be in memory, in the order of
 * (hash of the identifier, session, identifier), so that one of them is found with a
 * read or two, and two files are merged in one pass. Written once, then only read.
 *
 *   block     u32 CRC-32C of the rest, sessions (keys_file.h); it ends with the session
 *             that fills it to KEYS_BLOCK_BYTES
 *   …
 *   index     of each block: u64 hash, u64 session of its first; u64 offset of the block
 *   trailer   u32 CRC-32C of the index and the rest of the trailer, u32 magic with the
 *             format's version, u64 number of the file, u64 sessions, u64 offset of the
 * index
 *
 * The hash is SipHash under a secret that the checkpoint keeps, so no client can make
 * two identifiers collide. The index is kept in memory. Any thread may read.
 */

#include "pcd/keys_file.h"

#define KEYS_BLOCK_BYTES 16384u

struct keys_sorted;

/* Where a session stands in the order; identifiers decide where this is equal. */
struct keys_order {
    uint64_t hash; /* of the identifier */
    uint64_t session;
};

int keys_order_compare(struct keys_order a, struct span identifier_a, struct keys_order b,
                       struct span identifier_b);

/* The largest file that sessions of @bytes in all make. */
uint64_t keys_sorted_bound(uint64_t bytes);

/* A file that is being written. */
struct keys_sorted_writer {
    int dir_fd;
    int fd;
    uint64_t number;
    uint64_t offset;     /* of the open block */
    uint64_t n_sessions; /* written so far */
    struct buf block;
    struct buf index;
};

/**
 * keys_sorted_create() - begin a file
 * @dir_fd: the folder sessions/, borrowed until finish or abandon
 * @number: of a file that isn't there
 *
 * Return: 0, and *ret is for finish or abandon; -errno.
 */
PC_MUST_CHECK int keys_sorted_create(int dir_fd, uint64_t number,
                                     struct keys_sorted_writer *ret);

/* Appends a session, as keys_file.h has it; @record borrows. Return: 0; -errno. */
PC_MUST_CHECK int keys_sorted_append(struct keys_sorted_writer *w,
                                     struct keys_order order, struct span record);

/* Ends the file and makes it durable, its entry in the folder too. Ends the writer in
 * any case. Return: 0; -errno, and no file is left. */
PC_MUST_CHECK int keys_sorted_finish(struct keys_sorted_writer *w);

/* Ends the writer and removes the file. */
void keys_sorted_abandon(struct keys_sorted_writer *w);

/**
 * keys_sorted_open() - open a file to read
 *
 * Return: 0, and gives *ret, held once; E_MALFORMED where the file is damaged in its
 * index or trailer, or missing; -errno.
 */
PC_MUST_CHECK int keys_sorted_open(int dir_fd, uint64_t number, struct keys_sorted **ret);

/* One holder more. */
struct keys_sorted *keys_sorted_hold(struct keys_sorted *f);
/* One holder less; the last closes it. Takes NULL. */
void keys_sorted_release(struct keys_sorted *f);

/* NULL is a file without sessions, of number 0. */
uint64_t keys_sorted_number(const struct keys_sorted *f);
uint64_t keys_sorted_count(const struct keys_sorted *f);
uint64_t keys_sorted_size(const struct keys_sorted *f);

/**
 * keys_sorted_find() - look a session up
 * @block: an initialised buffer with a maximum of KEYS_BLOCK_MAX_BYTES at least; *ret
 *         borrows from it
 *
 * Return: 0; E_GONE: not in the file; E_MALFORMED: the block where it would stand is
 *         damaged; -errno.
 */
PC_MUST_CHECK int keys_sorted_find(const struct keys_sorted *f, struct keys_order order,
                                   struct span identifier, struct buf *block,
                                   struct keys_record *ret);

#define KEYS_BLOCK_MAX_BYTES (4u + KEYS_BLOCK_BYTES + KEYS_RECORD_MAX_BYTES)

/* Reads a file from its beginning to its end. */
struct keys_sorted_reader {
    const struct keys_sorted *file; /* borrowed; NULL for one without sessions */
    size_t next_block;
    size_t n_damaged; /* blocks that were passed by */
    struct buf block;
    struct cursor at;
};

void keys_sorted_reader_init(struct keys_sorted_reader *r, const struct keys_sorted *f);
void keys_sorted_reader_done(struct keys_sorted_reader *r);

/* The next session; *ret lives until the next call. What is damaged of a block is passed
 * by. Return: 0; E_GONE at the end; -errno. */
PC_MUST_CHECK int keys_sorted_read(struct keys_sorted_reader *r, struct keys_record *ret);
