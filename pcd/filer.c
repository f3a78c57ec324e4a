/* SPDX-License-Identifier: MIT */
#include "pcd/filer.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/units.h"
#include "pcd/log_reader.h"

#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

/* Batches of a moment are written together. */
#define LINGER_NS (100 * MSEC)
#define RETRY_NS SEC
#define PIECES 64u

struct filer {
    struct filer_conf conf;
    pthread_t thread;

    pthread_mutex_t lock;
    pthread_cond_t wake;
    /* guarded by lock */
    struct job *first;
    struct job *last;
    bool stopping;

    /* The thread's own. */
    struct log_position taken; /* the end of the last job taken: all before it is written,
                                  but for files that are behind */
    uint64_t taken_total;
    struct log_position checkpoint; /* P */
    uint64_t due_at_ns;             /* when the next one is to come at the latest */
    uint64_t retry_at_ns;
    int last_result;
    uint64_t behind_bytes; /* of unfiled_bytes, those that only the log has */
    int stuck_result;      /* of the files that catching up could not write */

    _Atomic uint64_t memory;
    _Atomic uint64_t unfiled_bytes;
    _Atomic uint64_t checkpoint_total;
    _Atomic uint64_t newest_total;
    _Atomic uint64_t file_failures;
    _Atomic uint64_t checkpoints;
    _Atomic uint64_t checkpoint_failures;
    _Atomic bool files_failed;
};

static void release_lines(struct filer *f, struct job *j)
{
    admit_release(f->conf.admit, j->charged);
    f->memory -= j->charged;
    j->charged = 0;
    buf_done(&j->lines);
}

void filer_push(struct filer *f, struct job *j)
{
    j->next = NULL;
    j->n_bytes = j->lines.len;
    f->unfiled_bytes += j->n_bytes;
    f->newest_total = j->log_total;
    f->memory += j->charged;
    if (f->memory > f->conf.memory_max)
        release_lines(f, j); /* the log has them */

    (void)pthread_mutex_lock(&f->lock);
    if (f->last)
        f->last->next = j;
    else
        f->first = j;
    f->last = j;
    (void)pthread_cond_signal(&f->wake);
    (void)pthread_mutex_unlock(&f->lock);
}

static bool half_full(const struct filer *f)
{
    return f->newest_total - f->checkpoint_total >= f->conf.log_max / 2;
}

static void wait_until(struct filer *f, uint64_t boot_ns)
{
    struct timespec at = {.tv_sec = (time_t)(boot_ns / SEC),
                          .tv_nsec = (long)(boot_ns % SEC)};

    (void)pthread_cond_clockwait(&f->wake, &f->lock, CLOCK_MONOTONIC, &at);
}

static void finish_job(struct filer *f, struct job *j, bool is_written)
{
    if (is_written)
        f->unfiled_bytes -= j->n_bytes;
    else
        f->behind_bytes += j->n_bytes;
    if (j->charged)
        release_lines(f, j);
    dayfile_put(j->file);
    job_free(j);
}

static bool write_pieces(struct filer *f, struct dayfile *file, struct iovec *parts,
                         size_t n, uint64_t offset)
{
    if (file->behind)
        return false; /* the log's turn */
    int r = dayfile_write(f->conf.files, file, parts, n, offset);
    if (r) {
        f->file_failures++;
        log_event(LOG_ERROR, "day_file_failed",
                  LOG_SPAN("identifier", span_of(file->identifier, file->identifier_n)),
                  LOG_RESULT("error", r));
    }
    return r == 0;
}

/* Writes the jobs of one file, neighbours in one call. Those that fail are left to the
 * log, which has them all. */
static void write_file(struct filer *f, struct dayfile *file)
{
    struct job *j = file->todo;

    file->todo = file->todo_last = NULL;
    while (j) {
        struct iovec parts[PIECES];
        struct job *from = j;
        uint64_t at = j->file_offset;
        size_t n = 0;

        for (; j && n < PIECES && j->file_offset == at && j->lines.len == j->n_bytes;
             j = j->next) {
            parts[n++] = (struct iovec){j->lines.data, j->lines.len};
            at += j->lines.len;
        }
        if (n == 0) {
            /* Its lines are in the log only. */
            dayfile_mark_behind(f->conf.files, file);
            j = j->next;
        }
        bool is_written = n > 0 && (at == from->file_offset ||
                                    write_pieces(f, file, parts, n, from->file_offset));
        for (struct job *next; from != j; from = next) {
            next = from->next;
            finish_job(f, from, is_written);
        }
    }
}

