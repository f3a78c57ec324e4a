/* SPDX-License-Identifier: MIT */
#include "common/hash.h"
#include "common/io.h"
#include "common/log.h"
#include "common/units.h"
#include "pcd/keys_merge.h"
#include "pcd/keys_state.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/*
 * The sessions that changed are copied under the lock, some at a time, then written
 * without it. A session may be stored to between two pieces: what is copied then is
 * ahead of the position, which does no harm, for its record is applied again.
 *
 * When many changed, they and the sorted file are merged into the next sorted file, and
 * `keys` names that and holds no session at all. The order makes it safe: the new file
 * is durable before `keys` names it, and the old one is there until `keys` is durable.
 *
 * What can go wrong, and what then:
 *   the sorted file can't be rewritten   `keys` is written with all that changed; no file
 *                                        is left, memory stays, the next one tries again
 *   `keys` can't be replaced             nobody knows which one a crash would leave: both
 *                                        sorted files stay until a later checkpoint is
 *                                        durable, and no file number is used again
 *   a crash                              files that `keys` doesn't name go at the start
 */

/* Sessions copied, or moved, in one go under the lock. */
#define AT_ONCE 512u

/* What a checkpoint writes. */
struct snapshot {
    struct buf bytes;         /* room for the header, then the sessions */
    size_t n;                 /* sessions */
    uint32_t crc;             /* of them */
    bool merges;              /* it is to become the next sorted file */
    struct merge_item *items; /* only then: one a session */
    size_t max_items;
};

static void snapshot_done(struct snapshot *snap)
{
    buf_done(&snap->bytes);
    free(snap->items);
}

static int as_fault(int r)
{
    return r == E_TOO_LARGE ? -EFBIG : r;
}

/* Called with the lock. */
static bool is_merge_due(const struct keys *k)
{
    uint64_t merge_at = k->conf.merge_at ? k->conf.merge_at : KEYS_MERGE_AT;

    return k->n_changed > merge_at && k->n_changed > keys_sorted_count(k->sorted) / 4;
}

uint64_t keys_bytes(struct keys *k)
{
    pthread_mutex_lock(&k->lock);
    uint64_t bytes = KEYS_HEADER_BYTES + k->changed_bytes;
    if (is_merge_due(k))
        bytes += keys_sorted_bound(keys_sorted_size(k->sorted) + k->changed_bytes);
    pthread_mutex_unlock(&k->lock);
    return bytes;
}

/* Copies a session behind the others. Called with the lock. */
static int copy(struct snapshot *snap, struct session *s)
{
    size_t at = snap->bytes.len;
    int r = keys_record_append(&snap->bytes, session_identifier(s), s->number,
                               s->last_use_ns, &s->stored);
    if (r)
        return as_fault(r);
    if (snap->merges) {
        assert(snap->n < snap->max_items);
        snap->items[snap->n] = (struct merge_item){
            .at = at,
            .session = s,
            .last_use_ns = s->last_use_ns,
        };
        s->state = SESSION_COPIED;
    }
    snap->n++;
    return 0;
}

static int take_snapshot(struct keys *k, struct snapshot *snap)
{
    static const uint8_t no_header[KEYS_HEADER_BYTES];

    buf_init(&snap->bytes, KEYS_FILE_MAX_BYTES);
    int r = buf_append(&snap->bytes, span_of(no_header, sizeof no_header));
    if (r)
        return as_fault(r);

    pthread_mutex_lock(&k->lock);
    bool merges = is_merge_due(k);
    struct session *at = TAILQ_FIRST(&k->changed);
    snap->max_items = k->n_changed;
    pthread_mutex_unlock(&k->lock);
    if (merges) {
        snap->items = calloc(snap->max_items, sizeof *snap->items);
        snap->merges = snap->items != NULL; /* else the next one may have the memory */
    }

    /* Where the lock is not held: only a checkpoint takes sessions out of the list, and
     * others come in front of the place where this one began. */
    while (at && r == 0) {
        size_t from = snap->bytes.len;
        pthread_mutex_lock(&k->lock);
        for (size_t n = 0; n < AT_ONCE && at && r == 0; n++) {
            r = copy(snap, at);
            at = TAILQ_NEXT(at, link);
        }
        pthread_mutex_unlock(&k->lock);
        snap->crc = hash_crc32c(snap->crc, span_from(buf_span(&snap->bytes), from));
    }
    return r;
}

static int rewrite(struct keys *k, struct snapshot *snap, uint64_t now_ns,
                   struct keys_merge *ret_merge, struct keys_sorted **ret)
{
    *ret_merge = (struct keys_merge){
        .old = k->sorted, /* nobody else replaces it */
        .snapshot = buf_span(&snap->bytes),
        .items = snap->items,
        .n_items = snap->n,
        .k0 = k->k0,
        .k1 = k->k1,
        .now_ns = now_ns,
        .keep_ns = k->conf.keep_ns,
    };
    uint64_t number = ++k->last_number;
    int r = keys_merge_write(ret_merge, k->sessions_fd, number);
    if (r)
        return r;
    r = keys_sorted_open(k->sessions_fd, number, ret);
    return r == E_MALFORMED ? -EIO : r; /* it isn't what was written a moment ago */
}

