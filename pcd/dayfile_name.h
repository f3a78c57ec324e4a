/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * How day files are named, data/HOST/2026-11-22.jsonl, and how their names are read.
 */

#include "common/err.h"
#include "common/span.h"
#include "proto/limits.h"

#include <stdint.h>

/* A host's folder name is at most this long. */
#define DAYFILE_HOST_BYTES 200u
/* HOST/2026-11-22.jsonl with its terminator. */
#define DAYFILE_PATH_BYTES (DAYFILE_HOST_BYTES + 32u)

/**
 * dayfile_host_name() - an identifier as the name of a folder
 *
 * All but [A-Za-z0-9._-] becomes %XX, a dot at the front too; a name over
 * DAYFILE_HOST_BYTES is cut and ends in `~` and a hash of the identifier.
 */
void dayfile_host_name(struct span identifier, char ret_name[DAYFILE_HOST_BYTES + 1]);

/* The path below data/ of an identifier's file of a day. */
void dayfile_path(struct span identifier, uint32_t day,
                  char ret_path[DAYFILE_PATH_BYTES]);

/**
 * dayfile_read_name() - the day that a file in a host's folder is of
 *
 * Return: 0; E_MALFORMED: dayfile_path() makes no such name.
 */
PC_MUST_CHECK int dayfile_read_name(const char *name, uint32_t *ret_day);
