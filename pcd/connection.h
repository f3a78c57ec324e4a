/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Every open connection, what it is busy with, and until when that may take.
 * libmicrohttpd only knows of inactivity, which a client that sends a byte now and then
 * never shows; here each phase has a time that no amount of dripping prolongs:
 *
 *   WAITING     for a request line; idle_ns         RECEIVING   the rest; request_ns
 *   ANSWERING   until the client has it; request_ns SETTLING    suspended; no limit
 *   ENDED       was late, or we stop: shut down, never leaves this phase
 *
 * A connection that is late has its socket shut down, which makes its worker end it. A
 * request that is late hears 408 first where it can be said: over plain HTTP, for the
 * TLS session belongs to the worker.
 *
 * A client that goes away without libmicrohttpd's noticing is shut down likewise.
 *
 * A connection gets old, too: after an age drawn at random between half of age_ns and the
 * whole, so that connections made in the same moment don't end in one, its next answer
 * says that it is the last. What was settled when it began, a certificate or a balancer's
 * choice, is so settled anew; nothing is cut off.
 *
 * One thread of its own; the functions are for any. The lock is held over shutdown(2)
 * and a send(2) that doesn't wait, since connection_end() takes it before libmicrohttpd
 * closes the descriptor: the number can't be somebody else's in between.
 */

#include "common/err.h"
#include "common/media.h"
#include "pcd/auth.h"
#include "pcd/stats.h"

#include <stdbool.h>
#include <stdint.h>

struct tls_set;
struct upload;

enum connection_phase {
    CONNECTION_WAITING,
    CONNECTION_RECEIVING,
    CONNECTION_ANSWERING,
    CONNECTION_SETTLING,
    CONNECTION_ENDED,
    CONNECTION_PHASES,
};

struct connection {
    int fd;
    enum connection_phase phase;
    enum stats_route route; /* with form: for the 408 */
    enum media_form form;
    uint64_t until_ns;
    struct connection *next;
    struct connection *prev;

    /* The worker's. */
    struct upload *upload; /* the request being served */
    struct auth_hint hint; /* of the key that was shown last */
    struct tls_set *tls;   /* from tls_begin(); NULL: plain HTTP */
    bool client_checked;   /* its certificate, where one is needed, is good */
    uint64_t old_ns;       /* from then on the next answer is the last */
    int linger_fd;         /* from lingerer_dup(), or -1 */
};

struct connections_conf {
    uint64_t max;
    uint64_t idle_ns;
    uint64_t request_ns;
    uint64_t age_ns; /* 0: no limit */
    bool tls;
    struct stats *stats; /* borrowed: told of timeouts */
};

struct connections;

/* Starts the thread. Return: 0, and gives *ret for connections_free(); -errno. */
PC_MUST_CHECK int connections_new(const struct connections_conf *conf,
                                  struct connections **ret);
/* Ends the thread; no connection may be left. Takes NULL. */
void connections_free(struct connections *c);

/* Takes a place. Return: false if all are taken. */
bool connections_take_place(struct connections *c);
void connections_leave_place(struct connections *c);
uint64_t connections_count(const struct connections *c);
uint64_t connections_max(const struct connections *c);

/* A connection on @fd that begins to wait; NULL without memory. */
struct connection *connection_begin(struct connections *c, int fd);
/* Frees it and its place; the descriptor may be closed from then on. */
void connection_end(struct connections *c, struct connection *e);

/**
 * connection_enter() - say what a connection is busy with from now on
 *
 * Return: 0; E_GONE if it ended before: no answer can reach the client any more, so
 *         nothing must be begun for it; E_STOPPED if it would settle while no more may.
 */
PC_MUST_CHECK int connection_enter(struct connections *c, struct connection *e,
                                   enum connection_phase phase);

/* Is it time for a connection to end with its next answer? */
bool connection_is_old(const struct connection *e);

/* Which route a request takes, and the form of its answer, should it be late. */
void connection_describe(struct connections *c, struct connection *e,
                         enum stats_route route, enum media_form form);

/* Ends all that wait, and from now on those that begin to. */
void connections_end_waiting(struct connections *c);
/* Waits until no request is in flight, at most @max_ns. Return: is that so? */
bool connections_wait_quiet(struct connections *c, uint64_t max_ns);
/* From now on no connection may settle. */
void connections_refuse_settling(struct connections *c);
/* Waits until none settles. */
void connections_wait_settled(struct connections *c);
