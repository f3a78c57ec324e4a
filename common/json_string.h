/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The strings of JSON, both ways. Reading goes in two steps: the first checks a string
 * and measures what it stands for, the second writes that, and can't fail. So nobody
 * needs room, or takes a limit for passed, before it is known how much there is.
 */

#include "common/buf.h"
#include "common/cursor.h"

/* A string that was checked; borrows from the input. */
struct json_string {
    struct span raw; /* between the quotation marks */
    size_t n;        /* bytes it stands for; fewer than raw.n if it has any escape */
};

/**
 * json_string_read() - take a string, whose opening quotation mark is taken already
 *
 * Fails the cursor at invalid UTF-8, an unknown escape, half a surrogate pair or a
 * control character.
 *
 * Return: the string, empty on failure.
 */
struct json_string json_string_read(struct cursor *c);

/**
 * json_string_write() - write the bytes that a string stands for
 * @to: room for @room bytes
 *
 * Return: bytes written: s->n, or as many as fit where room is less.
 */
size_t json_string_write(const struct json_string *s, uint8_t *to, size_t room);

bool json_string_equals(const struct json_string *s, const char *name);

/**
 * json_string_append() - append @text as a string, with its quotation marks
 * @ret_valid: was it valid UTF-8? Each byte that wasn't is written as U+FFFD.
 *
 * Return: 0; E_TOO_LARGE; -ENOMEM; @to unchanged then.
 */
PC_MUST_CHECK int json_string_append(struct span text, struct buf *to, bool *ret_valid);
