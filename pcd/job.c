/* SPDX-License-Identifier: MIT */
#include "pcd/job.h"

#include <stdlib.h>

struct job *job_new(size_t max_lines)
{
    struct job *j = calloc(1, sizeof *j);

    if (j)
        buf_init(&j->lines, max_lines);
    return j;
}

void job_free(struct job *j)
{
    if (!j)
        return;
    buf_done(&j->lines);
    free(j);
}
