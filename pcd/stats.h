/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * pcd's own counters and histograms, and how /metrics shows them and what the other
 * modules count (Prometheus text format 0.0.4). Any thread; nothing here waits.
 */

#include "common/buf.h"
#include "pcd/chains.h"
#include "pcd/hosts.h"
#include "pcd/store.h"

#include <stdint.h>

enum stats_route {
    STATS_PING,
    STATS_TRICKLE,
    STATS_HEALTHZ,
    STATS_READYZ,
    STATS_METRICS,
    STATS_OTHER, /* no route of ours, or a request too broken to have one */
    STATS_ROUTES,
};

extern const char *const stats_route_names[STATS_ROUTES];

enum stats_counter {
    STATS_BATCHES,           /* stored */
    STATS_MEASUREMENTS,      /* stored */
    STATS_RECEIVED_BYTES,    /* of bodies, as they came */
    STATS_DECODED_BYTES,     /* of bodies, decompressed */
    STATS_REPLAYS,           /* batches that were stored before */
    STATS_PENDING_WAITS,     /* batches that waited for the result of their twin */
    STATS_ACCEPTED,          /* connections */
    STATS_REFUSED,           /* connections over the limit */
    STATS_TIMEOUT_IDLE,      /* connections ended for want of a request */
    STATS_TIMEOUT_REQUEST,   /* requests that took too long to arrive */
    STATS_TIMEOUT_ANSWER,    /* answers that took too long to be read */
    STATS_OVER_KEY_RATE,     /* requests refused */
    STATS_OVER_ADDRESS_RATE, /* likewise */
    STATS_UNANSWERED,        /* requests that ended without an answer of ours */
    STATS_COUNTERS,
};

enum stats_duration {
    STATS_DECODE, /* decompress, decode and format a batch */
    STATS_COMMIT, /* from handing a batch over to knowing its fate */
    STATS_SYNC,   /* a sync of the log */
    STATS_DURATIONS,
};

#define STATS_CODES 16u
#define STATS_BUCKETS 14u

struct stats_histogram {
    _Atomic uint64_t buckets[STATS_BUCKETS + 1]; /* each for itself; the last: beyond */
    _Atomic uint64_t sum_ns;
};

struct stats {
    _Atomic uint64_t requests[STATS_ROUTES][STATS_CODES];
    _Atomic uint64_t counters[STATS_COUNTERS];
    struct stats_histogram durations[STATS_DURATIONS];
};

/* Counts an answer; a code that isn't in the table is counted as 0. */
void stats_request(struct stats *s, enum stats_route route, unsigned code);
void stats_add(struct stats *s, enum stats_counter counter, uint64_t n);
void stats_observe(struct stats *s, enum stats_duration duration, uint64_t ns);

/* What the other modules know at a moment. */
struct stats_view {
    const char *version; /* literals of this program and of its libraries */
    const char *revision;
    const char *libmicrohttpd;
    const char *zlib;
    const char *msgpack;
    uint64_t start_s; /* when pcd started, since the Unix epoch */
    uint64_t connections;
    uint64_t connections_max;
    uint64_t bytes; /* charged to admit */
    uint64_t bytes_max;
    struct hosts_counts hosts;
    struct chains_counts delta;
    uint64_t delta_bytes_max;
    struct store_counts store;
};

/**
 * stats_render() - append the page
 *
 * Return: 0; E_TOO_LARGE; -ENOMEM; @to may hold part of it then.
 */
PC_MUST_CHECK int stats_render(const struct stats *s, const struct stats_view *view,
                               struct buf *to);
