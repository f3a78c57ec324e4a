/* SPDX-License-Identifier: MIT */
#include "common/log.h"

#include "common/clock.h"
#include "common/units.h"
#include "common/utf8.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LINE_BYTES 4096u
/* Kept free at the end of a line for the mark that it was cut, and the newline. */
#define ENDING_BYTES 4u

const char *const log_level_names[] = {"TRACE",   "DEBUG", "INFO",
                                       "WARNING", "ERROR", NULL};

/* Set before threads start, only read after. */
static enum log_level lowest = LOG_INFO;
static bool is_journal;

struct line {
    char text[LINE_BYTES];
    size_t n;
    bool cut;
};

void log_init(enum log_level level)
{
    const char *stream = getenv("JOURNAL_STREAM");
    struct stat st;
    char own[64];

    lowest = level;
    is_journal = false;
    if (stream && fstat(STDERR_FILENO, &st) == 0) {
        (void)snprintf(own, sizeof own, "%ju:%ju", (uintmax_t)st.st_dev,
                       (uintmax_t)st.st_ino);
        is_journal = strcmp(stream, own) == 0;
    }
}

bool log_enabled(enum log_level level)
{
    return level >= lowest;
}

struct span log_span_of_str(const char *s)
{
    return s ? span_of_str(s) : SPAN("");
}

/* Adds bytes whole or, where they don't fit, not at all: the line is cut there. */
static void add(struct line *l, const char *bytes, size_t n)
{
    if (l->cut || n > LINE_BYTES - ENDING_BYTES - l->n) {
        l->cut = true;
        return;
    }
    memcpy(l->text + l->n, bytes, n);
    l->n += n;
}

static void add_str(struct line *l, const char *s)
{
    add(l, s, strlen(s));
}

static bool is_bare(struct span s)
{
    for (size_t i = 0; i < s.n; i++) {
        uint8_t c = s.data[i];
        if (c <= ' ' || c >= 0x7f || c == '"' || c == '\\' || c == '=')
            return false;
    }
    return s.n > 0;
}

/* Adds one character, escaped where it needs to be. Return: bytes of it. */
static size_t add_character(struct line *l, struct span s)
{
    uint8_t c = s.data[0];
    char escaped[8];

    if (c == '"' || c == '\\') {
        (void)snprintf(escaped, sizeof escaped, "\\%c", c);
        add_str(l, escaped);
        return 1;
    }
    if (c == '\n') {
        add_str(l, "\\n");
        return 1;
    }
    size_t n = 1;
    if (c >= 0x80) {
        struct span head = span_of(s.data, s.n < 4 ? s.n : 4);
        size_t lead = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;
        n = utf8_valid_prefix(head) >= lead ? lead : 0;
    }
    if (n == 0 || c < ' ' || c == 0x7f) {
        (void)snprintf(escaped, sizeof escaped, "\\x%02x", c);
        add_str(l, escaped);
        return 1;
    }
    add(l, (const char *)s.data, n);
    return n;
}

static void add_text(struct line *l, struct span s)
{
    if (is_bare(s)) {
        while (s.n > 0 && !l->cut)
            s = span_from(s, add_character(l, s));
        return;
    }
    add_str(l, "\"");
    while (s.n > 0 && !l->cut)
        s = span_from(s, add_character(l, s));
    add_str(l, "\"");
}

static void add_field(struct line *l, const struct log_field *f)
{
    char number[32];

    add_str(l, " ");
    add_str(l, f->key);
    add_str(l, "=");
    switch (f->type) {
    case LOG_FIELD_U64:
        (void)snprintf(number, sizeof number, "%" PRIu64, f->u64);
        add_str(l, number);
        break;
    case LOG_FIELD_I64:
        (void)snprintf(number, sizeof number, "%" PRId64, f->i64);
        add_str(l, number);
        break;
    case LOG_FIELD_SPAN:
        add_text(l, f->span);
        break;
    }
}

static void add_head(struct line *l, enum log_level level)
{
    static const char *const priorities[] = {"<7>", "<7>", "<6>", "<4>", "<3>"};
    char date[32];
    char head[64];
    struct tm tm;

    if (is_journal) {
        add_str(l, priorities[level]);
        return;
    }
    uint64_t now = clock_wall_ns();
    time_t seconds = (time_t)(now / SEC);
    const struct tm *done = gmtime_r(&seconds, &tm);
    assert(done);
    (void)strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", done);
    (void)snprintf(head, sizeof head, "%s.%03uZ %s ", date, (unsigned)(now % SEC / MSEC),
                   log_level_names[level]);
    add_str(l, head);
}

void log_emit(enum log_level level, const char *event, const struct log_field *fields)
{
    struct line l;

    l.n = 0;
    l.cut = false;
    add_head(&l, level);
    add_str(&l, "event=");
    add_str(&l, event);
    for (const struct log_field *f = fields; f->key; f++)
        add_field(&l, f);
    if (l.cut) {
        memcpy(l.text + l.n, "\xe2\x80\xa6", 3);
        l.n += 3;
    }
    l.text[l.n++] = '\n';
    /* Nobody is left to tell where stderr can't be written. */
    ssize_t ignored = write(STDERR_FILENO, l.text, l.n);
    (void)ignored;
}

bool log_limit_pass(struct log_limit *l, uint64_t now_ns, uint64_t *ret_suppressed)
{
    uint64_t next = l->next_ns;

    if (now_ns < next ||
        !__atomic_compare_exchange_n(&l->next_ns, &next, now_ns + l->every_ns, false,
                                     __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
        l->suppressed++;
        return false;
    }
    *ret_suppressed = __atomic_exchange_n(&l->suppressed, 0, __ATOMIC_SEQ_CST);
    return true;
}
