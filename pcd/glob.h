/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Patterns that identifiers are held against. `*` stands for any run of characters, also
 * none, `?` for exactly one; every other character for itself, as it is written: there is
 * no escape, no class, and no folding of case. A pattern covers the whole identifier.
 */

#include "common/span.h"

/**
 * glob_check() - can this be a pattern?
 *
 * Return: NULL; else a literal that says what is wrong.
 */
const char *glob_check(struct span pattern);

/* Does @text, valid UTF-8, fit @pattern, which glob_check() has passed? Takes at most as
 * many steps as the product of both lengths. */
bool glob_match(struct span pattern, struct span text);
