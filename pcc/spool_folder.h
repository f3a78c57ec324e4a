/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The files of a spool by their numbers: names, reading, durable writing, and the folder
 * rejected/ under its limit. What is in them is pcc/spool_file.h's. One thread.
 */

#include "common/buf.h"

#include <stdbool.h>
#include <stdint.h>

#define SPOOL_REJECTED "rejected"
/* Room for NUMBER.batch, 16 hex digits, with its terminator. */
#define SPOOL_NAME_BYTES 24u

struct spool_folder {
    int fd;
    int rejected_fd;
    int lock_fd;
};

void spool_name(uint64_t number, char ret_name[SPOOL_NAME_BYTES]);

/**
 * spool_folder_open() - open a spool
 * @own: it is to be changed: made where it isn't there, locked, and cleared of what a
 *       crash left half written
 *
 * Return: 0, for spool_folder_close(); E_PENDING if another process owns it; -errno.
 */
PC_MUST_CHECK int spool_folder_open(const char *path, bool own, struct spool_folder *ret);
/* Also takes one that wasn't opened, if its descriptors are -1. */
void spool_folder_close(struct spool_folder *f);

/**
 * spool_folder_list() - the numbers of the files in the spool or in rejected/, in order
 * @dir_fd: which of both
 * @ret:    gives; free() it
 *
 * Return: 0; -ENOMEM; -errno.
 */
PC_MUST_CHECK int spool_folder_list(int dir_fd, uint64_t **ret, size_t *ret_n);

/* Appends the whole file. Return: as io_read_file(). */
PC_MUST_CHECK int spool_folder_read(int dir_fd, uint64_t number, struct buf *ret);
/* Appends as much of the file as a header may take, and says how long the file is.
 * Return: 0; -ENOMEM; -errno. */
PC_MUST_CHECK int spool_folder_read_header(int dir_fd, uint64_t number, struct buf *ret,
                                           uint64_t *ret_size);

/* Puts a file in place, durably and at once. Return: 0; -errno: a file that was there is
 * as it was, or, where only the last sync failed, replaced. */
PC_MUST_CHECK int spool_folder_write(int dir_fd, uint64_t number, struct span bytes);
/* Unlinks a file. Without a sync. */
void spool_folder_remove(int dir_fd, uint64_t number);

/**
 * spool_folder_reject() - move a file to rejected/
 * @max_bytes: of rejected/ at most; the oldest are removed for it
 *
 * Return: 0; -errno: it is unlinked.
 */
PC_MUST_CHECK int spool_folder_reject(const struct spool_folder *f, uint64_t number,
                                      uint64_t max_bytes);
/* Removes the oldest in rejected/ until no more than this is left. */
void spool_folder_trim_rejected(const struct spool_folder *f, uint64_t max_bytes);
