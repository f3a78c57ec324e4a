/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Files, whole: calls that go on after a short count or a signal, and a file replaced
 * so that a crash leaves the old one or the new one. Durable means synced, folder
 * entries included.
 */

#include "common/buf.h"
#include "common/err.h"

#include <stdint.h>
#include <sys/uio.h>

/* Closes *fd if it is not negative and sets it to -1; for CLEANUP. */
void io_close(int *fd);

/**
 * io_write() - write all bytes at the file's own position
 * @bytes: borrows
 *
 * Return: 0; -errno. Part of the bytes may have been written then.
 */
PC_MUST_CHECK int io_write(int fd, struct span bytes);

/**
 * io_pwritev() - write all of several pieces at an offset
 * @parts:   borrows; changed while working
 * @n_parts: any number; handed to the kernel IOV_MAX at a time
 * @offset:  bytes from the start of the file
 *
 * Return: 0; -errno. Part of the bytes may have been written then.
 */
PC_MUST_CHECK int io_pwritev(int fd, struct iovec *parts, size_t n_parts,
                             uint64_t offset);

/**
 * io_pread() - read up to @n bytes at an offset, going on after short counts
 *
 * Return: 0 and how many were there (fewer than @n only at the end of the file);
 *         -errno.
 */
PC_MUST_CHECK int io_pread(int fd, void *ret_data, size_t n, uint64_t offset,
                           size_t *ret_n);

/**
 * io_read_file() - append a whole file to a buffer
 * @dir_fd: as openat(2); AT_FDCWD for the working folder
 *
 * Return: 0; E_TOO_LARGE if it would pass the buffer's maximum; -errno.
 *         On anything but 0 the buffer is as it was.
 */
PC_MUST_CHECK int io_read_file(int dir_fd, const char *path, struct buf *ret);

/* fsync(2) of the folder that @dir_fd is. Return: 0; -errno. */
PC_MUST_CHECK int io_sync_dir(int dir_fd);

/**
 * io_replace_file() - put a file in place durably
 * @dir_fd: the folder that holds it
 * @name:   its name there, without a slash, at most 200 bytes; NAME.new beside it is ours
 * @bytes:  borrows; what it is to hold
 * @mode:   its permissions
 *
 * Writes aside, syncs, renames, syncs the folder.
 *
 * Return: 0; -errno, and the old file is in place, or the new one where only the last
 *         sync failed.
 */
PC_MUST_CHECK int io_replace_file(int dir_fd, const char *name, struct span bytes,
                                  unsigned mode);

/**
 * io_make_dirs() - make a folder and those above it, mode 0700, as mkdir -p
 *
 * New entries are synced into the folder that holds them.
 *
 * Return: 0, also where it was there; -errno.
 */
PC_MUST_CHECK int io_make_dirs(const char *path);
