/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * PCD_RETAIN and PCD_RETAIN_BYTES: a thread that deletes whole days, of all hosts, the
 * oldest first, where they are older or more than wanted. Nothing else in pcd deletes a
 * measurement.
 *
 * A day is deleted only when it is closed: at least a whole day before the newest, and no
 * record of the log that the checkpoint doesn't cover names a file of it (dayfile.h).
 *
 * What clocks say is not believed without more ado, for a mistake here can't be made
 * good:
 * - Age counts back from the newest day in the store, but never from later than the wall
 *   clock's today: neither a client that lives in the future nor a server that does makes
 *   anything old.
 * - After a jump of the wall clock, by RETAIN_JUMP_NS or more, nothing is deleted for its
 *   age until it has run without one for RETAIN_STEADY_NS. A start counts as a jump where
 *   no day in the store is near today, as none is after some days without pcd.
 * The limit of bytes asks no clock but for what is newest.
 *
 * What can go wrong: a file or folder that can't be deleted or synced is logged and
 * counted, and tried again with the next look; its day takes no new files until then.
 */

#include "pcd/dayfile.h"

#define RETAIN_JUMP_NS MINUTE
#define RETAIN_STEADY_NS DAY

struct retain_conf {
    int data_fd;            /* the folder data/, borrowed */
    struct dayfiles *files; /* borrowed */
    uint64_t keep_days;     /* days that are kept before the newest; 0: all */
    uint64_t max_bytes;     /* of all day files; 0: any */
    uint64_t every_ns;      /* between two looks, at least */
};

struct retain_counts {
    uint64_t days; /* deleted, since start; so are the next two */
    uint64_t files;
    uint64_t bytes;
    uint64_t failures;
};

/* How the wall clock has run. */
struct retain_clock {
    bool is_known;      /* looked at before */
    int64_t offset_ns;  /* wall clock less boot clock, at the last look */
    uint64_t jumped_ns; /* boot clock at the look that found the last jump */
};

/**
 * retain_clock_look() - has the wall clock run without a jump for long enough?
 * @newest_day: in the store, not counting those after tomorrow where there are others
 *
 * Return: true if what it says may be believed.
 */
bool retain_clock_look(struct retain_clock *c, uint64_t wall_ns, uint64_t boot_ns,
                       uint32_t newest_day);

/* A day in the store. */
struct retain_day {
    uint32_t day;
    uint64_t files;
    uint64_t bytes;
};

/**
 * retain_choose() - is the oldest day to go?
 * @days:      in order, the oldest first
 * @today:     by the wall clock
 * @is_steady: as retain_clock_look() gives it
 *
 * Return: true if days[0] is to be deleted.
 */
bool retain_choose(const struct retain_conf *conf, const struct retain_day *days,
                   size_t n_days, uint32_t today, bool is_steady);

struct retain;

/* Starts the thread. Return: 0, and gives *ret for retain_free(); -errno. */
PC_MUST_CHECK int retain_new(const struct retain_conf *conf, struct retain **ret);
/* Ends the thread, and frees; takes NULL. */
void retain_free(struct retain *t);

/* Any thread. Takes NULL, which deletes nothing. */
void retain_count(const struct retain *t, struct retain_counts *ret);
