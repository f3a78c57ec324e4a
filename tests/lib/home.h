/* SPDX-License-Identifier: MIT */
#pragma once

/* A temporary folder of a test's own. */

#include <limits.h>

struct home {
    char path[PATH_MAX];
    int fd;
};

/* Makes it under $TMPDIR, or /tmp, and opens it; ends the test if it can't. */
void home_make(struct home *h);
/* Removes it with all that is in it. */
void home_remove(struct home *h);
