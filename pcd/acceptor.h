/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The thread that accepts connections and deals them out in turn. libmicrohttpd's own
 * thread pool was seen to leave workers idle, and its own limit on connections, once
 * reached, to stop a daemon for good (0.9.75): so both are done here. A connection over
 * the limit is answered 503 over plain HTTP, whatever it asks, and ends.
 */

#include "common/err.h"

#include <microhttpd.h>
#include <stdbool.h>
#include <stddef.h>

struct connections;
struct lingerer;
struct listeners;
struct stats;

struct acceptor_conf {
    const struct listeners *listeners;
    struct connections *connections;
    struct lingerer *linger;
    bool tls; /* nothing can be said before a handshake */
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
