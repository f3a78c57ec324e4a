/* SPDX-License-Identifier: MIT */
#include "pcd/connection.h"

#include "common/clock.h"
#include "common/units.h"
#include "pcd/reply.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

/* How often to look whether clients have gone, and how soon after a phase began. */
#define LOOK_NS SEC

/* In the order they entered, which is the order in which their time is up. */
struct phase_list {
    struct connection *first;
    struct connection *last;
};

struct connections {
    struct connections_conf conf;
    _Atomic uint64_t places; /* taken */
    pthread_t thread;

    pthread_mutex_t lock;
    pthread_cond_t earlier; /* something is due before wakes_ns */
    pthread_cond_t emptied; /* a phase has no connection any more */
    /* guarded by lock */
    struct phase_list phases[CONNECTION_PHASES];
    uint64_t wakes_ns; /* when the thread looks again by itself */
    bool ends_waiting;
    bool refuses_settling;
    bool stops;
};

static uint64_t phase_ns(const struct connections *c, enum connection_phase phase)
{
    switch (phase) {
    case CONNECTION_WAITING:
        return c->conf.idle_ns;
    case CONNECTION_RECEIVING:
    case CONNECTION_ANSWERING:
        return c->conf.request_ns;
    case CONNECTION_SETTLING:
    case CONNECTION_ENDED:
    case CONNECTION_PHASES:
        break;
    }
    return 0;
}

static void list_remove(struct connections *c, struct connection *e)
{
    struct phase_list *l = &c->phases[e->phase];

    if (e->prev)
        e->prev->next = e->next;
    else
        l->first = e->next;
    if (e->next)
        e->next->prev = e->prev;
    else
        l->last = e->prev;
    if (!l->first)
        (void)pthread_cond_broadcast(&c->emptied);
}

static void list_append(struct connections *c, struct connection *e,
                        enum connection_phase phase)
{
    struct phase_list *l = &c->phases[phase];
    uint64_t limit_ns = phase_ns(c, phase);

    e->phase = phase;
    e->until_ns = limit_ns > 0 ? clock_boot_ns() + limit_ns : UINT64_MAX;
    e->next = NULL;
    e->prev = l->last;
    if (l->last)
        l->last->next = e;
    else
        l->first = e;
    l->last = e;
    uint64_t look_ns = e->until_ns - limit_ns + LOOK_NS;
    if (limit_ns > 0 && look_ns < c->wakes_ns) {
        c->wakes_ns = look_ns;
        (void)pthread_cond_signal(&c->earlier);
    }
}

/* Makes the worker end the connection. The caller has the lock. */
static void shut(struct connections *c, struct connection *e)
{
    list_remove(c, e);
    list_append(c, e, CONNECTION_ENDED);
    /* Fails only where the client has gone already, which the worker sees as well. */
    int r = shutdown(e->fd, SHUT_RDWR);
    (void)r;
}

static void end_late(struct connections *c, struct connection *e)
{
    switch (e->phase) {
    case CONNECTION_WAITING:
        stats_add(c->conf.stats, STATS_TIMEOUT_IDLE, 1);
        break;
    case CONNECTION_RECEIVING:
        stats_add(c->conf.stats, STATS_TIMEOUT_REQUEST, 1);
        stats_request(c->conf.stats, e->route, 408);
        /* The worker sends nothing in this phase but an interim answer that is long
         * out, so nothing gets mixed. */
        if (!c->conf.tls)
            reply_raw(e->fd, e->form, 408, "the request did not arrive in time");
        break;
    case CONNECTION_ANSWERING:
        stats_add(c->conf.stats, STATS_TIMEOUT_ANSWER, 1);
        break;
    case CONNECTION_SETTLING:
    case CONNECTION_ENDED:
    case CONNECTION_PHASES:
        break;
    }
    shut(c, e);
}

/* Ends all that are late. Return: when the next one will be. */
static uint64_t end_all_late(struct connections *c, uint64_t now_ns)
{
    uint64_t next_ns = UINT64_MAX;

    for (enum connection_phase p = CONNECTION_WAITING; p <= CONNECTION_ANSWERING; p++) {
        struct connection *e;

        while ((e = c->phases[p].first) && e->until_ns <= now_ns)
            end_late(c, e);
        if (e && e->until_ns < next_ns)
            next_ns = e->until_ns;
    }
    return next_ns;
}

