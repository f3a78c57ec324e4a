/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * What a group's measurements change, as residuals in the streams: predictors, bitmaps
 * and varints. For delta_group.c alone.
 */

#include "common/delta_group.h"

/* Makes room in an array for @n in all, with some to spare. @array: the address of its
 * pointer. Return: 0; -ENOMEM. */
PC_MUST_CHECK int delta_reserve(void *array, size_t *cap, size_t n, size_t size);

/* Writes what the last @n samples changed, the coded measurements of the last group.
 * Return: 0; E_TOO_LARGE; -ENOMEM. */
PC_MUST_CHECK int delta_write_changes(struct delta_writer *w, struct delta_track *t,
                                      size_t n);
