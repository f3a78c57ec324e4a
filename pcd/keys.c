/* SPDX-License-Identifier: MIT */
#include "pcd/keys.h"

#include "common/clock.h"
#include "common/io.h"
#include "pcd/keys_merge.h"
#include "pcd/keys_state.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

/*
 * One mutex, held for pointer moves. Where a session may stand in the sorted file, it is
 * given up for the read, and everything looked at again afterwards.
 */

struct reservation {
    struct reservation *next;
    struct keys_waiter *waiters;
    uint64_t seq;
    uint64_t floor;
    bool opens; /* a range; counted in the session */
};

/* A floor above the batch's own SEQ would make the batch itself one of the past. */
static uint64_t floor_of(const struct key *key)
{
    return key->floor < key->seq ? key->floor : key->seq;
}

/* Notes that memory knows better than the disk. @bytes_before: what keys_session_bytes()
 * was before the change. */
static void mark_changed(struct keys *k, struct session *s, size_t bytes_before)
{
    k->changed_bytes += keys_session_bytes(s);
    if (s->state == SESSION_CHANGED || s->state == SESSION_COPIED) {
        k->changed_bytes -= bytes_before;
        s->state = SESSION_CHANGED;
        return;
    }
    if (s->state == SESSION_CLEAN)
        TAILQ_REMOVE(&k->clean, s, link);
    /* In front: a checkpoint that walks the list need not see it any more. */
    TAILQ_INSERT_HEAD(&k->changed, s, link);
    k->n_changed++;
    s->state = SESSION_CHANGED;
}

/* A use, of which a session that is stored keeps the time. A clock that was set back
 * makes nobody look idle: no use is earlier than the one before. */
static void touch(struct keys *k, struct session *s, uint64_t now_ns)
{
    if (now_ns > k->newest_ns)
        k->newest_ns = now_ns;
    s->last_use_ns = k->newest_ns;
    if (s->state != SESSION_NEW)
        mark_changed(k, s, keys_session_bytes(s));
}

/* A session of which nothing is stored leaves with its last reservation. */
static void drop_if_empty(struct keys *k, struct session *s)
{
    if (s->state == SESSION_NEW && !s->reservations)
        sessions_remove(&k->table, s);
}

/* Puts a session into memory as it stands in a file. Return: 0; -ENOMEM. */
static int add_record(struct keys *k, const struct keys_record *rec, struct session **ret)
{
    struct ranges stored;
    int r = keys_record_ranges(rec, &stored);

    if (r)
        return r;
    r = sessions_add(&k->table, rec->identifier, rec->session, ret);
    if (r) {
        ranges_done(&stored);
        return r;
    }
    (*ret)->stored = stored; /* the empty one it had holds no memory */
    (*ret)->last_use_ns = rec->last_use_ns;
    return 0;
}

/* Looks a session up in a sorted file, without the lock. Return: as keys_sorted_find().
 */
static int find_on_disk(const struct keys *k, const struct keys_sorted *sorted,
                        struct span identifier, uint64_t number, struct buf *block,
                        struct keys_record *ret)
{
    struct keys_order order = {keys_merge_hash(k->k0, k->k1, identifier), number};

    return keys_sorted_find(sorted, order, identifier, block, ret);
}

/*
 * Finds a session in memory or on disk, else makes a new one. Called and left with the
 * lock, which is given up for a read of the disk. Meanwhile the session may have come,
 * and even left again: that takes another sorted file, and that one is asked then.
 *
 * Return: 0; -errno.
 */
static int get_session(struct keys *k, struct span identifier, uint64_t number,
                       struct session **ret)
{
    CLEANUP(buf_done) struct buf block;
    struct keys_record rec;
    uint64_t asked = 0; /* number of the sorted file that was asked */
    int found = E_GONE;

    buf_init(&block, KEYS_BLOCK_MAX_BYTES);
    while (!(*ret = sessions_find(&k->table, identifier, number)) &&
           keys_sorted_number(k->sorted) != asked) {
        struct keys_sorted *sorted = keys_sorted_hold(k->sorted);
        asked = keys_sorted_number(sorted);
        pthread_mutex_unlock(&k->lock);
        found = find_on_disk(k, sorted, identifier, number, &block, &rec);
        keys_sorted_release(sorted); /* here: the last one out closes the file */
        if (found == E_MALFORMED)
            keys_keep_as_bad(k, asked);
        pthread_mutex_lock(&k->lock);
        if (found < 0)
            return found;
        k->damaged += found == E_MALFORMED;
    }
    if (*ret)
        return 0;
    if (found != 0)
        return sessions_add(&k->table, identifier, number, ret);

