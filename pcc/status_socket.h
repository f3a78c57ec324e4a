/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * A Unix socket on which whoever connects is told one text, at once, and hung up on:
 * there is nothing to read, nobody to wait for, nothing to keep. And the other side of
 * it.
 *
 * Only the user of the process and its group may connect.
 */

#include "common/buf.h"

struct status_socket;

/**
 * status_socket_open() - listen
 * @path: where; "": status.sock in /run/pcc, made if need be, or, where that can't be
 *        written, in pcc in $XDG_RUNTIME_DIR
 *
 * What was left there by a process that is no more is replaced.
 *
 * Return: 0, and gives *ret for status_socket_close(); -EADDRINUSE if another process
 *         answers there; -ENOENT if there is no place; -ENAMETOOLONG; -ENOMEM; -errno.
 */
PC_MUST_CHECK int status_socket_open(const char *path, struct status_socket **ret);
/* Removes it. NULL is fine. */
void status_socket_close(struct status_socket *s);

const char *status_socket_path(const struct status_socket *s);
/* Readable when somebody waits. */
int status_socket_fd(const struct status_socket *s);

/* Takes one of those who wait. Return: its descriptor; -1 if there is none. */
int status_socket_accept(const struct status_socket *s);
/* Tells the text, as far as the socket takes it now, and hangs up. */
void status_socket_tell(int fd, struct span text);

/**
 * status_socket_ask() - hear what a process has to tell
 * @path: as above; the first place where somebody answers
 * @ret:  the text is appended
 *
 * Waits for 5 s at most for each piece.
 *
 * Return: 0; -errno: nobody is there, or didn't go on; E_TOO_LARGE; -ENOMEM.
 */
PC_MUST_CHECK int status_socket_ask(const char *path, struct buf *ret);
