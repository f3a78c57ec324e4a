/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * How many requests a second somebody may make: a bucket for each, which fills at that
 * rate and holds RATE_BURST_S seconds' worth. Memory is fixed. Where there is no room for
 * another bucket, the one goes that is nearest to full, for a full one tells nothing; who
 * fills the table with buckets of their own so can only win back what they had used.
 *
 * Any thread; the lock is held for a look at RATE_WAYS buckets.
 */

#include "common/err.h"
#include "common/span.h"

#include <sys/socket.h>

#define RATE_BURST_S 10u
#define RATE_MAX 1000000u /* a second */
#define RATE_WAYS 8u
#define RATE_BUCKETS 32768u
#define RATE_ADDRESS_BYTES 8u

struct rate;

/**
 * rate_new() - a table of full buckets
 * @per_second: 1 to RATE_MAX
 * @seed:       unknown to those who are counted
 *
 * Return: 0, and gives *ret for rate_free(); -errno.
 */
PC_MUST_CHECK int rate_new(uint64_t per_second, const uint64_t seed[2],
                           struct rate **ret);
/* Takes NULL. */
void rate_free(struct rate *r);

/**
 * rate_take() - may @who make a request now?
 * @r:      NULL: anybody may, always
 * @who:    borrows
 * @now_ns: a clock that doesn't go back
 *
 * Return: 0, and it is counted; E_FULL: too many, and it is not.
 */
PC_MUST_CHECK int rate_take(struct rate *r, struct span who, uint64_t now_ns);

/**
 * rate_address() - what of an address stands for its owner: all of IPv4, the first 64
 * bits of IPv6, below which a host picks what it likes (RFC 4291, section 2.5.1)
 *
 * Return: a span of @ret; an empty one for any other family.
 */
struct span rate_address(const struct sockaddr *address, uint8_t ret[RATE_ADDRESS_BYTES]);
