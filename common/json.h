/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The protocol as JSON (RFC 8259, read strictly), and collection lines. Reading makes no
 * tree: one pass over the bytes, and a measurement's texts go straight into the batch.
 * Every byte is checked, also of members that are ignored: UTF-8, escapes, lone
 * surrogates, nesting (LIMIT_NESTING), anything after the value. Of a member given twice
 * the last counts, though each must have the right type.
 */

#include "common/codec.h"

extern const struct codec json_codec;

/**
 * json_append_line() - append a measurement as one line of a collection
 *
 * Compact, members in the order timestamp, nanoseconds (if not 0), subsystem,
 * measurement, bytes (if the text is not UTF-8), ended by a newline. Escaped are the
 * quotation mark, the backslash and the control characters below U+0020; each byte that
 * isn't part of valid UTF-8 becomes U+FFFD.
 *
 * Return: 0; E_TOO_LARGE; -ENOMEM; @to unchanged then.
 */
PC_MUST_CHECK int json_append_line(const struct measurement *m, struct buf *to);

/**
 * json_decode_line() - append the measurement of one line of a collection to a batch
 * @line: borrows; with or without its newline
 *
 * Return: 0; as the decoders in codec.h, with no item in @reterr_at. The batch is
 *         unchanged but for 0.
 */
PC_MUST_CHECK int json_decode_line(struct span line, struct batch *b,
                                   struct err_at *reterr_at);

/* Appends @text as a JSON string, quotes included; bytes become U+FFFD as above. */
PC_MUST_CHECK int json_append_string(struct span text, struct buf *to);
