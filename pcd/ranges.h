/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * A set of sequence numbers as ranges. Everything below the floor is in the set and
 * costs nothing: a session whose batches come in order is its floor alone. Above it
 * ranges stand in order with a gap between any two, and between the floor and the
 * first; a gap is never closed but by its own numbers or by a floor that passes it.
 *
 * Pure; the struct is open for reading, only this module changes it.
 */

#include "common/err.h"

#include <stdbool.h>
#include <stdint.h>

/* The largest sequence number; the smallest is 1. */
#define RANGES_SEQ_MAX ((UINT64_C(1) << 63) - 1)

struct range {
    uint64_t first;
    uint64_t last;
};

struct ranges {
    uint64_t floor; /* every number below is in the set; at least 1 */
    struct range *items;
    uint16_t n;
    uint16_t cap;
};

/* Sets up an empty set; allocates nothing. */
void ranges_init(struct ranges *r);
void ranges_done(struct ranges *r);

bool ranges_hold(const struct ranges *r, uint64_t seq);

/* Would @seq, added under @floor, stand alone, so that it needs one item more? */
bool ranges_opens(const struct ranges *r, uint64_t seq, uint64_t floor);

/* How many ranges there are once @floor is applied; what lies below it counts as one. */
size_t ranges_count(const struct ranges *r, uint64_t floor);

/**
 * ranges_reserve() - make room for items
 * @more: how many beside those that are there; UINT16_MAX in all at the most
 *
 * Return: 0; -ENOMEM, and nothing changed.
 */
PC_MUST_CHECK int ranges_reserve(struct ranges *r, size_t more);

/**
 * ranges_add() - raise the floor, then add one number
 * @seq:   1 to RANGES_SEQ_MAX; room for it must be there where it opens a range
 * @floor: at most RANGES_SEQ_MAX; one below the set's own changes nothing
 */
void ranges_add(struct ranges *r, uint64_t seq, uint64_t floor);

/* Gives the items' memory back where there are none. */
void ranges_trim(struct ranges *r);
