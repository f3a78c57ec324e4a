/* SPDX-License-Identifier: MIT */
#include "pcd/recover.h"

#include "common/clock.h"
#include "common/gap.h"
#include "common/io.h"
#include "common/json.h"
#include "common/log.h"
#include "common/units.h"
#include "pcd/log_reader.h"
#include "proto/wire.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define LINE_MAX_BYTES 4096u

struct recover {
    int log_fd;
    struct dayfiles *files;
    struct keys *keys;
    const struct store_observer *observer; /* or NULL */
    struct store_recovery found;
    uint64_t last_arrival_ns; /* of the record applied last */
    int fault;                /* for which a day file is behind */
    uint64_t line_bytes;      /* of all records applied */
    struct log_position read; /* the end of the log applied last */
};

/* The logs that there are, in order. */
struct logs {
    uint64_t *numbers;
    bool *damaged;
    size_t n;
};

/* A pcd/gap measurement as a line of a collection. */
static int gap_line(const struct gap *gap, struct buf *ret)
{
    CLEANUP(buf_done) struct buf text;

    buf_init(&text, LINE_MAX_BYTES);
    int r = gap_append_text(gap, &text);
    if (r)
        return r;
    struct measurement m = {
        .time_ns = gap->to_ns,
        .subsystem = SPAN(WIRE_SUBSYSTEM_PCD_GAP),
        .text = buf_span(&text),
    };
    return json_append_line(&m, ret);
}

static void tell(const struct recover *v)
{
    if (v->observer && v->observer->recovers)
        v->observer->recovers(v->observer->arg);
}

static int write_all(struct recover *v, struct dayfile *f, struct span bytes,
                     uint64_t offset)
{
    struct iovec part = {(void *)(uintptr_t)bytes.data, bytes.n};

    return bytes.n ? dayfile_write(v->files, f, &part, 1, offset) : 0;
}

/*
 * Fills a hole of a day file: lines that a damaged record held were not written before
 * the crash. Its size is known to the byte, so a gap measurement goes right there, padded
 * with blanks; a hole too small for one becomes a blank line.
 */
static int fill_hole(struct recover *v, struct dayfile *f, uint64_t from, uint64_t to,
                     uint64_t arrival_ns)
{
    CLEANUP(buf_done) struct buf line;
    struct gap gap = {
        .kind = "damaged",
        .from_ns = v->last_arrival_ns ? v->last_arrival_ns : arrival_ns,
        .to_ns = arrival_ns,
        .reason = "the log was damaged where measurements of this host stood",
    };

    buf_init(&line, LINE_MAX_BYTES);
    int r = gap_line(&gap, &line);
    if (r)
        return r;
    if (line.len > to - from)
        buf_reset(&line);
    else
        buf_truncate(&line, line.len - 1); /* its newline comes after the padding */
    r = write_all(v, f, buf_span(&line), from);

    uint8_t blanks[4096];
    memset(blanks, ' ', sizeof blanks);
    for (uint64_t at = from + line.len; r == 0 && at < to - 1;) {
        size_t n = to - 1 - at < sizeof blanks ? (size_t)(to - 1 - at) : sizeof blanks;

        r = write_all(v, f, span_of(blanks, n), at);
        at += n;
    }
    return r ? r : write_all(v, f, SPAN("\n"), to - 1);
}

/* Writes a record's lines. A file that can't be written is behind from then on, and no
 * reason to leave out the others. */
static void file_record(struct recover *v, struct dayfile *f,
                        const struct log_record *rec)
{
    uint64_t size;

    if (f->behind)
        return;
    int r = dayfile_size(v->files, f, &size);
    if (r == 0 && size < rec->file_offset)
        r = fill_hole(v, f, size, rec->file_offset, rec->arrival_ns);
    if (r == 0)
        r = write_all(v, f, rec->lines, rec->file_offset);
    if (r == 0)
        return;
    dayfile_mark_behind(v->files, f);
    v->fault = r;
    log_event(LOG_ERROR, "day_file_failed", LOG_SPAN("identifier", rec->identifier),
              LOG_RESULT("error", r));
}

static int apply(struct recover *v, const struct log_record *rec)
{
    struct dayfile *f;

    int r = dayfile_expect(v->files, rec->identifier, rec->day, rec->file_offset, &f);
    if (r)
        return r;
    file_record(v, f, rec);
    if (rec->has_key)
        r = keys_store(v->keys, rec->identifier, &rec->key, keys_now_ns(v->keys));
    if (f->next_offset < rec->file_offset + rec->lines.n)
        f->next_offset = rec->file_offset + rec->lines.n;
    dayfile_put(f);
    v->last_arrival_ns = rec->arrival_ns;
    v->line_bytes += rec->lines.n;
    v->found.records++;
    tell(v);
    return r;
}