/* Has the client gone, and has everything been read that it sent? */
static bool has_gone(const struct connection *e)
{
    uint8_t byte;
    ssize_t n = recv(e->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);

    return n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
}

/*
 * libmicrohttpd 0.9.75 doesn't see the end of a stream that arrives together with the
 * last bytes before it. So it is looked for here: of requests that are arriving, each
 * time; of connections that wait, once, some time after they began to, since an end that
 * comes later comes alone. Return: when to look again.
 */
static uint64_t end_all_gone(struct connections *c, uint64_t now_ns)
{
    static const enum connection_phase phases[] = {CONNECTION_RECEIVING,
                                                   CONNECTION_WAITING};
    uint64_t next_ns = UINT64_MAX;

    for (size_t i = 0; i < sizeof phases / sizeof *phases; i++) {
        uint64_t limit_ns = phase_ns(c, phases[i]);
        struct connection *prev;

        for (struct connection *e = c->phases[phases[i]].last; e; e = prev) {
            uint64_t age_ns = now_ns + limit_ns - e->until_ns;

            prev = e->prev;
            if (phases[i] == CONNECTION_WAITING && age_ns >= 3 * LOOK_NS)
                break;
            next_ns = now_ns + LOOK_NS;
            if (age_ns >= LOOK_NS && has_gone(e))
                shut(c, e);
        }
    }
    return next_ns;
}

/* Waits on a condition that uses the monotonic clock, at most @ns. */
static void wait_ns(struct connections *c, pthread_cond_t *condition, uint64_t ns)
{
    struct timespec until;

    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    uint64_t at_ns = (uint64_t)until.tv_sec * SEC + (uint64_t)until.tv_nsec + ns;
    until.tv_sec = (time_t)(at_ns / SEC);
    until.tv_nsec = (long)(at_ns % SEC);
    (void)pthread_cond_timedwait(condition, &c->lock, &until);
}

/* Thread: deadlines. */
static void *run(void *arg)
{
    struct connections *c = arg;

    (void)pthread_mutex_lock(&c->lock);
    while (!c->stops) {
        uint64_t now_ns = clock_boot_ns();

        uint64_t late_ns = end_all_late(c, now_ns);
        uint64_t look_ns = end_all_gone(c, now_ns);

        c->wakes_ns = late_ns < look_ns ? late_ns : look_ns;
        if (c->wakes_ns == UINT64_MAX)
            (void)pthread_cond_wait(&c->earlier, &c->lock);
        else
            wait_ns(c, &c->earlier, c->wakes_ns - now_ns);
    }
    (void)pthread_mutex_unlock(&c->lock);
    return NULL;
}

static int init_sync(struct connections *c)
{
    pthread_condattr_t attr;
    int r = pthread_condattr_init(&attr);

    if (r)
        return -r;
    r = pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    if (r == 0)
        r = pthread_cond_init(&c->earlier, &attr);
    if (r == 0)
        r = pthread_cond_init(&c->emptied, &attr);
    if (r == 0)
        r = pthread_mutex_init(&c->lock, NULL);
    (void)pthread_condattr_destroy(&attr);
    return -r;
}

int connections_new(const struct connections_conf *conf, struct connections **ret)
{
    struct connections *c = calloc(1, sizeof *c);

    if (!c)
        return -ENOMEM;
    c->conf = *conf;
    c->wakes_ns = UINT64_MAX;
    int r = init_sync(c);
    if (r == 0)
        r = -pthread_create(&c->thread, NULL, run, c);
    if (r) {
        free(c);
        return r;
    }
    (void)pthread_setname_np(c->thread, "deadlines");
    *ret = c;
    return 0;
}

void connections_free(struct connections *c)
{
    if (!c)
        return;
    (void)pthread_mutex_lock(&c->lock);
    c->stops = true;
    (void)pthread_cond_signal(&c->earlier);
    (void)pthread_mutex_unlock(&c->lock);
    (void)pthread_join(c->thread, NULL);
    (void)pthread_mutex_destroy(&c->lock);
    (void)pthread_cond_destroy(&c->earlier);
    (void)pthread_cond_destroy(&c->emptied);
    free(c);
}

