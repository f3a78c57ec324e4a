/* SPDX-License-Identifier: MIT */
#include "pcc/procfile.h"

#include "common/io.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

/* Spare room for a read: a file that grew by less needs no second one. */
#define ROOM 4096u

int procfile_init(struct procfile *f, const char *path)
{
    *f = (struct procfile){.path = strdup(path), .fd = -1};
    return f->path ? 0 : -ENOMEM;
}

void procfile_done(struct procfile *f)
{
    if (!f->path)
        return;
    io_close(&f->fd);
    free(f->path);
    f->path = NULL;
}

static int open_regular(const char *path, int *ret_fd)
{
    struct stat st;
    /* Not to hang in the open of a pipe or a device that somebody names. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return -errno;
    int r = fstat(fd, &st) < 0 ? -errno : 0;
    if (r == 0 && !S_ISREG(st.st_mode))
        r = -EOPNOTSUPP;
    if (r) {
        io_close(&fd);
        return r;
    }
    *ret_fd = fd;
    return 0;
}

static bool made_by_kernel(int fd)
{
    struct statfs fs;

    return fstatfs(fd, &fs) == 0 &&
           (fs.f_type == PROC_SUPER_MAGIC || fs.f_type == SYSFS_MAGIC);
}

static int read_open(struct procfile *f, size_t max, struct buf *to)
{
    const size_t before = to->len;
    size_t got = 0;
    size_t want = f->expect + f->expect / 8 + ROOM;

    for (;;) {
        int r = buf_reserve(to, want);
        if (r) {
            buf_truncate(to, before);
            return r;
        }
        ssize_t n = pread(f->fd, buf_tail(to), to->cap - to->len, (off_t)got);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 || (size_t)n > max - got) {
            r = n < 0 ? -errno : E_TOO_LARGE;
            buf_truncate(to, before);
            return r;
        }
        if (n == 0)
            break;
        buf_commit(to, (size_t)n);
        got += (size_t)n;
        want = ROOM;
    }
    f->expect = got;
    return 0;
}

int procfile_read(struct procfile *f, size_t max, struct buf *to)
{
    if (f->fd >= 0) {
        int r = read_open(f, max, to);
        if (r >= 0)
            return r;
        io_close(&f->fd);
    }
    int r = open_regular(f->path, &f->fd);
    if (r)
        return r;
    r = read_open(f, max, to);
    if (r || !made_by_kernel(f->fd))
        io_close(&f->fd);
    return r;
}
