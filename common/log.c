/* SPDX-License-Identifier: MIT */
#include "common/log.h"

#include "common/clock.h"
#include "common/units.h"
#include "common/utf8.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LINE_BYTES 4096u
#define CUT_MARK "\xe2\x80\xa6"

const char *const log_level_names[] = {"TRACE",   "DEBUG", "INFO",
                                       "WARNING", "ERROR", NULL};

static enum log_level lowest = LOG_INFO;
static bool to_journal;

/* JOURNAL_STREAM names the stream by device and inode, because children inherit the
 * variable also where their stderr goes elsewhere (systemd.exec(5)). */
static bool stderr_is_journal(void)
{
    const char *stream = getenv("JOURNAL_STREAM");
    struct stat st;
    char own[64];

    if (!stream || fstat(STDERR_FILENO, &st) != 0)
        return false;
    (void)snprintf(own, sizeof own, "%ju:%ju", (uintmax_t)st.st_dev,
                   (uintmax_t)st.st_ino);
    return strcmp(stream, own) == 0;
}

void log_init(enum log_level level)
{
    lowest = level;
    to_journal = stderr_is_journal();
}

bool log_enabled(enum log_level level)
{
    return level >= lowest;
}

struct span log_span_of_str(const char *s)
{
    return s ? span_of_str(s) : span_of(NULL, 0);
}

/* A line in the making. What doesn't fit ends it, so that it is cut between pieces:
 * pieces are characters and escapes, and thus never torn. */
struct line {
    char text[LINE_BYTES];
    size_t n;
    bool is_full;
};

static void put(struct line *l, const void *piece, size_t n)
{
    const size_t tail = sizeof CUT_MARK; /* its terminator's byte is the newline's */

    if (n > sizeof l->text - tail - l->n)
        l->is_full = true;
    if (l->is_full)
        return;
    memcpy(l->text + l->n, piece, n);
    l->n += n;
}

static void put_str(struct line *l, const char *s)
{
    put(l, s, strlen(s));
}

static void put_head(struct line *l, enum log_level level)
{
    static const char *const priorities[] = {"<7>", "<7>", "<6>", "<4>", "<3>"};
    uint64_t now_ns = clock_wall_ns();
    time_t seconds = (time_t)(now_ns / SEC);
    struct tm tm;
    char text[64];

    if (to_journal) {
        put_str(l, priorities[level]);
        return;
    }
    gmtime_r(&seconds, &tm);
    size_t n = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm);
    (void)snprintf(text + n, sizeof text - n, ".%03uZ ", (unsigned)(now_ns % SEC / MSEC));
    put_str(l, text);
    put_str(l, log_level_names[level]);
    put_str(l, " ");
}

/* Escapes one byte. */
static void put_escaped(struct line *l, uint8_t c)
{
    char text[8];

    if (c == '\n')
        (void)snprintf(text, sizeof text, "\\n");
    else if (c == '"' || c == '\\')
        (void)snprintf(text, sizeof text, "\\%c", c);
    else
        (void)snprintf(text, sizeof text, "\\x%02X", c);
    put_str(l, text);
}

/* How many bytes the character at the start of valid UTF-8 has. */
static size_t char_bytes(uint8_t first)
{
    if (first < 0x80)
        return 1;
    return first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
}

/* C0, DEL, and C1, which is C2 80 to C2 9F: terminals obey them. */
static bool is_control(const uint8_t *c)
{
    return c[0] < 0x20 || c[0] == 0x7f || (c[0] == 0xc2 && c[1] < 0xa0);
}

static bool is_bare(struct span value)
{
    for (size_t i = 0; i < value.n; i++) {
        uint8_t c = value.data[i];
        if (c <= ' ' || c == '"' || c == '=' || c == '\\' || c >= 0x7f)
            return false;
    }
    return value.n > 0;
}

/* Quotes the valid run that @value starts with. */
static void put_valid(struct line *l, struct span value)
{
    while (value.n > 0 && !l->is_full) {
        size_t n = char_bytes(value.data[0]);
        if (is_control(value.data) || value.data[0] == '"' || value.data[0] == '\\') {
            for (size_t i = 0; i < n; i++)
                put_escaped(l, value.data[i]);
        } else {
            put(l, value.data, n);
        }
        value = span_from(value, n);
    }
}

static void put_value(struct line *l, struct span value)
{
    /* No byte takes less than one of the line: what is beyond can't be in it. */
    if (value.n > LINE_BYTES)
        value.n = LINE_BYTES;
    if (is_bare(value)) {
        for (size_t i = 0; i < value.n; i++)
            put(l, value.data + i, 1);
        return;
    }
    put_str(l, "\"");
    while (value.n > 0 && !l->is_full) {
        size_t valid = utf8_valid_prefix(value);
        put_valid(l, span_of(value.data, valid));
        value = span_from(value, valid);
        if (value.n > 0)
            put_escaped(l, value.data[0]);
        value = span_from(value, 1);
    }
    put_str(l, "\"");
}

static void put_field(struct line *l, const struct log_field *field)
{
    char number[32];

    put_str(l, " ");
    put_str(l, field->key);
    put_str(l, "=");
    switch (field->type) {
    case LOG_FIELD_SPAN:
        put_value(l, field->span);
        return;
    case LOG_FIELD_U64:
        (void)snprintf(number, sizeof number, "%" PRIu64, field->u64);
        break;
    case LOG_FIELD_I64:
        (void)snprintf(number, sizeof number, "%" PRId64, field->i64);
        break;
    }
    put_str(l, number);
}

void log_emit(enum log_level level, const char *event, const struct log_field *fields)
{
    struct line l;

    l.n = 0;
    l.is_full = false;
    put_head(&l, level);
    put_str(&l, "event=");
    put_str(&l, event);
    for (const struct log_field *f = fields; f->key; f++)
        put_field(&l, f);
    if (l.is_full) {
        memcpy(l.text + l.n, CUT_MARK, sizeof CUT_MARK - 1);
        l.n += sizeof CUT_MARK - 1;
    }
    l.text[l.n++] = '\n';
    /* When stderr can't be written there is nowhere left to say so, and a second try
     * would tear the line: it is lost. */
    ssize_t lost = write(STDERR_FILENO, l.text, l.n);
    (void)lost;
}

bool log_limit_pass(struct log_limit *l, uint64_t now_ns, uint64_t *ret_suppressed)
{
    uint64_t next_ns = l->next_ns;

    /* Of several threads at the same moment the one that moves the mark passes. */
    if (now_ns < next_ns ||
        !atomic_compare_exchange_strong(&l->next_ns, &next_ns, now_ns + l->every_ns)) {
        l->suppressed++;
        return false;
    }
    *ret_suppressed = atomic_exchange(&l->suppressed, 0);
    return true;
}
