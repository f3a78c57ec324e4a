/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * `pcc spool repair`: what is damaged gets out of the way, what is whole is sent again.
 *
 * A damaged file of the spool is replaced, in one step, by one that holds its whole parts
 * under their own identities and a batch that tells of the loss (pcc/gap): the server,
 * which was promised nothing else yet, stores each part once. The file as it was goes to
 * rejected/ first, but only if nothing in it is whole: whole parts must never be in both.
 *
 * What lies in rejected/ was given up, and its SEQs are below the floor that the server
 * was told: under its own identity it would be taken for stored. It goes back to the
 * spool under a session that follows from its old identity and its bytes. So a repair
 * that was cut off between putting it back and unlinking it does no harm: the next one
 * puts it back under the same identity, and the server stores it once.
 *
 * Damaged and refused files are told apart by their checksums: what the server refused is
 * whole. (So is what could not be read at the time, but can be now.)
 */

#include "pcc/spool.h"

#include <stdio.h>

struct repair_counts {
    uint64_t repaired; /* files of the spool that hold no damage any more */
    uint64_t lost;     /* measurements that were in their damaged parts */
    uint64_t put_back; /* measurements from rejected/ */
    uint64_t refused;  /* files in rejected/ that are whole and stay there */
    uint64_t hopeless; /* and that have nothing whole in them */
    uint64_t failed;   /* files for which it could not be done */
};

/**
 * spool_repair() - do it
 * @refused: also put back what the server refused
 * @out:     a line for each file
 *
 * Return: 0, whatever came of each file; E_PENDING if an agent has the spool; E_GONE if
 *         there is none; -ENOMEM; -errno.
 */
PC_MUST_CHECK int spool_repair(const struct spool_conf *conf, bool refused, FILE *out,
                               struct repair_counts *ret);
