/* SPDX-License-Identifier: MIT */
#include "pcd/store.h"

#include "common/clock.h"
#include "common/io.h"
#include "common/units.h"
#include "pcd/commit.h"
#include "pcd/dayfile.h"
#include "pcd/filer.h"
#include "pcd/recover.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

/* How old the answer of statvfs may be that store_room() goes by. */
#define ROOM_NS (250 * MSEC)
#define LOG_BYTES_MAX (64 * MIB)
#define LOG_BYTES_MIN MIB
#define SESSIONS_IN_MEMORY 200000u

struct store {
    struct store_conf conf;
    int home_fd;
    int lock_fd;
    int log_fd;
    int data_fd;
    uint64_t log_bytes; /* of one log file */
    struct keys *keys;
    struct dayfiles *files;
    struct filer *filer;
    struct commit *commit;
    struct retain *retain; /* NULL: nothing is ever deleted */
    struct store_recovery recovery;
    _Atomic bool draining;

    _Atomic uint64_t room_at_ns; /* when free_bytes was asked for, */
    _Atomic uint64_t room_total; /* and how much log had been written by then */
    _Atomic uint64_t free_bytes;
};

static int open_dir(int at_fd, const char *name, int *ret_fd)
{
    if (mkdirat(at_fd, name, 0700) != 0 && errno != EEXIST)
        return -errno;
    *ret_fd = openat(at_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return *ret_fd < 0 ? -errno : 0;
}

static int lock_home(struct store *s)
{
    s->lock_fd = openat(s->home_fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (s->lock_fd < 0)
        return -errno;
    if (flock(s->lock_fd, LOCK_EX | LOCK_NB) != 0)
        return errno == EWOULDBLOCK ? E_PENDING : -errno;
    return 0;
}

static int open_home(struct store *s)
{
    int r = io_make_dirs(s->conf.home);
    if (r)
        return r;
    s->home_fd = open(s->conf.home, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (s->home_fd < 0)
        return -errno;
    r = lock_home(s);
    if (r == 0)
        r = open_dir(s->home_fd, "log", &s->log_fd);
    if (r == 0)
        r = open_dir(s->home_fd, "data", &s->data_fd);
    return r ? r : io_sync_dir(s->home_fd);
}

static int open_keys(struct store *s, struct log_position *ret_at)
{
    struct keys_conf conf = {
        .home_fd = s->home_fd,
        .keep_ns = s->conf.keys_keep_ns,
        .max_sessions = SESSIONS_IN_MEMORY,
    };

    return keys_open(&conf, &s->keys, ret_at);
}

static int start_retain(struct store *s)
{
    struct retain_conf conf = {
        .data_fd = s->data_fd,
        .files = s->files,
        .keep_days = s->conf.retain_days,
        .max_bytes = s->conf.retain_bytes,
        .every_ns = s->conf.checkpoint_ns,
    };

    if (conf.keep_days == 0 && conf.max_bytes == 0)
        return 0;
    return retain_new(&conf, &s->retain);
}

static int start_threads(struct store *s, const struct recover_end *end,
                         const struct store_observer *observer)
{
    struct filer_conf filer = {
        .log_fd = s->log_fd,
        .files = s->files,
        .keys = s->keys,
        .admit = s->conf.admit,
        .checkpoint = end->checkpoint,
        .taken = end->read,
        .taken_total = end->log_bytes,
        .behind_bytes = end->behind_bytes,
        .checkpoint_ns = s->conf.checkpoint_ns,
        .log_max = s->conf.log_max,
        .memory_max = s->conf.admit->max_bytes / 2,
    };
    int r = filer_new(&filer, &s->filer);
    if (r)
        return r;

    struct commit_conf commit = {
        .log_fd = s->log_fd,
        .files = s->files,
        .keys = s->keys,
        .filer = s->filer,
        .admit = s->conf.admit,
        .first_number = end->next_number,
        .before = end->before,
        .log_total = end->log_bytes,
        .log_bytes = s->log_bytes,
        .gather_ns = s->conf.gather_ns,
        .sync = s->conf.sync,
    };
    if (observer)
        commit.observer = *observer;
    r = commit_new(&commit, &s->commit);
    return r ? r : start_retain(s);
}

static int open_all(struct store *s, const struct store_observer *observer,
                    const char **reterr_what)
{
    struct log_position at;
    struct recover_end end;

    *reterr_what = "open the home folder";
    int r = open_home(s);
    if (r)
        return r;
    *reterr_what = "read the checkpoint (keys)";
    r = open_keys(s, &at);
    if (r)
        return r;
    *reterr_what = "prepare the day files";
    r = dayfiles_new(s->data_fd, s->conf.files_max, &s->files);
    if (r)
        return r;
    *reterr_what = "recover from the log";
    const struct recover_conf recover = {
        .log_fd = s->log_fd,
        .files = s->files,
        .keys = s->keys,
        .observer = observer,
        .from = at,
    };
    r = recover_run(&recover, &end, &s->recovery);
    if (r)
        return r;
    *reterr_what = "begin the log";
    return start_threads(s, &end, observer);
}

int store_open(const struct store_conf *conf, const struct store_observer *observer,
               struct store **ret, const char **reterr_what)
{
    struct store *s = calloc(1, sizeof *s);

    *reterr_what = "allocate memory";
    if (!s)
        return -ENOMEM;
    s->conf = *conf;
    s->home_fd = s->lock_fd = s->log_fd = s->data_fd = -1;
    s->log_bytes = conf->log_max / 8;
    if (s->log_bytes > LOG_BYTES_MAX)
        s->log_bytes = LOG_BYTES_MAX;
    if (s->log_bytes < LOG_BYTES_MIN)
        s->log_bytes = LOG_BYTES_MIN;
    int r = open_all(s, observer, reterr_what);
    if (r) {
        (void)store_close(s); /* what failed is told already */
        return r;
    }
    *ret = s;
    return 0;
}

/* Asks for the free bytes, unless that was done a moment ago. Two threads may ask at
 * once; both are right. */
static void look_for_room(struct store *s, uint64_t log_total)
{
    uint64_t now = clock_monotonic_ns();
    struct statvfs st;

    if (s->room_at_ns && now - s->room_at_ns <= ROOM_NS)
        return;
    if (fstatvfs(s->data_fd, &st) == 0) {
        s->room_total = log_total; /* first: rather too little room than too much */
        s->free_bytes = (st.f_flag & ST_RDONLY) ? 0 : (uint64_t)st.f_bavail * st.f_frsize;
    }
    s->room_at_ns = now;
}

static uint64_t since(uint64_t total, uint64_t before)
{
    return total > before ? total - before : 0;
}

int store_room(struct store *s, uint64_t bytes)
{
    struct commit_counts c;
    struct filer_counts f;

    if (s->draining)
        return E_STOPPED;
    if (bytes > s->conf.log_max)
        return E_TOO_LARGE;
    commit_count(s->commit, &c);
    filer_count(s->filer, &f);
    if (c.beyond_help)
        return E_FULL;

    /* What is promised must fit in any case: once in the log and once filed, that which
     * was written since the disk was asked too. */
    look_for_room(s, c.log_total);
    uint64_t need = s->conf.disk_reserve + f.unfiled_bytes + s->log_bytes +
                    2 * (c.queued_bytes + since(c.log_total, s->room_total) + bytes +
                         keys_bytes(s->keys));
    if (s->free_bytes < need)
        return E_NO_ROOM;
    if (since(c.log_total, f.log_total) + bytes > s->conf.log_max)
        return E_FULL;
    return 0;
}

struct keys *store_keys(struct store *s)
{
    return s->keys;
}

void store_push(struct store *s, struct job *j)
{
    commit_push(s->commit, j);
}

void store_drain(struct store *s)
{
    s->draining = true;
    int r = commit_stop(s->commit);
    (void)r; /* store_close() asks again */
}

int store_close(struct store *s)
{
    int r = 0;

    if (!s)
        return 0;
    retain_free(s->retain);
    if (s->commit) {
        store_drain(s);
        r = commit_stop(s->commit);
    }
    if (s->filer) {
        int filed = filer_stop(s->filer);
        r = r ? r : filed;
    }
    commit_free(s->commit);
    filer_free(s->filer);
    dayfiles_free(s->files);
    keys_free(s->keys);
    io_close(&s->data_fd);
    io_close(&s->log_fd);
    io_close(&s->lock_fd);
    io_close(&s->home_fd);
    free(s);
    return r;
}

void store_count(struct store *s, struct store_counts *ret)
{
    struct commit_counts c;
    struct filer_counts f;

    commit_count(s->commit, &c);
    filer_count(s->filer, &f);
    look_for_room(s, c.log_total);
    *ret = (struct store_counts){
        .queued_jobs = c.queued_jobs,
        .unfiled_bytes = f.unfiled_bytes,
        .log_bytes = since(c.log_total, f.log_total),
        .groups = c.groups,
        .syncs = c.syncs,
        .sync_failures = c.sync_failures,
        .file_failures = f.file_failures,
        .checkpoints = f.checkpoints,
        .checkpoint_failures = f.checkpoint_failures,
        .open_files = dayfiles_open_count(s->files),
        .free_bytes = s->free_bytes,
        .disk_busy = c.disk_busy,
        .log_failed = c.log_failed,
        .files_failed = f.files_failed,
        .recovery = s->recovery,
    };
    keys_count(s->keys, &ret->keys);
    retain_count(s->retain, &ret->retain);
}
