/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * An open delta message planned: which group has how many measurements, and where in the
 * streams its parts lie, all that can be checked before anything is built. What it says
 * of the state that it builds on is checked against that. For the decoder alone.
 */

#include "common/delta_message.h"

/**
 * delta_plan_make() - check all that can be checked without decoding
 * @s: the state that it is decoded on; not changed
 *
 * Return: 0; E_TRUNCATED, E_MALFORMED, E_TOO_LARGE; -ENOMEM.
 */
PC_MUST_CHECK int delta_plan_make(struct delta_message *m, const struct delta_state *s,
                                  struct err_at *reterr_at);

/* An entry of a list of predictors. @before: the column of the entry before plus 1, moved
 * on. Fails the cursor where it breaks a rule. */
void delta_plan_predictor(struct cursor *c, size_t n_columns, uint64_t *before,
                          struct delta_predictor *ret);
