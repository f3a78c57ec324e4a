/* SPDX-License-Identifier: MIT */
#include "pcd/watch.h"

#include <stdbool.h>

/* A file that can't be looked at is like none, and differs from one that can. */
static void look(const char *path, struct stat *ret)
{
    if (stat(path, ret))
        *ret = (struct stat){0};
}

static bool is_same_time(struct timespec a, struct timespec b)
{
    return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

static bool is_same(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
           is_same_time(a->st_mtim, b->st_mtim) && is_same_time(a->st_ctim, b->st_ctim);
}

void watch_take(struct watch *w)
{
    look(w->path, &w->taken);
    w->seen = w->taken;
}

enum watch_state watch_look(struct watch *w)
{
    struct stat now;

    look(w->path, &now);
    bool at_rest = is_same(&now, &w->seen);
    w->seen = now;
    if (is_same(&now, &w->taken))
        return WATCH_SAME;
    return at_rest ? WATCH_CHANGED : WATCH_CHANGING;
}
