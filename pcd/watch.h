/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Has a file changed since it was read? Asked now and then, so that a change is seen
 * however it was made: written in place, renamed over, or a symbolic link turned.
 */

#include <stdint.h>
#include <sys/stat.h>

struct watch {
    const char *path; /* borrowed */
    struct stat taken;
    struct stat seen;
};

/* In order of what matters more, where there are several files. */
enum watch_state {
    WATCH_SAME,
    WATCH_CHANGED,  /* and at rest since the last look */
    WATCH_CHANGING, /* since the last look: whoever writes it may not be done */
};

/* Notes the file as it is now, absent or not; to be called before it is read. */
void watch_take(struct watch *w);

/* How the file is compared with when it was taken, and looked at last. */
enum watch_state watch_look(struct watch *w);
