/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Many hosts in one thread: each has an identifier and a session, and sends its batches
 * one by one. They share connections, and on one take turns. A batch that was not taken
 * as stored is sent again under its number until the time is over, so that pcd is asked
 * for "once" too. Of deltas each host makes a chain, with a snapshot after anything but a
 * plain 200.
 *
 * Hosts send what a payload says (payload.h), which can be looked for on disk after, or
 * what is on a tape (tape.h), which costs less to send and differs from batch to batch.
 *
 * Without a rate the next batch begins when the one before was answered. With a rate
 * batches are due at their times, whatever became of others, and their latency counts
 * from there: a server that stalls is charged for all that had to wait, not only for the
 * one that it had.
 *
 * A connection:  WAITING -> CONNECTING -> SENDING -> RECEIVING -> SENDING … -> FINISHED
 *                RECEIVING -> IDLE -> SENDING where the next batch isn't due yet
 *                anything that goes wrong is counted, and leads back to WAITING
 */

#include "tests/bench/latency.h"
#include "tests/bench/payload.h"
#include "tests/bench/tape.h"

#include <netinet/in.h>
#include <sys/socket.h>

#define FLEET_STATUSES 600u

struct fleet_conf {
    struct sockaddr_storage address;
    socklen_t address_n;
    const char *host;   /* as the Host header says it */
    const char *key;    /* borrowed, as is host */
    const char *prefix; /* of the identifiers: PREFIX-0001 */
    size_t n_hosts;
    size_t n_connections; /* more than hosts: the others do nothing */
    bool new_connections; /* one for each batch, ended after it */
    uint64_t batches;     /* each host sends; 0: as many as the time allows */
    uint64_t duration_ns; /* no batch begins later */
    uint64_t patience_ns; /* to wait for an answer, and for the last ones at the end */
    double rate;          /* batches a second of all hosts; 0: as fast as answered */
    double jitter;        /* a batch is due so much later at the most, of an interval */
};

struct client;
struct host;

struct fleet_counts {
    uint64_t stored;   /* batches answered as stored */
    uint64_t replayed; /* of them, stored before */
    uint64_t connections;
    uint64_t bytes_sent;
    uint64_t bytes_received;
    uint64_t by_status[FLEET_STATUSES];
    uint64_t bad_answers; /* no HTTP, or a 200 that doesn't say stored */
    uint64_t transport_errors;
    uint64_t timeouts;
    uint64_t unanswered;   /* connections whose last batch has no answer */
    uint64_t unsent;       /* batches that were due and never begun */
    uint64_t dropped;      /* connections that ended while nothing was on its way */
    uint64_t measurements; /* in batches that were stored */
    uint64_t elapsed_ns;
};

struct fleet {
    struct fleet_conf conf;
    struct payload *payload; /* NULL: hosts send from the */
    const struct tape *tape;
    const struct codec *codec;
    bool gzip;
    struct deflater *deflater; /* for a payload's heads; NULL: they go as they are */
    struct host *hosts;
    struct client *clients; /* one a connection */
    struct client **due;    /* idle ones, a heap by when they are due */
    size_t n_due;
    int epoll_fd;
    uint64_t start_ns;
    uint64_t end_ns;     /* no batch begins later */
    uint64_t give_up_ns; /* and nothing is waited for */
    size_t n_running;
    struct fleet_counts counts;
    struct latency latency; /* from when a batch was due to the whole answer */
};

/* Makes the hosts; @payload and @tape are borrowed, and one of them is NULL. Return: 0,
 * for fleet_done(); -errno; a verdict on an identifier. */
PC_MUST_CHECK int fleet_init(struct fleet *f, const struct fleet_conf *conf,
                             struct payload *payload, const struct tape *tape);
void fleet_done(struct fleet *f);

/* Runs all hosts until each has sent its batches or the time is over, and leaves their
 * connections open; bounded in time. Run again, they go on, and are counted anew. Return:
 * 0, whatever was answered; -errno. */
PC_MUST_CHECK int fleet_run(struct fleet *f);

/* Keeps the connections for a time, and counts those that end. Return: 0; -errno. */
PC_MUST_CHECK int fleet_hold(struct fleet *f, uint64_t duration_ns);

/* How long all identifiers with this prefix are. */
size_t fleet_identifier_n(const char *prefix);

/* What a host did. */
struct fleet_client {
    char identifier[LIMIT_IDENTIFIER_BYTES + 1];
    uint64_t session;
    uint64_t stored; /* batches 1 to this were answered as stored */
};

void fleet_client(const struct fleet *f, size_t i, struct fleet_client *ret);
