/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * What pcc counts of itself. Each is raised by one thread and may be read by any; they
 * are for people and for the exit status, nothing is decided by them while running.
 */

#include "pcc/gaps.h"

#include <stdint.h>

struct counters {
    /* sampler */
    _Atomic uint64_t ticks;
    _Atomic uint64_t missed; /* points of the grid at which no tick was taken */
    _Atomic uint64_t measurements;
    _Atomic uint64_t behind;       /* measurements lost because the sender was behind */
    _Atomic uint64_t last_tick_ns; /* boot clock; 0 before the first */
    /* sender */
    _Atomic uint64_t
        dropped; /* measurements lost on the way out, the queue full or worse */
    _Atomic uint64_t rejected;  /* measurements that the server will never take */
    _Atomic uint64_t sent;      /* measurements stored by the server */
    _Atomic uint64_t replayed;  /* those of them that it had stored before */
    _Atomic uint64_t conflicts; /* batches that the server wanted as a snapshot */
    _Atomic uint64_t appended;  /* measurements written to the collection */
    _Atomic uint64_t requests;
    _Atomic uint64_t connections;
    _Atomic uint64_t bytes_sent; /* of bodies */
    /* whoever loses them, each an id of its own: measurements, 0 where not counted so */
    _Atomic uint64_t lost[GAP_IDS];
};
