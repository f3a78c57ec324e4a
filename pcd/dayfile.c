/* SPDX-License-Identifier: MIT */
#include "pcd/dayfile.h"

#include "common/clock.h"
#include "common/hash.h"
#include "common/io.h"
#include "common/units.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define SLOTS_FIRST 256u /* a power of two */

/* Less would make the disk write pages twice, which grow by a tick a second. */
#define WRITEBACK_BYTES (128 * KIB)

struct dayfiles {
    int data_fd;
    uint64_t max_open;
    uint64_t key[2];

    pthread_mutex_t lock;
    /* guarded by lock: the chains and their slots. Files are added by the committer and
     * taken out by the filer, each only under the lock. */
    struct dayfile **slots;
    size_t n_slots;
    size_t n_files;
    bool removes; /* the files of going_day are being deleted */
    uint32_t going_day;
    uint64_t removals; /* begun so far */

    /* The filer's. */
    struct dayfile *newest;
    struct dayfile *oldest;
    struct dayfile *marked; /* the files that are dirty or behind */
    _Atomic uint64_t n_open;
};

int dayfiles_new(int data_fd, uint64_t max_open, struct dayfiles **ret)
{
    struct dayfiles *d = calloc(1, sizeof *d);

    if (!d)
        return -ENOMEM;
    d->slots = calloc(SLOTS_FIRST, sizeof(struct dayfile *));
    if (!d->slots) {
        free(d);
        return -ENOMEM;
    }
    d->n_slots = SLOTS_FIRST;
    d->data_fd = data_fd;
    d->max_open = max_open;
    d->key[0] = clock_random_u64();
    d->key[1] = clock_random_u64();
    (void)pthread_mutex_init(&d->lock, NULL); /* cannot fail with default attributes */
    *ret = d;
    return 0;
}

void dayfiles_free(struct dayfiles *d)
{
    if (!d)
        return;
    for (size_t i = 0; i < d->n_slots; i++) {
        for (struct dayfile *f = d->slots[i], *next; f; f = next) {
            next = f->chain;
            io_close(&f->fd);
            free(f);
        }
    }
    (void)pthread_mutex_destroy(&d->lock);
    free(d->slots);
    free(d);
}

/* Call with the lock held. */
static struct dayfile **slot_of(struct dayfiles *d, struct span identifier, uint32_t day)
{
    uint64_t hash = hash_sip13(d->key[0], d->key[1] ^ day, identifier);

    return &d->slots[hash & (d->n_slots - 1)];
}

/* Call with the lock held. */
static struct dayfile *find(struct dayfiles *d, struct span identifier, uint32_t day)
{
    struct dayfile *f = *slot_of(d, identifier, day);

    while (f && !(f->day == day &&
                  span_equal(span_of(f->identifier, f->identifier_n), identifier)))
        f = f->chain;
    return f;
}

/* Call with the lock held. A table that can't grow works on, slower. */
static void grow(struct dayfiles *d)
{
    struct dayfile **old = d->slots;
    size_t n_old = d->n_slots;
    struct dayfile **slots = calloc(n_old * 2, sizeof(struct dayfile *));

    if (!slots)
        return;
    d->slots = slots;
    d->n_slots = n_old * 2;
    for (size_t i = 0; i < n_old; i++) {
        for (struct dayfile *f = old[i], *next; f; f = next) {
            next = f->chain;
            struct dayfile **slot =
                slot_of(d, span_of(f->identifier, f->identifier_n), f->day);
            f->chain = *slot;
            *slot = f;
        }
    }
    free(old);
}

struct dayfile *dayfile_find(struct dayfiles *d, struct span identifier, uint32_t day)
{
    (void)pthread_mutex_lock(&d->lock);
    struct dayfile *f = find(d, identifier, day);
    (void)pthread_mutex_unlock(&d->lock);
    return f;
}

/* A file that is known already, held; else NULL, and *ret_removals says how many removals
 * had begun by then. */
static struct dayfile *hold(struct dayfiles *d, struct span identifier, uint32_t day,
                            uint64_t *ret_removals)
{
    (void)pthread_mutex_lock(&d->lock);
    struct dayfile *f = find(d, identifier, day);
    if (f) {
        f->holders++;
        f->used = true;
    }
    *ret_removals = d->removals;
    (void)pthread_mutex_unlock(&d->lock);
    return f;
}

/* Return: 0; -errno. A file that isn't there has no bytes. */
static int ask_size(const struct dayfiles *d, struct span identifier, uint32_t day,
                    uint64_t *ret)
{
    char path[DAYFILE_PATH_BYTES];
    struct stat st = {.st_size = 0};

    dayfile_path(identifier, day, path);
    if (fstatat(d->data_fd, path, &st, 0) != 0 && errno != ENOENT)
        return -errno;
    *ret = (uint64_t)st.st_size;
    return 0;
}

static struct dayfile *make(struct span identifier, uint32_t day, uint64_t size)
{
    struct dayfile *f = calloc(1, sizeof *f);