static int replace_keys(struct keys *k, struct snapshot *snap, struct log_position at,
                        const struct keys_sorted *sorted, bool with_sessions)
{
    struct keys_header h = {
        .at = at,
        .sorted = keys_sorted_number(sorted),
        .k0 = k->k0,
        .k1 = k->k1,
        .n_sessions = with_sessions ? snap->n : 0,
        .records_crc = with_sessions ? snap->crc : 0,
    };

    pthread_mutex_lock(&k->lock);
    h.newest_ns = k->newest_ns;
    pthread_mutex_unlock(&k->lock);
    keys_header_write(&h, snap->bytes.data);
    size_t n = with_sessions ? snap->bytes.len : KEYS_HEADER_BYTES;
    return io_replace_file(k->conf.home_fd, "keys", span_of(snap->bytes.data, n), 0600);
}

static int compare_last_use(const void *a, const void *b)
{
    uint64_t x = ((const struct merge_item *)a)->last_use_ns;
    uint64_t y = ((const struct merge_item *)b)->last_use_ns;

    return (x > y) - (x < y);
}

/* What the new sorted file says of a session. Called with the lock. */
static void adopt_item(struct keys *k, const struct merge_item *item)
{
    struct session *s = item->session;

    if (s->state != SESSION_COPIED) /* changed since: `keys` will have it again */
        return;
    if (s->reservations) {
        s->state = SESSION_CHANGED;
        return;
    }
    TAILQ_REMOVE(&k->changed, s, link);
    k->n_changed--;
    k->changed_bytes -= keys_session_bytes(s);
    if (item->dropped) {
        sessions_remove(&k->table, s);
        return;
    }
    s->state = SESSION_CLEAN;
    TAILQ_INSERT_TAIL(&k->clean, s, link);
}

/* Goes over to the new sorted file, which `keys` names; takes it. */
static void adopt(struct keys *k, struct snapshot *snap, const struct keys_merge *merge,
                  struct keys_sorted *sorted)
{
    struct keys_sorted *old;

    /* Those that are clean already have not been used since the last time. */
    qsort(snap->items, snap->n, sizeof snap->items[0], compare_last_use);
    pthread_mutex_lock(&k->lock);
    old = k->sorted;
    k->sorted = sorted;
    k->expired += merge->expired;
    k->damaged += merge->damaged;
    k->forgotten += merge->forgotten;
    pthread_mutex_unlock(&k->lock);
    keys_sorted_release(old);
    for (size_t i = 0; i < snap->n;) {
        pthread_mutex_lock(&k->lock);
        for (size_t n = 0; n < AT_ONCE && i < snap->n; n++, i++)
            adopt_item(k, &snap->items[i]);
        pthread_mutex_unlock(&k->lock);
    }
}

/* Lets the session that is idle longest leave memory, if that is due; it is found on disk
 * again. Called with the lock. Return: was it? */
static bool evict_one(struct keys *k)
{
    struct session *s = TAILQ_FIRST(&k->clean);

    if (!s || k->table.n <= k->conf.max_sessions)
        return false;
    TAILQ_REMOVE(&k->clean, s, link);
    sessions_remove(&k->table, s);
    return true;
}

static void evict(struct keys *k)
{
    bool more = true;

    while (more) {
        pthread_mutex_lock(&k->lock);
        for (size_t n = 0; n < AT_ONCE && more; n++)
            more = evict_one(k);
        pthread_mutex_unlock(&k->lock);
    }
}

static void count_rewrite_failure(struct keys *k)
{
    pthread_mutex_lock(&k->lock);
    k->rewrite_failures++;
    pthread_mutex_unlock(&k->lock);
}

int keys_checkpoint(struct keys *k, struct log_position at, uint64_t now_ns)
{
    CLEANUP(snapshot_done) struct snapshot snap = {0};
    struct keys_merge merge;
    struct keys_sorted *next = NULL;
    int r = take_snapshot(k, &snap);

    if (r == 0 && snap.merges && rewrite(k, &snap, now_ns, &merge, &next) != 0)
        count_rewrite_failure(k); /* and it is written as if it were not due */
    if (r == 0)
        r = replace_keys(k, &snap, at, next ? next : k->sorted, next == NULL);
    if (r) {
        keys_sorted_release(next);
        return r;
    }
    if (next && merge.damaged > 0)
        keys_keep_as_bad(k, keys_sorted_number(k->sorted));
    if (next)
        adopt(k, &snap, &merge, next);
    evict(k);
    r = keys_sweep(k);
    (void)r; /* what is left now goes the next time */
    return 0;
}

void keys_keep_as_bad(const struct keys *k, uint64_t number)
{
    char name[32];
    char bad[40];

    (void)snprintf(name, sizeof name, "%" PRIu64, number);
    (void)snprintf(bad, sizeof bad, "%s.bad", name);
    if (linkat(k->sessions_fd, name, k->sessions_fd, bad, 0) != 0 && errno == EEXIST)
        return; /* told before */
    log_event(LOG_ERROR, "sessions_damaged", LOG_U64("file", number),
              LOG_STR("kept_as", bad));
}

int keys_sweep(const struct keys *k)
{
    int fd = openat(k->sessions_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    DIR *dir = fdopendir(fd);
    if (!dir) {
        int r = -errno;
        io_close(&fd);
        return r;
    }

    const struct dirent *entry;
    uint64_t number;
    int r = 0;
    while ((errno = 0, entry = readdir(dir))) {
        if (units_parse_u64(span_of_str(entry->d_name), &number) != 0 ||
            number == keys_sorted_number(k->sorted))
            continue;
        if (unlinkat(k->sessions_fd, entry->d_name, 0) != 0)
            r = -errno;
    }
    if (r == 0)
        r = -errno;
    (void)closedir(dir);
    return r;
}
