/* SPDX-License-Identifier: MIT */
#pragma once

/* The key that a client shows: as given, or the first line of a file. */

#include "common/err.h"
#include "common/span.h"

#define APIKEY_MAX 1024u

/**
 * apikey_check() - can this be sent as a key?
 *
 * Return: 0; E_MALFORMED if it is empty or holds anything but printable ASCII (it becomes
 *         a header); E_TOO_LARGE.
 */
PC_MUST_CHECK int apikey_check(struct span key);

/**
 * apikey_read() - the first line of a file, without blanks around it
 * @ret_key: receives it, terminated; untouched but for 0
 *
 * Return: as apikey_check(); E_UNSUPPORTED: the line is what a server keeps of a key, its
 *         digest; -errno.
 */
PC_MUST_CHECK int apikey_read(const char *path, char ret_key[APIKEY_MAX + 1]);

/* What a result of apikey_read() means, in words. */
const char *apikey_text(int r);
