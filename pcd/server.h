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
 * @reterr_text: on anything but 0, what failed and why, for the user
 *
 * Warns where it listens beyond this machine without TLS.
 *
 * Return: 0, and gives *ret for server_stop(); as tls_new(); E_MALFORMED: an address that
 *         is none; -errno.
 */
PC_MUST_CHECK int server_start(struct service *service, struct server **ret,
                               char *reterr_text, size_t size);

/**
 * server_look_at_files() - read the certificate and its key again, if they changed
 * @asked: or if not
 *
 * Files with an error are logged, and the old ones stay; no connection ends. To be called
 * about once a second.
 */
void server_look_at_files(struct server *s, bool asked);

/**
 * server_stop() - take no connection, finish what is in flight, drain the store, end
 *
 * Waits a bounded time for requests that are arriving and answers that are read; for as
 * long as it takes for batches that the store has been given. Takes NULL.
 */
void server_stop(struct server *s);

/* Connections that a limit on descriptors allows beside so many day files. */
uint64_t server_connections_max(uint64_t wanted, uint64_t descriptors, uint64_t files);
