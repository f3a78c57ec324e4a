/* SPDX-License-Identifier: MIT */
#include "pcc/asker.h"

#include "common/clock.h"
#include "common/units.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct asker {
    char *path;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    /* guarded by lock */
    bool asked;   /* a question is outstanding */
    bool late;    /* and somebody has waited for it in vain */
    bool leaving; /* the owner is gone or about to wait for the thread's end */
    bool orphan;  /* nobody will wait: the thread frees everything */
    int r;        /* the last answer */
    struct statfs answer;
};

static void destroy(struct asker *a)
{
    (void)pthread_cond_destroy(&a->changed);
    (void)pthread_mutex_destroy(&a->lock);
    free(a->path);
    free(a);
}

/* Thread: asker. */
static void *asker_run(void *arg)
{
    struct asker *a = arg;
    struct statfs answer;

    pthread_mutex_lock(&a->lock);
    while (!a->leaving) {
        if (!a->asked) {
            pthread_cond_wait(&a->changed, &a->lock);
            continue;
        }
        pthread_mutex_unlock(&a->lock);
        int r = statfs(a->path, &answer) < 0 ? -errno : 0; /* may take for ever */
        pthread_mutex_lock(&a->lock);
        a->r = r;
        a->answer = answer;
        a->asked = false;
        pthread_cond_broadcast(&a->changed);
    }
    bool orphan = a->orphan;
    pthread_mutex_unlock(&a->lock);
    if (orphan)
        destroy(a);
    return NULL;
}

static void init_sync(struct asker *a)
{
    pthread_condattr_t monotonic;
    int bad = pthread_condattr_init(&monotonic) |
              pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC) |
              pthread_cond_init(&a->changed, &monotonic) |
              pthread_condattr_destroy(&monotonic) | pthread_mutex_init(&a->lock, NULL);

    assert(bad == 0); /* Linux needs no memory for them */
    (void)bad;
}

int asker_new(const char *path, struct asker **ret)
{
    struct asker *a = calloc(1, sizeof *a);
    if (!a)
        return -ENOMEM;
    a->path = strdup(path);
    if (!a->path) {
        free(a);
        return -ENOMEM;
    }
    init_sync(a);
    a->r = E_PENDING;
    int bad = pthread_create(&a->thread, NULL, asker_run, a);
    if (bad) {
        destroy(a);
        return -bad;
    }
    (void)pthread_setname_np(a->thread, "pcc-statfs");
    *ret = a;
    return 0;
}

void asker_free(struct asker *a)
{
    if (!a)
        return;
    pthread_t thread = a->thread;

    pthread_mutex_lock(&a->lock);
    a->leaving = true;
    bool orphan = a->orphan = a->asked;
    pthread_cond_broadcast(&a->changed);
    pthread_mutex_unlock(&a->lock);
    if (orphan) {
        (void)pthread_detach(thread);
        return;
    }
    (void)pthread_join(thread, NULL);
    destroy(a);
}

void asker_ask(struct asker *a)
{
    pthread_mutex_lock(&a->lock);
    if (!a->asked) {
        a->asked = true;
        a->late = false;
        pthread_cond_broadcast(&a->changed);
    }
    pthread_mutex_unlock(&a->lock);
}

/* The same moment on a clock that conditions can wait by. */
static struct timespec monotonic_of_boot(uint64_t until_ns)
{
    struct timespec ts;
    uint64_t now_ns = clock_boot_ns();
    int r = clock_gettime(CLOCK_MONOTONIC, &ts);
    assert(r == 0);
    (void)r;
    uint64_t at_ns = (uint64_t)ts.tv_sec * SEC + (uint64_t)ts.tv_nsec +
                     (until_ns > now_ns ? until_ns - now_ns : 0);

    return (struct timespec){.tv_sec = (time_t)(at_ns / SEC),
                             .tv_nsec = (long)(at_ns % SEC)};
}

int asker_answer(struct asker *a, uint64_t until_ns, struct statfs *ret)
{
    struct timespec until = monotonic_of_boot(until_ns);
    int r = 0;

    pthread_mutex_lock(&a->lock);
    while (a->asked && !a->late && r == 0)
        r = pthread_cond_timedwait(&a->changed, &a->lock, &until);
    if (a->asked) {
        a->late = true;
        r = E_PENDING;
    } else {
        r = a->r;
        if (r == 0)
            *ret = a->answer;
    }
    pthread_mutex_unlock(&a->lock);
    return r;
}
