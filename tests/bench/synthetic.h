/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Measurements of a host that there is not: the five sources of pcc as a machine with two
 * processors and two disks says them, whose counters move as they do where there is some
 * work. The same for the same number, on any machine.
 */

#include "common/measurement.h"

#define SYNTHETIC_SOURCES 5u

/* The name of source @i as pcc has it. */
struct span synthetic_name(unsigned i);

/**
 * synthetic_text() - append what source @i says at tick @tick
 *
 * Return: 0; E_TOO_LARGE; -ENOMEM.
 */
PC_MUST_CHECK int synthetic_text(unsigned i, uint64_t tick, struct buf *to);

/**
 * synthetic_batch() - fill an empty batch with @n ticks, a second apart, from @tick on
 *
 * Return: 0; as batch_append().
 */
PC_MUST_CHECK int synthetic_batch(struct batch *b, uint64_t tick, unsigned n);
