/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Under which session batches are numbered (protocol, section 6): drawn at random when
 * the program starts, and again when the boot id changes under it, as it does for a
 * process that is checkpointed and restored on another machine.
 */

#include <stdbool.h>
#include <stdint.h>

struct session {
    uint64_t id;
    char boot_id[40]; /* empty where the kernel doesn't tell */
};

void session_init(struct session *s);
/* Return: has it changed? Then there is a new id. */
bool session_renew(struct session *s);
