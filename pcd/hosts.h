/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * What is known of the hosts that send: when each was last seen, and whether two live
 * sessions write under one identifier (a cloned image). Only a view for operators:
 * nothing that is stored depends on it, so it is bounded by forgetting the host that was
 * seen longest ago. Any thread.
 *
 * Two live sessions: a client that starts anew has a new session, and sends what its old
 * one left unsent under the old session's keys, which is older than anything of the new
 * one. So a batch of a former session that begins after the current one began was taken
 * by somebody who still lives.
 */

#include "common/err.h"
#include "common/span.h"
#include "pcd/keys.h"

#include <stdbool.h>
#include <stdint.h>

struct hosts;

struct hosts_counts {
    uint64_t recent;       /* seen in the last hour */
    uint64_t known;        /* in the table */
    uint64_t forgotten;    /* for want of room, since start */
    uint64_t two_sessions; /* batches that showed two live sessions, since start */
};

/**
 * hosts_new() - an empty table
 * @max:  hosts it holds, at least 1
 * @seed: secret of the hash, so that nobody can choose identifiers that collide
 *
 * Return: 0, and gives *ret for hosts_free(); -errno.
 */
PC_MUST_CHECK int hosts_new(size_t max, const uint64_t seed[2], struct hosts **ret);
void hosts_free(struct hosts *h);

/**
 * hosts_seen() - note a batch
 * @key:      borrows; NULL where the batch has none
 * @first_ns: time of its first measurement, since the Unix epoch
 * @now_ns:   any clock that doesn't go back
 *
 * Without memory a new host is left out.
 *
 * Return: true if the batch shows two live sessions under its identifier.
 */
bool hosts_seen(struct hosts *h, struct span identifier, const struct key *key,
                uint64_t first_ns, uint64_t now_ns);

void hosts_count(struct hosts *h, uint64_t now_ns, struct hosts_counts *ret);
