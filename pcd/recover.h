/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * What happens before the port opens: every whole record that the log has behind the
 * checkpoint is written to its day file at its offset and its key noted, everything is
 * synced, and a new checkpoint says so. Doing it twice is the same as doing it once, so
 * a crash in here does no harm.
 *
 * The end of a log is its first record that isn't whole. A whole record behind that, of a
 * group that began later, proves that the bad place was synced once: then it is damage,
 * not a tail. The log is kept as NUMBER.log.bad, the whole records are applied, and the
 * loss is counted and noted as pcd/gap: in the hole that it leaves in a host's day file,
 * and under the identifier RECOVER_IDENTIFIER.
 */

#include "pcd/dayfile.h"
#include "pcd/keys.h"
#include "pcd/store.h"

/* The host that pcd/gap measurements about the store as a whole are stored under. */
#define RECOVER_IDENTIFIER "pcd"

/**
 * recover_run() - bring day files and keys up to date with the log
 * @log_fd:          the folder log/
 * @from:            the position that the checkpoint holds
 * @observer:        may be NULL; told that it goes on
 * @ret_next_number: the number for the first log to be written; the checkpoint made
 *                   here names its beginning
 *
 * Return: 0; -errno, and nothing is lost: the log is as it was.
 */
PC_MUST_CHECK int recover_run(int log_fd, struct dayfiles *files, struct keys *keys,
                              struct log_position from,
                              const struct store_observer *observer,
                              uint64_t *ret_next_number, struct store_recovery *ret);
