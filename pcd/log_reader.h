/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Reading the log: one file from any place on, or all of it between two positions.
 * What is read may be damaged; nothing in it is believed before its checksum fits.
 */

#include "pcd/log.h"

/* Reads a log from any place on. */
struct log_reader {
    int fd;
    uint64_t number;
    uint64_t offset; /* of the next record */
    uint64_t end;    /* no record reaches beyond */
    struct buf body; /* identifier and lines of the record last read */
};

/**
 * log_reader_open() - open a log to read
 * @at: number, and the offset of its first record to read
 *
 * Return: 0, and *ret is open up to the file's size, for log_reader_done(); -errno.
 */
PC_MUST_CHECK int log_reader_open(int dir_fd, struct log_position at,
                                  struct log_reader *ret);
void log_reader_done(struct log_reader *r);

/**
 * log_read() - the next record
 *
 * Its spans live until the next call.
 *
 * Return: 0, and the reader is behind it; E_GONE at the end; E_MALFORMED if what stands
 *         there is no whole record, and the reader stays; -errno.
 */
PC_MUST_CHECK int log_read(struct log_reader *r, struct log_record *ret);

/**
 * log_find() - look for a whole record behind a place that holds none
 *
 * Return: 0, and the reader stands before the record, which is in *ret; E_GONE if there
 *         is none, and the reader stays; -errno.
 */
PC_MUST_CHECK int log_find(struct log_reader *r, struct log_record *ret);

/**
 * log_list() - the numbers of the logs in a folder, in order
 * @ret:   gives; free() it
 * @ret_n: how many
 * @ret_max: the highest number any log has had that left a trace, set-aside ones included
 *
 * Return: 0; -errno.
 */
PC_MUST_CHECK int log_list(int dir_fd, uint64_t **ret, size_t *ret_n, uint64_t *ret_max);

/**
 * log_before() - the log that a log's first record names, and its acknowledged length
 *
 * Return: 0; E_GONE if that record isn't whole; -errno.
 */
PC_MUST_CHECK int log_before(int dir_fd, uint64_t number,
                             struct log_position *ret_before);

/**
 * log_acknowledged() - how much of a log counts
 * @numbers: it and the logs after it, as log_list() gives them
 * @n:       how many, at least 1
 *
 * Return: 0, and the length that a later log names in its first record; E_GONE if none
 *         does whose first record is whole; -errno.
 */
PC_MUST_CHECK int log_acknowledged(int dir_fd, const uint64_t *numbers, size_t n,
                                   uint64_t *ret_length);

/**
 * log_replay() - read all acknowledged records between two positions
 * @from, @to: as a checkpoint and a job's end name them; what lies between must be whole
 * @each:      called for every batch; a result but 0 ends the replay
 *
 * A log that no later one has a word of ends at its first record that isn't whole: the
 * one after it was never begun.
 *
 * Return: 0; what @each gave; -EIO where a record isn't whole; -errno.
 */
PC_MUST_CHECK int log_replay(int dir_fd, struct log_position from, struct log_position to,
                             int (*each)(void *arg, const struct log_record *rec),
                             void *arg);
