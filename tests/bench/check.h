/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Is every batch that pcd said it stored on disk, whole and once? A fleet's clients send
 * their batches one by one, so a host's day file must hold batches 1, 2, 3 … in order.
 */

#include "tests/bench/fleet.h"

/**
 * check_store() - compare the day files under a pcd's home with what a fleet sent
 * @home:        the folder; it held nothing of these hosts before the fleet ran
 * @patience_ns: to wait for batches that are answered but not filed yet
 * @ret_why:     receives what is wrong, terminated
 * @size:        bytes at @ret_why
 *
 * One batch more than was answered as stored may be there: its answer got lost.
 *
 * Return: 0; E_MALFORMED: a file is not as it should be; -errno: it can't be read.
 */
PC_MUST_CHECK int check_store(const struct fleet *f, const char *home,
                              uint64_t patience_ns, char *ret_why, size_t size);
