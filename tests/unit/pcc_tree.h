/* SPDX-License-Identifier: MIT */
#pragma once

/* Hand-made stand-ins for / that pcc reads under a root. A call that fails here fails the
 * test. */

#include "common/io.h"
#include "tests/lib/home.h"
#include "tests/lib/suite.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* Makes or replaces a file of the tree, folders included. */
static inline void tree_put(const struct home *h, const char *path, struct span text)
{
    char part[PATH_MAX];

    for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
        (void)snprintf(part, sizeof part, "%.*s", (int)(slash - path), path);
        (void)mkdirat(h->fd, part, 0700); /* there already, or the open below fails */
    }
    int fd = openat(h->fd, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(io_write(fd, text), 0);
    (void)close(fd);
}

static inline void tree_remove(const struct home *h, const char *path)
{
    ck_assert_int_eq(unlinkat(h->fd, path, 0), 0);
}
