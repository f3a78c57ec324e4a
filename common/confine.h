/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * What a daemon gives up when it starts, whoever starts it: core dumps, which would hold
 * its keys; being traced by others of its user; privileges by exec; files for everybody.
 *
 * A process that isn't dumpable (prctl(2)) has a /proc/PID that belongs to root, so that
 * only root can attach a debugger to it (`gdb -p` as root works) or have a core of it
 * (`gcore`). Builds with sanitizers stay dumpable, for the leak sanitizer attaches to its
 * own process.
 */

#include "common/err.h"

#include <sys/types.h>

/**
 * confine() - give it all up, for good
 * @umask_too: permissions that files never get, beside those that the umask forbids
 *
 * Call before threads start. Return: 0; -errno of the last that failed; the others are
 * done.
 */
PC_MUST_CHECK int confine(mode_t umask_too);
