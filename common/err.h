/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * How a call ended, in one int. 0: done. Negative: a fault, -errno; ours or the
 * machine's. Positive: a verdict from the one list below; the peer's or the
 * situation's, and each function that gives one documents which.
 */

#include <stdbool.h>
#include <stddef.h>

#define PC_MUST_CHECK __attribute__((warn_unused_result))
#define PC_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))

/* Releases a variable when it leaves its scope: CLEANUP(buf_done) struct buf b; */
#define CLEANUP(fn) __attribute__((cleanup(fn)))

enum verdict {
    E_TRUNCATED = 1, /* the input ends before it is complete */
    E_MALFORMED,     /* the input breaks its grammar or a rule of the protocol */
    E_TOO_LARGE,     /* a limit would be passed */
    E_UNSUPPORTED,   /* a type, coding or form that we don't take */
    E_REPLAY,        /* stored before: nothing to do */
    E_PENDING,       /* being done right now by somebody else */
    E_FULL,          /* a bound that others share is reached; later may do */
    E_NO_ROOM,       /* the disk is full or below its reserve */
    E_DENIED,        /* no right to do this */
    E_GONE,          /* not there (any more) */
    E_STOPPED,       /* we are shutting down */
    E_CONFLICT,      /* it builds on something that isn't there */
};

/*
 * Where a decoder stopped, and why. what is always a literal. An offset or an item
 * that isn't known is ERR_AT_UNKNOWN.
 */
#define ERR_AT_UNKNOWN ((size_t)-1)

struct err_at {
    const char *what;
    size_t offset; /* bytes from the start of the (decoded) input */
    size_t item;   /* index of the measurement it happened in, */
    bool in_group; /* or of the group of a delta message */
};

#define ERR_AT_NOWHERE ((struct err_at){.offset = ERR_AT_UNKNOWN, .item = ERR_AT_UNKNOWN})

/**
 * err_text() - the one table of texts for results
 * @r: any result: 0, a fault or a verdict
 *
 * Return: a text that lives for ever; for a fault, strerror's.
 */
const char *err_text(int r);

/**
 * err_describe() - say why, where and in which item a decoder stopped
 * @r:        its result, used where @at names no reason
 * @at:       borrows; what the decoder filled in
 * @ret_text: receives the text, always terminated, cut at @size
 * @size:     bytes at @ret_text, at least 1
 */
void err_describe(int r, const struct err_at *at, char *ret_text, size_t size);
