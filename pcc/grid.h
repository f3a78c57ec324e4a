/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The absolute grid of ticks: origin + k * interval on the boot clock, whatever happens.
 * Pure: clocks and random numbers come in as arguments.
 */

#include <stdbool.h>
#include <stdint.h>

struct grid {
    uint64_t origin_ns; /* boot clock: point 0 */
    uint64_t interval_ns;
    uint64_t phase_ns; /* wall clock: how long after a full second points are laid */
    uint64_t next;     /* the first point at which no tick was taken yet */
};

/**
 * grid_init() - lay a grid with a random phase, so that a fleet doesn't tick as one
 *
 * For intervals of whole seconds every point falls between 0.1 and 0.8 s after a full
 * second of the wall clock, so that jitter makes no timestamp (in whole seconds) appear
 * twice or be skipped; the first point is in a later second than @wall_ns. For others
 * it is half to one and a half intervals away.
 */
void grid_init(struct grid *g, uint64_t interval_ns, uint64_t boot_ns, uint64_t wall_ns,
               uint64_t random);

/* When the next tick is due, on the boot clock. */
uint64_t grid_due(const struct grid *g);

/**
 * grid_arrive() - a tick is taken now, for the last point that has come
 * @boot_ns: now; before the point that is due counts as at it
 *
 * Return: how many points before that one were missed.
 */
uint64_t grid_arrive(struct grid *g, uint64_t boot_ns);

/**
 * grid_realign() - move the grid by less than a second after the wall clock was stepped
 * @now_ns: what the wall clock says now, when a tick is taken
 * @due_ns: what it will say at the point that is due next
 *
 * Does nothing unless the interval is whole seconds and that point has come too close to
 * a full second; then points get their old phase back. The point stays in its second, so
 * that none is left out, unless the tick of now has that already. Return: was it moved?
 */
bool grid_realign(struct grid *g, uint64_t now_ns, uint64_t due_ns);

/* When a tick was taken, on the boot clock, for a tick whose date will be known later.
 * Where the interval is whole seconds all of a grid's lie equally far behind a full one,
 * its phase, however late a tick was: so whatever is added, none falls into the second of
 * its neighbour. */
uint64_t grid_boot_time(const struct grid *g, uint64_t boot_ns);

/* The timestamp of a tick taken at @wall_ns: full seconds if the interval is, else ms. */
uint64_t grid_timestamp(uint64_t interval_ns, uint64_t wall_ns);
