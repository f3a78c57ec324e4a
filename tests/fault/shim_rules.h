/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Which calls are to fail, and how: a file of rules that a test may replace at any time.
 * It is looked at before each call; a new one begins to count anew.
 *
 *   CALL PATTERN ACTION [after N] [times N]
 *   clock SECONDS       the wall clock is off by so much, which may be negative
 *   disk BYTES          files may grow by so much in all since the process began, then
 *                       ENOSPC; what is deleted gives room again. statvfs knows
 *
 * CALL     open, create, read, write, sync, rename, unlink, link, truncate, mkdir,
 *          statvfs; any: all of them that change something
 * PATTERN  as fnmatch(3), of the path below the root; * matches a slash too
 * ACTION   EIO, ENOSPC or any other name of an errno: the call fails with it
 *          short:N     writes and reads stop after N bytes
 *          free:N      statvfs says that N bytes are free
 *          readonly    statvfs says that the disk is mounted read-only
 *          delay:MS    the call waits first; rules behind it count too
 *          kill        the process dies instead of the call
 *          kill-after  the process dies after the call
 *          tear        a write stops halfway, and the process dies
 * after N  the first N calls that match pass
 * times N  no more than N are touched
 *
 * The first rule that matches and isn't used up counts. Each call that was touched gives
 * a line `CALL PATH ACTION` in the file of hits.
 */

#include <stdbool.h>
#include <stdint.h>

enum shim_call {
    SHIM_OPEN,
    SHIM_CREATE,
    SHIM_READ,
    SHIM_WRITE,
    SHIM_SYNC,
    SHIM_RENAME,
    SHIM_UNLINK,
    SHIM_LINK,
    SHIM_TRUNCATE,
    SHIM_MKDIR,
    SHIM_STATVFS,
    SHIM_CALLS,
};

enum shim_action {
    SHIM_PASS,
    SHIM_FAIL, /* value: the errno */
    SHIM_SHORT,
    SHIM_FREE,
    SHIM_READONLY,
    SHIM_DELAY,
    SHIM_KILL,
    SHIM_KILL_AFTER,
    SHIM_TEAR,
};

struct shim_fault {
    enum shim_action action;
    uint64_t value;
};

/* Where rules come from and hits go; NULL: nowhere. Before any other thread runs. */
void shim_rules_init(const char *rules_path, const char *hits_path);

/* What is to become of a call; waits where a rule says so. Any thread. */
struct shim_fault shim_rules_match(enum shim_call call, const char *path);

/* May a rule be about this call? A quick look, for those that come often. */
bool shim_rules_about(enum shim_call call);

/* By how much the wall clock is off. */
int64_t shim_rules_clock_s(void);

/* Return: whether there is a limit of the disk, in *ret. */
bool shim_rules_disk(int64_t *ret);
