/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * A file of the spool: one batch as an encoded body, or the parts into which it was cut,
 * each with all that is needed to send it. Pure; what is read is believed only as far as
 * its checksums fit.
 *
 * Integers are unsigned, least significant byte first:
 *
 *      0 u32 CRC-32C of bytes 4 to the end of the identifier
 *      4 u32 magic, with the format's version
 *      8 u32 where the bodies begin: right behind the identifier
 *     12 u16 parts; u16 length of the identifier
 *     16 u64 length of the file
 *     24 a part each:
 *        u64 session; u64 SEQ; u64 number of its first tick
 *        u64 from, u64 to (ns since the Unix epoch); u64 ticks; u64 measurements
 *        u8 form; u8 coding; u8 flags; u8 gaps; u32 CRC-32C of the body; u64 length of
 * the body a gap each: u64 kind; u64 from, u64 to; u64 ticks; u64 measurements .
 * identifier, bodies
 *
 * The one flag says that the batch is half of another, so that its SEQ is newer than its
 * place. Forms, codings and kinds of gaps are the numbers of enum media_form, enum coding
 * and enum gap_id, which therefore only ever grow.
 */

#include "pcc/label.h"

#define SPOOL_MAGIC UINT32_C(0x31534350) /* "PCS1" */
#define SPOOL_PARTS_MAX 64u
#define SPOOL_HEADER_MAX (64 * 1024u)
#define SPOOL_FILE_MAX (4 * LIMIT_DECODED_BYTES + SPOOL_HEADER_MAX)

struct spool_part {
    struct label label;
    struct span body; /* {NULL, 0}: only the header was read */
    bool damaged;     /* its checksum doesn't fit, nor will it when it is written again */
};

struct spool_file {
    struct span identifier;
    size_t n_parts;
    struct spool_part parts[SPOOL_PARTS_MAX];
    uint64_t bytes; /* of the whole file */
};

/* Appends the file's bytes; its identifier is one that identifier_check() takes. Return:
 * 0; E_TOO_LARGE; -ENOMEM: @to is as it was. */
PC_MUST_CHECK int spool_file_write(const struct spool_file *f, struct buf *to);

/**
 * spool_file_read_header() - the labels alone
 * @start: the file's first SPOOL_HEADER_MAX bytes, or all there are
 * @ret:   its identifier lives as long as @start
 *
 * Return: 0; E_TRUNCATED; E_MALFORMED: nothing in it is to be believed.
 */
PC_MUST_CHECK int spool_file_read_header(struct span start, struct spool_file *ret,
                                         struct err_at *why);

/**
 * spool_file_read() - all of it
 * @ret: its spans live as long as @bytes
 *
 * Return: as spool_file_read_header(), or with the header whole E_TRUNCATED or
 *         E_MALFORMED if a body isn't; each part says whether it is damaged.
 */
PC_MUST_CHECK int spool_file_read(struct span bytes, struct spool_file *ret,
                                  struct err_at *why);
