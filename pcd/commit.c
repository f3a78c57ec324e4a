/* SPDX-License-Identifier: MIT */
#include "pcd/commit.h"

#include "common/clock.h"
#include "common/hash.h"
#include "common/log.h"
#include "common/units.h"
#include "pcd/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#define RETRY_NS SEC
#define INTERVAL_NS SEC

struct jobs {
    struct job *first;
    struct job *last;
};

struct commit {
    struct commit_conf conf;
    pthread_t thread;
    bool is_running;

    pthread_mutex_t lock;
    pthread_cond_t wake;
    /* guarded by lock */
    struct jobs waiting;
    bool stopping;

    /* The thread's own. */
    struct log log;
    uint64_t next_number;
    struct log_position before; /* the log that the next one follows, as acknowledged */
    int failure;                /* the last one of a log */
    uint64_t synced_total;      /* log_total without what was never synced */
    uint64_t retry_at_ns;
    struct jobs unsynced; /* interval: settled, written, not yet synced */
    uint64_t unsynced_bytes;
    bool rewrite; /* a log failed that held them */
    bool lost;    /* some were, at the end */
    uint64_t sync_at_ns;

    _Atomic uint64_t queued_jobs;
    _Atomic uint64_t queued_bytes;
    _Atomic uint64_t log_total;
    _Atomic uint64_t groups;
    _Atomic uint64_t syncs;
    _Atomic uint64_t sync_failures;
    _Atomic bool disk_busy; /* the thread is in a call that waits for it */
    _Atomic bool log_failed;
    _Atomic bool beyond_help; /* no new log before a restart */
};

static void push_last(struct jobs *list, struct job *j)
{
    j->next = NULL;
    if (list->last)
        list->last->next = j;
    else
        list->first = j;
    list->last = j;
}

static bool means_no_room(int r)
{
    return r == -ENOSPC || r == -EDQUOT || r == -EROFS;
}

/* Will it help to try again in a moment? */
static bool may_pass(int r)
{
    return means_no_room(r) || r == -EMFILE || r == -ENFILE || r == -ENOMEM ||
           r == -EINTR || r == -EEXIST;
}

static int verdict_of(int r)
{
    return means_no_room(r) ? E_NO_ROOM : r;
}

/* Tells the one who waits; the job is no longer his from here on. */
static void answer(struct job *j, int r)
{
    void (*settled)(void *arg, int r) = j->settled;

    j->settled = NULL;
    if (settled)
        settled(j->arg, r);
}

static void forget_queued(struct commit *c, const struct job *j)
{
    c->queued_jobs--;
    c->queued_bytes -= j->lines.len;
}

/* The batch is not stored: its offset, key and bytes are given back. */
static void refuse(struct commit *c, struct job *j, int r)
{
    void (*settled)(void *arg, int r) = j->settled;
    void *arg = j->arg;

    if (j->file) {
        if (j->file_offset < j->file->next_offset)
            j->file->next_offset = j->file_offset;
        dayfile_put(j->file);
    }
    forget_queued(c, j);
    if (j->has_key)
        keys_settle(c->conf.keys, job_identifier(j), &j->key, r,
                    keys_now_ns(c->conf.keys));
    admit_release(c->conf.admit, j->charged);
    job_free(j);
    if (settled)
        settled(arg, r);
}

static void refuse_all(struct commit *c, struct job *jobs, int r)
{
    for (struct job *j = jobs, *next; j; j = next) {
        next = j->next;
        refuse(c, j, r);
    }
}

/* The batches are durable: their keys count, the filer gets them, whoever still waits
 * is told. */
static void accept_all(struct commit *c, struct job *jobs)
{
    for (struct job *j = jobs, *next; j; j = next) {
        void (*settled)(void *arg, int r) = j->settled;
        void *arg = j->arg;

        next = j->next;
        forget_queued(c, j);
        if (j->has_key)
            keys_settle(c->conf.keys, job_identifier(j), &j->key, 0,
                        keys_now_ns(c->conf.keys));
        filer_push(c->conf.filer, j); /* before the answer: the job is the filer's now */
        if (settled)
            settled(arg, 0);
    }
}

