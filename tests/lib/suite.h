/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * What every unit test program shares. Each makes one Suite and ends with
 * `int main(void) { return suite_run(suite); }`; results go to stdout as TAP.
 */

#include "common/span.h"

#include <check.h>

/* Runs a suite, which it takes, in a process a test unless CK_FORK=no. Return: main's
 * result. */
int suite_run(Suite *suite);

/* A copy of the bytes in a heap block of exactly their size, so that a sanitizer sees a
 * read one byte over. Free .data with free(). */
struct span suite_exact(struct span bytes);
