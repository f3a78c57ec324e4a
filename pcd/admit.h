/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Budgets that requests share. Bytes are charged before they are kept, whatever keeps
 * them, and released once: bodies on their way in, formatted lines until they stand in
 * a day file. Any thread.
 */

#include "common/err.h"

#include <stdint.h>

struct admit {
    uint64_t max_bytes;
    _Atomic uint64_t bytes;
};

/* Return: 0; E_FULL, and nothing is charged. */
PC_MUST_CHECK int admit_charge(struct admit *a, uint64_t bytes);
void admit_release(struct admit *a, uint64_t bytes);
