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

static int read_all(int fd, struct buf *ret)
{
    for (;;) {
        /* At its maximum the buffer can't take the byte that would tell the end. */
        size_t room =
            ret->max - ret->len < READ_AT_ONCE ? ret->max - ret->len : READ_AT_ONCE;
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

static int write_aside(int dir_fd, const char *name, struct span bytes, unsigned mode)
{
    int fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);

    if (fd < 0)
        return -errno;
    int r = io_write(fd, bytes);
    if (r == 0 && fsync(fd) != 0)
        r = -errno;
    io_close(&fd);
    return r;
}

int io_replace_file(int dir_fd, const char *name, struct span bytes, unsigned mode)
{
    char aside[256];

    if (snprintf(aside, sizeof aside, "%s.new", name) >= (int)sizeof aside)
        return -ENAMETOOLONG;
    int r = write_aside(dir_fd, aside, bytes, mode);
    if (r == 0 && renameat(dir_fd, aside, dir_fd, name) != 0)
        r = -errno;
    if (r) {
        (void)unlinkat(dir_fd, aside, 0); /* a left-over does no harm */
        return r;
    }
    return io_sync_dir(dir_fd);
}

/* Syncs the folder that holds @path, which was just made. */
static int sync_parent(const char *path)
{
    char parent[PATH_MAX];
    const char *slash = strrchr(path, '/');
    size_t n = slash ? (size_t)(slash - path) : 0;

    memcpy(parent, path, n);
    parent[n] = 0;
    int fd = open(n ? parent : slash ? "/" : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int r = io_sync_dir(fd);
    io_close(&fd);
    return r;
}

static int make_dir(const char *path)
{
    if (mkdir(path, 0700) == 0)
        return sync_parent(path);
    return errno == EEXIST ? 0 : -errno;
}

int io_make_dirs(const char *path)
{
    char part[PATH_MAX];
    size_t n = strlen(path);

    if (n == 0 || n >= sizeof part)
        return n ? -ENAMETOOLONG : -ENOENT;
    memcpy(part, path, n + 1);
    while (n > 1 && part[n - 1] == '/')
        part[--n] = 0;
    for (size_t i = 1; i < n; i++) {
        if (part[i] != '/')
            continue;
        part[i] = 0;
        int r = make_dir(part);
        part[i] = '/';
        if (r)
            return r;
    }
    return make_dir(part);
}
