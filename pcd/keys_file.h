/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * How keys stand on disk: one session as bytes, and the header of the checkpoint.
 * Integers least significant byte first.
 *
 * A session:
 *
 *      0 u64 session
 *      8 u64 last use, wall clock, ns
 *     16 u64 floor: every SEQ below is stored
 *     24 u16 number of ranges; u8 length of the identifier
 *     27 identifier
 *        ranges: u64 first SEQ, u64 last SEQ; in order, gaps between them
 *
 * The file `keys`: a header, then sessions in any order:
 *
 *      0 u32 CRC-32C of the header's other bytes
 *      4 u32 magic, with the format's version
 *      8 u64 number of the log, u64 offset in it: the position
 *     24 u64 number of the sorted file; 0 for none
 *     32 u64, u64 secret of the order in the sorted file
 *     48 u64 the latest use of any session ever, ns
 *     56 u64 number of sessions
 *     64 u32 CRC-32C of the sessions
 */

#include "common/buf.h"
#include "common/cursor.h"
#include "pcd/keys.h"
#include "pcd/ranges.h"
#include "proto/limits.h"

/* Writes the @n low bytes of a number. Return: where the next bytes go. */
uint8_t *keys_put(uint8_t *at, uint64_t value, unsigned n);

/* One session, decoded. Its spans borrow from the input. */
struct keys_record {
    struct span bytes; /* all of it */
    struct span identifier;
    uint64_t session;
    uint64_t last_use_ns;
    uint64_t floor;
    struct span ranges; /* as they stand */
};

#define KEYS_RECORD_FIXED_BYTES 27u
#define KEYS_RANGE_BYTES 16u
#define KEYS_RECORD_MAX_BYTES                                                            \
    (KEYS_RECORD_FIXED_BYTES + LIMIT_IDENTIFIER_BYTES +                                  \
     LIMIT_RANGES_PER_SESSION * KEYS_RANGE_BYTES)

static inline size_t keys_record_bytes(size_t identifier_n, size_t n_ranges)
{
    return KEYS_RECORD_FIXED_BYTES + identifier_n + n_ranges * KEYS_RANGE_BYTES;
}

/* Appends a session to a buffer. Return: 0; E_TOO_LARGE; -ENOMEM, as buf_append(). */
PC_MUST_CHECK int keys_record_append(struct buf *b, struct span identifier,
                                     uint64_t session, uint64_t last_use_ns,
                                     const struct ranges *stored);

/**
 * keys_record_read() - decode the next session
 *
 * Return: 0, and every rule of the format holds for *ret; E_TRUNCATED; E_MALFORMED.
 */
PC_MUST_CHECK int keys_record_read(struct cursor *c, struct keys_record *ret);

/**
 * keys_record_ranges() - what a session has stored
 * @record: borrows; from keys_record_read()
 * @ret:    gives; ranges_done()
 *
 * Return: 0; -ENOMEM.
 */
PC_MUST_CHECK int keys_record_ranges(const struct keys_record *record,
                                     struct ranges *ret);

struct keys_header {
    struct log_position at;
    uint64_t sorted; /* number of the sorted file; 0 for none */
    uint64_t k0;
    uint64_t k1;
    uint64_t newest_ns;
    uint64_t n_sessions;
    uint32_t records_crc;
};

#define KEYS_HEADER_BYTES 68u

void keys_header_write(const struct keys_header *h, uint8_t ret[KEYS_HEADER_BYTES]);

/**
 * keys_header_read() - decode and check a checkpoint's header
 * @file:        borrows; the whole file
 * @ret_records: the part of @file behind the header, whose CRC holds
 *
 * Return: 0; E_MALFORMED.
 */
PC_MUST_CHECK int keys_header_read(struct span file, struct keys_header *ret,
                                   struct span *ret_records);
