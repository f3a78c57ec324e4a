/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * A compressor and a decompressor that are set up once and reused, over zlib. Each
 * belongs to one thread at a time. The decompressor believes nothing that the input
 * says of its own size: its output is bounded by the buffer it fills.
 */

#include "common/buf.h"

enum coding {
    CODING_IDENTITY,
    CODING_GZIP,    /* RFC 1952, members may follow each other */
    CODING_DEFLATE, /* RFC 1950, in spite of its name */
};

struct deflater;
struct inflater;

/**
 * deflater_new() - a gzip compressor
 * @level: 1 to 9
 *
 * Its memory, 48 to 256 KiB, is as large as the largest input so far needs.
 *
 * Return: 0, and gives *ret for deflater_free(); -ENOMEM.
 */
PC_MUST_CHECK int deflater_new(int level, struct deflater **ret);
void deflater_free(struct deflater *d);

/**
 * deflater_gzip() - append @in as one gzip member
 * @in: borrows; must not point into @to
 *
 * Allocates nothing but what @to needs to grow, and more of its own where no input was
 * so large before.
 *
 * Return: 0; E_TOO_LARGE beyond the maximum of @to; -ENOMEM; @to unchanged then.
 */
PC_MUST_CHECK int deflater_gzip(struct deflater *d, struct span in, struct buf *to);

/* Return: 0, and gives *ret for inflater_free(); -ENOMEM. */
PC_MUST_CHECK int inflater_new(struct inflater **ret);
void inflater_free(struct inflater *i);

/**
 * inflater_run() - append what a compressed body stands for
 * @coding: gzip or deflate
 * @in:     borrows; must not point into @to
 *
 * All of @in must be used: a member cut short is E_TRUNCATED, a byte after the last
 * member, a wrong checksum or length E_MALFORMED.
 *
 * Return: 0; E_TRUNCATED; E_MALFORMED; E_TOO_LARGE the moment the maximum of @to would
 *         be passed; -ENOMEM. @to is unchanged but for 0 (it may have grown in capacity).
 */
PC_MUST_CHECK int inflater_run(struct inflater *i, enum coding coding, struct span in,
                               struct buf *to, struct err_at *reterr_at);
