/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The file of keys (key_set.h says what stands in it) over pcd's life: read at the start,
 * when somebody says so, and by itself when it has changed. A file that can't be used
 * changes nothing, and the log says which line and why, never what stands there.
 *
 * A change is looked for by asking what file stands at the path once a second, rather
 * than by inotify(7): that sees the file replaced, edited in place, behind symbolic links
 * that are turned, and on network filesystems alike.
 *
 * Thread: main.
 */

#include "pcd/auth.h"
#include "pcd/watch.h"

/* Bytes of such a file. */
#define APIKEYS_MAX (16 * MIB)

struct apikeys {
    struct auth *auth;  /* borrowed */
    const char *path;   /* borrowed */
    struct watch watch; /* the file that was read last, whatever came of it */
};

/**
 * apikeys_read() - take the keys that stand in the file, and log what they are
 * @reterr_text: on anything but 0, why not, for the user
 *
 * Warns of keys that are short, and of a file that others may read or write, or
 * its group may write.
 *
 * Return: 0; as auth_take(); E_TOO_LARGE also for more than APIKEYS_MAX bytes;
 *         E_UNSUPPORTED: no regular file; E_PENDING: it grew while it was read; -errno.
 */
PC_MUST_CHECK int apikeys_read(struct apikeys *k, char *reterr_text, size_t size);

/* Reads the file again; logs if it can't be used. */
void apikeys_reload(struct apikeys *k);

/* To be called about once a second. Reloads a file that has changed, once it was the same
 * for two calls, so that it isn't read while it is being written. */
void apikeys_look(struct apikeys *k);
