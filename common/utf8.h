/* SPDX-License-Identifier: MIT */
#pragma once

/* UTF-8 by RFC 3629: no surrogates, no overlong forms, nothing above U+10FFFF. */

#include "common/buf.h"
#include "common/span.h"

/**
 * utf8_valid_prefix() - how many bytes from the start are valid UTF-8
 *
 * Return: text.n if all are; else the offset of the first byte of the first sequence
 *         that isn't.
 */
size_t utf8_valid_prefix(struct span text);

static inline bool utf8_valid(struct span text)
{
    return utf8_valid_prefix(text) == text.n;
}

/* Encodes a scalar value (at most 0x10FFFF, no surrogate). Return: 1 to 4 bytes used. */
size_t utf8_encode(uint32_t scalar, uint8_t ret_bytes[4]);
