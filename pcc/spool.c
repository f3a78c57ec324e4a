/* SPDX-License-Identifier: MIT */
#include "pcc/spool.h"

#include "common/log.h"
#include "common/units.h"
#include "pcc/spool_folder.h"
#include "pcc/spool_index.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#define BLOCK 4096u
#define KEEP_MAX (2 * MIB)

struct spool {
    struct spool_folder folder;
    struct spool_index index;
    uint64_t max_bytes;
    uint64_t reserve_bytes;
    uint64_t rejected_bytes;
    uint64_t next_number;
    uint64_t damaged;
    uint64_t loaded; /* the number of the file that is in bytes; 0: none */
    uint64_t taken;  /* and if a batch of it was taken */
    bool in_flight;  /* which is being sent */
    int fault;       /* of reading that file; 0: it is whole, as far as it can be read */
    const char *damage; /* a word on it */
    struct buf bytes;
    struct spool_file file;
    struct spool_file other; /* one that isn't loaded */
    struct buf writing;
};

static uint64_t blocks_of(uint64_t bytes)
{
    return (bytes + BLOCK - 1) / BLOCK;
}

/* What the index says of a file of which the parts from @part on are to be stored. */
static struct spool_entry entry_of(uint64_t number, const struct spool_file *f,
                                   size_t part)
{
    struct spool_entry e = {
        .number = number,
        .session = f->parts[part].label.session,
        .seq = UINT64_MAX,
        .blocks = (uint32_t)blocks_of(f->bytes),
        .part = (uint16_t)part,
    };

    for (size_t i = part; i < f->n_parts; i++) {
        const struct label *label = &f->parts[i].label;
        gaps_merge(&e.range, &label->range);
        e.has_halves |= label->is_half;
        if (label->session != e.session)
            e.seq = 0;
        else if (label->seq < e.seq)
            e.seq = label->seq;
    }
    return e;
}

static void tell_damaged(struct spool *s, uint64_t number, const char *why, bool kept)
{
    char name[SPOOL_NAME_BYTES];

    s->damaged++;
    spool_name(number, name);
    log_event(LOG_WARNING, "spool_file_damaged", LOG_STR("file", name),
              LOG_STR("reason", why), LOG_STR("kept_in", kept ? SPOOL_REJECTED : ""));
}

static void reject_file(struct spool *s, uint64_t number)
{
    int r = spool_folder_reject(&s->folder, number, s->rejected_bytes);

    if (r)
        log_event(LOG_WARNING, "spool_unwritable", LOG_RESULT("error", r));
}

/* One file that was found at the start. What is wrong with its bodies is found, and told
 * of, when it is its turn. */
static int look_at(struct spool *s, uint64_t number)
{
    struct err_at why = ERR_AT_NOWHERE;
    uint64_t size = 0;

    buf_reset(&s->bytes);
    int r = spool_folder_read_header(s->folder.fd, number, &s->bytes, &size);
    if (r == -ENOMEM || r == -ENOENT)
        return r == -ENOENT ? 0 : r;
    if (r == 0)
        r = spool_file_read_header(buf_span(&s->bytes), &s->file, &why);
    if (r) {
        tell_damaged(s, number, why.what ? why.what : err_text(r), true);
        reject_file(s, number);
        return 0;
    }
    struct spool_entry e = entry_of(number, &s->file, 0);
    r = spool_index_reserve(&s->index);
    if (r == 0)
        spool_index_add(&s->index, &e);
    return r;
}

static int look_at_all(struct spool *s)
{
    uint64_t *numbers = NULL;
    size_t n = 0;
    int r = spool_folder_list(s->folder.rejected_fd, &numbers, &n);

    if (r)
        return r;
    /* A number that is in either folder is never given again. */
    s->next_number = n > 0 ? numbers[n - 1] + 1 : 1;
    free(numbers);
    numbers = NULL;
    r = spool_folder_list(s->folder.fd, &numbers, &n);
    if (r == 0 && n > 0 && numbers[n - 1] >= s->next_number)
        s->next_number = numbers[n - 1] + 1;
    for (size_t i = 0; i < n && r == 0; i++)
        r = look_at(s, numbers[i]);
    free(numbers);
    return r;
}

