/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * How the agent is, in words: what `pcc status` shows. A line of `key=value` each, values
 * to the end of the line. Pure.
 */

#include "common/buf.h"
#include "pcc/counters.h"

#include <stdbool.h>
#include <stdint.h>

/* The whole text: a socket takes it at once. */
#define STATUS_MAX 8192u

/* Batches that wait somewhere. */
struct status_waiting {
    uint64_t batches;
    uint64_t measurements;
    uint64_t bytes;
};

/* Times are of the boot clock; 0 is never. */
struct status {
    const char *version;
    const char *identifier;
    const char *server; /* "" in local mode */
    const char *serialization;
    const char *compression;
    uint64_t pid;
    uint64_t now_ns;
    uint64_t start_ns;
    uint64_t interval_ns;
    const struct counters *counters;
    uint64_t stored_ns; /* the last batch that the server acknowledged */
    struct status_waiting memory;
    struct status_waiting spool;
    uint64_t undated;       /* measurements held until the clock is set */
    bool failing;           /* the last try to deliver, or to write the collection */
    const char *last_error; /* "" for none */
    uint64_t error_ns;
};

/**
 * status_append() - append the text, at most STATUS_MAX bytes
 *
 * Its first line is `state=` and one word: `ok`; `waiting`: nothing was stored yet;
 * `failing`; `stuck`: no ticks are taken.
 *
 * Return: 0; E_TOO_LARGE; -ENOMEM; @to unchanged then.
 */
PC_MUST_CHECK int status_append(const struct status *s, struct buf *to);

/* Does such a text say that all is well, or may become so? */
bool status_is_well(struct span text);

/**
 * status_append_json() - append such a text as one compact JSON object
 *
 * Values are strings or numbers, as their key says; empty ones are null.
 *
 * Return: 0; E_TOO_LARGE; -ENOMEM; E_MALFORMED: a line isn't `key=value` or its number
 *         none. @to unchanged then.
 */
PC_MUST_CHECK int status_append_json(struct span text, struct buf *to);
