/* SPDX-License-Identifier: MIT */
#include "pcc/status.h"

#include "common/json.h"
#include "common/units.h"

#include <inttypes.h>
#include <string.h>

/* Late ticks are no reason to call somebody; ones that don't come are. */
#define LATE_TICKS 3u
#define LATE_MORE (5 * SEC)
#define TEXT_MAX 512u /* of one value */

static const char *state_of(const struct status *s)
{
    uint64_t last_ns =
        s->counters->last_tick_ns ? s->counters->last_tick_ns : s->start_ns;

    if (s->now_ns > last_ns &&
        s->now_ns - last_ns > LATE_TICKS * s->interval_ns + LATE_MORE)
        return "stuck";
    if (s->failing)
        return "failing";
    return *s->server && s->stored_ns == 0 ? "waiting" : "ok";
}

static int append_text(struct buf *to, const char *key, const char *value)
{
    int r = buf_printf(to, "%s=", key);

    for (size_t n = 0; r == 0 && value[n] && n < TEXT_MAX; n++) {
        uint8_t c = (uint8_t)value[n];
        r = buf_append_byte(to, c < ' ' || c == 0x7f ? '?' : c);
    }
    return r ? r : buf_append_byte(to, '\n');
}

static int append_number(struct buf *to, const char *key, uint64_t value)
{
    return buf_printf(to, "%s=%" PRIu64 "\n", key, value);
}

/* How long ago; empty for never. */
static int append_age(struct buf *to, const char *key, uint64_t now_ns, uint64_t at_ns)
{
    if (at_ns == 0)
        return append_text(to, key, "");
    return append_number(to, key, (now_ns > at_ns ? now_ns - at_ns : 0) / MSEC);
}

static int append_waiting(struct buf *to, const char *where,
                          const struct status_waiting *w)
{
    return buf_printf(
        to, "%s_batches=%" PRIu64 "\n%s_measurements=%" PRIu64 "\n%s_bytes=%" PRIu64 "\n",
        where, w->batches, where, w->measurements, where, w->bytes);
}

static int append_who(const struct status *s, struct buf *to)
{
    int r = append_text(to, "state", state_of(s));

    if (r == 0)
        r = append_text(to, "version", s->version);
    if (r == 0)
        r = append_number(to, "pid", s->pid);
    if (r == 0)
        r = append_text(to, "identifier", s->identifier);
    if (r == 0)
        r = append_text(to, "server", s->server);
    if (r == 0)
        r = append_text(to, "serialization", s->serialization);
    if (r == 0)
        r = append_text(to, "compression", s->compression);
    if (r == 0)
        r = append_age(to, "uptime_ms", s->now_ns, s->start_ns);
    if (r == 0)
        r = append_age(to, "tick_age_ms", s->now_ns, s->counters->last_tick_ns);
    if (r == 0)
        r = append_age(to, "stored_age_ms", s->now_ns, s->stored_ns);
    return r;
}

static int append_trouble(const struct status *s, struct buf *to)
{
    int r = append_text(to, "last_error", s->last_error);

    return r ? r : append_age(to, "last_error_age_ms", s->now_ns, s->error_ns);
}

static int append_counts(const struct status *s, struct buf *to)
{
    const struct counters *c = s->counters;
    int r = buf_printf(to,
                       "ticks=%" PRIu64 "\nmissed_ticks=%" PRIu64
                       "\nmeasurements=%" PRIu64 "\nsent=%" PRIu64 "\nreplayed=%" PRIu64
                       "\nappended=%" PRIu64 "\nbytes_sent=%" PRIu64 "\nrequests=%" PRIu64
                       "\nconnections=%" PRIu64 "\n",
                       c->ticks, c->missed, c->measurements, c->sent, c->replayed,
                       c->appended, c->bytes_sent, c->requests, c->connections);

    for (int id = 0; r == 0 && id < GAP_IDS; id++) {
        if (gaps_name((enum gap_id)id))
            r = buf_printf(to, "lost_%s=%" PRIu64 "\n", gaps_name((enum gap_id)id),
                           c->lost[id]);
    }
    return r;
}

int status_append(const struct status *s, struct buf *to)
{
    const size_t before = to->len;
    int r = append_who(s, to);

    if (r == 0)
        r = append_waiting(to, "memory", &s->memory);
    if (r == 0)
        r = append_waiting(to, "spool", &s->spool);
    if (r == 0)
        r = append_number(to, "undated_measurements", s->undated);
    if (r == 0)
        r = append_trouble(s, to);
    if (r == 0)
        r = append_counts(s, to);
    if (r)
        buf_truncate(to, before);
    return r;
}

bool status_is_well(struct span text)
{
    return span_starts_with(text, SPAN("state=ok\n")) ||
           span_starts_with(text, SPAN("state=waiting\n"));
}

static bool is_number(struct span value)
{
    for (size_t i = 0; i < value.n; i++) {
        if (value.data[i] < '0' || value.data[i] > '9')
            return false;
    }
    return value.n > 0;
}

static bool is_text_key(struct span key)
{
    static const char *const keys[] = {"state",     "version",       "identifier",
                                       "server",    "serialization", "compression",
                                       "last_error"};

    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        if (span_equal_str(key, keys[i]))
            return true;
    }
    return false;
}

static int append_json_value(struct span key, struct span value, struct buf *to)
{
    if (value.n == 0)
        return buf_append(to, SPAN("null"));
    if (is_text_key(key))
        return json_append_string(value, to);
    return is_number(value) ? buf_append(to, value) : E_MALFORMED;
}

static int append_json_line(struct span line, bool first, struct buf *to)
{
    const uint8_t *equals = memchr(line.data, '=', line.n);
    if (!equals)
        return E_MALFORMED;
    struct span key = span_of(line.data, (size_t)(equals - line.data));
    int r = buf_append_byte(to, first ? '{' : ',');
    if (r == 0)
        r = json_append_string(key, to);
    if (r == 0)
        r = buf_append_byte(to, ':');
    return r ? r : append_json_value(key, span_from(line, key.n + 1), to);
}

int status_append_json(struct span text, struct buf *to)
{
    const size_t before = to->len;
    bool first = true;
    int r = text.n > 0 ? 0 : E_MALFORMED;

    while (r == 0 && text.n > 0) {
        const uint8_t *end = memchr(text.data, '\n', text.n);
        size_t n = end ? (size_t)(end - text.data) : text.n;
        r = append_json_line(span_of(text.data, n), first, to);
        first = false;
        text = span_from(text, end ? n + 1 : n);
    }
    if (r == 0)
        r = buf_append(to, SPAN("}\n"));
    if (r)
        buf_truncate(to, before);
    return r;
}