bool connections_take_place(struct connections *c)
{
    uint64_t taken = atomic_load(&c->places);

    do {
        if (taken >= c->conf.max)
            return false;
    } while (!atomic_compare_exchange_weak(&c->places, &taken, taken + 1));
    return true;
}

void connections_leave_place(struct connections *c)
{
    (void)atomic_fetch_sub(&c->places, 1);
}

uint64_t connections_count(const struct connections *c)
{
    return atomic_load(&c->places);
}

uint64_t connections_max(const struct connections *c)
{
    return c->conf.max;
}

static uint64_t draw_age(uint64_t max_ns)
{
    return max_ns / 2 + clock_random_u64() % (max_ns / 2 + 1);
}

struct connection *connection_begin(struct connections *c, int fd)
{
    struct connection *e = calloc(1, sizeof *e);

    if (!e)
        return NULL;
    e->fd = fd;
    e->linger_fd = -1;
    e->route = STATS_OTHER;
    e->old_ns = c->conf.age_ns ? clock_boot_ns() + draw_age(c->conf.age_ns) : UINT64_MAX;
    (void)pthread_mutex_lock(&c->lock);
    list_append(c, e, CONNECTION_WAITING);
    if (c->ends_waiting)
        shut(c, e);
    (void)pthread_mutex_unlock(&c->lock);
    return e;
}

void connection_end(struct connections *c, struct connection *e)
{
    (void)pthread_mutex_lock(&c->lock);
    list_remove(c, e);
    (void)pthread_mutex_unlock(&c->lock);
    connections_leave_place(c);
    free(e);
}

int connection_enter(struct connections *c, struct connection *e,
                     enum connection_phase phase)
{
    int r = 0;

    (void)pthread_mutex_lock(&c->lock);
    if (e->phase == CONNECTION_ENDED) {
        r = E_GONE;
    } else if (phase == CONNECTION_SETTLING && c->refuses_settling) {
        r = E_STOPPED;
    } else {
        list_remove(c, e);
        list_append(c, e, phase);
        if (phase == CONNECTION_WAITING && c->ends_waiting)
            shut(c, e);
    }
    (void)pthread_mutex_unlock(&c->lock);
    return r;
}

bool connection_is_old(const struct connection *e)
{
    return clock_boot_ns() >= e->old_ns;
}

void connection_describe(struct connections *c, struct connection *e,
                         enum stats_route route, enum media_form form)
{
    (void)pthread_mutex_lock(&c->lock);
    e->route = route;
    e->form = form;
    (void)pthread_mutex_unlock(&c->lock);
}

void connections_end_waiting(struct connections *c)
{
    (void)pthread_mutex_lock(&c->lock);
    c->ends_waiting = true;
    while (c->phases[CONNECTION_WAITING].first)
        shut(c, c->phases[CONNECTION_WAITING].first);
    (void)pthread_mutex_unlock(&c->lock);
}

static bool is_quiet(const struct connections *c)
{
    return !c->phases[CONNECTION_RECEIVING].first &&
           !c->phases[CONNECTION_ANSWERING].first &&
           !c->phases[CONNECTION_SETTLING].first;
}

bool connections_wait_quiet(struct connections *c, uint64_t max_ns)
{
    uint64_t until_ns = clock_boot_ns() + max_ns;
    uint64_t now_ns;

    (void)pthread_mutex_lock(&c->lock);
    while (!is_quiet(c) && (now_ns = clock_boot_ns()) < until_ns)
        wait_ns(c, &c->emptied, until_ns - now_ns);
    bool quiet = is_quiet(c);
    (void)pthread_mutex_unlock(&c->lock);
    return quiet;
}

void connections_refuse_settling(struct connections *c)
{
    (void)pthread_mutex_lock(&c->lock);
    c->refuses_settling = true;
    (void)pthread_mutex_unlock(&c->lock);
}

void connections_wait_settled(struct connections *c)
{
    (void)pthread_mutex_lock(&c->lock);
    while (c->phases[CONNECTION_SETTLING].first)
        (void)pthread_cond_wait(&c->emptied, &c->lock);
    (void)pthread_mutex_unlock(&c->lock);
}
