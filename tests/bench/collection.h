/* SPDX-License-Identifier: MIT */
#pragma once

/* Collections, the files of measurements that pcc and pcd write, as batches. */

#include "common/measurement.h"

/* Of a file, and of what it holds. */
#define COLLECTION_MAX GIB

/* Sets up an empty batch that holds any collection. */
void collection_init(struct batch *b);

/**
 * collection_read() - append the measurements of a collection to a batch
 *
 * Return: 0; E_TOO_LARGE; a decoder's verdict on a line; -errno. Lines before the bad one
 *         are in the batch then.
 */
PC_MUST_CHECK int collection_read(const char *path, struct batch *b);

/**
 * collection_cut() - the next batch of a collection, as pcc seals them
 * @from: the first measurement; starts a tick
 * @n:    the batch ends with the tick that reaches so many measurements; at least 1
 * @ret:  an empty batch
 *
 * Return: 0, and @ret has less than @n measurements only at the end; as batch_append().
 */
PC_MUST_CHECK int collection_cut(const struct batch *collection, size_t from, size_t n,
                                 struct batch *ret);
