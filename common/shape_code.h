/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Shapes as bytes of a message: proto/README.md, "Shapes and columns". Writing uses the
 * well-known fragments; reading takes bytes from anybody. No state, any thread.
 */

#include "common/buf.h"
#include "common/cursor.h"
#include "common/shape.h"

/**
 * shape_code_append() - write a shape
 * @text:  the shape's; borrows
 * @plain: reset and used on the way
 *
 * Return: 0; E_TOO_LARGE beyond the maximum of a buffer; -ENOMEM; @to unchanged then.
 */
PC_MUST_CHECK int shape_code_append(const struct shape *s, struct span text,
                                    struct buf *plain, struct buf *to);

/* What a text of a shape takes. */
struct shape_size {
    size_t columns;
    size_t least; /* bytes of its shortest text */
    size_t most;  /* room to build it in; no text of it takes more */
};

/**
 * shape_code_measure() - check a shape's bytes, all that the cursor holds
 * @max: of the shortest text, more than which is E_TOO_LARGE
 *
 * Fails the cursor: E_MALFORMED, E_TRUNCATED, E_TOO_LARGE.
 */
void shape_code_measure(struct cursor *c, size_t max, struct shape_size *ret);

/**
 * shape_code_build() - make a shape and its first text
 * @code:   what shape_code_measure() took, which said @size
 * @values: one for each column
 * @to:     room for size->most bytes
 *
 * Return: 0, and *ret_n bytes were written; -ENOMEM, and @s is as it was.
 */
PC_MUST_CHECK int shape_code_build(struct span code, const struct shape_size *size,
                                   const uint64_t *values, struct shape *s, uint8_t *to,
                                   size_t *ret_n);
