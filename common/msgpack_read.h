/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Reading the members of a MessagePack message by name, for the forms of the protocol
 * that are written in it. Objects point into the message's bytes.
 */

#include "common/err.h"
#include "common/span.h"

#include <msgpack.h>

/* A member that we read, and the texts for what can be wrong with it. */
struct member {
    const char *name;
    const char *other_name; /* taken as well */
    const char *missing;
    const char *mistyped;
    const char *out_of_range;
};

#define MEMBER(label, either, or)                                                        \
    {                                                                                    \
        .name = (either), .other_name = (or), .missing = label " is missing",            \
        .mistyped = label " has the wrong type",                                         \
        .out_of_range = label " is out of range"                                         \
    }

/* Fills in @reterr_at (may be NULL) with the reason and the measurement. Return: @r. */
int msgpack_read_refuse(int r, const char *what, size_t item, struct err_at *reterr_at);

/**
 * msgpack_read_map() - build the objects of a message that must be a map
 * @max_nodes, @max_nesting: as msgpack_walk()
 * @ret: initialised by the caller, who destroys it
 *
 * Return: 0; E_TRUNCATED, E_MALFORMED, E_TOO_LARGE; -ENOMEM.
 */
PC_MUST_CHECK int msgpack_read_map(struct span in, size_t max_nodes, size_t max_nesting,
                                   msgpack_unpacked *ret, struct err_at *reterr_at);

/* The last value of a member, under either name; NULL if there is none. */
const msgpack_object *msgpack_read_find(const msgpack_object *map,
                                        const struct member *m);

/* These give NULL, or why the message is malformed, a literal. */
const char *msgpack_read_integer(const msgpack_object *map, const struct member *m,
                                 int64_t *ret);
const char *msgpack_read_unsigned(const msgpack_object *map, const struct member *m,
                                  uint64_t *ret);
const char *msgpack_read_string(const msgpack_object *map, const struct member *m,
                                struct span *ret);
/* A bin; empty where the member is absent. */
const char *msgpack_read_bin(const msgpack_object *map, const struct member *m,
                             struct span *ret);
