/* SPDX-License-Identifier: MIT */
#include "pcd/retain.h"

#include "common/buf.h"
#include "common/clock.h"
#include "common/io.h"
#include "common/log.h"
#include "common/units.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A look takes at most this share of the time. */
#define LOOK_SHARE 10u
/* Of the list of days; ten thousand years. */
#define DAYS_MAX_BYTES (128 * MIB)

struct retain {
    struct retain_conf conf;
    pthread_t thread;

    pthread_mutex_t lock;
    pthread_cond_t wake;
    _Atomic bool stopping; /* set under the lock */

    /* The thread's own. */
    struct retain_clock clock;
    struct buf days; /* of struct retain_day */
    uint32_t going;  /* the day whose removal was begun and has not ended; 0: none */

    _Atomic uint64_t n_days;
    _Atomic uint64_t n_files;
    _Atomic uint64_t n_bytes;
    _Atomic uint64_t n_failures;
};

static uint64_t distance(int64_t a, int64_t b)
{
    return a > b ? (uint64_t)(a - b) : (uint64_t)(b - a);
}

bool retain_clock_look(struct retain_clock *c, uint64_t wall_ns, uint64_t boot_ns,
                       uint32_t newest_day)
{
    int64_t offset_ns = (int64_t)(wall_ns - boot_ns);
    uint64_t today = wall_ns / DAY;
    bool as_left = today <= newest_day + 2u && newest_day <= today + 2;
    bool jumped =
        c->is_known ? distance(offset_ns, c->offset_ns) >= RETAIN_JUMP_NS : !as_left;

    if (jumped)
        c->jumped_ns = boot_ns;
    else if (!c->is_known)
        c->jumped_ns = UINT64_MAX; /* never */
    /* From look to look: a clock that is slewed does not jump. */
    c->offset_ns = offset_ns;
    c->is_known = true;
    return c->jumped_ns == UINT64_MAX || boot_ns - c->jumped_ns >= RETAIN_STEADY_NS;
}

/* The newest day that a clock which runs right can have seen; where there is none, the
 * clock is behind, and the newest of all. */
static uint32_t newest_until(const struct retain_day *days, size_t n_days, uint32_t today)
{
    for (size_t i = n_days; i-- > 0;) {
        if (days[i].day <= today + 1)
            return days[i].day;
    }
    return days[n_days - 1].day;
}

bool retain_choose(const struct retain_conf *conf, const struct retain_day *days,
                   size_t n_days, uint32_t today, bool is_steady)
{
    uint64_t bytes = 0;

    if (n_days == 0)
        return false;
    for (size_t i = 0; i < n_days; i++)
        bytes += days[i].bytes;
    uint32_t newest = days[n_days - 1].day;
    uint64_t last = newest < today ? newest : today;
    uint64_t oldest = days[0].day;
    bool is_old = conf->keep_days > 0 && is_steady && oldest + conf->keep_days < last;
    bool is_more = conf->max_bytes > 0 && bytes > conf->max_bytes;
    return is_old || (is_more && oldest + 2 <= newest_until(days, n_days, today));
}

/* Counts a file in the list of days. Return: 0; -ENOMEM; E_TOO_LARGE. */
static int count_file(struct buf *list, uint32_t day, uint64_t bytes)
{
    struct retain_day *days = (struct retain_day *)(void *)list->data;
    size_t n = list->len / sizeof *days;
    size_t low = 0;

    for (size_t high = n; low < high;) {
        size_t mid = low + (high - low) / 2;
        if (days[mid].day < day)
            low = mid + 1;
        else
            high = mid;
    }
    if (low == n || days[low].day != day) {
        const struct retain_day added = {.day = day};
        int r = buf_append(list, span_of(&added, sizeof added));
        if (r)
            return r;
        days = (struct retain_day *)(void *)list->data;
        memmove(days + low + 1, days + low, (n - low) * sizeof *days);
        days[low] = added;
    }
    days[low].files++;
    days[low].bytes += bytes;
    return 0;
}

/* Return: a stream of the folder's entries, for closedir(); NULL, with errno. */
static DIR *open_folder(int at_fd, const char *name)
{
    int fd = openat(at_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);

    if (fd >= 0 && !dir)
        io_close(&fd);
    return dir;
}

/* What walk() calls for each day file. Return: 0; else the walk ends with it. */
typedef int visit_fn(struct retain *t, int host_fd, const char *name, uint32_t day);

static int walk_host(struct retain *t, DIR *host, visit_fn *visit)
{
    const struct dirent *entry;
    uint32_t day;
    int r = 0;

    while (r == 0 && !t->stopping && (errno = 0, entry = readdir(host))) {
        if (dayfile_read_name(entry->d_name, &day) == 0)
            r = visit(t, dirfd(host), entry->d_name, day);
    }
    return r ? r : -errno;
}

/*
 * Visits the day files of all hosts. A host that can't be read, or whose files a visit
 * fails for, is counted, and no reason to leave out the others.
 * @left: called for each host when it was visited; may be NULL
 * Return: 0; the last -errno.
 */
static int walk(struct retain *t, visit_fn *visit,
                int (*left)(struct retain *t, int host_fd, const char *name))
{
    const struct dirent *entry;
    int result = 0;
    DIR *data = open_folder(t->conf.data_fd, ".");

    if (!data)
        return -errno;
    while (!t->stopping && (errno = 0, entry = readdir(data))) {
        if (entry->d_name[0] == '.') /* no host's name begins with one */
            continue;
        DIR *host = open_folder(t->conf.data_fd, entry->d_name);
        int r = host ? walk_host(t, host, visit) : errno == ENOTDIR ? 0 : -errno;
        if (host && r == 0 && left)
            r = left(t, dirfd(host), entry->d_name);
        if (host)
            (void)closedir(host);
        if (r)
            result = r;
    }
    (void)closedir(data);
    return result;
}

