/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Under which session batches are numbered (protocol, section 6): drawn at random when
 * the program starts, and again when the boot id changes under it, as it does for a
 * process that is checkpointed and restored on another machine.
 */

#include "pcc/label.h"

#include <stdbool.h>
#include <stdint.h>

struct session {
    uint64_t id;
    uint64_t next_seq;
    uint64_t next_tick;
    char boot_id[40]; /* empty where the kernel doesn't tell */
};

/* The kernel's name for this boot, without its newline; empty where it doesn't tell. */
void session_boot_id(char ret[40]);

void session_init(struct session *s);
/* Return: has it changed? Then there is a new id, and numbers begin anew. */
bool session_renew(struct session *s);

/* Gives a batch, whose range is known, the next SEQ, and its ticks the next numbers. */
void session_number(struct session *s, struct label *label);
/* Gives the halves of a batch the next SEQs. Their ticks keep the numbers that they had
 * if that was in this session. */
void session_number_halves(struct session *s, const struct label *whole,
                           struct label halves[2]);
