/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The HTTP side as a whole: a libmicrohttpd daemon a thread, the acceptor that deals
 * connections out to them, deadlines, lingering; started and stopped in order.
 */

#include "pcd/service.h"

struct server;

/**
 * server_start() - listen, and serve
 * @service:     borrowed for the life of the server
 * @reterr_what: on anything but 0, what failed, a literal or as listeners_open() says
 *
 * Return: 0, and gives *ret for server_stop(); E_MALFORMED: an address, or a certificate
 *         or key that isn't one; E_TOO_LARGE: a certificate file that is none; -errno.
 */
PC_MUST_CHECK int server_start(struct service *service, struct server **ret,
                               const char **reterr_what);

/**
 * server_stop() - take no connection, finish what is in flight, drain the store, end
 *
 * Waits a bounded time for requests that are arriving and answers that are read; for as
 * long as it takes for batches that the store has been given. Takes NULL.
 */
void server_stop(struct server *s);

/* Connections that a limit on descriptors allows beside so many day files. */
uint64_t server_connections_max(uint64_t wanted, uint64_t descriptors, uint64_t files);
