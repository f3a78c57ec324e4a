/* SPDX-License-Identifier: MIT */
#include "common/err.h"

#include <stdio.h>
#include <string.h>

const char *err_text(int r)
{
    static const char *const verdicts[] = {
        [E_TRUNCATED] = "input ends too early",
        [E_MALFORMED] = "malformed",
        [E_TOO_LARGE] = "too large",
        [E_UNSUPPORTED] = "not supported",
        [E_REPLAY] = "stored before",
        [E_PENDING] = "in progress",
        [E_FULL] = "busy",
        [E_NO_ROOM] = "no room on the disk",
        [E_DENIED] = "not allowed",
        [E_GONE] = "not there",
        [E_STOPPED] = "shutting down",
        [E_CONFLICT] = "builds on something that is not there",
    };

    if (r == 0)
        return "done";
    if (r < 0)
        return strerror(-r); /* of glibc since 2.32, and of musl: not shared by threads */
    if ((size_t)r < sizeof verdicts / sizeof verdicts[0] && verdicts[r])
        return verdicts[r];
    return "unknown verdict";
}

void err_describe(int r, const struct err_at *at, char *ret_text, size_t size)
{
    const char *what = at && at->what ? at->what : err_text(r);
    size_t offset = at ? at->offset : ERR_AT_UNKNOWN;
    size_t item = at ? at->item : ERR_AT_UNKNOWN;
    char where[64] = "";

    if (offset != ERR_AT_UNKNOWN)
        (void)snprintf(where, sizeof where, " at byte %zu", offset);
    if (item != ERR_AT_UNKNOWN)
        (void)snprintf(ret_text, size, "%s %zu: %s%s",
                       at->in_group ? "group" : "measurement", item, what, where);
    else
        (void)snprintf(ret_text, size, "%s%s", what, where);
}
