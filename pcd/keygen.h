/* SPDX-License-Identifier: MIT */
#pragma once

/* `pcd keygen [PATTERN...]`: makes a key, for whoever runs it to hand out. */

#include <stdio.h>

/**
 * keygen_run() - write a new key, and what the server is to keep of it
 * @args: what stands behind `keygen` on the command line, ended by NULL
 * @out:  two lines: the key, 256 random bits in 64 hexadecimal digits; and the line for
 *        the file of keys, its digest and the patterns (key_set.h)
 * @err:  says what is wrong with @args
 *
 * Return: main's result: 0; 1: @out can't be written, or no memory; 2: bad @args.
 */
int keygen_run(char *const *args, FILE *out, FILE *err);
