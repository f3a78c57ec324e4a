/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The encoding half of msgpack_codec, for msgpack.c alone; the contracts are those of
 * struct codec. Byte for byte what the Go encoder of the older system writes: members of
 * a measurement under their Go names, seconds always as int 64. Nanoseconds, where not
 * 0, follow the seconds in the smallest form that holds them.
 */

#include "common/codec.h"

PC_MUST_CHECK int msgpack_encode_request(const struct batch *b, struct buf *to);
PC_MUST_CHECK int msgpack_encode_answer(const char *error, struct buf *to);
PC_MUST_CHECK int msgpack_encode_ping(const struct ping *ping, struct buf *to);
PC_MUST_CHECK int msgpack_encode_pong(const struct pong *pong, struct buf *to);
