/* SPDX-License-Identifier: MIT */
#include "pcc/mark.h"

#include "common/hash.h"
#include "common/io.h"
#include "common/units.h"
#include "pcc/early.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* The file, as this machine lays it out; no other one reads it. */
struct record {
    char magic[8];
    struct mark_state state;
    uint64_t interval_ns;
    char boot_id[40];
    char identifier[LIMIT_IDENTIFIER_BYTES + 8];
    uint64_t starts; /* of agents since first_ns */
    uint32_t ended;
    uint32_t crc; /* CRC-32C of what is before it */
};

_Static_assert(sizeof(struct record) == offsetof(struct record, crc) + 4,
               "it is compared and checked byte by byte");

struct mark {
    int fd;
    struct mark_start start;
    bool found;
    bool carries;         /* the loss before is part of the state noted last */
    struct record before; /* of the agent before this one */
    struct record now;
};

static const char magic[8] = "pccmark1";

static uint32_t crc_of(const struct record *r)
{
    return hash_crc32c(0, span_of(r, offsetof(struct record, crc)));
}

static bool is_good(const struct record *r)
{
    return memcmp(r->magic, magic, sizeof magic) == 0 && r->crc == crc_of(r) &&
           r->interval_ns > 0;
}

static void copy_text(char *to, size_t size, const char *from)
{
    size_t n = strlen(from);

    memcpy(to, from, n < size ? n : size - 1); /* the rest is zeros */
}

int mark_open(int dir_fd, const struct mark_start *start, struct mark **ret)
{
    size_t n = 0;
    struct mark *m = calloc(1, sizeof *m);
    if (!m)
        return -ENOMEM;
    m->start = *start;
    memcpy(m->now.magic, magic, sizeof magic);
    m->now.interval_ns = start->interval_ns;
    copy_text(m->now.boot_id, sizeof m->now.boot_id, start->boot_id);
    copy_text(m->now.identifier, sizeof m->now.identifier, start->identifier);
    m->start.boot_id = m->now.boot_id;
    m->start.identifier = m->now.identifier;
    m->fd = openat(dir_fd, "mark", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    int r = m->fd < 0 ? -errno : io_pread(m->fd, &m->before, sizeof m->before, 0, &n);
    if (r) {
        mark_free(m);
        return r;
    }
    m->found =
        n == sizeof m->before && is_good(&m->before) &&
        memcmp(m->before.identifier, m->now.identifier, sizeof m->now.identifier) == 0;
    m->carries = m->found;
    *ret = m;
    return 0;
}

void mark_free(struct mark *m)
{
    if (!m)
        return;
    io_close(&m->fd);
    free(m);
}

static uint64_t distance(uint64_t a, uint64_t b)
{
    return a < b ? b - a : a - b;
}

/* How many ticks were due from one moment to another; how late any was isn't known. */
static uint64_t due_between(uint64_t from_ns, uint64_t to_ns, uint64_t interval_ns)
{
    return (distance(from_ns, to_ns) + interval_ns / 2) / interval_ns;
}

static struct gap_note note_of(const struct mark *m, uint64_t first_ns, uint64_t to_ns,
                               uint64_t ticks)
{
    const uint64_t known = m->before.state.measurements;
    const uint64_t most = ticks * m->start.sources;

    /* The wall clock may have been set back in between. */
    return (struct gap_note){
        .from_ns = first_ns < to_ns ? first_ns : to_ns,
        .to_ns = first_ns < to_ns ? to_ns : first_ns,
        .ticks = ticks,
        .measurements = known > most ? known : most,
    };
}

/* Those that were not delivered at the end are known to the last one. */
static bool loss_at_end(const struct mark *m, struct gap_note *ret)
{
    const struct mark_state *s = &m->before.state;

    if (s->first_ns == 0)
        return false;
    *ret = note_of(m, s->first_ns, s->last_ns,
                   1 + due_between(s->first_ns, s->last_ns, m->before.interval_ns));
    ret->measurements = s->measurements;
    return true;
}

/* Return: was something that had been handed over in memory only? Else the loss begins
 * with what came behind that. */
static bool is_lost_in_memory(const struct mark_state *s)
{
    return s->first_ns > 0 && s->first_ns <= s->last_ns;
}

static uint64_t first_lost_ns(const struct mark *m)
{
    const struct mark_state *s = &m->before.state;

    return is_lost_in_memory(s) ? s->first_ns : s->last_ns + MSEC;
}

static bool loss_by_kill(const struct mark *m, struct gap_note *ret)
{
    const struct mark_state *s = &m->before.state;
    const uint64_t interval_ns = m->before.interval_ns;
    uint64_t first_ns = first_lost_ns(m);
    uint64_t now_ns = early_is(first_ns) ? m->start.boot_ns : m->start.time_ns;
    /* An agent's first tick is beside its grid. */
    uint64_t most =
        (distance(first_ns, now_ns) + interval_ns - 1) / interval_ns + m->before.starts;
    uint64_t ticks =
        is_lost_in_memory(s) ? most : due_between(s->last_ns, now_ns, interval_ns);

    *ret = note_of(m, first_ns, m->start.time_ns, ticks);
    return ticks > 0;
}

/* A time of the boot clock says nothing after another boot. */
static bool date_is_lost(const struct mark *m)
{
    const struct mark_state *s = &m->before.state;

    return early_is(is_lost_in_memory(s) ? s->first_ns : s->last_ns) &&
           memcmp(m->before.boot_id, m->now.boot_id, sizeof m->now.boot_id) != 0;
}

bool mark_loss(const struct mark *m, enum gap_id *ret_id, struct gap_note *ret)
{
    if (!m->found)
        return false;
    *ret_id = m->before.ended ? GAP_UNSENT : GAP_KILLED;
    if (date_is_lost(m)) {
        *ret = note_of(m, m->start.time_ns, m->start.time_ns, 0);
        return ret->measurements > 0;
    }
    return m->before.ended ? loss_at_end(m, ret) : loss_by_kill(m, ret);
}

int mark_note(struct mark *m, const struct mark_state *state, bool ended)
{
    const struct record before = m->now;
    const bool carries =
        m->carries && state->first_ns > 0 && state->first_ns <= first_lost_ns(m);

    m->now.state = *state;
    m->now.starts = carries ? m->before.starts + 1 : 1;
    m->now.ended = ended;
    m->now.crc = crc_of(&m->now);
    if (memcmp(&m->now, &before, sizeof before) == 0)
        return 0;
    struct iovec part = {.iov_base = &m->now, .iov_len = sizeof m->now};
    int r = io_pwritev(m->fd, &part, 1, 0);
    if (r)
        m->now = before; /* it is tried again */
    else
        m->carries = carries;
    return r;
}
