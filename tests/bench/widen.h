/* SPDX-License-Identifier: MIT */
#pragma once

/* Recorded measurements of a small host, as a host with many CPUs would show them. */

#include "common/measurement.h"

/**
 * widen() - append measurements with so many CPUs
 * @from: recorded; its /proc/stat has the lines of one CPU at least
 * @ret:  the same but for the lines of CPUs in /proc/stat: so many, made of the recorded
 *        ones, each counting from a place and at a pace of its own, and the sum of all
 *
 * Return: 0; E_MALFORMED where a /proc/stat has no CPU; as batch_append().
 */
PC_MUST_CHECK int widen(const struct batch *from, size_t cpus, struct batch *ret);