/* Begins the next log. Return: 0; -errno, and when to try again is noted. */
static int begin_log(struct commit *c)
{
    /* A number that failed is not used again: its file may not go away. */
    c->disk_busy = true;
    int r = log_begin(c->conf.log_fd, c->next_number++, c->before, &c->log);
    c->disk_busy = false;

    c->log_failed = r != 0;
    if (r == 0) {
        c->log_total += c->log.length;
        c->synced_total = c->log_total;
        return 0;
    }
    c->failure = r;
    c->beyond_help = !may_pass(r);
    c->retry_at_ns = clock_monotonic_ns() + RETRY_NS;
    log_event(
        LOG_ERROR, "log_failed", LOG_RESULT("error", r),
        LOG_STR("next", c->beyond_help ? "restart pcd" : "tried again each second"));
    return r;
}

/* Gives up the log that is open, for good: what it has beyond its synced length does not
 * count. The next one, which says so, is begun at once. */
static void abandon_log(struct commit *c, int r)
{
    c->sync_failures++;
    c->failure = r;
    c->log_total = c->synced_total;
    /* Should no next one come to be, what was refused must not be found at a start; what
     * was answered early had better be. */
    if (!c->unsynced.first && ftruncate(c->log.fd, (off_t)c->log.synced) != 0)
        log_event(LOG_WARNING, "log_not_cut", LOG_RESULT("error", -errno));
    c->before = (struct log_position){c->log.number, c->log.synced};
    log_end(&c->log);
    (void)begin_log(c); /* remembered: ready_log() tells */
}

/* Makes sure that there is a log to write to. */
static int ready_log(struct commit *c)
{
    if (c->log_failed) {
        if (c->beyond_help || clock_monotonic_ns() < c->retry_at_ns)
            return c->failure;
        return begin_log(c);
    }
    if (c->log.length < c->conf.log_bytes || c->log.length != c->log.synced)
        return 0;
    c->before = (struct log_position){c->log.number, c->log.synced};
    log_end(&c->log);
    return begin_log(c);
}

/* Gives each job its place in its day file; jobs that can't get one are refused. */
static struct jobs place(struct commit *c, struct job *jobs)
{
    struct jobs placed = {0};

    for (struct job *j = jobs, *next; j; j = next) {
        next = j->next;
        c->disk_busy = true;
        int r = dayfile_get(c->conf.files, job_identifier(j), j->day, &j->file);
        c->disk_busy = false;
        if (r) {
            refuse(c, j, verdict_of(r));
            continue;
        }
        j->file_offset = j->file->next_offset;
        j->file->next_offset += j->lines.len;
        push_last(&placed, j);
    }
    return placed;
}

static int append(struct commit *c, struct job *jobs)
{
    uint64_t from = c->log.length;
    c->disk_busy = true;
    int r = log_append(&c->log, jobs);
    c->disk_busy = false;

    if (r) {
        log_event(LOG_ERROR, "log_write_failed", LOG_RESULT("error", r));
        return r;
    }
    for (struct job *j = jobs; j; j = j->next)
        j->log_total = c->log_total + (j->end.offset - from);
    c->log_total += c->log.length - from;
    return 0;
}

static int sync_log(struct commit *c)
{
    uint64_t begun = clock_monotonic_ns();
    c->disk_busy = true;
    int r = log_sync(&c->log);
    c->disk_busy = false;

    c->syncs++;
    if (c->conf.observer.synced)
        c->conf.observer.synced(c->conf.observer.arg, clock_monotonic_ns() - begun);
    if (r)
        log_event(LOG_ERROR, "log_sync_failed", LOG_RESULT("error", r));
    else
        c->synced_total = c->log_total;
    return r;
}

