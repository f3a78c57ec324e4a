/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Asks one mount point for its size from a thread of its own, because a filesystem whose
 * server or program is gone may never answer statfs(2). At most one question is
 * outstanding: while it is, no other is put, and nobody waits for it a second time.
 */

#include "common/err.h"

#include <stdint.h>
#include <sys/vfs.h>

struct asker;

/* @path is copied. Return: 0, and gives *ret for asker_free(); -ENOMEM; -errno. */
PC_MUST_CHECK int asker_new(const char *path, struct asker **ret);
/* Doesn't wait for an answer that is outstanding: the thread then ends after it. */
void asker_free(struct asker *a);

/* Puts the question, unless an earlier one is still outstanding. */
void asker_ask(struct asker *a);

/**
 * asker_answer() - the answer to the question put last
 * @until_ns: boot clock; how long to wait for it, unless it is late already
 *
 * Return: 0; E_PENDING if there is none; -errno as statfs(2).
 */
PC_MUST_CHECK int asker_answer(struct asker *a, uint64_t until_ns, struct statfs *ret);
