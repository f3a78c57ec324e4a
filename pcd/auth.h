/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The keys that clients show: a file with one a line, blank lines and lines that begin
 * with # left out. A key is 1 to AUTH_KEY_BYTES bytes of printable ASCII without blanks.
 * The set is replaced whole, so that a reload that fails changes nothing.
 *
 * Thread: auth_load() by one at a time, the others by any; a check waits for a reload
 * only while that swaps a pointer.
 */

#include "common/err.h"
#include "common/span.h"

#include <stdbool.h>

#define AUTH_KEY_BYTES 512u
#define AUTH_KEYS_MAX 10000u
/* A key shorter than this is taken, but deserves a warning. */
#define AUTH_KEY_WEAK_BYTES 16u

struct auth;

/* What a file of keys held. */
struct auth_file {
    size_t n_keys;
    size_t n_weak; /* keys shorter than AUTH_KEY_WEAK_BYTES */
    size_t line;   /* the line that was refused, from 1; 0 where it isn't one line */
};

/* An empty set, which denies everybody. Return: 0, and gives *ret for auth_free();
 * -errno. */
PC_MUST_CHECK int auth_new(struct auth **ret);
void auth_free(struct auth *a);

/**
 * auth_load() - take the keys of a file
 * @ret: filled in on 0 and E_MALFORMED
 *
 * Return: 0; E_GONE: the file holds no key; E_MALFORMED: a line is no key;
 *         E_TOO_LARGE: more keys or bytes than a file of keys may have; -errno.
 *         On anything but 0 the keys are what they were.
 */
PC_MUST_CHECK int auth_load(struct auth *a, const char *path, struct auth_file *ret);

/**
 * auth_check() - is this one of the keys?
 *
 * Takes as long for a wrong key as for a right one: every key is compared, each over
 * the whole length of what was shown.
 */
bool auth_check(struct auth *a, struct span key);

/**
 * auth_key_of() - the key that a request shows
 * @apikey, @authorization: the values of the headers; {NULL, 0}: absent
 *
 * Return: the key; {NULL, 0} where there is none. Borrows from what it was given.
 */
struct span auth_key_of(struct span apikey, struct span authorization);
