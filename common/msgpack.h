/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The protocol as MessagePack, by msgpack-c. Its unpacker allocates what a header
 * announces, so msgpack_walk() goes over the bytes first, bounded and without building
 * anything. Of a key given twice the last counts; unknown keys, and keys that are no
 * str, are ignored.
 *
 * A request may have nil for its measurements, as the Go encoder writes none. A member of
 * a measurement goes by its JSON or its Go name, an integer may have any width, and a
 * text may be bin or a str of any bytes; identifier and subsystem must be UTF-8.
 */

#include "common/codec.h"

extern const struct codec msgpack_codec;

/**
 * msgpack_walk() - check that the bytes are exactly one well-formed object
 * @in:        borrows
 * @max_nodes: objects of any kind that it may hold, nested ones counted
 * @max_nesting: levels of maps and arrays, at most LIMIT_NESTING
 *
 * Announced counts and lengths must fit into the bytes that are left, nesting into
 * @max_nesting.
 *
 * Return: 0; E_TRUNCATED; E_MALFORMED, also for bytes behind the object; E_TOO_LARGE
 *         past @max_nodes or the nesting limit.
 */
PC_MUST_CHECK int msgpack_walk(struct span in, size_t max_nodes, size_t max_nesting,
                               struct err_at *reterr_at);
