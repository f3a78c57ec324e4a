/* SPDX-License-Identifier: MIT */
#include "pcc/spool_folder.h"

#include "common/io.h"
#include "pcc/spool_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define SUFFIX ".batch"
#define ASIDE ".new"
#define LOCK "lock"
#define FOLDER_FLAGS (O_RDONLY | O_DIRECTORY | O_CLOEXEC)

void spool_name(uint64_t number, char ret_name[SPOOL_NAME_BYTES])
{
    (void)snprintf(ret_name, SPOOL_NAME_BYTES, "%016" PRIx64 SUFFIX, number);
}

/* Return: is this the name of a batch's file? */
static bool parse_name(const char *name, uint64_t *ret)
{
    char again[SPOOL_NAME_BYTES];
    uint64_t number = 0;

    for (size_t i = 0; i < 16; i++) {
        const char *digit = name[i] ? strchr("0123456789abcdef", name[i]) : NULL;
        if (!digit)
            return false;
        number = number << 4 | (uint64_t)(digit - "0123456789abcdef");
    }
    spool_name(number, again);
    *ret = number;
    return number > 0 && strcmp(name, again) == 0;
}

static bool is_left_over(const char *name)
{
    size_t n = strlen(name);

    return n > strlen(ASIDE) && strcmp(name + n - strlen(ASIDE), ASIDE) == 0;
}

static void close_dir(DIR **dir)
{
    if (*dir)
        (void)closedir(*dir);
}

/* A descriptor of its own, from the start of the folder. */
static DIR *open_dir(int dir_fd)
{
    int fd = openat(dir_fd, ".", FOLDER_FLAGS);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);

    if (!dir)
        io_close(&fd);
    return dir;
}

static int remove_left_overs(int dir_fd)
{
    CLEANUP(close_dir) DIR *dir = open_dir(dir_fd);

    if (!dir)
        return -errno;
    for (const struct dirent *e; (e = readdir(dir));)
        if (is_left_over(e->d_name))
            (void)unlinkat(dir_fd, e->d_name, 0); /* written over when it is in the way */
    return 0;
}

static int own_folder(struct spool_folder *f)
{
    f->lock_fd = openat(f->fd, LOCK, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (f->lock_fd < 0)
        return -errno;
    if (flock(f->lock_fd, LOCK_EX | LOCK_NB) != 0)
        return errno == EWOULDBLOCK ? E_PENDING : -errno;
    if (mkdirat(f->fd, SPOOL_REJECTED, 0700) != 0 && errno != EEXIST)
        return -errno;
    return remove_left_overs(f->fd);
}

static int open_all(const char *path, bool own, struct spool_folder *f)
{
    int r = own ? io_make_dirs(path) : 0;

    if (r)
        return r;
    f->fd = open(path, FOLDER_FLAGS);
    if (f->fd < 0)
        return -errno;
    r = own ? own_folder(f) : 0;
    if (r)
        return r;
    f->rejected_fd = openat(f->fd, SPOOL_REJECTED, FOLDER_FLAGS);
    return f->rejected_fd < 0 && (own || errno != ENOENT) ? -errno : 0;
}

int spool_folder_open(const char *path, bool own, struct spool_folder *ret)
{
    *ret = (struct spool_folder){-1, -1, -1};
    int r = open_all(path, own, ret);

    if (r)
        spool_folder_close(ret);
    return r;
}

void spool_folder_close(struct spool_folder *f)
{
    io_close(&f->rejected_fd);
    io_close(&f->lock_fd);
    io_close(&f->fd);
}

static int by_number(const void *a, const void *b)
{
    const uint64_t *x = a;
    const uint64_t *y = b;

    return (*x > *y) - (*x < *y);
}

struct numbers {
    uint64_t *data;
    size_t n;
    size_t cap;
};

static int append(struct numbers *to, uint64_t number)
{
    if (to->n == to->cap) {
        size_t cap = to->cap ? to->cap * 2 : 64;
        uint64_t *more = reallocarray(to->data, cap, sizeof *more);
        if (!more)
            return -ENOMEM;
        to->data = more;
        to->cap = cap;
    }
    to->data[to->n++] = number;
    return 0;
}

int spool_folder_list(int dir_fd, uint64_t **ret, size_t *ret_n)
{
    CLEANUP(close_dir) DIR *dir = open_dir(dir_fd);
    struct numbers found = {NULL, 0, 0};
    int r = 0;

    if (!dir)
        return -errno;
    for (const struct dirent *e; r == 0 && (e = readdir(dir));) {
        uint64_t number;
        if (parse_name(e->d_name, &number))
            r = append(&found, number);
    }
    if (r) {
        free(found.data);
        return r;
    }
    if (found.n > 0)
        qsort(found.data, found.n, sizeof *found.data, by_number);
    *ret = found.data;
    *ret_n = found.n;
    return 0;
}

int spool_folder_read(int dir_fd, uint64_t number, struct buf *ret)
{
    char name[SPOOL_NAME_BYTES];

    spool_name(number, name);
    return io_read_file(dir_fd, name, ret);
}

int spool_folder_read_header(int dir_fd, uint64_t number, struct buf *ret,
                             uint64_t *ret_size)
{
    char name[SPOOL_NAME_BYTES];
    struct stat st;
    size_t n = 0;

    spool_name(number, name);
    CLEANUP(io_close) int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0)
        return -errno;
    *ret_size = (uint64_t)st.st_size;
    int r = buf_reserve(ret, SPOOL_HEADER_MAX);
    if (r == 0)
        r = io_pread(fd, buf_tail(ret), SPOOL_HEADER_MAX, 0, &n);
    if (r == 0)
        buf_commit(ret, n);
    return r;
}

int spool_folder_write(int dir_fd, uint64_t number, struct span bytes)
{
    char name[SPOOL_NAME_BYTES];

    spool_name(number, name);
    return io_replace_file(dir_fd, name, bytes, 0600);
}

void spool_folder_remove(int dir_fd, uint64_t number)
{
    char name[SPOOL_NAME_BYTES];

    spool_name(number, name);
    (void)unlinkat(dir_fd, name, 0); /* what stays is sent again and known */
}

static uint64_t size_of(int dir_fd, uint64_t number)
{
    char name[SPOOL_NAME_BYTES];
    struct stat st;

    spool_name(number, name);
    return fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 ? (uint64_t)st.st_size
                                                                : 0;
}

void spool_folder_trim_rejected(const struct spool_folder *f, uint64_t max_bytes)
{
    uint64_t *numbers = NULL;
    uint64_t bytes = 0;
    size_t n = 0;

    if (spool_folder_list(f->rejected_fd, &numbers, &n))
        return; /* the next one looks again */
    for (size_t i = 0; i < n; i++)
        bytes += size_of(f->rejected_fd, numbers[i]);
    for (size_t i = 0; i < n && bytes > max_bytes; i++) {
        bytes -= size_of(f->rejected_fd, numbers[i]);
        spool_folder_remove(f->rejected_fd, numbers[i]);
    }
    free(numbers);
}

int spool_folder_reject(const struct spool_folder *f, uint64_t number, uint64_t max_bytes)
{
    char name[SPOOL_NAME_BYTES];

    spool_name(number, name);
    if (renameat(f->fd, name, f->rejected_fd, name) != 0) {
        int r = -errno;
        (void)unlinkat(f->fd, name, 0);
        return r;
    }
    spool_folder_trim_rejected(f, max_bytes);
    return 0;
}
