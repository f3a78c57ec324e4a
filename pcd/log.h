/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The log: files log/NUMBER.log of records, each a batch with all that is needed to file
 * it again. One file is written at a time, by one thread; older ones are only read.
 *
 * A record (integers least significant byte first):
 *
 *      0 u32 CRC-32C of bytes 4 to the end of the identifier
 *      4 u32 magic, with the format's version
 *      8 u64 number of the log
 *     16 u64 where its group begins in this log: everything before that was synced
 *     24 u8  type; u8 flags; u16 length of the identifier; u32 day (since the epoch)
 *     32 u64 time of arrival, ns
 *     40 u64 offset in the day file      | in the record that begins a log: number of the
 *     48 u64 length of the lines         | log before it, and its acknowledged length
 *     56 u64 session; u64 SEQ; u64 floor
 *     80 u32 measurements; u32 CRC-32C of the lines
 *     88 identifier, lines
 *
 * A log begins with a record that names the log before it and how much of that was
 * acknowledged: whatever stands behind that length was never promised to anybody.
 *
 * What is appended at once is made up with a record of padding to a multiple of
 * LOG_ALIGN, so that it can be written past the page cache (O_DIRECT, open(2)) where the
 * file system can: copying into fresh pages cost more than all the rest of the committer.
 * No block that was synced is ever written again.
 */

#include "pcd/job.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#define LOG_MAGIC UINT32_C(0x314c4350) /* "PCL1" */
#define LOG_FLAG_KEY 1u
#define LOG_HEADER_BYTES 88u
/* Direct writes begin and end at multiples of this. */
#define LOG_ALIGN 4096u
/* No batch makes longer lines; a record that says so is none. */
#define LOG_LINES_MAX (64 * GIB)
/* Room for a log's file name, NUMBER.log, with its terminator. */
#define LOG_NAME_BYTES 32u

enum log_type {
    LOG_BATCH = 1,
    LOG_BEGIN = 2,
    LOG_PADDING = 3, /* its lines are zeros */
};

struct log_record {
    enum log_type type;
    uint64_t group;
    struct span identifier;
    bool has_key;
    struct key key;
    uint64_t arrival_ns;
    uint32_t day;
    uint32_t n_measurements;
    uint64_t file_offset;
    struct span lines;
    struct log_position before; /* LOG_BEGIN only */
    uint64_t end;               /* offset right after the record */
};

/* The file that is being written. */
struct log {
    int fd;
    uint64_t number;
    uint64_t length; /* written */
    uint64_t synced; /* written and synced: acknowledged as far as this */
    bool is_direct;  /* past the page cache */
    uint8_t *stage;  /* the records before length that are not yet written */
    size_t n_staged;
};

/* The file name of a log. */
void log_name(uint64_t number, char ret_name[LOG_NAME_BYTES]);

/**
 * log_begin() - create the next log and make its first record durable
 * @dir_fd: the folder log/
 * @number: never used before
 * @before: the log before it and its acknowledged length; {0, 0} where the checkpoint
 *          covers all there was
 *
 * Return: 0, and *ret is open, for log_end(); -errno, and no file is left.
 */
PC_MUST_CHECK int log_begin(int dir_fd, uint64_t number, struct log_position before,
                            struct log *ret);
/* Closes the file; also takes one that is closed. */
void log_end(struct log *l);

/**
 * log_append() - write jobs as records, in their order, and padding, without a sync
 * @jobs: a list; each one's end is set
 *
 * Return: 0; -errno: how much was written is unknown, and the log must not be written
 *         again.
 */
PC_MUST_CHECK int log_append(struct log *l, struct job *jobs);

/* fdatasync(2). Return: 0; -errno: the log must be neither written nor synced again. */
PC_MUST_CHECK int log_sync(struct log *l);
