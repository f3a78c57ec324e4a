/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The listening sockets, and the thread that accepts and deals connections out in turn.
 * libmicrohttpd's own thread pool was seen to leave workers idle, and its own limit on
 * connections, once reached, to stop a daemon for good (0.9.75): so both are done here.
 */

#include "common/err.h"

#include <microhttpd.h>
#include <stdbool.h>
#include <stddef.h>

struct connections;
struct stats;

/* The sockets. */
struct listeners {
    int *fds;
    size_t n;
};

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
/* Also takes a zeroed one. */
void listeners_close(struct listeners *l);

struct acceptor_conf {
    const struct listeners *listeners;
    struct connections *connections;
    struct stats *stats;
    struct MHD_Daemon *const *daemons;
    size_t n_daemons;
};

struct acceptor;

/* Starts the thread; everything in @conf is borrowed until acceptor_free(). Return: 0,
 * and gives *ret; -errno. */
PC_MUST_CHECK int acceptor_new(const struct acceptor_conf *conf, struct acceptor **ret);
/* Ends the thread: no connection comes any more. Takes NULL. */
void acceptor_free(struct acceptor *a);
