/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The kernel's tables of mounts and of filesystem types, read from their text. Pure; the
 * texts count as untrusted, and a line that isn't understood is passed over.
 */

#include "common/span.h"

#include <stdbool.h>
#include <stddef.h>

/* A line of mountinfo; its spans lie in the text. */
struct mount_line {
    struct span device; /* major:minor */
    struct span point;  /* with blanks and such as octal escapes */
    struct span type;
};

/* The next line that is understood. @text is moved behind it. Return: was there one? */
bool mounts_next(struct span *text, struct mount_line *ret);

/**
 * mounts_is_block() - is the type one that lies on a block device of this host?
 * @filesystems: the text of /proc/filesystems
 * @type:        as in mountinfo; a subtype behind a dot doesn't count
 *
 * That is: listed without nodev, and not squashfs, whose images are always full.
 */
bool mounts_is_block(struct span filesystems, struct span type);

/* Is a program behind it (FUSE), that may never answer? */
bool mounts_is_fuse(struct span type);

/**
 * mounts_decode() - a mount point without its escapes
 * @ret_text: receives it, terminated; at least point.n + 1 bytes
 */
void mounts_decode(struct span point, char *ret_text);
