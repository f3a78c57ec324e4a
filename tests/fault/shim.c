/* SPDX-License-Identifier: MIT */

/*
 * A library to preload into pcc or pcd: between them and the kernel, it makes calls on
 * files below one folder fail by rules (shim_rules.h), and records them for the power-cut
 * test (shim_journal.h). tests/fault/faults.py is how tests use it.
 *
 *   PC_SHIM_ROOT     the folder, without symbolic links in its path
 *   PC_SHIM_RULES    the file of rules
 *   PC_SHIM_HITS     where touched calls are noted
 *   PC_SHIM_JOURNAL  the journal
 *
 * It calls the kernel itself, so that it doesn't matter which library comes behind it;
 * before it may come a sanitizer's, whose own replacements of these calls end here.
 */

/* Each name is defined here as it is, not by what a header makes of it. */
#undef _FILE_OFFSET_BITS
#undef _FORTIFY_SOURCE

#include "tests/fault/shim_journal.h"
#include "tests/fault/shim_rules.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

static char root[PATH_MAX];
static size_t root_n;
static _Atomic int64_t grown; /* bytes that files below the root grew by */
static int (*next_fstatvfs)(int fd, struct statvfs64 *st);
static int (*next_statvfs)(const char *path, struct statvfs64 *st);

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("PC_SHIM_ROOT");

    /* POSIX has a function pointer fit into what dlsym() gives. */
    *(void **)&next_fstatvfs = dlsym(RTLD_NEXT, "fstatvfs64");
    *(void **)&next_statvfs = dlsym(RTLD_NEXT, "statvfs64");
    if (!path)
        return;
    root_n = strlen(path);
    memcpy(root, path, root_n + 1);
    shim_rules_init(getenv("PC_SHIM_RULES"), getenv("PC_SHIM_HITS"));
    shim_journal_init(getenv("PC_SHIM_JOURNAL"));
}

/* Turns a path into that below the root. Return: is it there? */
static bool make_relative(char path[PATH_MAX])
{
    size_t n = strlen(path);

    if (n >= 2 && strcmp(path + n - 2, "/.") == 0)
        path[n -= 2] = 0;
    if (strncmp(path, root, root_n) != 0 || (path[root_n] && path[root_n] != '/'))
        return false;
    if (path[root_n])
        memmove(path, path + root_n + 1, n - root_n);
    else
        memcpy(path, ".", 2);
    return true;
}

static bool read_link(const char *name, char ret[PATH_MAX])
{
    ssize_t n = readlink(name, ret, PATH_MAX - 1);

    if (n <= 0 || ret[0] != '/')
        return false;
    ret[n] = 0;
    return true;
}

/* Where an open file is, below the root. Return: is it there? */
static bool path_of(int fd, char ret[PATH_MAX])
{
    static const char deleted[] = " (deleted)";
    char name[32];

    if (root_n == 0)
        return false;
    (void)snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    if (!read_link(name, ret))
        return false;
    size_t n = strlen(ret);
    if (n >= sizeof deleted && strcmp(ret + n - sizeof deleted + 1, deleted) == 0)
        return false;
    return make_relative(ret);
}

/* Where a name leads, below the root. Return: does it lead there? */
static bool path_at(int dir_fd, const char *name, char ret[PATH_MAX])
{
    char link[32] = "/proc/self/cwd";

    if (root_n == 0)
        return false;
    if (name[0] == '/') {
        if (strlen(name) >= PATH_MAX)
            return false;
        memcpy(ret, name, strlen(name) + 1);
        return make_relative(ret);
    }
    if (dir_fd != AT_FDCWD)
        (void)snprintf(link, sizeof link, "/proc/self/fd/%d", dir_fd);
    if (!read_link(link, ret))
        return false;
    size_t n = strlen(ret);
    if (n + 1 + strlen(name) >= PATH_MAX)
        return false;
    ret[n] = '/';
    memcpy(ret + n + 1, name, strlen(name) + 1);
    return make_relative(ret);
}

/* Not between another thread's call and its record: then the journal would be wrong. */
static void die(void)
{
    shim_journal_lock();
    (void)kill(getpid(), SIGKILL);
    for (;;)
        (void)pause();
}