    if (!f)
        return NULL;
    memcpy(f->identifier, identifier.data, identifier.n);
    f->identifier_n = identifier.n;
    f->day = day;
    f->fd = -1;
    f->next_offset = size;
    f->holders = 1;
    f->used = true;
    return f;
}

/* Puts a file into the table. Only one thread adds files, so none can have come while the
 * disk was asked for its size; but it may have gone. Return: 0; -EAGAIN: ask once more;
 * -EBUSY: it is going. */
static int add(struct dayfiles *d, struct dayfile *f, uint64_t removals)
{
    int r = 0;

    (void)pthread_mutex_lock(&d->lock);
    if (d->removes && d->going_day == f->day)
        r = -EBUSY;
    else if (d->removals != removals)
        r = -EAGAIN;
    if (r == 0) {
        if (d->n_files >= d->n_slots)
            grow(d);
        struct dayfile **slot =
            slot_of(d, span_of(f->identifier, f->identifier_n), f->day);
        f->chain = *slot;
        *slot = f;
        d->n_files++;
    }
    (void)pthread_mutex_unlock(&d->lock);
    return r;
}

int dayfile_get(struct dayfiles *d, struct span identifier, uint32_t day,
                struct dayfile **ret)
{
    int r = -EAGAIN;

    while (r == -EAGAIN) {
        uint64_t removals;
        uint64_t size = 0;

        *ret = hold(d, identifier, day, &removals);
        if (*ret)
            return 0;
        r = ask_size(d, identifier, day, &size);
        if (r)
            return r;
        struct dayfile *f = make(identifier, day, size);
        if (!f)
            return -ENOMEM;
        r = add(d, f, removals);
        if (r)
            free(f);
        else
            *ret = f;
    }
    return r;
}

int dayfile_expect(struct dayfiles *d, struct span identifier, uint32_t day,
                   uint64_t size, struct dayfile **ret)
{
    uint64_t asked = 0;
    uint64_t removals;

    *ret = hold(d, identifier, day, &removals);
    if (*ret)
        return 0;
    int r = ask_size(d, identifier, day, &asked);
    struct dayfile *f = make(identifier, day, r ? size : asked);
    if (!f)
        return -ENOMEM;
    r = add(d, f, removals);
    assert(r == 0); /* nobody deletes anything yet */
    (void)r;
    *ret = f;
    return 0;
}

static bool is_known(const struct dayfiles *d, uint32_t day)
{
    for (size_t i = 0; i < d->n_slots; i++) {
        for (const struct dayfile *f = d->slots[i]; f; f = f->chain) {
            if (f->day == day)
                return true;
        }
    }
    return false;
}

bool dayfiles_begin_removal(struct dayfiles *d, uint32_t day)
{
    (void)pthread_mutex_lock(&d->lock);
    d->removes = !is_known(d, day);
    d->going_day = day;
    d->removals += d->removes;
    bool removes = d->removes;
    (void)pthread_mutex_unlock(&d->lock);
    return removes;
}

void dayfiles_end_removal(struct dayfiles *d)
{
    (void)pthread_mutex_lock(&d->lock);
    d->removes = false;
    (void)pthread_mutex_unlock(&d->lock);
}

void dayfile_put(struct dayfile *f)
{
    f->holders--;
}

static void unlink_open(struct dayfiles *d, struct dayfile *f)
{
    *(f->newer ? &f->newer->older : &d->newest) = f->older;
    *(f->older ? &f->older->newer : &d->oldest) = f->newer;
    f->newer = f->older = NULL;
}

static void link_open(struct dayfiles *d, struct dayfile *f)
{
    f->older = d->newest;
    *(d->newest ? &d->newest->newer : &d->oldest) = f;
    d->newest = f;
}

static void close_file(struct dayfiles *d, struct dayfile *f)
{
    if (f->fd < 0)
        return;
    unlink_open(d, f);
    io_close(&f->fd);
    d->n_open--;
}

