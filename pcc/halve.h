/* SPDX-License-Identifier: MIT */
#pragma once

/* A batch that is too large for the server, cut in two at a tick. Thread: sender. */

#include "pcc/recode.h"
#include "pcc/session.h"

struct half {
    struct buf body;
    struct label label;
};

/* Two empty ones. */
void halves_init(struct half halves[2], size_t body_max);
void halves_done(struct half halves[2]);

/**
 * halve() - make two batches of one
 * @whole: its identifier is set
 * @label: its label; the halves have its form, and each the gaps that it tells of
 * @s:     gives the halves their SEQs
 *
 * Return: 0; E_TOO_LARGE if there is only one tick, or a half is beyond our own limits;
 *         -ENOMEM. @s is as it was then.
 */
PC_MUST_CHECK int halve(struct recoder *r, const struct batch *whole,
                        const struct label *label, struct session *s, struct half ret[2]);
