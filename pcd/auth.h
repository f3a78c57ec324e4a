/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Who may do what: the set of keys that holds now, and what the key of a request grants.
 * A grant outlives the set that it comes from, so that a batch is judged by the keys that
 * held when its head came.
 *
 * Thread: auth_take() by one at a time, the others by any; nobody waits for longer than
 * two pointers take to be swapped.
 */

#include "pcd/key_set.h"

struct auth;

/* What a key was found to be; zeroed: nothing. */
struct auth_grant {
    struct key_set *set; /* referenced */
    size_t at;
};

/* Where a key was found, for the next request of the same connection, which most likely
 * shows the same one. Zeroed: nowhere yet. */
struct auth_hint {
    uint64_t set; /* which one, counted from 1 */
    size_t at;
};

/* No keys, which denies everybody. Return: 0, and gives *ret for auth_free(); -errno. */
PC_MUST_CHECK int auth_new(struct auth **ret);
void auth_free(struct auth *a);

/**
 * auth_take() - let the keys of a text hold from now on, and no others
 *
 * Return: as key_set_parse(). On anything but 0 the keys are what they were.
 */
PC_MUST_CHECK int auth_take(struct auth *a, struct span text,
                            struct key_lines *ret_lines);

/**
 * auth_ask() - is this one of the keys?
 * @hint: looked at first, and updated
 * @ret:  on 0, for auth_grant_done(); zeroed otherwise
 *
 * Takes as long for a wrong key as for a right one (key_set_find()), but where the hint
 * holds: then the client hears sooner what it has heard before.
 *
 * Return: 0; E_DENIED; -ENOMEM.
 */
PC_MUST_CHECK int auth_ask(struct auth *a, struct span key, struct auth_hint *hint,
                           struct auth_grant *ret);

/* May it write as this identifier (valid UTF-8)? A zeroed grant: no. */
bool auth_grant_writes(const struct auth_grant *g, struct span identifier);
/* A number that stands for the key; of no zeroed grant. */
uint64_t auth_grant_id(const struct auth_grant *g);
/* Lets go of it; it is zeroed then. Takes a zeroed one. */
void auth_grant_done(struct auth_grant *g);

/**
 * auth_key_of() - the key that a request shows
 * @apikey, @authorization: the values of the headers; {NULL, 0}: absent
 *
 * Return: the key; {NULL, 0} where there is none. Borrows from what it was given.
 */
struct span auth_key_of(struct span apikey, struct span authorization);
