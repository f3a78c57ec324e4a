/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * A file that is read whole again and again, as `/proc` is. Where the kernel makes the
 * text at each read (procfs, sysfs) it is kept open; any other is opened for each read,
 * since a name may stand for another file by then. One thread at a time.
 */

#include "common/buf.h"

struct procfile {
    char *path;
    int fd;        /* -1 while it isn't open */
    size_t expect; /* bytes that the last read gave */
};

/* Opens nothing. @path is copied. Return: 0; -ENOMEM. */
PC_MUST_CHECK int procfile_init(struct procfile *f, const char *path);
/* Also takes a zeroed one. */
void procfile_done(struct procfile *f);

/**
 * procfile_read() - append what the file holds now
 * @max: bytes that it may have
 *
 * Room is made for what it had the last time and some more, so that as a rule the kernel
 * hands it over in one piece. A kept file that fails is opened anew, once.
 *
 * Return: 0; E_TOO_LARGE past @max or the maximum of @to; -EOPNOTSUPP for what is no
 *         regular file; -errno. @to is as it was but for 0.
 */
PC_MUST_CHECK int procfile_read(struct procfile *f, size_t max, struct buf *to);