/* Sorts jobs by file, keeping their order in each, and writes file by file. */
static void write_jobs(struct filer *f, struct job *jobs)
{
    struct dayfile *files = NULL;

    for (struct job *j = jobs, *next; j; j = next) {
        struct dayfile *file = j->file;

        next = j->next;
        j->next = NULL;
        f->taken = j->end;
        f->taken_total = j->log_total;
        if (file->todo) {
            file->todo_last->next = j;
        } else {
            file->todo = j;
            file->todo_next = files;
            files = file;
        }
        file->todo_last = j;
    }
    for (struct dayfile *file = files, *next; file; file = next) {
        next = file->todo_next; /* the file may be forgotten once its jobs are done */
        write_file(f, file);
    }
}

static int apply_behind(void *arg, const struct log_record *rec)
{
    struct filer *f = arg;
    struct dayfile *file = dayfile_find(f->conf.files, rec->identifier, rec->day);

    if (!file || !file->behind || file->stuck || rec->lines.n == 0)
        return 0;
    struct iovec part = {(void *)(uintptr_t)rec->lines.data, rec->lines.n};
    int r = dayfile_write(f->conf.files, file, &part, 1, rec->file_offset);
    if (r) {
        /* The others are not held up by it. */
        file->stuck = true;
        f->stuck_result = r;
        log_event(LOG_ERROR, "day_file_failed", LOG_SPAN("identifier", rec->identifier),
                  LOG_RESULT("error", r));
    }
    return 0;
}

/* Writes the records of files that are behind again, all since the checkpoint. */
static int catch_up(struct filer *f)
{
    f->stuck_result = 0;
    int r = log_replay(f->conf.log_fd, f->checkpoint, f->taken, apply_behind, f);

    if (r == 0) {
        dayfiles_caught_up(f->conf.files);
        r = dayfiles_sync(f->conf.files);
    }
    if (r == 0)
        r = f->stuck_result;
    if (r == 0) {
        f->unfiled_bytes -= f->behind_bytes;
        f->behind_bytes = 0;
    }
    if (r) {
        f->file_failures++;
        log_event(LOG_ERROR, "catch_up_failed", LOG_RESULT("error", r));
    } else if (f->files_failed) {
        log_event(LOG_INFO, "day_files_recovered");
    }
    f->files_failed = r != 0;
    return r;
}

static void delete_logs(struct filer *f)
{
    uint64_t *numbers;
    uint64_t max;
    size_t n;

    if (log_list(f->conf.log_fd, &numbers, &n, &max) != 0)
        return; /* the next checkpoint tries again */
    for (size_t i = 0; i < n && numbers[i] < f->checkpoint.number; i++) {
        char name[LOG_NAME_BYTES];

        log_name(numbers[i], name);
        if (unlinkat(f->conf.log_fd, name, 0) != 0)
            break; /* oldest first: none may stay behind a younger one */
    }
    free(numbers);
}

/* Lines come and go between what stays, as connections do, so that much of a heap is free
 * and little of it at its end, where alone free() gives it back. */
static void give_memory_back(void)
{
#ifdef __GLIBC__
    (void)malloc_trim(0); /* it only says whether there was some */
#endif
}

/* The order matters: each step relies on the one before being durable. */
static int checkpoint(struct filer *f)
{
    struct log_position at = f->taken;
    uint64_t total = f->taken_total;

    int r = dayfiles_sync(f->conf.files);
    if (r) {
        f->file_failures++;
        f->files_failed = true;
        log_event(LOG_ERROR, "day_file_sync_failed", LOG_RESULT("error", r));
        return r;
    }
    r = keys_checkpoint(f->conf.keys, at, keys_now_ns(f->conf.keys));
    if (r) {
        f->checkpoint_failures++;
        log_event(LOG_ERROR, "checkpoint_failed", LOG_RESULT("error", r));
        return r;
    }
    f->checkpoint = at;
    f->checkpoint_total = total;
    f->checkpoints++;
    f->due_at_ns = clock_monotonic_ns() + f->conf.checkpoint_ns;
    delete_logs(f);
    dayfiles_trim(f->conf.files);
    give_memory_back();
    return 0;
}

static bool has_news(const struct filer *f)
{
    return f->taken.number != f->checkpoint.number ||
           f->taken.offset != f->checkpoint.offset;
}

