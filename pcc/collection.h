/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * A collection file that is appended to, a batch with one write. Moved or removed by
 * somebody (log rotation), it is made anew at the next batch. Half a line that a kill or
 * a power cut left at its end is ended, so that it harms no other. Thread: sender.
 */

#include "common/measurement.h"

struct collection;

/* Opens the file, made if it isn't there. @path is copied. Return: 0, and gives *ret for
 * collection_free(); -ENOMEM; -errno. */
PC_MUST_CHECK int collection_new(const char *path, struct collection **ret);
void collection_free(struct collection *c);

/**
 * collection_append() - append a batch as lines
 *
 * Return: 0; E_TOO_LARGE; -ENOMEM; -errno: the file is as it was, as far as it can be
 * cut.
 */
PC_MUST_CHECK int collection_append(struct collection *c, const struct batch *b);
