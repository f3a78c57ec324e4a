/* SPDX-License-Identifier: MIT */
#include "pcd/keys_merge.h"

#include "common/hash.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

/* Both are arrays in a buf; far beyond what a file can hold. */
#define USES_MAX_BYTES (size_t) GIB
#define CUTS_MAX_BYTES (size_t) GIB

/* An identifier with too many sessions: which of them go. */
struct cut {
    uint64_t hash;
    uint64_t before_ns; /* those last used before this moment, */
    uint64_t n_at;      /* and so many of those last used right then */
};

/* A session on its way to the new file. */
struct candidate {
    struct keys_order order;
    struct keys_record record;
    struct merge_item *item; /* NULL where it comes from the old file */
};

/* Both sources in one order. */
struct stream {
    const struct keys_merge *merge;
    size_t next_item;
    struct keys_sorted_reader reader;
    struct candidate old; /* the old file's next */
    bool old_used;        /* it was handed out, or is not read yet */
    int old_r;            /* 0 while there is one, E_GONE after the last */
};

uint64_t keys_merge_hash(uint64_t k0, uint64_t k1, struct span identifier)
{
    return hash_sip13(k0, k1, identifier);
}

/* A session of the snapshot, which we made ourselves a moment ago. */
static struct candidate of_item(const struct keys_merge *m, struct merge_item *item)
{
    struct candidate ret = {.item = item};
    struct cursor c;

    cursor_init(&c, span_from(m->snapshot, item->at));
    int r = keys_record_read(&c, &ret.record);
    assert(r == 0);
    (void)r;
    ret.order = (struct keys_order){item->hash, ret.record.session};
    return ret;
}

static int compare_candidates(const struct candidate *a, const struct candidate *b)
{
    return keys_order_compare(a->order, a->record.identifier, b->order,
                              b->record.identifier);
}

static int compare_items(const void *a, const void *b, void *arg)
{
    struct merge_item x = *(const struct merge_item *)a;
    struct merge_item y = *(const struct merge_item *)b;

    if (x.hash != y.hash)
        return x.hash < y.hash ? -1 : 1;
    struct candidate cx = of_item(arg, &x);
    struct candidate cy = of_item(arg, &y);
    return compare_candidates(&cx, &cy);
}

static void sort_items(struct keys_merge *m)
{
    for (size_t i = 0; i < m->n_items; i++) {
        struct candidate c = of_item(m, &m->items[i]);
        m->items[i].hash = keys_merge_hash(m->k0, m->k1, c.record.identifier);
        m->items[i].dropped = false;
    }
    qsort_r(m->items, m->n_items, sizeof m->items[0], compare_items, m);
}

static void stream_init(struct stream *s, const struct keys_merge *m)
{
    *s = (struct stream){.merge = m, .old_used = true};
    keys_sorted_reader_init(&s->reader, m->old);
}

static void stream_done(struct stream *s)
{
    keys_sorted_reader_done(&s->reader);
}

static void read_old(struct stream *s)
{
    struct keys_record *rec = &s->old.record;

    s->old_r = keys_sorted_read(&s->reader, rec);
    if (s->old_r == 0)
        s->old.order = (struct keys_order){
            keys_merge_hash(s->merge->k0, s->merge->k1, rec->identifier), rec->session};
    s->old_used = false;
}

/* The next session of both; it lives until the next call. Return: 0; E_GONE; -errno. */
static int stream_next(struct stream *s, struct candidate *ret)
{
    bool has_item = s->next_item < s->merge->n_items;
    int order = -1; /* of the old file's next and the snapshot's */

    if (s->old_used)
        read_old(s);
    if (s->old_r < 0 || (s->old_r == E_GONE && !has_item))
        return s->old_r;
    if (has_item) {
        *ret = of_item(s->merge, &s->merge->items[s->next_item]);
        order = s->old_r ? 1 : compare_candidates(&s->old, ret);
    }
    if (order < 0)
        *ret = s->old;
    else
        s->next_item++;
    /* Where both have it, the snapshot's is the newer one. */
    s->old_used = s->old_r == 0 && order <= 0;
    return 0;
}

