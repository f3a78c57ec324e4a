/* SPDX-License-Identifier: MIT */
#include "tests/fault/shim_journal.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static int fd = -1;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

struct head {
    uint64_t when_ns;
    uint32_t type;
    uint32_t path_n;
    uint32_t other_n;
    uint32_t none;
    uint64_t offset;
    uint64_t n;
};

static void put(const void *data, size_t n)
{
    const char *at = data;

    while (n > 0) {
        long done = syscall(SYS_write, fd, at, n);
        if (done <= 0) {
            (void)fprintf(stderr, "shim: the journal can't be written\n");
            _Exit(99);
        }
        at += done;
        n -= (size_t)done;
    }
}

static void put_head(enum journal_type type, const char *path, const char *other,
                     uint64_t offset, uint64_t n)
{
    struct timespec now;
    struct head head = {
        .type = type,
        .path_n = (uint32_t)strlen(path),
        .other_n = (uint32_t)strlen(other),
        .offset = offset,
        .n = n,
    };

    (void)syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &now);
    head.when_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
    put(&head, sizeof head);
    put(path, head.path_n);
    put(other, head.other_n);
}

void shim_journal_init(const char *path)
{
    if (!path)
        return;
    fd = (int)syscall(SYS_openat, AT_FDCWD, path,
                      O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        (void)fprintf(stderr, "shim: can't open the journal %s\n", path);
        _Exit(99);
    }
}

void shim_journal_lock(void)
{
    if (fd >= 0)
        (void)pthread_mutex_lock(&lock);
}

void shim_journal_unlock(void)
{
    if (fd >= 0)
        (void)pthread_mutex_unlock(&lock);
}

void shim_journal_paths(enum journal_type type, const char *path, const char *other)
{
    if (fd >= 0)
        put_head(type, path, other, 0, 0);
}

void shim_journal_size(enum journal_type type, const char *path, uint64_t size)
{
    if (fd >= 0)
        put_head(type, path, "", size, 0);
}

void shim_journal_write(const char *path, uint64_t offset, const struct iovec *parts,
                        size_t n)
{
    if (fd < 0)
        return;
    put_head(JOURNAL_WRITE, path, "", offset, n);
    for (; n > 0; parts++) {
        size_t part = parts->iov_len < n ? parts->iov_len : n;
        put(parts->iov_base, part);
        n -= part;
    }
}
