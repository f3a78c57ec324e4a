/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * A strict reader of JSON (RFC 8259) that builds no tree: it goes over an object, hands
 * each member that the caller knows to the function that reads it, and checks and skips
 * the others. Every byte is checked once. Of a member given twice the last counts. The
 * first failure sticks, as the cursor's does; functions that read leave nothing to free.
 */

#include "common/cursor.h"
#include "common/json_string.h"
#include "common/measurement.h"

struct json_reader {
    struct cursor c;
    unsigned depth;
    size_t max_depth;    /* at most LIMIT_NESTING */
    size_t item;         /* what a failure tells; the caller's, at first ERR_AT_UNKNOWN */
    int fault;           /* ours, that stopped the cursor; 0 where the input did */
    struct buf scratch;  /* a string without its escapes, where it must be at hand */
    struct batch *batch; /* the caller's, for its functions that read */
};

/* What a member was found to be, as far as it was read. */
struct json_value {
    bool is_given;
    size_t offset; /* where it begins */
    int64_t integer;
    struct json_string string;
};

/* A member that is known, how it is read, and the texts for what can be wrong with it. */
struct json_member {
    const char *name;
    void (*read)(struct json_reader *d, const struct json_member *m,
                 struct json_value *ret);
    bool is_optional;
    const char *missing;
    const char *mistyped;
    const char *out_of_range;
};

#define JSON_MEMBER(label, how, optional)                                                \
    {                                                                                    \
        .name = (label), .read = (how), .is_optional = (optional),                       \
        .missing = label " is missing", .mistyped = label " has the wrong type",         \
        .out_of_range = label " is out of range"                                         \
    }

/* Sets up a reader of @in, which it borrows until json_reader_done(). */
void json_reader_init(struct json_reader *d, struct span in);
void json_reader_done(struct json_reader *d);

/**
 * json_reader_stop() - fail, unless failed before
 * @r:      a verdict or a fault
 * @what:   a literal that names the reason of a verdict; a fault needs none
 * @offset: of the value that it is about
 */
void json_reader_stop(struct json_reader *d, int r, const char *what, size_t offset);

/* Return: 0, or the first failure, told in @reterr_at, which may be NULL. */
PC_MUST_CHECK int json_reader_result(const struct json_reader *d,
                                     struct err_at *reterr_at);

/* Did the reader fail? */
static inline bool json_reader_failed(const struct json_reader *d)
{
    return d->c.r != 0;
}

/**
 * json_read_message() - read the whole input: one object, and white space
 * @members:    those that are known
 * @ret_values: zeroed; receives one value a member
 */
void json_read_message(struct json_reader *d, const struct json_member *members,
                       size_t n_members, struct json_value *ret_values);

/* Reads the value here, which fails if it isn't an object; @mistyped says so. */
void json_read_object(struct json_reader *d, const struct json_member *members,
                      size_t n_members, struct json_value *ret_values,
                      const char *mistyped);

/* Reads the value here, each element by @read_element; as json_read_object(). */
void json_read_array(struct json_reader *d, void (*read_element)(struct json_reader *),
                     const char *mistyped);

/* How a member may be read. */

/* An integer without fraction or exponent that fits. */
void json_read_integer(struct json_reader *d, const struct json_member *m,
                       struct json_value *ret);
void json_read_string(struct json_reader *d, const struct json_member *m,
                      struct json_value *ret);
/* Takes null where the value here is that, or fails to. Return: does it begin like it? */
bool json_read_null(struct json_reader *d);
/* For null the string's raw.data is NULL. */
void json_read_string_or_null(struct json_reader *d, const struct json_member *m,
                              struct json_value *ret);

/**
 * json_reader_unescape() - the bytes that a string stands for
 * @ret: receives them; they live until the next call, json_reader_done() at the latest
 *
 * Return: 0; -ENOMEM.
 */
PC_MUST_CHECK int json_reader_unescape(struct json_reader *d, const struct json_string *s,
                                       struct span *ret);