/* Is there a whole record behind @bad whose group began later? The reader stands at a
 * whole record. Return: 0; E_GONE; -errno. The reader's place is lost. */
static int find_later_group(struct log_reader *r, uint64_t bad)
{
    struct log_record rec;

    for (;;) {
        int res = log_read(r, &rec);

        if (res == 0 && rec.group > bad)
            return 0;
        if (res == E_MALFORMED)
            res = log_find(r, &rec);
        if (res)
            return res;
    }
}

/*
 * The reader stands where no whole record is. Decides what that means.
 * Return: 0: damage, and the reader stands at the next whole record; E_GONE: the tail,
 * or damage with nothing whole behind it; -errno.
 */
static int judge(struct recover *v, struct log_reader *r, bool acknowledged,
                 bool *ret_damaged)
{
    struct log_record rec;
    uint64_t bad = r->offset;

    int found = log_find(r, &rec);
    if (found < 0)
        return found;
    uint64_t whole = found == 0 ? r->offset : r->end;
    if (!acknowledged) {
        int res = found == 0 ? find_later_group(r, bad) : E_GONE;
        if (res) {
            r->offset = bad; /* of the group that was being written: never answered */
            return res;
        }
    }
    r->offset = whole;
    v->found.damaged += whole - bad;
    *ret_damaged = true;
    return found;
}

/* Applies one log; @acknowledged: all up to the reader's end was promised. */
static int apply_log(struct recover *v, struct log_reader *r, bool acknowledged,
                     bool *ret_damaged)
{
    struct log_record rec;
    uint64_t begun = r->offset;
    int res;

    for (;;) {
        res = log_read(r, &rec);
        if (res == 0 && rec.type == LOG_BATCH)
            res = apply(v, &rec);
        else if (res == E_MALFORMED)
            res = judge(v, r, acknowledged, ret_damaged);
        if (res)
            break;
    }
    v->found.bytes += r->offset - begun;
    return res == E_GONE ? 0 : res;
}

/* Notes the damage where nobody's day file need have a hole. Made of what the log says
 * alone, so that doing it again after a crash is seen to be done. */
static int note_damage(struct recover *v)
{
    CLEANUP(buf_done) struct buf line;
    struct dayfile *f;
    uint64_t when = v->last_arrival_ns ? v->last_arrival_ns : clock_wall_ns();
    uint64_t size;
    char reason[128];
    struct gap gap = {
        .kind = "damaged", .from_ns = when, .to_ns = when, .reason = reason};

    (void)snprintf(reason, sizeof reason, "%llu bytes of the log were damaged or missing",
                   (unsigned long long)v->found.damaged);
    buf_init(&line, LINE_MAX_BYTES);
    int r = gap_line(&gap, &line);
    if (r)
        return r;
    r = dayfile_get(v->files, SPAN(RECOVER_IDENTIFIER), (uint32_t)(when / DAY), &f);
    if (r)
        return r;
    r = dayfile_size(v->files, f, &size);
    if (r == 0 && !dayfile_ends_with(v->files, f, buf_span(&line))) {
        r = write_all(v, f, buf_span(&line), size);
        f->next_offset = size + line.len;
    }
    dayfile_put(f);
    return r;
}

/* A second name, so that it stays when the log itself goes. */
static int keep_as_bad(struct recover *v, uint64_t number)
{
    char name[LOG_NAME_BYTES];
    char bad[LOG_NAME_BYTES + 8];

    log_name(number, name);
    (void)snprintf(bad, sizeof bad, "%s.bad", name);
    if (linkat(v->log_fd, name, v->log_fd, bad, 0) != 0 && errno != EEXIST)
        return -errno;
    log_event(LOG_ERROR, "log_damaged", LOG_U64("log", number), LOG_STR("kept_as", bad));
    return io_sync_dir(v->log_fd);
}

static bool is_listed(const struct logs *logs, uint64_t number)
{
    for (size_t i = 0; i < logs->n; i++) {
        if (logs->numbers[i] == number)
            return true;
    }
    return false;
}

/* Counts what the log that a first record names should have held, where it is gone. */
static void miss_log(struct recover *v, const struct logs *logs, struct log_position from,
                     struct log_position before)
{
    uint64_t applied = before.number == from.number ? from.offset : 0;

    if (before.number < from.number || is_listed(logs, before.number) ||
        before.offset <= applied)
        return;
    v->found.damaged += before.offset - applied;
    log_event(LOG_ERROR, "log_missing", LOG_U64("log", before.number));
}

/* Applies one log from its first record behind the checkpoint on. */
static int apply_one(struct recover *v, struct logs *logs, size_t i,
                     struct log_position from)
{
    struct log_reader r = {.fd = -1};
    uint64_t length = 0;

