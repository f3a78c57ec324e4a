/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * A folder for targets whose input stands in files. One a process, made under $TMPDIR or
 * else in memory, removed at the end of the process.
 */

#include "common/span.h"

#include <limits.h>

struct fuzz_home {
    char path[PATH_MAX];
    int fd;
};

/* The folder, empty. */
const struct fuzz_home *fuzz_home_empty(void);

/* Makes a file of it hold these bytes, and the folders above it; @path is relative. */
void fuzz_home_put(const struct fuzz_home *h, const char *path, struct span bytes);
