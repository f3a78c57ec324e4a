/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The command `pcc spool`, for the person on call: list, check and repair what waits on
 * disk.
 */

#include "pcc/options.h"

/**
 * spool_tool() - do it
 * @argv: what stands behind `pcc`, ended by NULL; changed
 * @envp: as main's
 * @around: where the spool may be
 *
 * As root it goes on as the owner of the folder: its files stay his, and nothing that he
 * puts there leads root elsewhere.
 *
 * Return: the exit status: 0; 1: something is damaged, or could not be repaired; 2:
 * usage, or the spool can't be read.
 */
int spool_tool(char *argv[], char *const envp[], const struct pcc_surroundings *around);
