/* SPDX-License-Identifier: MIT */
#pragma once

/* The sockets that pcd listens on. */

#include "common/err.h"

#include <stdbool.h>
#include <stddef.h>

struct listeners {
    int *fds;
    size_t n;
};

/* Is that host:port, [v6]:port, or :port? Return: 0; E_MALFORMED. */
PC_MUST_CHECK int listeners_check(const char *address);

/**
 * listeners_open() - listen on every address that a text stands for
 * @address:     host:port, [v6]:port, or :port for all addresses; port 0: any free one
 * @reterr_what: on anything but 0, which step failed, a literal; or for a host that isn't
 *               known the resolver's reason
 *
 * Says in the log where it listens. An address of a name that this machine doesn't have
 * is passed over as long as another works.
 *
 * Return: 0, and fills in *ret for listeners_close(); E_MALFORMED: no such address or
 *         host; -errno.
 */
PC_MUST_CHECK int listeners_open(const char *address, struct listeners *ret,
                                 const char **reterr_what);
/* Can others than this machine reach one of them? */
bool listeners_beyond_loopback(const struct listeners *l);
/* Also takes a zeroed one. */
void listeners_close(struct listeners *l);
