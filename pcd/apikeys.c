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
#include <sys/stat.h>
#include <unistd.h>

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

/* May somebody have at the file who should not? That its group may read it is how a pcd
 * of that group does. */
static bool is_exposed(const struct stat *st)
{
    return (st->st_mode & (S_IROTH | S_IWOTH | S_IWGRP)) != 0;
}

static void report(const struct apikeys *k, const struct key_lines *lines,
                   const struct stat *st)
{
    char mode[8];

    log_event(LOG_INFO, "keys_loaded", LOG_STR("file", k->path),
              LOG_U64("keys", lines->n_keys));
    if (lines->n_weak > 0)
        log_event(LOG_WARNING, "keys_weak", LOG_U64("keys", lines->n_weak),
                  LOG_STR("reason", "shorter than 16 characters"));
    if (!is_exposed(st))
        return;
    (void)snprintf(mode, sizeof mode, "%04o", (unsigned)st->st_mode & 07777u);
    log_event(
        LOG_WARNING, "keys_exposed", LOG_STR("file", k->path), LOG_STR("mode", mode),
        LOG_STR("reason", "others may read or write it, or its group write; chmod 640"));
}

int apikeys_read(struct apikeys *k, char *reterr_text, size_t size)
{
    CLEANUP(buf_done) struct buf text;
    struct key_lines lines = {0};
    struct stat st = {0};

    k->watch.path = k->path;
    watch_take(&k->watch);
    buf_init(&text, APIKEYS_MAX + 1);
    int r = read_at(k->path, &text, &st);
    if (r == 0)
        r = auth_take(k->auth, buf_span(&text), &lines);
    if (text.data)
        explicit_bzero(text.data, text.cap);
    if (r)
        explain(r, &lines, reterr_text, size);
    else
        report(k, &lines, &st);
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
    if (watch_look(&k->watch) == WATCH_CHANGED)
        apikeys_reload(k);
}
