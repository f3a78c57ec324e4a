/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Memory that runs out when a test says so, in any thread: malloc(3) and its like,
 * strdup(3), zlib's allocations, msgpack-c as a whole, a thread's stack. A test program
 * that wants them links with the arguments in fault_link_args (tests/lib/meson.build).
 * check allocates too: disarm before the first assertion. They are counted too.
 */

#include <stdbool.h>
#include <stdint.h>

/* The nth (from 0) allocation after this call fails once. */
void fault_arm(long nth);
/* Return: did it happen? Nothing fails any more. */
bool fault_disarm(void);

/* Allocations since the program began, those that failed included. */
uint64_t fault_allocations(void);
