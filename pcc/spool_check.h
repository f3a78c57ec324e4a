/* SPDX-License-Identifier: MIT */
#pragma once

/* `pcc spool check`: is every byte of the spool what was written? */

#include "pcc/spool_sight.h"

struct check_counts {
    struct sight_sum waiting;
    struct sight_sum rejected;
    uint64_t bad; /* files of the spool that could be read, with anything wrong in them */
};

/**
 * spool_check() - read all files whole, and decode what is in them
 * @out: a line for each thing that is wrong, and for each file in rejected/
 *
 * Return: 0, whatever was found; -ENOMEM; -errno.
 */
PC_MUST_CHECK int spool_check(const struct spool_folder *f, FILE *out,
                              struct check_counts *ret);
