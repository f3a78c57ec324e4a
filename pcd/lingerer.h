/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Closing a connection whose client is still sending. Closed at once, the kernel would
 * answer what still comes with a reset, and many a client then never reads the answer
 * that says why. So the socket is held a little longer and what arrives is thrown away.
 * libmicrohttpd closes without that (seen in 0.9.75), hence a duplicate descriptor.
 *
 * One thread of its own; the functions are for any.
 */

#include "common/err.h"

struct lingerer;

/* Starts the thread. Return: 0, and gives *ret for lingerer_free(); -errno. */
PC_MUST_CHECK int lingerer_new(struct lingerer **ret);
/* Ends the thread and closes what it holds; takes NULL. */
void lingerer_free(struct lingerer *l);

/**
 * lingerer_dup() - get ready to linger on a connection
 * @fd: a connected socket
 *
 * Return: a descriptor for lingerer_start(), or -1 where too many linger already or none
 *         is to be had: the connection then just closes.
 */
int lingerer_dup(struct lingerer *l, int fd);

/* Ends our side and reads to the end of the client's, for a bounded time and amount.
 * Takes @dup, from lingerer_dup(); -1 is none. */
void lingerer_start(struct lingerer *l, int dup);
