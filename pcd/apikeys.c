/* SPDX-License-Identifier: MIT */
#include "pcd/apikeys.h"

#include "common/buf.h"
#include "common/io.h"
#include "common/log.h"
#include "proto/limits.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static bool same_time(struct timespec a, struct timespec b)
{
    return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

/* Is it the same file, with nothing written to it since, and no right to it changed? */
static bool is_same(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
           same_time(a->st_mtim, b->st_mtim) && same_time(a->st_ctim, b->st_ctim);
}

/* What stands at the path; zeroed where that can't be seen. */
static struct stat look(const struct apikeys *k)
{
    struct stat st;

    return stat(k->path, &st) == 0 ? st : (struct stat){0};
}

/* Reads a file whole, in one piece: a buffer that grows leaves copies behind. Return: as
 * apikeys_read(), *ret_st is set where there is a file. */
static int read_at(const char *path, struct buf *ret, struct stat *ret_st)
{
    /* O_NONBLOCK: or a FIFO would wait for somebody to write. */
    CLEANUP(io_close) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    size_t n = 0;

    if (fd < 0 || fstat(fd, ret_st) != 0)
        return -errno;
    if (!S_ISREG(ret_st->st_mode))
        return E_UNSUPPORTED;
    if ((uint64_t)ret_st->st_size > APIKEYS_MAX)
        return E_TOO_LARGE;
    size_t size = (size_t)ret_st->st_size;
    int r = buf_reserve(ret, size + 1);
    if (r == 0)
        r = io_pread(fd, buf_tail(ret), size + 1, 0, &n);
    if (r)
        return r;
    buf_commit(ret, n);
    return n > size ? E_PENDING : 0;
}

static void explain(int r, const struct key_lines *lines, char *ret_text, size_t size)
{
    const char *text = err_text(r);

    if (r == E_MALFORMED) {
        (void)snprintf(ret_text, size, "line %zu: %s", lines->line, lines->what);
        return;
    }
    if (r == E_GONE)
        text = "there is no key in it";
    else if (r == E_UNSUPPORTED)
        text = "it is no regular file";
    else if (r == E_PENDING)
        text = "it is being written";
    else if (r == E_TOO_LARGE)
        text = "it has more than 100000 keys, or 16 MiB";
    (void)snprintf(ret_text, size, "%s", text);
}

/* May somebody have at the file who should not? Where it belongs to another user, its
 * group is how pcd gets to read it. */
static bool is_exposed(const struct stat *st)
{
    mode_t mine = st->st_uid == geteuid() ? S_IRGRP : 0;

    return (st->st_mode & (S_IROTH | S_IWOTH | S_IWGRP | mine)) != 0;
}

static void report(const struct apikeys *k, const struct key_lines *lines)
{
    char mode[8];

    log_event(LOG_INFO, "keys_loaded", LOG_STR("file", k->path),
              LOG_U64("keys", lines->n_keys));
    if (lines->n_weak > 0)
        log_event(LOG_WARNING, "keys_weak", LOG_U64("keys", lines->n_weak),
                  LOG_STR("reason", "shorter than 16 characters"));
    if (!is_exposed(&k->used))
        return;
    (void)snprintf(mode, sizeof mode, "%04o", (unsigned)k->used.st_mode & 07777u);
    log_event(LOG_WARNING, "keys_exposed", LOG_STR("file", k->path),
              LOG_STR("mode", mode),
              LOG_STR("reason", "others may read or write it; chmod 600"));
}

int apikeys_read(struct apikeys *k, char *reterr_text, size_t size)
{
    CLEANUP(buf_done) struct buf text;
    struct key_lines lines = {0};

    /* Where it can't be opened, or not yet be read whole, this is what was tried. */
    k->used = look(k);
    buf_init(&text, APIKEYS_MAX + 1);
    int r = read_at(k->path, &text, &k->used);
    if (r == 0)
        r = auth_take(k->auth, buf_span(&text), &lines);
    if (text.data)
        explicit_bzero(text.data, text.cap);
    k->seen = k->used;
    if (r)
        explain(r, &lines, reterr_text, size);
    else
        report(k, &lines);
    return r;
}

void apikeys_reload(struct apikeys *k)
{
    char text[200];

    if (apikeys_read(k, text, sizeof text))
        log_event(LOG_ERROR, "keys_not_reloaded", LOG_STR("file", k->path),
                  LOG_STR("reason", text));
}

void apikeys_look(struct apikeys *k)
{
    struct stat now = look(k);
    bool rests = is_same(&now, &k->seen);

    k->seen = now;
    if (rests && !is_same(&now, &k->used))
        apikeys_reload(k);
}
