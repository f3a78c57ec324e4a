/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The folder of recorded collections that some tests read: PC_CAPTURES, else the
 * one that tests/lib/captures-folder names, seen from the sources. Tests that find none
 * there are skipped. A program that includes this is compiled with captures_arg.
 */

#include <glob.h>
#include <stdio.h>
#include <stdlib.h>

#define CAPTURES_SKIP                                                                    \
    "1..0 # SKIP no captures: set PC_CAPTURES to a folder of collections\n"

/* Finds *.jsonl. Return: how many; their paths are in @ret until globfree(). */
static inline size_t captures_find(glob_t *ret)
{
    const char *given = getenv("PC_CAPTURES");
    char pattern[4096];

    *ret = (glob_t){0};
    (void)snprintf(pattern, sizeof pattern, "%s/*.jsonl",
                   given ? given : PC_CAPTURES_FOLDER);
    return glob(pattern, 0, NULL, ret) == 0 ? ret->gl_pathc : 0;
}
