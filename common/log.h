/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Levelled lines of key=value to stderr, one event a line, each written whole with one
 * write(2). Where stderr is the journal (JOURNAL_STREAM, systemd.exec(5)) a line begins
 * with its priority `<N>`, else with the time (UTC) and the level.
 * Any thread; the level is the only state.
 *
 *     log_event(LOG_WARNING, "post_failed", LOG_U64("status", 503), LOG_MS("retry_ms",
 * ns));
 */

#include "common/err.h"
#include "common/span.h"

#include <stdbool.h>
#include <stdint.h>

enum log_level {
    LOG_TRACE,
    LOG_DEBUG,
    LOG_INFO,
    LOG_WARNING,
    LOG_ERROR,
};

/* The names TRACE, DEBUG, INFO, WARNING, ERROR, ended by NULL, in the order above. */
extern const char *const log_level_names[];

/* Lines below this level are left out. Call before threads start. */
void log_init(enum log_level level);
bool log_enabled(enum log_level level);

/* One field of a line. Made by the macros below, never by hand. */
struct log_field {
    const char *key; /* NULL ends the list */
    enum { LOG_FIELD_SPAN, LOG_FIELD_U64, LOG_FIELD_I64 } type;
    struct span span;
    uint64_t u64;
    int64_t i64;
};

/* A text from anywhere, quoted and escaped where it needs to be; NULL is empty. */
#define LOG_STR(k, s) ((struct log_field){.key = (k), .span = log_span_of_str(s)})
#define LOG_SPAN(k, s) ((struct log_field){.key = (k), .span = (s)})
#define LOG_U64(k, v) ((struct log_field){.key = (k), .type = LOG_FIELD_U64, .u64 = (v)})
#define LOG_I64(k, v) ((struct log_field){.key = (k), .type = LOG_FIELD_I64, .i64 = (v)})
/* Nanoseconds, shown as whole milliseconds. */
#define LOG_MS(k, ns) LOG_U64(k, (ns) / UINT64_C(1000000))
/* A result (common/err.h) as its text. */
#define LOG_RESULT(k, r) LOG_STR(k, err_text(r))

#define log_event(level, ...)                                                            \
    do {                                                                                 \
        if (log_enabled(level))                                                          \
            log_emit(level, LOG_FIRST(__VA_ARGS__, 0),                                   \
                     (const struct log_field[]){LOG_REST(__VA_ARGS__, {.key = NULL})});  \
    } while (0)
#define LOG_FIRST(first, ...) first
#define LOG_REST(first, ...) __VA_ARGS__

struct span log_span_of_str(const char *s);
/* Writes one line; use log_event(). A line that is too long is cut and ends in "…". */
void log_emit(enum log_level level, const char *event, const struct log_field *fields);

/* Holds a repeated event down to one line in so many nanoseconds, and counts the rest. */
struct log_limit {
    uint64_t every_ns;
    _Atomic uint64_t next_ns;
    _Atomic uint64_t suppressed;
};

/**
 * log_limit_pass() - may this line be written now?
 * @now_ns:         any clock that doesn't go back
 * @ret_suppressed: how many were held back since the last that passed; written when true
 */
bool log_limit_pass(struct log_limit *l, uint64_t now_ns, uint64_t *ret_suppressed);
