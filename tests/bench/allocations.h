/* SPDX-License-Identifier: MIT */
#pragma once

/* Counts allocations, in programs linked with the arguments in tests/bench/meson.build:
 * those of our own code, not those inside of shared libraries. */

#include <stdint.h>

/* Calls of malloc, calloc, realloc and reallocarray so far. */
uint64_t allocations_so_far(void);
