/* SPDX-License-Identifier: MIT */
#include "tests/bench/bare.h"

#include "common/io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/vfs.h>
#include <unistd.h>

static const char *const paths[BARE_FILES] = {
    "/proc/stat",
    "/proc/meminfo",
    "/proc/net/dev",
    "/proc/diskstats",
};

int bare_init(struct bare *b)
{
    int r = 0;

    for (unsigned i = 0; i < BARE_FILES; i++)
        b->fds[i] = -1;
    b->room = malloc(BARE_ROOM);
    if (!b->room)
        return -ENOMEM;
    for (unsigned i = 0; i < BARE_FILES && r == 0; i++) {
        b->fds[i] = open(paths[i], O_RDONLY | O_CLOEXEC);
        r = b->fds[i] < 0 ? -errno : 0;
    }
    if (r)
        bare_done(b);
    return r;
}

void bare_done(struct bare *b)
{
    for (unsigned i = 0; i < BARE_FILES; i++)
        io_close(&b->fds[i]);
    free(b->room);
    b->room = NULL;
}

int bare_tick(struct bare *b)
{
    struct statfs fs;

    for (unsigned i = 0; i < BARE_FILES; i++)
        if (pread(b->fds[i], b->room, BARE_ROOM, 0) < 0)
            return -errno;
    return statfs("/", &fs) < 0 ? -errno : 0;
}