static bool is_expired(const struct keys_merge *m, uint64_t last_use_ns)
{
    /* A use later than now: the clock was set back. */
    return m->now_ns > last_use_ns && m->now_ns - last_use_ns > m->keep_ns;
}

static int compare_u64(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

/* All of an identifier's sessions were seen: notes a cut where they are too many. */
static int end_identifier(uint64_t hash, struct buf *uses, struct buf *cuts)
{
    uint64_t *at = (uint64_t *)(void *)uses->data;
    size_t n = uses->len / sizeof *at;

    buf_reset(uses);
    if (n <= LIMIT_SESSIONS_PER_IDENTIFIER)
        return 0;
    qsort(at, n, sizeof *at, compare_u64);
    size_t n_cut = n - LIMIT_SESSIONS_PER_IDENTIFIER;
    struct cut cut = {.hash = hash, .before_ns = at[n_cut - 1]};
    while (cut.n_at < n_cut && at[n_cut - 1 - cut.n_at] == cut.before_ns)
        cut.n_at++;
    return buf_append(cuts, span_of(&cut, sizeof cut));
}

static int find_cuts(const struct keys_merge *m, struct buf *cuts)
{
    CLEANUP(buf_done) struct buf uses;
    CLEANUP(stream_done) struct stream s;
    struct candidate c;
    uint64_t hash = 0;
    int r;

    buf_init(&uses, USES_MAX_BYTES);
    stream_init(&s, m);
    while ((r = stream_next(&s, &c)) == 0) {
        if (c.order.hash != hash)
            r = end_identifier(hash, &uses, cuts);
        hash = c.order.hash;
        if (r == 0 && !is_expired(m, c.record.last_use_ns))
            r = buf_append(&uses, span_of(&c.record.last_use_ns, sizeof(uint64_t)));
        if (r)
            return r;
    }
    return r == E_GONE ? end_identifier(hash, &uses, cuts) : r;
}

/* Does this session go? Counts it then. @cut: the first that isn't behind us. */
static bool is_dropped(struct keys_merge *m, const struct candidate *c, struct cut *cut)
{
    uint64_t used_ns = c->record.last_use_ns;

    if (is_expired(m, used_ns)) {
        m->expired++;
        return true;
    }
    if (!cut || cut->hash != c->order.hash || used_ns > cut->before_ns)
        return false;
    if (used_ns == cut->before_ns) {
        if (cut->n_at == 0)
            return false;
        cut->n_at--;
    }
    m->forgotten++;
    return true;
}

static int write_sessions(struct keys_merge *m, struct buf *cuts,
                          struct keys_sorted_writer *w)
{
    CLEANUP(stream_done) struct stream s;
    struct cut *cut = (struct cut *)(void *)cuts->data;
    struct cut *end = cut ? cut + cuts->len / sizeof *cut : NULL;
    struct candidate c;
    int r;

    stream_init(&s, m);
    while ((r = stream_next(&s, &c)) == 0) {
        while (cut != end && cut->hash < c.order.hash)
            cut++;
        bool dropped = is_dropped(m, &c, cut == end ? NULL : cut);
        if (c.item)
            c.item->dropped = dropped;
        if (!dropped)
            r = keys_sorted_append(w, c.order, c.record.bytes);
        if (r)
            return r;
    }
    m->damaged = s.reader.n_damaged;
    return r == E_GONE ? 0 : r;
}

int keys_merge_write(struct keys_merge *m, int dir_fd, uint64_t number)
{
    CLEANUP(buf_done) struct buf cuts;
    struct keys_sorted_writer w;

    buf_init(&cuts, CUTS_MAX_BYTES);
    m->expired = 0;
    m->forgotten = 0;
    sort_items(m);
    int r = find_cuts(m, &cuts);
    if (r)
        return r == E_TOO_LARGE ? -EFBIG : r;
    r = keys_sorted_create(dir_fd, number, &w);
    if (r)
        return r;
    r = write_sessions(m, &cuts, &w);
    if (r) {
        keys_sorted_abandon(&w);
        return r;
    }
    return keys_sorted_finish(&w);
}