    int res = log_acknowledged(v->log_fd, logs->numbers + i, logs->n - i, &length);
    if (res < 0)
        return res;
    bool acknowledged = res == 0;
    uint64_t offset = logs->numbers[i] == from.number ? from.offset : 0;
    res = log_reader_open(v->log_fd, (struct log_position){logs->numbers[i], offset}, &r);
    if (res)
        return res;
    /* What a process that was killed has written may be in memory only. A power cut must
     * not leave in a day file what no log and no key knows: it would be stored twice. */
    if (fdatasync(r.fd) != 0) {
        res = -errno;
        log_reader_done(&r);
        return res;
    }
    if (acknowledged && length < r.end)
        r.end = length;
    if (acknowledged && length > r.end && length > offset) {
        v->found.damaged += length - (r.end > offset ? r.end : offset);
        logs->damaged[i] = true;
    }
    res = apply_log(v, &r, acknowledged, &logs->damaged[i]);
    v->read = (struct log_position){r.number, r.offset};
    log_reader_done(&r);
    return res;
}

static int apply_all(struct recover *v, struct logs *logs, struct log_position from)
{
    int res = 0;

    for (size_t i = 0; i < logs->n && res == 0; i++) {
        struct log_position before = {0};

        if (logs->numbers[i] < from.number)
            continue; /* a checkpoint covers it; only its deletion was cut short */
        res = log_before(v->log_fd, logs->numbers[i], &before);
        if (res == 0)
            miss_log(v, logs, from, before);
        if (res >= 0)
            res = apply_one(v, logs, i, from);
    }
    return res;
}

/* The checkpoint covers them, so one that stays is passed by. */
static void delete_logs(const struct recover *v, const struct logs *logs)
{
    for (size_t i = 0; i < logs->n; i++) {
        char name[LOG_NAME_BYTES];

        log_name(logs->numbers[i], name);
        if (unlinkat(v->log_fd, name, 0) != 0)
            return; /* oldest first */
    }
}

/* What could not be filed stays in the log, for the filer. */
static int leave_to_filer(const struct recover *v, struct recover_end *ret)
{
    int r = io_sync_dir(v->log_fd);

    ret->before = ret->read = v->read;
    ret->log_bytes = v->found.bytes;
    ret->behind_bytes = dayfiles_behind(v->files) ? v->line_bytes : 0;
    return r;
}

/* Everything applied is made durable, what is damaged gets its other name, and only then
 * the logs can go. */
static int settle(struct recover *v, const struct logs *logs, struct recover_end *ret)
{
    const struct log_position beginning = {ret->next_number, 0};
    bool is_damaged = v->found.damaged > 0;
    int r = is_damaged ? note_damage(v) : 0;

    for (size_t i = 0; i < logs->n && r == 0; i++) {
        if (logs->damaged[i])
            r = keep_as_bad(v, logs->numbers[i]);
    }
    if (r)
        return r;
    r = dayfiles_sync(v->files);
    r = v->fault ? v->fault : r;
    if (r == 0)
        r = keys_checkpoint(v->keys, beginning, keys_now_ns(v->keys));
    if (r == 0) {
        delete_logs(v, logs);
        ret->checkpoint = ret->read = beginning;
        return 0;
    }
    log_event(
        LOG_ERROR, "recovery_unfinished", LOG_RESULT("error", r),
        LOG_STR("next", is_damaged ? "start pcd again" : "tried again each second"));
    /* The filer can't pass by what is damaged. */
    return is_damaged ? r : leave_to_filer(v, ret);
}

int recover_run(const struct recover_conf *conf, struct recover_end *ret_end,
                struct store_recovery *ret)
{
    struct recover v = {
        .log_fd = conf->log_fd,
        .files = conf->files,
        .keys = conf->keys,
        .observer = conf->observer,
        .read = conf->from,
    };
    struct log_position from = conf->from;
    uint64_t begun = clock_monotonic_ns();
    struct logs logs = {0};
    uint64_t max;

    int r = log_list(v.log_fd, &logs.numbers, &logs.n, &max);
    if (r)
        return r;
    logs.damaged = calloc(logs.n + 1, sizeof *logs.damaged);
    struct recover_end end = {
        .next_number = (max > from.number ? max : from.number) + 1,
        .checkpoint = from,
    };
    r = logs.damaged ? apply_all(&v, &logs, from) : -ENOMEM;
    tell(&v);
    if (r == 0)
        r = settle(&v, &logs, &end);
    free(logs.numbers);
    free(logs.damaged);
    if (r)
        return r;
    v.found.duration_ns = clock_monotonic_ns() - begun;
    *ret_end = end;
    *ret = v.found;
    return 0;
}