/* PCD_SYNC=interval: the batches are answered now, and kept until they are synced. */
static void answer_early(struct commit *c, struct job *jobs)
{
    if (!c->unsynced.first)
        c->sync_at_ns = clock_monotonic_ns() + INTERVAL_NS;
    for (struct job *j = jobs, *next; j; j = next) {
        next = j->next;
        push_last(&c->unsynced, j);
        c->unsynced_bytes += j->lines.len;
        answer(j, 0);
    }
}

/* Syncs what was answered before it was synced; what a failed log may have lost is
 * written again, from memory. */
static void sync_written(struct commit *c)
{
    bool again = c->rewrite;
    int r = 0;

    c->sync_at_ns = clock_monotonic_ns() + INTERVAL_NS;
    if (again) {
        if (ready_log(c))
            return;
        r = append(c, c->unsynced.first);
    }
    if (r == 0)
        r = sync_log(c);
    c->rewrite = r != 0;
    if (r) {
        abandon_log(c, r);
        if (!again)
            c->sync_at_ns = 0; /* into the new log at once, then each second */
        return;
    }
    struct job *jobs = c->unsynced.first;
    c->unsynced = (struct jobs){0};
    c->unsynced_bytes = 0;
    accept_all(c, jobs);
}

/* A write or sync failed; the group is refused. What was answered early is in memory
 * alone now, and is written again at once. */
static void fail_group(struct commit *c, struct job *group, int r)
{
    abandon_log(c, r); /* first, so that who tries again at once finds the next one */
    refuse_all(c, group, verdict_of(r));
    c->rewrite = c->unsynced.first != NULL;
    if (c->rewrite)
        sync_written(c);
}

/* One group: one write, with PCD_SYNC=always one sync, then the answers. */
static void commit_group(struct commit *c, struct job *jobs)
{
    /* Nothing more is answered early while that can't be made good. */
    if (c->rewrite)
        sync_written(c);
    int r = c->rewrite ? c->failure : ready_log(c);
    if (r) {
        refuse_all(c, jobs, verdict_of(r));
        return;
    }
    struct jobs group = place(c, jobs);
    if (!group.first)
        return;
    r = append(c, group.first);
    if (r == 0 && c->conf.sync == STORE_SYNC_ALWAYS)
        r = sync_log(c);
    c->groups++;
    if (r)
        fail_group(c, group.first, r);
    else if (c->conf.sync == STORE_SYNC_ALWAYS)
        accept_all(c, group.first);
    else
        answer_early(c, group.first);
}

/* Waits for jobs, at most until @until_ns; takes all there are. */
static struct job *take(struct commit *c, uint64_t until_ns, bool *ret_stopping)
{
    struct timespec at = {.tv_sec = (time_t)(until_ns / SEC),
                          .tv_nsec = (long)(until_ns % SEC)};
    int r = 0;

    (void)pthread_mutex_lock(&c->lock);
    while (!c->waiting.first && !c->stopping && r == 0)
        r = until_ns == UINT64_MAX
                ? pthread_cond_wait(&c->wake, &c->lock)
                : pthread_cond_clockwait(&c->wake, &c->lock, CLOCK_MONOTONIC, &at);
    if (c->conf.gather_ns && c->waiting.first && !c->stopping) {
        struct timespec gather = {.tv_sec = (time_t)(c->conf.gather_ns / SEC),
                                  .tv_nsec = (long)(c->conf.gather_ns % SEC)};
        (void)pthread_mutex_unlock(&c->lock);
        (void)nanosleep(&gather, NULL); /* shorter by a signal does no harm */
        (void)pthread_mutex_lock(&c->lock);
    }
    struct job *jobs = c->waiting.first;
    c->waiting = (struct jobs){0};
    *ret_stopping = c->stopping;
    (void)pthread_mutex_unlock(&c->lock);
    return jobs;
}

/* When the thread has to wake though nobody pushes. */
static uint64_t next_due(const struct commit *c)
{
    uint64_t due = c->unsynced.first ? c->sync_at_ns : UINT64_MAX;

    if (c->log_failed && !c->beyond_help && c->retry_at_ns < due)
        due = c->retry_at_ns;
    return due;
}

