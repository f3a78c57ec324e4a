/* SPDX-License-Identifier: MIT */
#pragma once

/* What may be left out where an encoder has a threshold, told independently of it. */

#include "common/span.h"

#include <stdbool.h>

/**
 * near_text() - is a text as true as the threshold promises?
 * @threshold: millionths
 *
 * Numbers between blanks may differ by less than that fraction of the larger one, and by
 * the spaces before them; nothing else may differ.
 */
bool near_text(struct span got, struct span sent, uint64_t threshold);
