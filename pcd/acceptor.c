/* SPDX-License-Identifier: MIT */
#include "pcd/acceptor.h"

#include "common/clock.h"
#include "common/io.h"
#include "common/log.h"
#include "common/units.h"
#include "pcd/connection.h"
#include "pcd/lingerer.h"
#include "pcd/listeners.h"
#include "pcd/reply.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

/* How long to leave the listening sockets alone when a descriptor can't be had. */
#define PAUSE_MS 100
/* Connections taken from one socket before the others get their turn. */
#define ROUND 64u

struct acceptor {
    struct acceptor_conf conf;
    pthread_t thread;
    int stop_fd;
    struct pollfd *fds; /* the listening sockets, then stop_fd */
    size_t next;        /* the daemon whose turn it is */
    struct log_limit refused;
    struct log_limit failed;
};

static void log_limited(struct log_limit *limit, const char *event, int r)
{
    uint64_t suppressed;

    if (log_limit_pass(limit, clock_boot_ns(), &suppressed))
        log_event(LOG_WARNING, event, LOG_RESULT("reason", r),
                  LOG_U64("suppressed", suppressed));
}

static void refuse(struct acceptor *a, int fd)
{
    int dup = -1;

    stats_add(a->conf.stats, STATS_REFUSED, 1);
    log_limited(&a->refused, "connection_refused", E_FULL);
    if (!a->conf.tls) {
        reply_raw(fd, MEDIA_JSON, MHD_HTTP_SERVICE_UNAVAILABLE, "too many connections");
        /* The request, which nobody reads, is on its way. */
        dup = lingerer_dup(a->conf.linger, fd);
    }
    io_close(&fd);
    lingerer_start(a->conf.linger, dup);
}

static void deal_out(struct acceptor *a, int fd, const struct sockaddr *from,
                     socklen_t from_n)
{
    if (!connections_take_place(a->conf.connections)) {
        refuse(a, fd);
        return;
    }
    stats_add(a->conf.stats, STATS_ACCEPTED, 1);
    /* Closes the descriptor itself where it fails. After MHD_YES it is the daemon's
     * thread that begins the connection; should that lack memory the place is lost. */
    if (MHD_add_connection(a->conf.daemons[a->next], fd, from, from_n) != MHD_YES)
        connections_leave_place(a->conf.connections);
    a->next = (a->next + 1) % a->conf.n_daemons;
}

/* Return: 0; -errno where no descriptor is to be had. */
static int accept_some(struct acceptor *a, int listener)
{
    for (unsigned i = 0; i < ROUND; i++) {
        struct sockaddr_storage from;
        socklen_t from_n = sizeof from;
        int fd = accept4(listener, (struct sockaddr *)&from, &from_n,
                         SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (fd >= 0)
            deal_out(a, fd, (const struct sockaddr *)&from, from_n);
        else if (errno == EAGAIN)
            return 0;
        else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS ||
                 errno == ENOMEM)
            return -errno;
        /* Else the client has gone, or its network (accept(2)): on to the next one. */
    }
    return 0;
}

/* Thread: acceptor. */
static void *run(void *arg)
{
    struct acceptor *a = arg;
    size_t n = a->conf.listeners->n;
    struct pollfd *stop = &a->fds[n];
    int r = 0;

    while (!stop->revents) {
        /* A wait for the stop alone, if the last accept found the machine short. */
        int ready = r ? poll(stop, 1, PAUSE_MS) : poll(a->fds, n + 1, -1);

        r = 0;
        for (size_t i = 0; ready >= 0 && i < n && r == 0; i++)
            r = accept_some(a, a->fds[i].fd);
        if (r)
            log_limited(&a->failed, "accept_failed", r);
    }
    return NULL;
}

static int make_fds(struct acceptor *a)
{
    size_t n = a->conf.listeners->n;

    a->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (a->stop_fd < 0)
        return -errno;
    a->fds = calloc(n + 1, sizeof *a->fds);
    if (!a->fds)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++)
        a->fds[i] = (struct pollfd){.fd = a->conf.listeners->fds[i], .events = POLLIN};
    a->fds[n] = (struct pollfd){.fd = a->stop_fd, .events = POLLIN};
    return 0;
}

int acceptor_new(const struct acceptor_conf *conf, struct acceptor **ret)
{
    struct acceptor *a = calloc(1, sizeof *a);

    if (!a)
        return -ENOMEM;
    a->conf = *conf;
    a->refused.every_ns = MINUTE;
    a->failed.every_ns = MINUTE;
    int r = make_fds(a);
    if (r == 0)
        r = -pthread_create(&a->thread, NULL, run, a);
    if (r) {
        io_close(&a->stop_fd);
        free(a->fds);
        free(a);
        return r;
    }
    (void)pthread_setname_np(a->thread, "acceptor");
    *ret = a;
    return 0;
}

void acceptor_free(struct acceptor *a)
{
    if (!a)
        return;
    int r = eventfd_write(a->stop_fd, 1); /* a counter of 0 takes it */
    (void)r;
    (void)pthread_join(a->thread, NULL);
    io_close(&a->stop_fd);
    free(a->fds);
    free(a);
}
