/* SPDX-License-Identifier: MIT */

/* pcd built without libdeflate. */

#include "pcd/gunzip.h"

int gunzip_new(struct gunzip **ret)
{
    *ret = NULL;
    return 0;
}

void gunzip_free(struct gunzip *g)
{
    (void)g;
}

bool gunzip_try(struct gunzip *g, struct span in, struct buf *to)
{
    (void)g;
    (void)in;
    (void)to;
    return false;
}

const char *gunzip_version(void)
{
    return "none";
}
