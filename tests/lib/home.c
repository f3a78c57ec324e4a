/* SPDX-License-Identifier: MIT */
#include "tests/lib/home.h"

#include <check.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

void home_make(struct home *h)
{
    const char *base = getenv("TMPDIR");

    (void)snprintf(h->path, sizeof h->path, "%s/pc-test-XXXXXX", base ? base : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(h->path));
    h->fd = open(h->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    ck_assert_int_ge(h->fd, 0);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

void home_remove(struct home *h)
{
    (void)close(h->fd);
    ck_assert_int_eq(nftw(h->path, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}
