/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * A body decompressed in one go, over libdeflate, which is more than twice as fast as
 * zlib at it. It does what is easy and leaves the rest to inflater_run() (common/gzip.h),
 * which alone says what is wrong with a body, and alone lets a buffer grow. Built without
 * libdeflate it leaves all.
 *
 * It may take what zlib refuses and no compressor writes, such as codes for lengths that
 * there are not; the checksum of the text is right then all the same.
 *
 * Belongs to one thread at a time.
 */

#include "common/buf.h"

struct gunzip;

/* Return: 0, and gives *ret, which may be NULL, for gunzip_free(); -ENOMEM. */
PC_MUST_CHECK int gunzip_new(struct gunzip **ret);
/* Takes NULL, as the next one does. */
void gunzip_free(struct gunzip *g);

/**
 * gunzip_try() - append what a gzip body stands for, where that is easy
 * @in: borrows; must not point into @to
 *
 * It is where all of @in are whole members, and what they stand for fits into what @to
 * has allocated already: the size that a body claims makes nothing grow.
 *
 * Return: was it? If not, @to is unchanged.
 */
bool gunzip_try(struct gunzip *g, struct span in, struct buf *to);

/* Of libdeflate; "none" without it. */
const char *gunzip_version(void);
