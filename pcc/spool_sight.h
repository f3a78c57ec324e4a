/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * A file of the spool as a person looks at it: what it says of itself, whether it is to
 * be believed, and a line of text. Reads only, so that it works beside a running agent.
 * One thread.
 */

#include "pcc/spool_file.h"
#include "pcc/spool_folder.h"

#include <stdio.h>

struct sight {
    bool rejected; /* it lies in rejected/ */
    uint64_t number;
    uint64_t bytes; /* of the file */
    int r;          /* of reading it; a verdict: it is damaged */
    struct err_at why;
    struct spool_file file; /* without parts: nothing in it can be believed */
    struct buf data;        /* what was read */
};

/* What the parts of a file, or the files of a folder, amount to. */
struct sight_sum {
    uint64_t files;
    uint64_t damaged;
    uint64_t unreadable; /* by the disk's fault, or for want of memory */
    uint64_t parts;
    struct gap_note range;
    uint64_t bytes;
};

void sight_init(struct sight *s);
void sight_done(struct sight *s);

/**
 * sight_read() - look at a file
 * @whole: its bodies too
 *
 * Return: 0, whatever there is to say of the file; E_GONE if it isn't there (any more).
 */
PC_MUST_CHECK int sight_read(const struct spool_folder *f, bool rejected, uint64_t number,
                             bool whole, struct sight *s);

/* Return: 0 to go on. */
typedef int sight_look(void *arg, const struct sight *s);

/**
 * sight_each() - look at each file in order of their numbers
 * @rejected: those in rejected/, of which there may be none
 * @look:     called with @arg; files that vanish on the way are left out
 *
 * Return: 0; -ENOMEM; -errno; what @look ended with.
 */
PC_MUST_CHECK int sight_each(const struct spool_folder *f, bool rejected, bool whole,
                             sight_look *look, void *arg);

/* The parts whose checksum fits; sight_read() must have read all. */
size_t sight_whole_parts(const struct sight *s);
/* Adds what it was found to hold. */
void sight_add(const struct sight *s, struct sight_sum *sum);

/* Words of a line, without a newline; the first one names the file. */
void sight_print_name(const struct sight *s, FILE *to);
void sight_print_contents(const struct sight *s, FILE *to);
/* Why it can't be read or believed; nothing where nothing is wrong. */
void sight_print_damage(const struct sight *s, FILE *to);
