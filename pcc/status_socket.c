/* SPDX-License-Identifier: MIT */
#include "pcc/status_socket.h"

#include "common/io.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define FOLDER "/run/pcc"
#define NAME "status.sock"
#define MODE 0660
#define BACKLOG 16
#define ASK_TIMEOUT_S 5
#define PIECE 1024u

struct status_socket {
    int fd;
    struct sockaddr_un at;
};

/* The places that @path stands for, in order. */
#define PLACES 2u
struct places {
    bool ours; /* the folders may be made */
    char folders[PLACES][PATH_MAX];
    struct sockaddr_un at[PLACES];
    size_t n;
};

static int add_place(struct places *p, const char *folder, const char *path)
{
    struct sockaddr_un *at = &p->at[p->n];
    int n = snprintf(at->sun_path, sizeof at->sun_path, "%s", path);

    if (n >= (int)sizeof at->sun_path)
        return -ENAMETOOLONG;
    at->sun_family = AF_UNIX;
    (void)snprintf(p->folders[p->n++], PATH_MAX, "%s", folder);
    return 0;
}

static int find_places(const char *path, struct places *ret)
{
    const char *runtime = getenv("XDG_RUNTIME_DIR");
    char folder[PATH_MAX / 2];
    char file[PATH_MAX];

    *ret = (struct places){.n = 0};
    if (*path)
        return add_place(ret, "", path);
    ret->ours = true;
    int r = add_place(ret, FOLDER, FOLDER "/" NAME);
    if (r || !runtime || *runtime != '/')
        return r;
    if (snprintf(folder, sizeof folder, "%s/pcc", runtime) >= (int)sizeof folder)
        return 0; /* nobody has one so long */
    (void)snprintf(file, sizeof file, "%s/" NAME, folder);
    r = add_place(ret, folder, file);
    return r == -ENAMETOOLONG ? 0 : r;
}

static int new_socket(void)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    return fd < 0 ? -errno : fd;
}

static int connect_to(const struct sockaddr_un *at)
{
    int fd = new_socket();

    if (fd < 0)
        return fd;
    if (connect(fd, (const struct sockaddr *)at, sizeof *at) == 0)
        return fd;
    int r = -errno;
    io_close(&fd);
    return r;
}

/* Between the two calls another process may take the place: then this one has it. */
static int replace_left_over(int fd, const struct sockaddr_un *at)
{
    struct stat st;
    int other = connect_to(at);

    /* EAGAIN: so many wait there that it must be alive. */
    if (other >= 0 || other == -EAGAIN) {
        io_close(&other);
        return -EADDRINUSE;
    }
    /* A plain file refuses, too. */
    if (other != -ECONNREFUSED || lstat(at->sun_path, &st) || !S_ISSOCK(st.st_mode) ||
        unlink(at->sun_path))
        return -EADDRINUSE;
    return bind(fd, (const struct sockaddr *)at, sizeof *at) ? -errno : 0;
}

static int bind_to(int fd, const struct sockaddr_un *at)
{
    int r = bind(fd, (const struct sockaddr *)at, sizeof *at) ? -errno : 0;

    if (r == -EADDRINUSE)
        r = replace_left_over(fd, at);
    if (r)
        return r;
    /* Before listen(2) nobody can connect. */
    if (chmod(at->sun_path, MODE) || listen(fd, BACKLOG)) {
        r = -errno;
        (void)unlink(at->sun_path);
    }
    return r;
}

static int open_at(const struct sockaddr_un *at, struct status_socket *s)
{
    s->at = *at;
    s->fd = new_socket();
    if (s->fd < 0)
        return s->fd;
    int r = bind_to(s->fd, at);
    if (r)
        io_close(&s->fd);
    return r;
}

int status_socket_open(const char *path, struct status_socket **ret)
{
    struct places places;
    int r = find_places(path, &places);
    if (r)
        return r;
    struct status_socket *s = calloc(1, sizeof *s);
    if (!s)
        return -ENOMEM;
    r = -ENOENT;
    for (size_t i = 0; i < places.n && r && r != -EADDRINUSE; i++) {
        if (places.ours)
            (void)mkdir(places.folders[i], 0755); /* there already, or bind(2) fails */
        r = open_at(&places.at[i], s);
    }
    if (r) {
        free(s);
        return r;
    }
    *ret = s;
    return 0;
}

void status_socket_close(struct status_socket *s)
{
    if (!s)
        return;
    (void)unlink(s->at.sun_path); /* gone already: so much the better */
    io_close(&s->fd);
    free(s);
}

const char *status_socket_path(const struct status_socket *s)
{
    return s->at.sun_path;
}

int status_socket_fd(const struct status_socket *s)
{
    return s->fd;
}

int status_socket_accept(const struct status_socket *s)
{
    /* Whatever is wrong with one of them, it is gone then. */
    return accept4(s->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
}

void status_socket_tell(int fd, struct span text)
{
    /* Fits into an empty socket's memory; to whom it doesn't, it isn't told. */
    ssize_t n = send(fd, text.data, text.n, MSG_NOSIGNAL | MSG_DONTWAIT);

    (void)n;
    io_close(&fd);
}

static int hear(int fd, struct buf *ret)
{
    for (;;) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        int n = poll(&p, 1, ASK_TIMEOUT_S * 1000);
        if (n <= 0)
            return n ? -errno : -ETIMEDOUT;
        int r = buf_reserve(ret, PIECE);
        if (r)
            return r;
        ssize_t got = recv(fd, buf_tail(ret), PIECE, 0);
        if (got < 0)
            return -errno;
        if (got == 0)
            return ret->len > 0 ? 0 : -ECONNRESET;
        buf_commit(ret, (size_t)got);
    }
}

int status_socket_ask(const char *path, struct buf *ret)
{
    struct places places;
    int r = find_places(path, &places);

    if (r)
        return r;
    for (size_t i = 0; i < places.n; i++) {
        int fd = connect_to(&places.at[i]);
        if (fd < 0) {
            r = r ? r : fd; /* the first place's says most */
            continue;
        }
        r = hear(fd, ret);
        io_close(&fd);
        return r;
    }
    return r;
}
