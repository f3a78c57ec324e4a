/* SPDX-License-Identifier: MIT */
#include "pcd/lingerer.h"

#include "common/clock.h"
#include "common/io.h"
#include "common/units.h"
#include "proto/limits.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define LINGER_MAX 256u
#define LINGER_NS (2 * SEC)
#define LINGER_BYTES (64 * MIB)

struct lingering {
    int fd;
    uint64_t until_ns;
    uint64_t left_bytes;
};

struct lingerer {
    pthread_t thread;
    int wake_fd;
    atomic_size_t n_out; /* descriptors that lingerer_dup() gave and nobody closed yet */

    pthread_mutex_t lock;
    /* guarded by lock */
    struct lingering come[LINGER_MAX];
    size_t n_come;
    bool stops;

    /* The thread's. */
    struct lingering held[LINGER_MAX];
    size_t n_held;
};

static void let_go(struct lingerer *l, int *fd)
{
    io_close(fd);
    (void)atomic_fetch_sub(&l->n_out, 1);
}

static void wake(struct lingerer *l)
{
    /* Fails only where the counter is full, and then the thread wakes all the same. */
    int r = eventfd_write(l->wake_fd, 1);
    (void)r;
}

/* Return: false once asked to stop. */
static bool take_come(struct lingerer *l)
{
    (void)pthread_mutex_lock(&l->lock);
    for (size_t i = 0; i < l->n_come; i++)
        l->held[l->n_held++] = l->come[i];
    l->n_come = 0;
    bool goes_on = !l->stops;
    (void)pthread_mutex_unlock(&l->lock);
    return goes_on;
}

/* Throws away what has arrived. Return: false when there is nothing more to wait for. */
static bool discard(struct lingering *g)
{
    while (g->left_bytes > 0) {
        size_t n = g->left_bytes < MIB ? (size_t)g->left_bytes : (size_t)MIB;
        /* MSG_TRUNC throws a stream's bytes away without copying them: tcp(7). */
        ssize_t got = recv(g->fd, NULL, n, MSG_DONTWAIT | MSG_TRUNC);

        if (got <= 0)
            return got < 0 && (errno == EAGAIN || errno == EINTR);
        g->left_bytes -= (uint64_t)got;
    }
    return false;
}

static void discard_all(struct lingerer *l, uint64_t now_ns)
{
    size_t kept = 0;

    for (size_t i = 0; i < l->n_held; i++) {
        struct lingering *g = &l->held[i];

        if (now_ns < g->until_ns && discard(g))
            l->held[kept++] = *g;
        else
            let_go(l, &g->fd);
    }
    l->n_held = kept;
}

/* They came in order of time, and all may stay equally long. */
static int wait_ms(const struct lingerer *l, uint64_t now_ns)
{
    if (l->n_held == 0)
        return -1;
    if (l->held[0].until_ns <= now_ns)
        return 0;
    return (int)((l->held[0].until_ns - now_ns) / MSEC + 1);
}

/* Thread: linger. */
static void *run(void *arg)
{
    struct lingerer *l = arg;
    struct pollfd fds[LINGER_MAX + 1];

    while (take_come(l)) {
        fds[0] = (struct pollfd){.fd = l->wake_fd, .events = POLLIN};
        for (size_t i = 0; i < l->n_held; i++)
            fds[i + 1] = (struct pollfd){.fd = l->held[i].fd, .events = POLLIN};
        int n = poll(fds, l->n_held + 1, wait_ms(l, clock_boot_ns()));

        if (n > 0 && fds[0].revents) {
            eventfd_t ignored;
            int r = eventfd_read(l->wake_fd, &ignored); /* only to clear it */
            (void)r;
        }
        discard_all(l, clock_boot_ns());
    }
    return NULL;
}

int lingerer_new(struct lingerer **ret)
{
    struct lingerer *l = calloc(1, sizeof *l);

    if (!l)
        return -ENOMEM;
    l->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int r = l->wake_fd < 0 ? -errno : -pthread_mutex_init(&l->lock, NULL);
    if (r == 0)
        r = -pthread_create(&l->thread, NULL, run, l);
    if (r) {
        io_close(&l->wake_fd);
        free(l);
        return r;
    }
    (void)pthread_setname_np(l->thread, "linger");
    *ret = l;
    return 0;
}

void lingerer_free(struct lingerer *l)
{
    if (!l)
        return;
    (void)pthread_mutex_lock(&l->lock);
    l->stops = true;
    (void)pthread_mutex_unlock(&l->lock);
    wake(l);
    (void)pthread_join(l->thread, NULL);
    discard_all(l, UINT64_MAX);
    (void)pthread_mutex_destroy(&l->lock);
    io_close(&l->wake_fd);
    free(l);
}

int lingerer_dup(struct lingerer *l, int fd)
{
    if (atomic_fetch_add(&l->n_out, 1) < LINGER_MAX) {
        int dup = fcntl(fd, F_DUPFD_CLOEXEC, 0);
        if (dup >= 0)
            return dup;
    }
    (void)atomic_fetch_sub(&l->n_out, 1);
    return -1;
}

void lingerer_start(struct lingerer *l, int dup)
{
    if (dup < 0)
        return;
    /* A client that has gone already is no failure. */
    int r = shutdown(dup, SHUT_WR);
    (void)r;
    (void)pthread_mutex_lock(&l->lock);
    l->come[l->n_come++] = (struct lingering){
        .fd = dup,
        .until_ns = clock_boot_ns() + LINGER_NS,
        .left_bytes = LINGER_BYTES,
    };
    (void)pthread_mutex_unlock(&l->lock);
    wake(l);
}
