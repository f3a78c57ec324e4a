/* SPDX-License-Identifier: MIT */
#include "common/confine.h"

#include <errno.h>
#include <stdbool.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

/* gcc says it with macros, clang with features. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define HAS_SANITIZER true
#elif defined(__has_feature)
#define HAS_SANITIZER                                                                    \
    (__has_feature(address_sanitizer) || __has_feature(thread_sanitizer))
#else
#define HAS_SANITIZER false
#endif

int confine(mode_t umask_too)
{
    const struct rlimit none = {0, 0};
    int r = 0;

    (void)umask(umask(0777) | umask_too);
    /* Both: a kernel that pipes cores to a program doesn't ask for the limit (core(5)),
     * and what such a program then does is its own affair. */
    if (setrlimit(RLIMIT_CORE, &none) != 0)
        r = -errno;
    if (!HAS_SANITIZER && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
        r = -errno;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        r = -errno;
    return r;
}