int spool_open(const struct spool_conf *conf, struct spool **ret)
{
    struct spool *s = calloc(1, sizeof *s);
    if (!s)
        return -ENOMEM;
    s->max_bytes = conf->max_bytes;
    s->reserve_bytes = conf->reserve_bytes;
    s->rejected_bytes = conf->rejected_bytes;
    buf_init(&s->bytes, SPOOL_FILE_MAX);
    buf_init(&s->writing, SPOOL_FILE_MAX);
    int r = spool_folder_open(conf->path, true, &s->folder);
    if (r == 0)
        r = look_at_all(s);
    if (r) {
        spool_free(s);
        return r;
    }
    *ret = s;
    return 0;
}

void spool_free(struct spool *s)
{
    if (!s)
        return;
    spool_folder_close(&s->folder);
    spool_index_done(&s->index);
    buf_done(&s->bytes);
    buf_done(&s->writing);
    free(s);
}

static void forget(struct buf *b)
{
    buf_reset(b);
    buf_shrink(b, KEEP_MAX);
}

/* Puts the file in place and into the index, which has no such number yet. */
static int put_file(struct spool *s, uint64_t number, const struct spool_file *f,
                    bool covered)
{
    struct spool_entry e = entry_of(number, f, 0);
    int r = spool_index_reserve(&s->index);

    e.covered = covered;
    if (r)
        return r;
    r = spool_folder_write(s->folder.fd, number, buf_span(&s->writing));
    if (r) {
        spool_folder_remove(s->folder.fd, number); /* it may lack the last sync only */
        return r;
    }
    spool_index_add(&s->index, &e);
    return 0;
}

static bool disk_has_room(const struct spool *s, uint64_t bytes)
{
    struct statvfs disk;

    if (fstatvfs(s->folder.fd, &disk) != 0)
        return true; /* the write will tell */
    return (uint64_t)disk.f_bavail * disk.f_frsize >= s->reserve_bytes + bytes;
}

static int check_room(const struct spool *s, uint64_t bytes)
{
    uint64_t blocks = blocks_of(bytes);

    if ((s->index.blocks + blocks) * BLOCK > s->max_bytes)
        return E_FULL;
    return disk_has_room(s, blocks * BLOCK) ? 0 : E_NO_ROOM;
}

static struct spool_file file_of_one(struct span identifier, const struct label *label,
                                     struct span body)
{
    return (struct spool_file){
        .identifier = identifier,
        .n_parts = 1,
        .parts = {{.label = *label, .body = body}},
    };
}

int spool_put(struct spool *s, struct span identifier, const struct label *label,
              struct span body, bool covered, uint64_t *ret_number)
{
    struct spool_file f = file_of_one(identifier, label, body);
    int r = spool_file_write(&f, &s->writing);

    f.bytes = s->writing.len;
    if (r == 0)
        r = check_room(s, f.bytes);
    if (r == 0)
        r = put_file(s, s->next_number, &f, covered);
    forget(&s->writing);
    if (r == 0)
        *ret_number = s->next_number++;
    return r;
}

void spool_uncover(struct spool *s, uint64_t number)
{
    struct spool_entry *e = spool_index_find(&s->index, number);

    assert(e && e->covered);
    e->covered = false;
}

static void forget_entry(struct spool *s, struct spool_entry *e)
{
    if (s->loaded == e->number) {
        s->loaded = s->taken = 0;
        forget(&s->bytes);
    }
    spool_index_remove(&s->index, e);
}

void spool_remove(struct spool *s, uint64_t number)
{
    struct spool_entry *e = spool_index_find(&s->index, number);

    assert(e);
    spool_folder_remove(s->folder.fd, number);
    forget_entry(s, e);
}

void spool_set_aside(struct spool *s, uint64_t number)
{
    struct spool_entry *e = spool_index_find(&s->index, number);

    assert(e);
    reject_file(s, number);
    forget_entry(s, e);
}

