/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The source `statfs[*]`: the sizes of all filesystems that lie on this host's block
 * devices, each device once; and `statfs[/mnt]`: of one mount point, whatever its type.
 * One JSON object a line.
 *
 * The table of mounts is read anew only when the kernel says that it changed. A block
 * filesystem is asked in place; any other, which may hang, by a thread of its own
 * (pcc/asker.h). With a root other than / a regular file ROOT/statfs stands in for it
 * all: its lines are the answer.
 *
 * Thread: sampler. It allocates only when the table of mounts has changed.
 */

#include "common/buf.h"

struct statfs_source;

/**
 * statfs_new() - set the source up; reads nothing yet
 * @root: prefix of every path; "" for none
 * @only: a mount point as seen without @root; NULL for `statfs[*]`
 *
 * Both are copied. Return: 0, and gives *ret for statfs_free(); -ENOMEM.
 */
PC_MUST_CHECK int statfs_new(const char *root, const char *only,
                             struct statfs_source **ret);
void statfs_free(struct statfs_source *s);

/* Puts the questions that may take long, so that they run beside other work. */
void statfs_ask(struct statfs_source *s);

/**
 * statfs_append() - append the lines of what answered
 * @until_ns: boot clock; how long to wait for late answers
 * @ret_late: how many mounts did not answer; they are left out
 *
 * Return: 0; E_GONE if there is no such mount, or all of them were left out; E_TOO_LARGE;
 *         -ENOMEM; -errno (the table of mounts can't be read). @to is as it was but for
 * 0.
 */
PC_MUST_CHECK int statfs_append(struct statfs_source *s, uint64_t until_ns,
                                struct buf *to, size_t *ret_late);
