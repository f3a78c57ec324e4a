/* SPDX-License-Identifier: MIT */
#include "common/io.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define READ_AT_ONCE 4096u

void io_close(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd); /* what must be on disk was synced before */
    *fd = -1;
}

int io_write(int fd, struct span bytes)
{
    while (bytes.n > 0) {
        ssize_t n = write(fd, bytes.data, bytes.n);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        bytes = span_from(bytes, (size_t)n);
    }
    return 0;
}

/* Drops the first @n bytes from the pieces. */
static void skip(struct iovec **parts, size_t *n_parts, size_t n)
{
    while (*n_parts > 0 && n >= (*parts)->iov_len) {
        n -= (*parts)->iov_len;
        ++*parts;
        --*n_parts;
    }
    if (n > 0) {
        (*parts)->iov_base = (uint8_t *)(*parts)->iov_base + n;
        (*parts)->iov_len -= n;
    }
}

int io_pwritev(int fd, struct iovec *parts, size_t n_parts, uint64_t offset)
{
    skip(&parts, &n_parts, 0);
    while (n_parts > 0) {
        int at_once = n_parts < IOV_MAX ? (int)n_parts : IOV_MAX;
        ssize_t n = pwritev(fd, parts, at_once, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        offset += (uint64_t)n;
        skip(&parts, &n_parts, (size_t)n);
    }
    return 0;
}

int io_pread(int fd, void *ret_data, size_t n, uint64_t offset, size_t *ret_n)
{
    uint8_t *data = ret_data;
    size_t got = 0;

    while (got < n) {
        ssize_t more = pread(fd, data + got, n - got, (off_t)(offset + got));
        if (more < 0 && errno == EINTR)
            continue;
        if (more < 0)
            return -errno;
        if (more == 0)
            break;
        got += (size_t)more;
    }
    *ret_n = got;
    return 0;
}

/* Appends all that is left of a file. A buffer at its maximum can't take the byte that
 * would tell whether this was the end, so that one goes elsewhere. */
static int read_all(int fd, struct buf *ret)
{
    for (;;) {
        size_t left = ret->max - ret->len;
        size_t room = left < READ_AT_ONCE ? left : READ_AT_ONCE;
        uint8_t probe;
        int r = buf_reserve(ret, room);
        if (r)
            return r;
        ssize_t n = read(fd, room ? buf_tail(ret) : &probe, room ? room : 1);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            return 0;
        if (room == 0)
            return E_TOO_LARGE;
        buf_commit(ret, (size_t)n);
    }
}

int io_read_file(int dir_fd, const char *path, struct buf *ret)
{
    size_t before = ret->len;
    int fd = openat(dir_fd, path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return -errno;
    int r = read_all(fd, ret);
    io_close(&fd);
    if (r)
        buf_truncate(ret, before);
    return r;
}

int io_sync_dir(int dir_fd)
{
    return fsync(dir_fd) == 0 ? 0 : -errno;
}

/* A left-over of a crash is removed, not written into: its permissions, or somebody who
 * has it open, would outlive it. */
static int write_aside(int dir_fd, const char *name, struct span bytes, unsigned mode)
{
    if (unlinkat(dir_fd, name, 0) != 0 && errno != ENOENT)
        return -errno;
    CLEANUP(io_close)
    int fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);

    if (fd < 0)
        return -errno;
    if (fchmod(fd, mode) != 0) /* openat() leaves out what the umask says */
        return -errno;
    int r = io_write(fd, bytes);
    if (r)
        return r;
    return fsync(fd) == 0 ? 0 : -errno;
}

int io_replace_file(int dir_fd, const char *name, struct span bytes, unsigned mode)
{
    char aside[NAME_MAX + 1];

    if (snprintf(aside, sizeof aside, "%s.new", name) >= (int)sizeof aside)
        return -ENAMETOOLONG;
    int r = write_aside(dir_fd, aside, bytes, mode);
    if (r == 0 && renameat(dir_fd, aside, dir_fd, name) != 0)
        r = -errno;
    if (r) {
        (void)unlinkat(dir_fd, aside, 0); /* the next call removes what stays */
        return r;
    }
    return io_sync_dir(dir_fd);
}

/* Makes the folder @name in the one that *fd is, unless it is there, and enters it. */
static int enter(int *fd, const char *name)
{
    int next = openat(*fd, name, O_PATH | O_DIRECTORY | O_CLOEXEC);

    if (next < 0 && errno == ENOENT) {
        if (mkdirat(*fd, name, 0700) != 0 && errno != EEXIST)
            return -errno;
        /* An O_PATH descriptor can't be synced; reading is asked of the folder only
         * here, as those above may be closed to us but for passing through. */
        CLEANUP(io_close)
        int here = openat(*fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (here < 0)
            return -errno;
        int r = io_sync_dir(here);
        if (r)
            return r;
        next = openat(*fd, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
    }
    if (next < 0)
        return -errno;
    io_close(fd);
    *fd = next;
    return 0;
}

int io_make_dirs(const char *path)
{
    const char *start = path[0] == '/' ? "/" : ".";
    CLEANUP(io_close) int fd = -1;

    if (path[0] == 0)
        return -ENOENT;
    fd = open(start, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    for (const char *at = path + strspn(path, "/"); *at; at += strspn(at, "/")) {
        char name[NAME_MAX + 1];
        size_t n = strcspn(at, "/");
        if (n >= sizeof name)
            return -ENAMETOOLONG;
        memcpy(name, at, n);
        name[n] = 0;
        int r = enter(&fd, name);
        if (r)
            return r;
        at += n;
    }
    return 0;
}