/* Makes a file in rejected/, if it can be. */
static void keep(struct spool *s, const struct spool_file *f)
{
    int r = spool_file_write(f, &s->writing);

    if (r == 0)
        r = disk_has_room(s, s->writing.len) ? 0 : E_NO_ROOM;
    if (r == 0)
        r = spool_folder_write(s->folder.rejected_fd, s->next_number++,
                               buf_span(&s->writing));
    forget(&s->writing);
    spool_folder_trim_rejected(&s->folder, s->rejected_bytes);
    if (r)
        log_event(LOG_WARNING, "rejected_not_kept", LOG_RESULT("error", r));
}

void spool_keep_rejected(struct spool *s, struct span identifier,
                         const struct label *label, struct span body)
{
    const struct spool_file f = file_of_one(identifier, label, body);

    keep(s, &f);
}

/* What the loss of the parts that were not stored amounts to. The header tells of the
 * gaps, too, if it can be read now. */
static void weigh(struct spool *s, const struct spool_entry *e, struct gap_set *lost)
{
    struct spool_file *f = &s->other;
    struct err_at why;
    uint64_t size;

    CLEANUP(buf_done) struct buf start;
    buf_init(&start, SPOOL_HEADER_MAX);
    gaps_add(lost, GAP_SPOOL_FULL, &e->range);
    if (spool_folder_read_header(s->folder.fd, e->number, &start, &size) ||
        spool_file_read_header(buf_span(&start), f, &why))
        return;
    for (size_t i = e->part; i < f->n_parts; i++)
        gaps_fold(lost, &f->parts[i].label.carried);
}

static struct spool_entry *oldest_to_drop(const struct spool *s)
{
    struct spool_entry *e = spool_index_oldest(&s->index);

    return e && s->in_flight && e->number == s->taken ? spool_index_next(&s->index, e)
                                                      : e;
}

uint64_t spool_weigh_oldest(struct spool *s, struct gap_set *lost)
{
    const struct spool_entry *e = oldest_to_drop(s);

    if (!e)
        return 0;
    weigh(s, e, lost);
    return e->range.measurements;
}

void spool_drop_oldest(struct spool *s)
{
    struct spool_entry *e = oldest_to_drop(s);

    assert(e);
    spool_folder_remove(s->folder.fd, e->number);
    forget_entry(s, e);
}

bool spool_waiting(const struct spool *s)
{
    return spool_index_oldest(&s->index) != NULL;
}

/* Return: 0 if the file is in memory, each part whole or not; -ENOMEM; what hindered it
 * otherwise, with which nothing more is to be expected of it. */
static int load(struct spool *s, const struct spool_entry *e)
{
    struct err_at why = ERR_AT_NOWHERE;

    if (s->loaded == e->number)
        return 0;
    buf_reset(&s->bytes);
    s->loaded = 0;
    s->file.n_parts = 0;
    int r = spool_folder_read(s->folder.fd, e->number, &s->bytes);
    if (r == 0)
        r = spool_file_read(buf_span(&s->bytes), &s->file, &why);
    if (r == -ENOMEM)
        return r;
    s->fault = r;
    s->damage = why.what ? why.what : err_text(r);
    if (s->file.n_parts <= e->part)
        return r ? r : E_MALFORMED; /* another file than the one that was put here */
    s->loaded = e->number;
    return 0;
}

int spool_take(struct spool *s, struct gap_set *lost, struct spool_batch *ret)
{
    const struct spool_entry *e = spool_index_oldest(&s->index);

    assert(!s->in_flight);
    s->taken = 0;
    if (!e)
        return E_GONE;
    int r = load(s, e);
    if (r == -ENOMEM)
        return r;
    s->taken = e->number;
    if (r) {
        gaps_add(lost, GAP_DAMAGED, &e->range);
        return E_MALFORMED;
    }
    const struct spool_part *part = &s->file.parts[e->part];
    if (part->damaged) {
        gaps_add(lost, GAP_DAMAGED, &part->label.range);
        gaps_fold(lost, &part->label.carried);
        return E_MALFORMED;
    }
    *ret = spool_taken(s);
    return 0;
}