    int r = add_record(k, &rec, ret);
    if (r)
        return r;
    (*ret)->state = SESSION_CLEAN;
    TAILQ_INSERT_TAIL(&k->clean, *ret, link);
    return 0;
}

static struct reservation **find_reservation(struct session *s, uint64_t seq)
{
    struct reservation **at = &s->reservations;

    while (*at && (*at)->seq != seq)
        at = &(*at)->next;
    return at;
}

/*
 * Claims a SEQ for a request. Those in flight that will open a range count as if they
 * had: then whichever of them are stored in the end, in whatever order, there is room.
 * One that joins a range needs none, and will find that range, or a floor in its place.
 */
static int claim(struct session *s, const struct key *key)
{
    uint64_t floor = floor_of(key);
    bool opens = ranges_opens(&s->stored, key->seq, floor);

    if (opens &&
        ranges_count(&s->stored, floor) + s->n_opening >= LIMIT_RANGES_PER_SESSION)
        return E_FULL;
    if (opens) {
        int r = ranges_reserve(&s->stored, s->n_opening + 1u);
        if (r)
            return r;
    }
    struct reservation *res = malloc(sizeof *res);
    if (!res)
        return -ENOMEM;
    *res = (struct reservation){
        .next = s->reservations,
        .seq = key->seq,
        .floor = floor,
        .opens = opens,
    };
    s->reservations = res;
    s->n_opening = (uint16_t)(s->n_opening + opens);
    return 0;
}

static int reserve(struct session *s, const struct key *key, struct keys_waiter *waiter)
{
    struct reservation *res = *find_reservation(s, key->seq);

    /* First of all, for a floor may have passed it meanwhile: what becomes of it is
     * still better known to the one who brings it. */
    if (res) {
        waiter->next = res->waiters;
        res->waiters = waiter;
        return E_PENDING;
    }
    if (ranges_hold(&s->stored, key->seq))
        return E_REPLAY;
    return claim(s, key);
}

int keys_reserve(struct keys *k, struct span identifier, const struct key *key,
                 struct keys_waiter *waiter, uint64_t now_ns)
{
    struct session *s;

    pthread_mutex_lock(&k->lock);
    int r = get_session(k, identifier, key->session, &s);
    if (r == 0) {
        r = reserve(s, key, waiter);
        if (r >= 0)
            touch(k, s, now_ns);
        drop_if_empty(k, s);
    }
    pthread_mutex_unlock(&k->lock);
    return r;
}

/* Adds a SEQ; room for it is there. */
static void store(struct keys *k, struct session *s, uint64_t seq, uint64_t floor)
{
    size_t bytes_before = keys_session_bytes(s);

    ranges_add(&s->stored, seq, floor);
    mark_changed(k, s, bytes_before);
}

void keys_settle(struct keys *k, struct span identifier, const struct key *key, int r,
                 uint64_t now_ns)
{
    pthread_mutex_lock(&k->lock);
    struct session *s = sessions_find(&k->table, identifier, key->session);
    assert(s);
    struct reservation **at = find_reservation(s, key->seq);
    struct reservation *res = *at;
    assert(res);
    *at = res->next;
    if (r == 0) {
        store(k, s, res->seq, res->floor);
        touch(k, s, now_ns);
    }
    s->n_opening = (uint16_t)(s->n_opening - res->opens);
    if (!s->reservations)
        ranges_trim(&s->stored);
    drop_if_empty(k, s);
    pthread_mutex_unlock(&k->lock);

    for (struct keys_waiter *w = res->waiters, *next; w; w = next) {
        next = w->next; /* the waiter is its owner's again once it was told */
        w->settled(w->arg, r == 0 ? E_REPLAY : r);
    }
    free(res);
}

/* Return: 0; -ENOMEM. */
static int store_again(struct keys *k, struct session *s, const struct key *key)
{
    uint64_t floor = floor_of(key);

    if (ranges_opens(&s->stored, key->seq, floor)) {
        int r = ranges_reserve(&s->stored, s->n_opening + 1u);
        if (r)
            return r;
        /* Too many only where records between these were lost to damage. They were
         * acknowledged, so nobody sends them again: the lowest gap may go. */
        if (s->stored.n >= LIMIT_RANGES_PER_SESSION && floor < s->stored.items[0].first)
            floor = s->stored.items[0].first;
    }
    store(k, s, key->seq, floor);
    return 0;
}

int keys_store(struct keys *k, struct span identifier, const struct key *key,
               uint64_t when_ns)
{
    struct session *s;

    pthread_mutex_lock(&k->lock);
    int r = get_session(k, identifier, key->session, &s);
    if (r == 0) {
        r = store_again(k, s, key);
        if (r == 0)
            touch(k, s, when_ns);
        drop_if_empty(k, s);
    }
    pthread_mutex_unlock(&k->lock);
    return r;
}

