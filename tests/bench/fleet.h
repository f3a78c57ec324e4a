/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Many clients in one thread: each has an identifier, a session, one connection that
 * stays open, and one batch on its way. A batch that was not taken as stored is sent
 * again under its number until the time is over, so that pcd is asked for "once" too. Of
 * deltas each client makes a chain, with a snapshot after anything but a plain 200.
 *
 * A client:  WAITING -> CONNECTING -> SENDING -> RECEIVING -> SENDING … -> FINISHED
 *            anything that goes wrong is counted, and leads back to WAITING
 */

#include "tests/bench/latency.h"
#include "tests/bench/payload.h"

#include <netinet/in.h>
#include <sys/socket.h>

#define FLEET_STATUSES 600u

struct fleet_conf {
    struct sockaddr_storage address;
    socklen_t address_n;
    const char *host;   /* as the Host header says it */
    const char *key;    /* borrowed, as is host */
    const char *prefix; /* of the identifiers: PREFIX-0001 */
    size_t n_clients;
    uint64_t batches;     /* each client sends; 0: as many as the time allows */
    uint64_t duration_ns; /* no batch begins later */
    uint64_t patience_ns; /* to wait for an answer, and for the last ones at the end */
};

struct client;

struct fleet_counts {
    uint64_t stored;   /* batches answered as stored */
    uint64_t replayed; /* of them, stored before */
    uint64_t connections;
    uint64_t bytes_sent;
    uint64_t by_status[FLEET_STATUSES];
    uint64_t bad_answers; /* no HTTP, or a 200 that doesn't say stored */
    uint64_t transport_errors;
    uint64_t timeouts;
    uint64_t unanswered; /* clients whose last batch has no answer */
    uint64_t elapsed_ns;
};

struct fleet {
    struct fleet_conf conf;
    struct payload *payload;
    struct deflater *deflater; /* NULL: bodies go as they are */
    struct client *clients;
    int epoll_fd;
    uint64_t end_ns;     /* no batch begins later */
    uint64_t give_up_ns; /* and nothing is waited for */
    size_t n_running;
    struct fleet_counts counts;
    struct latency latency; /* from the first byte sent to the whole answer */
};

/* Makes the clients; @payload is borrowed. Return: 0, for fleet_done(); -errno; a
 * verdict on an identifier. */
PC_MUST_CHECK int fleet_init(struct fleet *f, const struct fleet_conf *conf,
                             struct payload *payload);
void fleet_done(struct fleet *f);

/* Runs all clients to their end; bounded in time. Return: 0, whatever was answered;
 * -errno. */
PC_MUST_CHECK int fleet_run(struct fleet *f);

/* What a client did. */
struct fleet_client {
    char identifier[LIMIT_IDENTIFIER_BYTES + 1];
    uint64_t session;
    uint64_t stored; /* batches 1 to this were answered as stored */
};

void fleet_client(const struct fleet *f, size_t i, struct fleet_client *ret);
