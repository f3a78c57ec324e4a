/* SPDX-License-Identifier: MIT */
#pragma once

/* Base 64 by RFC 4648 section 4, with padding, without line breaks. */

#include "common/buf.h"

/* Appends @bytes as base64. Return: 0; E_TOO_LARGE; -ENOMEM; @to unchanged then. */
PC_MUST_CHECK int base64_encode(struct span bytes, struct buf *to);

/**
 * base64_decode() - append what base64 text stands for
 *
 * Strict: padding required, spare bits zero, no other byte.
 *
 * Return: 0; E_MALFORMED; E_TOO_LARGE; -ENOMEM; @to unchanged then.
 */
PC_MUST_CHECK int base64_decode(struct span text, struct buf *to);