void keys_count(struct keys *k, struct keys_counts *ret)
{
    pthread_mutex_lock(&k->lock);
    *ret = (struct keys_counts){
        .sessions = k->table.n,
        .on_disk = keys_sorted_count(k->sorted),
        .forgotten = k->forgotten,
        .expired = k->expired,
        .damaged = k->damaged,
        .rewrite_failures = k->rewrite_failures,
    };
    pthread_mutex_unlock(&k->lock);
}

/* Takes the sessions of a checkpoint into memory. Return: 0; E_MALFORMED; -ENOMEM. */
static int read_sessions(struct keys *k, struct span records, uint64_t n)
{
    struct keys_record rec;
    struct session *s;
    struct cursor c;

    cursor_init(&c, records);
    for (; n > 0 && keys_record_read(&c, &rec) == 0; n--) {
        if (sessions_find(&k->table, rec.identifier, rec.session))
            return E_MALFORMED;
        int r = add_record(k, &rec, &s);
        if (r)
            return r;
        mark_changed(k, s, 0);
    }
    return n == 0 && c.r == 0 && cursor_left(&c) == 0 ? 0 : E_MALFORMED;
}

static int read_checkpoint(struct keys *k, struct span file, struct log_position *ret_at)
{
    struct keys_header h;
    struct span records;
    int r = keys_header_read(file, &h, &records);

    if (r)
        return r;
    k->k0 = h.k0;
    k->k1 = h.k1;
    k->newest_ns = h.newest_ns;
    k->last_number = h.sorted;
    r = sessions_init(&k->table, k->k0, k->k1);
    if (r == 0 && h.sorted > 0)
        r = keys_sorted_open(k->sessions_fd, h.sorted, &k->sorted);
    if (r == 0)
        r = read_sessions(k, records, h.n_sessions);
    *ret_at = h.at;
    return r;
}

static int open_folder(struct keys *k)
{
    if (mkdirat(k->conf.home_fd, "sessions", 0700) != 0 && errno != EEXIST)
        return -errno;
    k->sessions_fd =
        openat(k->conf.home_fd, "sessions", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (k->sessions_fd < 0)
        return -errno;
    return io_sync_dir(k->conf.home_fd);
}

static void start_clock(struct keys *k)
{
    uint64_t wall_ns = clock_wall_ns();
    uint64_t away_ns = wall_ns > k->newest_ns ? wall_ns - k->newest_ns : 0;

    if (k->newest_ns == 0) /* no session was ever used */
        k->start_ns = wall_ns;
    else
        k->start_ns =
            k->newest_ns + (away_ns < KEYS_ABSENCE_NS ? away_ns : KEYS_ABSENCE_NS);
    k->boot_ns = clock_boot_ns();
}

uint64_t keys_now_ns(const struct keys *k)
{
    return k->start_ns + (clock_boot_ns() - k->boot_ns);
}

static int open_all(struct keys *k, struct log_position *ret_at)
{
    CLEANUP(buf_done) struct buf file;

    buf_init(&file, KEYS_FILE_MAX_BYTES);
    int r = open_folder(k);
    if (r)
        return r;
    r = io_read_file(k->conf.home_fd, "keys", &file);
    if (r == -ENOENT) {
        *ret_at = (struct log_position){0};
        k->k0 = clock_random_u64();
        k->k1 = clock_random_u64();
        r = sessions_init(&k->table, k->k0, k->k1);
    } else if (r == 0) {
        r = read_checkpoint(k, buf_span(&file), ret_at);
    }
    if (r)
        return r == E_TOO_LARGE ? -EFBIG : r;
    start_clock(k);
    return keys_sweep(k);
}

int keys_open(const struct keys_conf *conf, struct keys **ret,
              struct log_position *ret_at)
{
    struct keys *k = calloc(1, sizeof *k);
    struct log_position at = {0};

    if (!k)
        return -ENOMEM;
    k->conf = *conf;
    k->sessions_fd = -1;
    TAILQ_INIT(&k->changed);
    TAILQ_INIT(&k->clean);
    int r = pthread_mutex_init(&k->lock, NULL);
    if (r) {
        free(k);
        return -r;
    }
    r = open_all(k, &at);
    if (r) {
        keys_free(k);
        return r;
    }
    *ret = k;
    *ret_at = at;
    return 0;
}

void keys_free(struct keys *k)
{
    if (!k)
        return;
    sessions_done(&k->table);
    keys_sorted_release(k->sorted);
    io_close(&k->sessions_fd);
    pthread_mutex_destroy(&k->lock);
    free(k);
}
