/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * What a service manager is told of a daemon: that it is ready, reloads, stops, still
 * lives. The protocol of sd_notify(3): a datagram of NAME=VALUE lines to the socket that
 * NOTIFY_SOCKET names. Where it names none nobody listens, and that is no error.
 */

#include "common/err.h"

#include <stdint.h>

struct notify {
    int fd;               /* -1: nobody listens */
    uint64_t watchdog_ns; /* a sign of life is due this often; 0: none is */
};

/**
 * notify_init() - read NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID
 *
 * Call before threads start. Return: 0; E_MALFORMED: not a socket's name, or not a
 * number; E_TOO_LARGE; -errno: nobody is at the socket. On anything but 0 nobody listens.
 */
PC_MUST_CHECK int notify_init(struct notify *n);
void notify_done(struct notify *n);

/**
 * notify_send() - send some lines, without a newline at the end
 *
 * READY=1 at the end of start and of reloading; STOPPING=1; STATUS=text for people;
 * EXTEND_TIMEOUT_USEC=n: start or stop takes that much longer, from now. Waits for at
 * most a second. Any thread.
 *
 * Return: 0, also where nobody listens; E_TOO_LARGE; -errno. A daemon need not care: the
 * manager goes by its own clock.
 */
int notify_send(const struct notify *n, const char *format, ...) PC_PRINTF(2, 3);

/* RELOADING=1, with the time that must stand beside it. Followed by READY=1. */
int notify_reloading(const struct notify *n);

/* WATCHDOG=1: the sign of life. Only for who knows that there is progress. */
int notify_alive(const struct notify *n);

/* How long to wait at most before the next sign of life: a third of what it is due in,
 * so that one may come late; UINT64_MAX where none is due. */
uint64_t notify_pause_ns(const struct notify *n);
