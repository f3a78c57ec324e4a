/* SPDX-License-Identifier: MIT */
#include "pcc/grid.h"

#include "common/units.h"

/* Where in a second ticks are put, and how far a slewed clock may carry them. */
#define PHASE_FROM (100 * MSEC)
#define PHASE_SPAN (700 * MSEC)
#define PHASE_MIN (50 * MSEC)
#define PHASE_MAX (900 * MSEC)

void grid_init(struct grid *g, uint64_t interval_ns, uint64_t boot_ns, uint64_t wall_ns,
               uint64_t random)
{
    uint64_t away = interval_ns / 2 + random % interval_ns;
    uint64_t phase = PHASE_FROM + random % PHASE_SPAN;

    if (interval_ns % SEC == 0) {
        uint64_t seconds = 1 + random / PHASE_SPAN % (interval_ns / SEC);
        away = seconds * SEC + phase - wall_ns % SEC;
    }
    *g = (struct grid){
        .origin_ns = boot_ns + away,
        .interval_ns = interval_ns,
        .phase_ns = phase,
    };
}

uint64_t grid_due(const struct grid *g)
{
    return g->origin_ns + g->next * g->interval_ns;
}

uint64_t grid_arrive(struct grid *g, uint64_t boot_ns)
{
    uint64_t due = g->next;
    uint64_t come =
        boot_ns > grid_due(g) ? (boot_ns - g->origin_ns) / g->interval_ns : due;

    g->next = come + 1;
    return come - due;
}

bool grid_realign(struct grid *g, uint64_t now_ns, uint64_t due_ns)
{
    uint64_t fraction = due_ns % SEC;
    uint64_t second = due_ns / SEC == now_ns / SEC ? due_ns / SEC + 1 : due_ns / SEC;

    if (g->interval_ns % SEC != 0 || (fraction >= PHASE_MIN && fraction <= PHASE_MAX))
        return false;
    g->origin_ns += second * SEC + g->phase_ns - due_ns; /* may be less than before */
    return true;
}

uint64_t grid_boot_time(const struct grid *g, uint64_t boot_ns)
{
    if (g->interval_ns % SEC != 0)
        return boot_ns;
    return boot_ns - boot_ns % SEC + g->phase_ns;
}

uint64_t grid_timestamp(uint64_t interval_ns, uint64_t wall_ns)
{
    return wall_ns - wall_ns % (interval_ns % SEC == 0 ? SEC : MSEC);
}