static int open_file(struct dayfiles *d, struct dayfile *f)
{
    char path[DAYFILE_PATH_BYTES];

    if (f->fd >= 0) {
        unlink_open(d, f);
        link_open(d, f);
        return 0;
    }
    /* A file may be closed while dirty: a later sync through another descriptor covers
     * its pages, and reports their errors, since Linux 4.17 (errseq). */
    while (d->n_open >= d->max_open)
        close_file(d, d->oldest);

    dayfile_path(span_of(f->identifier, f->identifier_n), f->day, path);
    int fd = openat(d->data_fd, path, O_RDWR | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT) {
        char *slash = strchr(path, '/');
        *slash = 0;
        if (mkdirat(d->data_fd, path, 0700) != 0 && errno != EEXIST)
            return -errno;
        *slash = '/';
        fd = openat(d->data_fd, path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        f->entry_synced = false;
    }
    if (fd < 0)
        return -errno;
    f->fd = fd;
    link_open(d, f);
    d->n_open++;
    return 0;
}

static void mark(struct dayfiles *d, struct dayfile *f)
{
    if (f->is_marked)
        return;
    f->is_marked = true;
    f->marked_next = d->marked;
    d->marked = f;
}

void dayfile_mark_behind(struct dayfiles *d, struct dayfile *f)
{
    f->behind = true;
    mark(d, f);
}

bool dayfiles_behind(const struct dayfiles *d)
{
    for (const struct dayfile *f = d->marked; f; f = f->marked_next) {
        if (f->behind)
            return true;
    }
    return false;
}

void dayfiles_caught_up(struct dayfiles *d)
{
    for (struct dayfile *f = d->marked; f; f = f->marked_next) {
        f->behind = f->stuck;
        f->stuck = false;
    }
}

/* The disk begins with what was written once that is a piece worth its while: a
 * checkpoint would have it do all at once, and the log's syncs wait behind that. No
 * promise, which is the sync's; see sync_file_range(2). */
static void begin_writeback(struct dayfile *f, uint64_t offset, size_t n)
{
    if (f->idle_bytes == 0 || offset < f->idle_from)
        f->idle_from = offset;
    f->idle_bytes += n;
    if (f->idle_bytes < WRITEBACK_BYTES)
        return;
    (void)sync_file_range(f->fd, (off_t)f->idle_from, 0, SYNC_FILE_RANGE_WRITE);
    f->idle_bytes = 0;
}

int dayfile_write(struct dayfiles *d, struct dayfile *f, struct iovec *parts,
                  size_t n_parts, uint64_t offset)
{
    int r = open_file(d, f);

    if (r == 0) {
        f->dirty = true;
        mark(d, f);
        size_t n = 0;
        for (size_t i = 0; i < n_parts; i++)
            n += parts[i].iov_len;
        r = io_pwritev(f->fd, parts, n_parts, offset);
        if (r == 0)
            begin_writeback(f, offset, n);
    }
    if (r)
        dayfile_mark_behind(d, f);
    return r;
}

int dayfile_size(struct dayfiles *d, struct dayfile *f, uint64_t *ret)
{
    return ask_size(d, span_of(f->identifier, f->identifier_n), f->day, ret);
}

bool dayfile_ends_with(struct dayfiles *d, struct dayfile *f, struct span bytes)
{
    CLEANUP(buf_done) struct buf end;
    uint64_t size = 0;
    size_t got = 0;

    buf_init(&end, bytes.n);
    if (dayfile_size(d, f, &size) || size < bytes.n || buf_reserve(&end, bytes.n) ||
        open_file(d, f) || io_pread(f->fd, end.data, bytes.n, size - bytes.n, &got))
        return false;
    return span_equal(span_of(end.data, got), bytes);
}

static int sync_host_dir(struct dayfiles *d, struct dayfile *f)
{
    char host[DAYFILE_HOST_BYTES + 1];

    dayfile_host_name(span_of(f->identifier, f->identifier_n), host);
    int fd = openat(d->data_fd, host, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int r = io_sync_dir(fd);
    io_close(&fd);
    return r;
}

static int sync_file(struct dayfiles *d, struct dayfile *f)
{
    int r = open_file(d, f);

    if (r == 0 && fdatasync(f->fd) != 0)
        r = -errno;
    if (r == 0 && !f->entry_synced)
        r = sync_host_dir(d, f);
    return r;
}

int dayfiles_sync(struct dayfiles *d)
{
    struct dayfile *todo = d->marked;
    bool new_entries = false;
    int result = 0;

    d->marked = NULL;
    for (struct dayfile *f = todo; f; f = f->marked_next) {
        int r = f->dirty ? sync_file(d, f) : 0;
        if (r) {
            result = r;
            f->behind = true;
            continue;
        }
        new_entries |= f->dirty && !f->entry_synced;
        f->dirty = false;
        f->idle_bytes = 0;
    }

    /* The hosts' own folders stand in data/. */
    int r = new_entries ? io_sync_dir(d->data_fd) : 0;
    if (r)
        result = r;
    for (struct dayfile *f = todo, *next; f; f = next) {
        next = f->marked_next;
        f->is_marked = false;
        f->entry_synced |= r == 0 && !f->dirty;
        f->behind |= r != 0 && !f->entry_synced;
        if (f->dirty || f->behind)
            mark(d, f);
    }
    return result;
}

/* Call with the lock held. */
static void trim_slot(struct dayfiles *d, struct dayfile **at)
{
    while (*at) {
        struct dayfile *f = *at;
        bool keep = f->used || f->is_marked || f->holders > 0;

        f->used = false;
        if (keep) {
            at = &f->chain;
            continue;
        }
        *at = f->chain;
        close_file(d, f);
        free(f);
        d->n_files--;
    }
}

void dayfiles_trim(struct dayfiles *d)
{
    (void)pthread_mutex_lock(&d->lock);
    for (size_t i = 0; i < d->n_slots; i++)
        trim_slot(d, &d->slots[i]);
    (void)pthread_mutex_unlock(&d->lock);
}

uint64_t dayfiles_open_count(const struct dayfiles *d)
{
    return d->n_open;
}
