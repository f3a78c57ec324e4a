/* SPDX-License-Identifier: MIT */
#include "pcc/collection.h"

#include "common/io.h"
#include "common/json.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define LINES_MAX (4 * LIMIT_DECODED_BYTES)
#define KEEP_MAX (2 * MIB)

struct collection {
    char *path;
    int fd; /* -1 after it could not be opened */
    struct buf lines;
};

/* Does a line end where we are to begin? A kill or a power cut may have left half a one.
 * What isn't a file that can be read is taken to be well. */
static bool ends_with_a_line(const struct collection *c)
{
    struct stat st;
    char last = '\n';

    if (fstat(c->fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size == 0)
        return true;
    int fd = open(c->path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : pread(fd, &last, 1, st.st_size - 1);
    io_close(&fd);
    return n != 1 || last == '\n';
}

static int open_file(struct collection *c)
{
    io_close(&c->fd);
    c->fd = open(c->path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0644);
    if (c->fd < 0)
        return -errno;
    int r = ends_with_a_line(c) ? 0 : io_write(c->fd, SPAN("\n"));
    if (r)
        io_close(&c->fd); /* tried again with the next batch */
    return r;
}

int collection_new(const char *path, struct collection **ret)
{
    struct collection *c = calloc(1, sizeof *c);
    if (!c)
        return -ENOMEM;
    c->fd = -1;
    buf_init(&c->lines, LINES_MAX);
    c->path = strdup(path);
    int r = c->path ? open_file(c) : -ENOMEM;
    if (r) {
        collection_free(c);
        return r;
    }
    *ret = c;
    return 0;
}

void collection_free(struct collection *c)
{
    if (!c)
        return;
    io_close(&c->fd);
    buf_done(&c->lines);
    free(c->path);
    free(c);
}

/* Does the name still stand for the file that is open? */
static bool in_place(const struct collection *c)
{
    struct stat named;
    struct stat opened;

    return c->fd >= 0 && stat(c->path, &named) == 0 && fstat(c->fd, &opened) == 0 &&
           named.st_dev == opened.st_dev && named.st_ino == opened.st_ino;
}

static int write_lines(struct collection *c)
{
    int r = in_place(c) ? 0 : open_file(c);
    if (r)
        return r;
    off_t before = lseek(c->fd, 0, SEEK_END); /* -1: a pipe, which can't be cut */
    r = io_write(c->fd, buf_span(&c->lines));
    if (r && before >= 0) {
        /* Half a line would damage the next one. If even this fails there is no more to
         * be done, and the failure that counts is the first. */
        int cut = ftruncate(c->fd, before);
        (void)cut;
    }
    return r;
}

int collection_append(struct collection *c, const struct batch *b)
{
    int r = 0;

    for (size_t i = 0; i < b->n_items && r == 0; i++) {
        struct measurement m = batch_get(b, i);
        r = json_append_line(&m, &c->lines);
    }
    if (r == 0)
        r = write_lines(c);
    buf_reset(&c->lines);
    buf_shrink(&c->lines, KEEP_MAX);
    return r;
}