/* Answered but never synced: only with PCD_SYNC=interval and a log that failed. */
static void give_up_unsynced(struct commit *c)
{
    uint64_t n = 0;

    if (c->rewrite) {
        c->retry_at_ns = 0;
        sync_written(c); /* the last try */
    }
    for (const struct job *j = c->unsynced.first; j; j = j->next)
        n++;
    if (n == 0)
        return;
    log_event(LOG_ERROR, "answered_batches_lost", LOG_U64("batches", n),
              LOG_RESULT("error", c->failure));
    refuse_all(c, c->unsynced.first, E_STOPPED);
    c->unsynced = (struct jobs){0};
    c->lost = true;
}

/* Thread: committer. */
static void *run(void *arg)
{
    struct commit *c = arg;
    bool stopping = false;

    (void)pthread_setname_np(pthread_self(), "pcd-committer");
    while (!stopping) {
        struct job *jobs = take(c, next_due(c), &stopping);

        if (c->log_failed)
            (void)ready_log(c); /* what it gives is asked for again */
        if (jobs)
            commit_group(c, jobs);
        /* Much that waits for its sync holds memory, and the log's room. */
        bool due = stopping || c->unsynced_bytes >= c->conf.log_bytes ||
                   clock_monotonic_ns() >= c->sync_at_ns;
        if (c->unsynced.first && due)
            sync_written(c);
    }
    give_up_unsynced(c);
    return NULL;
}

int commit_new(const struct commit_conf *conf, struct commit **ret)
{
    struct commit *c = calloc(1, sizeof *c);

    if (!c)
        return -ENOMEM;
    c->conf = *conf;
    c->next_number = conf->first_number;
    c->before = conf->before;
    c->log_total = c->synced_total = conf->log_total;
    c->log.fd = -1;
    (void)pthread_mutex_init(&c->lock, NULL); /* neither fails with default attributes */
    (void)pthread_cond_init(&c->wake, NULL);
    int r = begin_log(c);
    if (r == 0 || !c->beyond_help) {
        /* Without room pcd starts all the same, and says so to who asks. */
        r = -pthread_create(&c->thread, NULL, run, c);
        c->is_running = r == 0;
    }
    if (r) {
        commit_free(c);
        return r;
    }
    *ret = c;
    return 0;
}

void commit_push(struct commit *c, struct job *j)
{
    j->file = NULL;
    j->lines_crc = hash_crc32c(0, buf_span(&j->lines));
    c->queued_jobs++;
    c->queued_bytes += j->lines.len;

    (void)pthread_mutex_lock(&c->lock);
    bool stopping = c->stopping;
    if (!stopping) {
        push_last(&c->waiting, j);
        (void)pthread_cond_signal(&c->wake);
    }
    (void)pthread_mutex_unlock(&c->lock);
    if (stopping)
        refuse(c, j, E_STOPPED);
}

int commit_stop(struct commit *c)
{
    if (!c->is_running)
        return c->lost ? -EIO : 0;
    (void)pthread_mutex_lock(&c->lock);
    c->stopping = true;
    (void)pthread_cond_signal(&c->wake);
    (void)pthread_mutex_unlock(&c->lock);
    (void)pthread_join(c->thread, NULL);
    c->is_running = false;
    return c->lost ? -EIO : 0;
}

void commit_free(struct commit *c)
{
    if (!c)
        return;
    log_end(&c->log);
    (void)pthread_cond_destroy(&c->wake);
    (void)pthread_mutex_destroy(&c->lock);
    free(c);
}

void commit_count(const struct commit *c, struct commit_counts *ret)
{
    *ret = (struct commit_counts){
        .queued_jobs = c->queued_jobs,
        .queued_bytes = c->queued_bytes,
        .log_total = c->log_total,
        .groups = c->groups,
        .syncs = c->syncs,
        .sync_failures = c->sync_failures,
        .disk_busy = c->disk_busy,
        .log_failed = c->log_failed,
        .beyond_help = c->beyond_help,
    };
}
