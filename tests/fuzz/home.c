/* SPDX-License-Identifier: MIT */
#include "tests/fuzz/home.h"

#include "common/io.h"
#include "tests/fuzz/fuzz.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static struct fuzz_home home = {.fd = -1};

static int remove_entry(const char *path, const struct stat *st, int type,
                        struct FTW *ftw)
{
    (void)st;
    (void)type;
    return ftw->level > 0 ? remove(path) : 0;
}

static void clear(void)
{
    FUZZ_CHECK(nftw(home.path, remove_entry, 16, FTW_DEPTH | FTW_PHYS) == 0);
}

static void remove_home(void)
{
    clear();
    (void)rmdir(home.path);
}

static void make_home(void)
{
    const char *base = getenv("TMPDIR");

    /* In memory where that can be: a sync costs nothing there. */
    if (!base)
        base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    (void)snprintf(home.path, sizeof home.path, "%s/pc-fuzz-XXXXXX", base);
    FUZZ_CHECK(mkdtemp(home.path));
    home.fd = open(home.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    FUZZ_CHECK(home.fd >= 0);
    FUZZ_CHECK(atexit(remove_home) == 0);
}

const struct fuzz_home *fuzz_home_empty(void)
{
    if (home.fd < 0)
        make_home();
    else
        clear();
    return &home;
}

/* Makes the folders that stand before the last slash. */
static void make_folders(const struct fuzz_home *h, const char *path)
{
    char folder[PATH_MAX];

    for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
        (void)snprintf(folder, sizeof folder, "%.*s", (int)(slash - path), path);
        FUZZ_CHECK(mkdirat(h->fd, folder, 0700) == 0 || errno == EEXIST);
    }
}

void fuzz_home_put(const struct fuzz_home *h, const char *path, struct span bytes)
{
    make_folders(h, path);
    int fd = openat(h->fd, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    FUZZ_CHECK(fd >= 0);
    FUZZ_CHECK(io_write(fd, bytes) == 0);
    io_close(&fd);
}
