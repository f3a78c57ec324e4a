/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * A set of keys and what each may write, made from a text:
 *
 *     # a comment, on a line of its own
 *     KEY                          may write as any identifier
 *     KEY PATTERN...               only as identifiers that fit one of the patterns
 * (glob.h) sha256:HEX PATTERN...        the same, without the key: its digest, 64 digits
 *
 * A KEY is 1 to KEY_BYTES bytes of printable ASCII without blanks. Lines end with LF or
 * CRLF; a byte order mark before the first is passed over. A key may stand on several
 * lines, and may write what any of them says. In memory there are digests only.
 *
 * Immutable once made, and counted: whoever looked a key up may go on asking what it may
 * write while another set takes this one's place. Any thread.
 */

#include "common/err.h"
#include "common/span.h"

#include <stdbool.h>

#define KEY_BYTES 512u
#define KEYS_MAX 100000u
#define KEY_LINE_BYTES 8192u
/* A key shorter than this is taken, but deserves a warning. */
#define KEY_WEAK_BYTES 16u
#define KEY_DIGEST_BYTES 32u

struct key_set;

struct key_digest {
    uint8_t bytes[KEY_DIGEST_BYTES];
};

/* What a text of keys held. */
struct key_lines {
    size_t n_keys;    /* lines with a key */
    size_t n_weak;    /* of those, keys shorter than KEY_WEAK_BYTES */
    size_t line;      /* the line that was refused, from 1; 0: none in particular */
    const char *what; /* what is wrong with it; a literal, never a part of it */
};

/* SHA-256. Return: 0; -ENOMEM. */
PC_MUST_CHECK int key_digest(struct span key, struct key_digest *ret);

/**
 * key_set_parse() - make a set of a text
 * @text:      borrows
 * @ret_lines: filled in, whatever the result
 *
 * Return: 0, and gives *ret for key_set_unref(); E_GONE: there is no key in it;
 *         E_MALFORMED: line and what say why; E_TOO_LARGE: more than KEYS_MAX lines with
 *         keys; -ENOMEM.
 */
PC_MUST_CHECK int key_set_parse(struct span text, struct key_set **ret,
                                struct key_lines *ret_lines);
struct key_set *key_set_ref(struct key_set *set);
/* Frees it with the last reference; takes NULL. */
void key_set_unref(struct key_set *set);

/**
 * key_set_find() - look a key up
 *
 * Takes as long whether and wherever it is found: every key is compared, all of it.
 *
 * Return: 0, and *ret_at for the functions below; E_DENIED.
 */
PC_MUST_CHECK int key_set_find(const struct key_set *set, const struct key_digest *digest,
                               size_t *ret_at);
/* Is it the key that was found at @at? @at may be any number. */
bool key_set_is(const struct key_set *set, size_t at, const struct key_digest *digest);
/* May the key that was found write as this identifier (valid UTF-8)? */
bool key_set_may_write(const struct key_set *set, size_t at, struct span identifier);
/* A number that stands for the key, the same in other sets that have it. */
uint64_t key_set_id(const struct key_set *set, size_t at);
