/* SPDX-License-Identifier: MIT */
#pragma once

/* What files of keys have in common on both sides. It never travels. */

/* Before the digest (SHA-256, hexadecimal) that a server may keep in place of a key; an
 * agent's file that has one in place of the key is a mistake. */
#define KEYFILE_DIGEST "sha256:"
