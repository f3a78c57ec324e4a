/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The sources of PCC_SUBSYSTEMS as a table; each appends its measurements to a batch. A
 * source that can't be read is left out of the batch, the others go on, and it comes
 * back by itself. The sampler only notes how a source fares; another thread logs it.
 */

#include "common/measurement.h"
#include "pcc/gaps.h"

struct sources;

enum source_kind {
    SOURCE_FILE,       /* /absolute/path */
    SOURCE_STATFS_ALL, /* statfs[*] */
    SOURCE_STATFS,     /* statfs[/mount/point] */
    SOURCE_DOCKER,     /* container/docker/ and a star */
};

/**
 * source_parse() - which kind of source a name stands for
 *
 * Return: 0; E_MALFORMED for none, also if it is longer than a subsystem may be.
 */
PC_MUST_CHECK int source_parse(struct span name, enum source_kind *ret);

/* The next name of a comma-separated list, trimmed; @list is moved behind it. Return:
 * was there one? */
bool source_next_name(struct span *list, struct span *ret);

/**
 * sources_new() - set up the sources of a list; reads nothing yet
 * @list: borrows; comma-separated names, each of which source_parse() takes
 * @root: prefix of every path; "" for none; copied
 *
 * Return: 0, and gives *ret for sources_free(); -ENOMEM; -errno.
 */
PC_MUST_CHECK int sources_new(const char *list, const char *root, struct sources **ret);
void sources_free(struct sources *s);

/* How many there are. */
size_t sources_count(const struct sources *s);

/**
 * sources_append() - append what all sources say now
 * @time_ns:  the tick's timestamp
 * @until_ns: boot clock; no answer is waited for longer
 * @gaps:     what didn't answer is added
 *
 * Thread: sampler. Return: has the state of any source changed, so that
 * sources_log_changes() has something to say?
 */
bool sources_append(struct sources *s, struct batch *b, uint64_t time_ns,
                    uint64_t until_ns, struct gap_set *gaps);

/* Logs which sources can't be read (any more) and which can again. Thread: any one. */
void sources_log_changes(struct sources *s);
