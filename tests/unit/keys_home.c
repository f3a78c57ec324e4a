/* SPDX-License-Identifier: MIT */
#include "tests/unit/keys_home.h"

#include "common/io.h"
#include "tests/lib/suite.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

void home_make(struct keys_home *h)
{
    *h = (struct keys_home){.path = "/tmp/pcd-keys-XXXXXX"};
    ck_assert_ptr_nonnull(mkdtemp(h->path));
    h->fd = open(h->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    ck_assert_int_ge(h->fd, 0);
    h->conf = (struct keys_conf){
        .home_fd = h->fd,
        .keep_ns = KEEP_NS,
        .max_sessions = 1000000,
    };
}

static DIR *open_sessions(struct keys_home *h)
{
    int fd = openat(h->fd, "sessions", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    return fd < 0 ? NULL : fdopendir(fd);
}

void home_done(struct keys_home *h)
{
    DIR *dir = open_sessions(h);
    struct dirent *entry;

    keys_free(h->keys);
    while (dir && (entry = readdir(dir)))
        (void)unlinkat(dirfd(dir), entry->d_name, 0);
    if (dir)
        closedir(dir);
    (void)unlinkat(h->fd, "sessions", AT_REMOVEDIR);
    (void)unlinkat(h->fd, "keys", 0);
    (void)unlinkat(h->fd, "keys.new", 0);
    close(h->fd);
    ck_assert_int_eq(rmdir(h->path), 0);
}

void home_open(struct keys_home *h)
{
    ck_assert_int_eq(keys_open(&h->conf, &h->keys, &h->at), 0);
}

void home_open_eager(struct keys_home *h)
{
    h->conf.merge_at = 1;
    h->conf.max_sessions = 0;
    home_open(h);
}

void home_reopen(struct keys_home *h)
{
    keys_free(h->keys);
    h->keys = NULL;
    home_open(h);
}

int home_reserve(struct keys_home *h, const char *identifier, struct key key,
                 uint64_t now_ns)
{
    struct keys_waiter waiter = {0};
    struct span bytes = suite_exact(span_of_str(identifier));
    int r = keys_reserve(h->keys, bytes, &key, &waiter, now_ns);

    free((void *)(uintptr_t)bytes.data);
    ck_assert_int_ne(r, E_PENDING);
    return r;
}

void home_settle(struct keys_home *h, const char *identifier, struct key key, int r)
{
    keys_settle(h->keys, span_of_str(identifier), &key, r, NOW_NS);
}

void home_store(struct keys_home *h, const char *identifier, struct key key,
                uint64_t now_ns)
{
    ck_assert_int_eq(home_reserve(h, identifier, key, now_ns), 0);
    keys_settle(h->keys, span_of_str(identifier), &key, 0, now_ns);
}

bool home_has(struct keys_home *h, const char *identifier, struct key key)
{
    int r = home_reserve(h, identifier, key, NOW_NS);

    if (r == E_REPLAY)
        return true;
    ck_assert_int_eq(r, 0);
    home_settle(h, identifier, key, E_STOPPED);
    return false;
}

void home_checkpoint(struct keys_home *h, uint64_t now_ns)
{
    struct log_position at = {h->at.number + 1, h->at.offset + 100};

    ck_assert_int_eq(keys_checkpoint(h->keys, at, now_ns), 0);
    h->at = at;
}

struct keys_counts home_counts(struct keys_home *h)
{
    struct keys_counts ret;

    keys_count(h->keys, &ret);
    return ret;
}

uint64_t home_sorted_number(struct keys_home *h)
{
    DIR *dir = open_sessions(h);
    struct dirent *entry;
    uint64_t number = 0;

    ck_assert_ptr_nonnull(dir);
    while ((entry = readdir(dir))) {
        if (entry->d_name[0] == '.')
            continue;
        ck_assert_uint_eq(number, 0);
        number = strtoull(entry->d_name, NULL, 10);
    }
    closedir(dir);
    return number;
}

uint64_t home_size_of(struct keys_home *h, const char *path)
{
    struct stat st;

    return fstatat(h->fd, path, &st, 0) == 0 ? (uint64_t)st.st_size : 0;
}

void home_damage(struct keys_home *h, const char *path, uint64_t offset)
{
    int fd = openat(h->fd, path, O_RDWR | O_CLOEXEC);
    uint8_t byte;

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(pread(fd, &byte, 1, (off_t)offset), 1);
    byte ^= 0x10;
    ck_assert_int_eq(pwrite(fd, &byte, 1, (off_t)offset), 1);
    close(fd);
}

void home_put_file(struct keys_home *h, const char *path, struct span bytes)
{
    int fd = openat(h->fd, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(io_write(fd, bytes), 0);
    close(fd);
}
