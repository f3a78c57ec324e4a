/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The command `pcc status`: asks the agent that runs on this host how it is.
 */

/**
 * status_show() - do it
 * @argv: what stands behind `pcc`, ended by NULL; changed
 * @envp: as main's
 *
 * Return: the exit status: 0: it is well; 1: it is not; 2: usage; 3: nobody answers.
 */
int status_show(char *argv[], char *const envp[]);