struct spool_batch spool_taken(const struct spool *s)
{
    const struct spool_entry *e = spool_index_find(&s->index, s->taken);

    assert(e && s->loaded == s->taken);
    const struct spool_part *part = &s->file.parts[e->part];
    return (struct spool_batch){.label = &part->label, .body = part->body};
}

void spool_in_flight(struct spool *s, bool in_flight)
{
    s->in_flight = in_flight;
}

static void advance(struct spool *s, struct spool_entry *e, const struct spool_file *f,
                    size_t part)
{
    struct spool_entry next = entry_of(e->number, f, part);

    spool_index_change(&s->index, e, &next);
}

/* The part that was taken needs no more. */
static void go_on(struct spool *s)
{
    struct spool_entry *e = spool_index_find(&s->index, s->taken);

    s->taken = 0;
    s->in_flight = false;
    if (e->part + 1u < s->file.n_parts)
        advance(s, e, &s->file, e->part + 1u);
    else
        spool_remove(s, e->number);
}

void spool_stored(struct spool *s)
{
    go_on(s);
}

void spool_refused(struct spool *s)
{
    const struct spool_entry *e = spool_index_find(&s->index, s->taken);
    const struct spool_part *part = &s->file.parts[e->part];

    s->in_flight = false;
    if (s->file.n_parts == 1) {
        spool_set_aside(s, s->taken);
        return;
    }
    spool_keep_rejected(s, s->file.identifier, &part->label, part->body);
    go_on(s);
}

/* What is whole behind it in the file is still to be sent. */
static void give_up_part(struct spool *s, const struct spool_entry *e)
{
    const struct spool_part *part = &s->file.parts[e->part];
    const struct spool_file f = {
        .identifier = s->file.identifier, .n_parts = 1, .parts = {*part}};
    const bool kept = part->body.n > 0;

    tell_damaged(s, e->number, s->damage, kept);
    if (kept)
        keep(s, &f);
    go_on(s);
}

void spool_give_up(struct spool *s)
{
    struct spool_entry *e = spool_index_find(&s->index, s->taken);

    assert(e);
    if (s->loaded == s->taken && s->file.n_parts > 1) {
        give_up_part(s, e);
    } else if (s->loaded != s->taken && s->fault == -ENOENT) {
        log_event(LOG_WARNING, "spool_file_gone", LOG_U64("number", e->number));
        forget_entry(s, e);
    } else {
        tell_damaged(s, e->number, s->damage, true);
        spool_set_aside(s, e->number);
    }
}

int spool_split(struct spool *s, const struct spool_part halves[2])
{
    struct spool_entry *e = spool_index_find(&s->index, s->taken);
    const size_t at = e->part;
    const size_t left = s->file.n_parts - at;
    struct spool_file *f = &s->file;

    if (left >= SPOOL_PARTS_MAX)
        return E_TOO_LARGE;
    /* What is stored of it stays behind. */
    struct spool_file *next = &s->other;
    next->identifier = f->identifier;
    next->n_parts = left + 1;
    next->parts[0] = halves[0];
    next->parts[1] = halves[1];
    memcpy(&next->parts[2], &f->parts[at + 1], (left - 1) * sizeof *next->parts);
    int r = spool_file_write(next, &s->writing);
    next->bytes = s->writing.len;
    if (r == 0)
        r = spool_folder_write(s->folder.fd, e->number, buf_span(&s->writing));
    forget(&s->writing);
    if (r)
        return r;
    advance(s, e, next, 0);
    s->loaded = s->taken = 0;
    return 0;
}

uint64_t spool_floor(const struct spool *s, uint64_t session)
{
    return spool_index_floor(&s->index, session);
}

void spool_count(const struct spool *s, struct spool_counts *ret)
{
    *ret = (struct spool_counts){
        .files = s->index.n,
        .measurements = spool_index_measurements(&s->index, true),
        .uncovered = spool_index_measurements(&s->index, false),
        .bytes = s->index.blocks * BLOCK,
        .damaged = s->damaged,
    };
}
