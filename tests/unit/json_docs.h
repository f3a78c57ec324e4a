/* SPDX-License-Identifier: MIT */
#pragma once

/* Documents that the tests of json write with ' for ", so that they can be read. */

#include "common/json.h"
#include "tests/lib/batches.h"
#include "tests/lib/bytes.h"
#include "tests/lib/suite.h"

#include <check.h>

#define DOCS_TIME UINT64_C(1767813011)

#define DOCS_STAT                                                                        \
    "{'timestamp':1767813011,'subsystem':'/proc/stat','measurement':'cpu 1\\n'}"
#define DOCS_REQUEST(list) "{'identifier':'web-01','measurements':[" list "]}"

/* Appends @text with each ' made a ". */
static inline void docs_put(struct buf *to, const char *text)
{
    size_t from = to->len;

    bytes_put(to, span_of_str(text));
    for (size_t i = from; i < to->len; i++) {
        if (to->data[i] == '\'')
            to->data[i] = '"';
    }
}

static inline void docs_init(struct buf *to, const char *text)
{
    buf_init(to, BYTES_ROOM);
    docs_put(to, text);
}

/* A request of one measurement, good but for what its last member makes of it. */
static inline void docs_init_member(struct buf *to, const char *name, const char *value)
{
    docs_init(to, "{'identifier':'h','measurements':[{'timestamp':1767813011,"
                  "'subsystem':'s','measurement':'m',");
    docs_put(to, "'");
    docs_put(to, name);
    docs_put(to, "':");
    docs_put(to, value);
    docs_put(to, "}]}");
}

/* Decodes from a copy of exactly this size. */
static inline int docs_decode(struct span in, struct batch *ret, struct err_at *reterr_at)
{
    CLEANUP(bytes_drop) struct span copy = suite_exact(in);

    return json_codec.decode_request(copy, ret, reterr_at);
}

/* Checks that a request is refused with this verdict and nothing of it stays. */
static inline struct err_at docs_refused(struct span in,
                                         const struct batch_limits *limits, int verdict)
{
    struct err_at at = {NULL, ERR_AT_UNKNOWN, 0};
    CLEANUP(batch_done) struct batch b;

    batch_init(&b, limits);
    ck_assert_int_eq(docs_decode(in, &b, NULL), verdict);
    batches_assert_reset(&b);
    ck_assert_int_eq(docs_decode(in, &b, &at), verdict);
    batches_assert_reset(&b);
    ck_assert_ptr_nonnull(at.what);
    ck_assert_uint_le(at.offset, in.n);
    return at;
}

static inline void docs_assert_says(const struct err_at *at, const char *words)
{
    ck_assert_msg(strstr(at->what, words), "\"%s\" does not say \"%s\"", at->what, words);
}