static int visit_count(struct retain *t, int host_fd, const char *name, uint32_t day)
{
    struct stat st;

    if (fstatat(host_fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return errno == ENOENT ? 0 : -errno;
    int r = count_file(&t->days, day, (uint64_t)st.st_size);
    return r == E_TOO_LARGE ? -EFBIG : r;
}

static int visit_delete(struct retain *t, int host_fd, const char *name, uint32_t day)
{
    struct stat st;

    if (day != t->going)
        return 0;
    if (fstatat(host_fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0 ||
        unlinkat(host_fd, name, 0) != 0)
        return -errno;
    t->n_files++;
    t->n_bytes += (uint64_t)st.st_size;
    return 0;
}

/* A record of the log may name a file of this day again, and begin at its first byte: so
 * none may come back that was deleted. */
static int sync_host(struct retain *t, int host_fd, const char *name)
{
    int r = io_sync_dir(host_fd);

    if (r == 0) /* a host that sends no more; the kernel leaves one with files alone */
        (void)unlinkat(t->conf.data_fd, name, AT_REMOVEDIR);
    return r;
}

/* Deletes a day, whose removal has begun; ends the removal unless something failed. */
static void delete_day(struct retain *t)
{
    int r = walk(t, visit_delete, sync_host);

    if (t->stopping)
        return;
    if (r) {
        t->n_failures++;
        log_event(LOG_ERROR, "retain_failed", LOG_RESULT("error", r));
        return;
    }
    t->going = 0;
    t->n_days++;
    dayfiles_end_removal(t->conf.files);
}

/* Return: whether a day was begun, so that the next may be due at once. */
static bool look(struct retain *t)
{
    if (t->going) { /* begun before, and not ended for some reason */
        delete_day(t);
        return !t->going;
    }
    buf_reset(&t->days);
    int r = walk(t, visit_count, NULL);
    if (r) {
        t->n_failures++;
        log_event(LOG_ERROR, "retain_failed", LOG_RESULT("error", r));
    }
    const struct retain_day *days = (const struct retain_day *)(void *)t->days.data;
    size_t n_days = t->days.len / sizeof *days;
    if (n_days == 0 || t->stopping)
        return false;

    uint64_t wall_ns = clock_wall_ns();
    uint32_t today = (uint32_t)(wall_ns / DAY);
    bool is_steady = retain_clock_look(&t->clock, wall_ns, clock_boot_ns(),
                                       newest_until(days, n_days, today));
    if (!retain_choose(&t->conf, days, n_days, today, is_steady) ||
        !dayfiles_begin_removal(t->conf.files, days[0].day))
        return false;
    t->going = days[0].day;
    log_event(LOG_INFO, "day_removed", LOG_U64("day_s", t->going * (DAY / SEC)),
              LOG_U64("files", days[0].files), LOG_U64("bytes", days[0].bytes));
    delete_day(t);
    return !t->going;
}

/* Thread: retain. */
static void *run(void *arg)
{
    struct retain *t = arg;
    uint64_t wait_ns = t->conf.every_ns;

    (void)pthread_setname_np(pthread_self(), "pcd-retain");
    while (!t->stopping) {
        uint64_t until = clock_monotonic_ns() + wait_ns;
        struct timespec at = {.tv_sec = (time_t)(until / SEC),
                              .tv_nsec = (long)(until % SEC)};
        int r = 0;

        (void)pthread_mutex_lock(&t->lock);
        while (!t->stopping && r == 0)
            r = pthread_cond_clockwait(&t->wake, &t->lock, CLOCK_MONOTONIC, &at);
        (void)pthread_mutex_unlock(&t->lock);
        uint64_t begun = clock_monotonic_ns();
        while (!t->stopping && look(t))
            continue;
        wait_ns = (clock_monotonic_ns() - begun) * LOOK_SHARE;
        if (wait_ns < t->conf.every_ns)
            wait_ns = t->conf.every_ns;
    }
    return NULL;
}

int retain_new(const struct retain_conf *conf, struct retain **ret)
{
    struct retain *t = calloc(1, sizeof *t);

    if (!t)
        return -ENOMEM;
    t->conf = *conf;
    buf_init(&t->days, DAYS_MAX_BYTES);
    (void)pthread_mutex_init(&t->lock, NULL); /* neither fails with default attributes */
    (void)pthread_cond_init(&t->wake, NULL);
    int r = -pthread_create(&t->thread, NULL, run, t);
    if (r) {
        (void)pthread_cond_destroy(&t->wake);
        (void)pthread_mutex_destroy(&t->lock);
        free(t);
        return r;
    }
    *ret = t;
    return 0;
}

void retain_free(struct retain *t)
{
    if (!t)
        return;
    (void)pthread_mutex_lock(&t->lock);
    t->stopping = true;
    (void)pthread_cond_signal(&t->wake);
    (void)pthread_mutex_unlock(&t->lock);
    (void)pthread_join(t->thread, NULL);
    (void)pthread_cond_destroy(&t->wake);
    (void)pthread_mutex_destroy(&t->lock);
    buf_done(&t->days);
    free(t);
}

void retain_count(const struct retain *t, struct retain_counts *ret)
{
    *ret = (struct retain_counts){0};
    if (!t)
        return;
    ret->days = t->n_days;
    ret->files = t->n_files;
    ret->bytes = t->n_bytes;
    ret->failures = t->n_failures;
}
