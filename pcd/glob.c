/* SPDX-License-Identifier: MIT */
#include "pcd/glob.h"

#include "common/utf8.h"
#include "proto/limits.h"

const char *glob_check(struct span pattern)
{
    if (pattern.n == 0 || pattern.n > LIMIT_IDENTIFIER_BYTES)
        return "a pattern has 1 to 128 bytes";
    /* Rather than taking a comment at the end of a line for names that may be written. */
    if (pattern.data[0] == '#')
        return "a pattern can't begin with #: a comment stands on a line of its own";
    if (!utf8_valid(pattern))
        return "a pattern that is not UTF-8";
    for (size_t i = 0; i < pattern.n; i++)
        if (pattern.data[i] <= ' ' || pattern.data[i] == 0x7f)
            return "a blank or control character in a pattern";
    return NULL;
}

/* Where the character behind the one at @at begins. */
static size_t next(struct span text, size_t at)
{
    do
        at++;
    while (at < text.n && (text.data[at] & 0xc0) == 0x80);
    return at;
}

bool glob_match(struct span pattern, struct span text)
{
    size_t p = 0;
    size_t t = 0;
    size_t star = SIZE_MAX; /* the last * that was passed, and */
    size_t kept = 0;        /* where the text begins that it doesn't cover (yet) */

    while (t < text.n) {
        if (p < pattern.n && pattern.data[p] == '*') {
            star = p++;
            kept = t;
        } else if (p < pattern.n && pattern.data[p] == '?') {
            p++;
            t = next(text, t);
        } else if (p < pattern.n && pattern.data[p] == text.data[t]) {
            p++;
            t++;
        } else if (star != SIZE_MAX) {
            /* Earlier stars need no second look: what they left was as much as could be
             * left. */
            kept = next(text, kept);
            p = star + 1;
            t = kept;
        } else {
            return false;
        }
    }
    while (p < pattern.n && pattern.data[p] == '*')
        p++;
    return p == pattern.n;
}