/* What is due besides writing: catching up, a checkpoint. */
static void maintain(struct filer *f, bool stopping)
{
    uint64_t now = clock_monotonic_ns();
    bool behind = dayfiles_behind(f->conf.files);

    bool due = stopping || half_full(f) || now >= f->due_at_ns;
    if (behind && (now >= f->retry_at_ns || stopping)) {
        f->last_result = catch_up(f);
        behind = f->last_result != 0;
        uint64_t ended = clock_monotonic_ns();
        if (behind) /* not all the time where it takes long, for it reads all the log */
            f->retry_at_ns = ended + RETRY_NS + 4 * (ended - now);
        due = true; /* or the next time all of it would be read again */
    }
    if (behind || !due || (now < f->retry_at_ns && !stopping))
        return;
    if (!has_news(f)) {
        dayfiles_trim(f->conf.files); /* no record after P names any */
        f->due_at_ns = now + f->conf.checkpoint_ns;
        return;
    }
    f->last_result = checkpoint(f);
    if (f->last_result)
        f->retry_at_ns = clock_monotonic_ns() + RETRY_NS;
}

/* When maintain() has something to do though nobody pushes. */
static uint64_t next_due(const struct filer *f)
{
    uint64_t due = half_full(f) && has_news(f) ? 0 : f->due_at_ns;

    return dayfiles_behind(f->conf.files) || due < f->retry_at_ns ? f->retry_at_ns : due;
}

/* Waits for jobs or the next thing that is due, and takes all there are. */
static struct job *take(struct filer *f, bool *ret_stopping)
{
    uint64_t due = next_due(f);

    (void)pthread_mutex_lock(&f->lock);
    if (!f->first && !f->stopping)
        wait_until(f, due);
    uint64_t until = clock_monotonic_ns() + LINGER_NS;
    while (f->first && !f->stopping && clock_monotonic_ns() < until &&
           f->memory < f->conf.memory_max / 4)
        wait_until(f, until);
    struct job *jobs = f->first;
    f->first = f->last = NULL;
    *ret_stopping = f->stopping;
    (void)pthread_mutex_unlock(&f->lock);
    return jobs;
}

/* Thread: filer. */
static void *run(void *arg)
{
    struct filer *f = arg;
    bool stopping = false;

    (void)pthread_setname_np(pthread_self(), "pcd-filer");
    while (!stopping) {
        struct job *jobs = take(f, &stopping);
        write_jobs(f, jobs);
        maintain(f, stopping);
    }
    return NULL;
}

int filer_new(const struct filer_conf *conf, struct filer **ret)
{
    struct filer *f = calloc(1, sizeof *f);

    if (!f)
        return -ENOMEM;
    f->conf = *conf;
    f->taken = conf->taken;
    f->taken_total = conf->taken_total;
    f->newest_total = conf->taken_total;
    f->unfiled_bytes = conf->behind_bytes;
    f->behind_bytes = conf->behind_bytes;
    f->files_failed = dayfiles_behind(conf->files);
    f->checkpoint = conf->checkpoint;
    f->due_at_ns = clock_monotonic_ns(); /* what recovery could not do */
    if (!has_news(f))
        f->due_at_ns += conf->checkpoint_ns;
    (void)pthread_mutex_init(&f->lock, NULL); /* neither fails with default attributes */
    (void)pthread_cond_init(&f->wake, NULL);
    int r = -pthread_create(&f->thread, NULL, run, f);
    if (r) {
        filer_free(f);
        return r;
    }
    *ret = f;
    return 0;
}

int filer_stop(struct filer *f)
{
    (void)pthread_mutex_lock(&f->lock);
    f->stopping = true;
    (void)pthread_cond_signal(&f->wake);
    (void)pthread_mutex_unlock(&f->lock);
    (void)pthread_join(f->thread, NULL);
    return f->last_result;
}

void filer_free(struct filer *f)
{
    if (!f)
        return;
    (void)pthread_cond_destroy(&f->wake);
    (void)pthread_mutex_destroy(&f->lock);
    free(f);
}

void filer_count(const struct filer *f, struct filer_counts *ret)
{
    *ret = (struct filer_counts){
        .unfiled_bytes = f->unfiled_bytes,
        .log_total = f->checkpoint_total,
        .file_failures = f->file_failures,
        .checkpoints = f->checkpoints,
        .checkpoint_failures = f->checkpoint_failures,
        .files_failed = f->files_failed,
    };
}
