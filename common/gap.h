/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * A gap that is known of, as the text of a pcc/gap or pcd/gap measurement, so that a
 * reader can tell it from an idle host.
 */

#include "common/buf.h"

#include <stdint.h>

struct gap {
    const char *kind; /* a word: missed, dropped, rejected, mount, damaged … */
    uint64_t from_ns; /* since the Unix epoch: the first and the last moment it covers */
    uint64_t to_ns;
    uint64_t ticks;
    uint64_t measurements;
    const char *reason; /* a sentence for a person */
};

/**
 * gap_append_text() - append the gap as one compact JSON object
 *
 * Times are seconds with as much fraction as they need.
 *
 * Return: 0; E_TOO_LARGE; -ENOMEM; @to unchanged then.
 */
PC_MUST_CHECK int gap_append_text(const struct gap *g, struct buf *to);