/* Does what a rule wants done before a call. Return: is the call to be made? */
static bool allowed(struct shim_fault fault)
{
    if (fault.action == SHIM_KILL)
        die();
    if (fault.action != SHIM_FAIL)
        return true;
    errno = (int)fault.value;
    return false;
}

static void after(struct shim_fault fault)
{
    if (fault.action == SHIM_KILL_AFTER || fault.action == SHIM_TEAR)
        die();
}

static int64_t size_of(int fd)
{
    struct stat64 st;

    return fstat64(fd, &st) == 0 ? (int64_t)st.st_size : 0;
}

/* What goes with a file's last name gives room. */
static void give_room(int dir_fd, const char *name)
{
    struct stat64 st;

    if (fstatat64(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) &&
        st.st_nlink == 1)
        grown -= (int64_t)st.st_size;
}

/* Opening */

static int make_open(int dir_fd, const char *name, int flags, mode_t mode,
                     const char *path)
{
    bool was_there = faccessat(dir_fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
    int fd = (int)syscall(SYS_openat, dir_fd, name, flags, mode);

    if (fd < 0)
        return fd;
    if (!was_there && (flags & O_CREAT))
        shim_journal_paths(JOURNAL_CREATE, path, "");
    else if (flags & O_TRUNC)
        shim_journal_size(JOURNAL_TRUNCATE, path, 0);
    return fd;
}

static int do_open(int dir_fd, const char *name, int flags, mode_t mode)
{
    char path[PATH_MAX];

    if (!path_at(dir_fd, name, path))
        return (int)syscall(SYS_openat, dir_fd, name, flags, mode);
    struct shim_fault fault =
        shim_rules_match((flags & O_CREAT) ? SHIM_CREATE : SHIM_OPEN, path);
    if (!allowed(fault))
        return -1;
    shim_journal_lock();
    int fd = make_open(dir_fd, name, flags, mode, path);
    shim_journal_unlock();
    after(fault);
    return fd;
}

#define MODE_OF(flags)                                                                   \
    mode_t mode = 0;                                                                     \
    if ((flags) & (O_CREAT | O_TMPFILE)) {                                               \
        va_list args;                                                                    \
        va_start(args, flags);                                                           \
        mode = va_arg(args, mode_t);                                                     \
        va_end(args);                                                                    \
    }

EXPORT int open(const char *name, int flags, ...)
{
    MODE_OF(flags)
    return do_open(AT_FDCWD, name, flags, mode);
}

EXPORT int open64(const char *name, int flags, ...)
{
    MODE_OF(flags)
    return do_open(AT_FDCWD, name, flags, mode);
}

EXPORT int openat(int dir_fd, const char *name, int flags, ...)
{
    MODE_OF(flags)
    return do_open(dir_fd, name, flags, mode);
}

EXPORT int openat64(int dir_fd, const char *name, int flags, ...)
{
    MODE_OF(flags)
    return do_open(dir_fd, name, flags, mode);
}

/* Reading */

static ssize_t do_read(int fd, void *data, size_t n, off64_t offset)
{
    char path[PATH_MAX];
    struct shim_fault fault = {.action = SHIM_PASS};

    if (root_n > 0 && shim_rules_about(SHIM_READ) && path_of(fd, path))
        fault = shim_rules_match(SHIM_READ, path);
    if (!allowed(fault))
        return -1;
    if (fault.action == SHIM_SHORT && n > fault.value)
        n = (size_t)fault.value;
    return offset < 0 ? syscall(SYS_read, fd, data, n)
                      : syscall(SYS_pread64, fd, data, n, offset);
}

EXPORT ssize_t read(int fd, void *data, size_t n)
{
    return do_read(fd, data, n, -1);
}

EXPORT ssize_t pread(int fd, void *data, size_t n, off_t offset)
{
    return do_read(fd, data, n, offset);
}

EXPORT ssize_t pread64(int fd, void *data, size_t n, off64_t offset)
{
    return do_read(fd, data, n, offset);
}

/* Writing */

static ssize_t raw_write(int fd, const struct iovec *parts, int n_parts, off64_t offset)
{
    return offset < 0 ? syscall(SYS_writev, fd, parts, n_parts)
                      : syscall(SYS_pwritev, fd, parts, n_parts, offset, 0);
}

static size_t total(const struct iovec *parts, int n_parts)
{
    size_t n = 0;

    for (int i = 0; i < n_parts; i++)
        n += parts[i].iov_len;
    return n;
}

static off64_t place_of(int fd)
{
    int flags = fcntl(fd, F_GETFL);

    return (flags & O_APPEND) ? (off64_t)size_of(fd) : lseek64(fd, 0, SEEK_CUR);
}

/* How many of @n bytes the disk takes at an offset. */
static size_t fitting(int fd, off64_t offset, size_t n)
{
    int64_t disk;

    if (!shim_rules_disk(&disk))
        return n;
    int64_t growth = offset + (int64_t)n - size_of(fd);
    int64_t room = disk > grown ? disk - grown : 0;
    if (growth <= room)
        return n;
    int64_t fits = (int64_t)n - (growth - room);
    return fits > 0 ? (size_t)fits : 0;
}

/* As raw_write(), also where a direct write (O_DIRECT) is cut within a block. */
static ssize_t cut_write(int fd, const struct iovec *parts, int n_parts, off64_t offset)
{
    int flags = fcntl(fd, F_GETFL);

    (void)fcntl(fd, F_SETFL, flags & ~O_DIRECT);
    ssize_t done = raw_write(fd, parts, n_parts, offset);
    int error = errno;
    (void)fcntl(fd, F_SETFL, flags);
    errno = error;
    return done;
}

/* Writes the first @n bytes of the parts, and records it. */
static ssize_t write_some(int fd, const struct iovec *parts, int n_parts, off64_t offset,
                          const char *path, size_t n)
{
    struct iovec some[IOV_MAX];
    off64_t at = offset < 0 ? place_of(fd) : offset;
    int64_t size = size_of(fd);
    int n_some = 0;

    n = fitting(fd, at, n);
    if (n == 0) {
        errno = ENOSPC;
        return -1;
    }
    for (size_t left = n; n_some < n_parts && left > 0; n_some++) {
        some[n_some] = parts[n_some];
        if (some[n_some].iov_len > left)
            some[n_some].iov_len = left;
        left -= some[n_some].iov_len;
    }
    ssize_t done = n < total(parts, n_parts) ? cut_write(fd, some, n_some, offset)
                                             : raw_write(fd, some, n_some, offset);
    if (done > 0)
        shim_journal_write(path, (uint64_t)at, some, (size_t)done);
    if (done > 0 && at + done > size)
        grown += at + done - size;
    return done;
}

static ssize_t do_write(int fd, const struct iovec *parts, int n_parts, off64_t offset)
{
    char path[PATH_MAX];
    size_t n = total(parts, n_parts);

    if (n == 0 || n_parts > IOV_MAX || !path_of(fd, path))
        return raw_write(fd, parts, n_parts, offset);
    struct shim_fault fault = shim_rules_match(SHIM_WRITE, path);
    if (!allowed(fault))
        return -1;
    if (fault.action == SHIM_TEAR && n > 1)
        n /= 2;
    if (fault.action == SHIM_SHORT && n > fault.value && fault.value > 0)
        n = (size_t)fault.value;
    shim_journal_lock();
    ssize_t done = write_some(fd, parts, n_parts, offset, path, n);
    shim_journal_unlock();
    after(fault);
    return done;
}

static ssize_t do_write_one(int fd, const void *data, size_t n, off64_t offset)
{
    struct iovec part = {(void *)(uintptr_t)data, n};

    return do_write(fd, &part, 1, offset);
}

EXPORT ssize_t write(int fd, const void *data, size_t n)
{
    return do_write_one(fd, data, n, -1);
}

EXPORT ssize_t pwrite(int fd, const void *data, size_t n, off_t offset)
{
    return do_write_one(fd, data, n, offset);
}

EXPORT ssize_t pwrite64(int fd, const void *data, size_t n, off64_t offset)
{
    return do_write_one(fd, data, n, offset);
}

EXPORT ssize_t writev(int fd, const struct iovec *parts, int n_parts)
{
    return do_write(fd, parts, n_parts, -1);
}

EXPORT ssize_t pwritev(int fd, const struct iovec *parts, int n_parts, off_t offset)
{
    return do_write(fd, parts, n_parts, offset);
}

EXPORT ssize_t pwritev64(int fd, const struct iovec *parts, int n_parts, off64_t offset)
{
    return do_write(fd, parts, n_parts, offset);
}

static int do_truncate(int fd, off64_t size)
{
    char path[PATH_MAX];

    if (!path_of(fd, path))
        return (int)syscall(SYS_ftruncate, fd, size);
    struct shim_fault fault = shim_rules_match(SHIM_TRUNCATE, path);
    if (!allowed(fault))
        return -1;
    shim_journal_lock();
    int64_t before = size_of(fd);
    int r = (int)syscall(SYS_ftruncate, fd, size);
    if (r == 0) {
        shim_journal_size(JOURNAL_TRUNCATE, path, (uint64_t)size);
        grown += size - before;
    }
    shim_journal_unlock();
    after(fault);
    return r;
}

EXPORT int ftruncate(int fd, off_t size)
{
    return do_truncate(fd, size);
}

EXPORT int ftruncate64(int fd, off64_t size)
{
    return do_truncate(fd, size);
}

/* Syncing */

static int do_sync(int fd, long number)
{
    char path[PATH_MAX];

    if (!path_of(fd, path))
        return (int)syscall(number, fd);
    shim_journal_lock();
    shim_journal_paths(JOURNAL_SYNC_BEGIN, path, "");
    shim_journal_unlock();
    struct shim_fault fault = shim_rules_match(SHIM_SYNC, path);
    int r = allowed(fault) ? (int)syscall(number, fd) : -1;
    int error = errno;
    shim_journal_lock();
    shim_journal_paths(r == 0 ? JOURNAL_SYNC_END : JOURNAL_SYNC_FAILED, path, "");
    shim_journal_unlock();
    after(fault);
    errno = error;
    return r;
}

EXPORT int fsync(int fd)
{
    return do_sync(fd, SYS_fsync);
}

EXPORT int fdatasync(int fd)
{
    return do_sync(fd, SYS_fdatasync);
}

/* Names */

static int do_rename(int dir_fd, const char *name, int new_dir_fd, const char *new_name,
                     unsigned flags)
{
    char path[PATH_MAX];
    char new_path[PATH_MAX];

    if (!path_at(dir_fd, name, path) || !path_at(new_dir_fd, new_name, new_path))
        return (int)syscall(SYS_renameat2, dir_fd, name, new_dir_fd, new_name, flags);
    struct shim_fault fault = shim_rules_match(SHIM_RENAME, new_path);
    if (!allowed(fault))
        return -1;
    shim_journal_lock();
    give_room(new_dir_fd, new_name);
    int r = (int)syscall(SYS_renameat2, dir_fd, name, new_dir_fd, new_name, flags);
    if (r == 0)
        shim_journal_paths(JOURNAL_RENAME, path, new_path);
    shim_journal_unlock();
    after(fault);
    return r;
}

EXPORT int rename(const char *name, const char *new_name)
{
    return do_rename(AT_FDCWD, name, AT_FDCWD, new_name, 0);
}

EXPORT int renameat(int dir_fd, const char *name, int new_dir_fd, const char *new_name)
{
    return do_rename(dir_fd, name, new_dir_fd, new_name, 0);
}

EXPORT int renameat2(int dir_fd, const char *name, int new_dir_fd, const char *new_name,
                     unsigned flags)
{
    return do_rename(dir_fd, name, new_dir_fd, new_name, flags);
}

EXPORT int unlinkat(int dir_fd, const char *name, int flags)
{
    char path[PATH_MAX];

    if (!path_at(dir_fd, name, path))
        return (int)syscall(SYS_unlinkat, dir_fd, name, flags);
    struct shim_fault fault = shim_rules_match(SHIM_UNLINK, path);
    if (!allowed(fault))
        return -1;
    shim_journal_lock();
    give_room(dir_fd, name);
    int r = (int)syscall(SYS_unlinkat, dir_fd, name, flags);
    if (r == 0)
        shim_journal_paths(JOURNAL_UNLINK, path, "");
    shim_journal_unlock();
    after(fault);
    return r;
}

EXPORT int unlink(const char *name)
{
    return unlinkat(AT_FDCWD, name, 0);
}

EXPORT int rmdir(const char *name)
{
    return unlinkat(AT_FDCWD, name, AT_REMOVEDIR);
}

EXPORT int linkat(int dir_fd, const char *name, int new_dir_fd, const char *new_name,
                  int flags)
{
    char path[PATH_MAX];
    char new_path[PATH_MAX];

    if (!path_at(dir_fd, name, path) || !path_at(new_dir_fd, new_name, new_path))
        return (int)syscall(SYS_linkat, dir_fd, name, new_dir_fd, new_name, flags);
    struct shim_fault fault = shim_rules_match(SHIM_LINK, new_path);
    if (!allowed(fault))
        return -1;
    shim_journal_lock();
    int r = (int)syscall(SYS_linkat, dir_fd, name, new_dir_fd, new_name, flags);
    if (r == 0)
        shim_journal_paths(JOURNAL_LINK, path, new_path);
    shim_journal_unlock();
    after(fault);
    return r;
}

EXPORT int link(const char *name, const char *new_name)
{
    return linkat(AT_FDCWD, name, AT_FDCWD, new_name, 0);
}

EXPORT int mkdirat(int dir_fd, const char *name, mode_t mode)
{
    char path[PATH_MAX];

    if (!path_at(dir_fd, name, path))
        return (int)syscall(SYS_mkdirat, dir_fd, name, mode);
    struct shim_fault fault = shim_rules_match(SHIM_MKDIR, path);
    if (!allowed(fault))
        return -1;
    shim_journal_lock();
    int r = (int)syscall(SYS_mkdirat, dir_fd, name, mode);
    if (r == 0)
        shim_journal_paths(JOURNAL_MKDIR, path, "");
    shim_journal_unlock();
    after(fault);
    return r;
}

EXPORT int mkdir(const char *name, mode_t mode)
{
    return mkdirat(AT_FDCWD, name, mode);
}

/* Room */

static void distort(struct shim_fault fault, struct statvfs64 *st)
{
    uint64_t free_bytes = (uint64_t)st->f_bavail * st->f_frsize;
    int64_t disk;

    if (fault.action == SHIM_READONLY)
        st->f_flag |= ST_RDONLY;
    if (fault.action == SHIM_FREE)
        free_bytes = fault.value;
    else if (shim_rules_disk(&disk))
        free_bytes = disk > grown ? (uint64_t)(disk - grown) : 0;
    st->f_bavail = st->f_bfree = free_bytes / st->f_frsize;
}

EXPORT int fstatvfs64(int fd, struct statvfs64 *st)
{
    char path[PATH_MAX];

    if (!path_of(fd, path))
        return next_fstatvfs(fd, st);
    struct shim_fault fault = shim_rules_match(SHIM_STATVFS, path);
    if (!allowed(fault))
        return -1;
    int r = next_fstatvfs(fd, st);
    if (r == 0)
        distort(fault, st);
    return r;
}

EXPORT int statvfs64(const char *name, struct statvfs64 *st)
{
    char path[PATH_MAX];

    if (!path_at(AT_FDCWD, name, path))
        return next_statvfs(name, st);
    struct shim_fault fault = shim_rules_match(SHIM_STATVFS, path);
    if (!allowed(fault))
        return -1;
    int r = next_statvfs(name, st);
    if (r == 0)
        distort(fault, st);
    return r;
}

/* Time */

EXPORT int clock_gettime(clockid_t id, struct timespec *ts)
{
    int r = (int)syscall(SYS_clock_gettime, id, ts);

    if (r == 0 && id == CLOCK_REALTIME && root_n > 0)
        ts->tv_sec += shim_rules_clock_s();
    return r;
}
