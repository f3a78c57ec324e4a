/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * What every encoding of the protocol can do, as one table of functions; json and
 * msgpack each give one, and media says which name means which. No state, any thread.
 *
 * Decoders take untrusted bytes. They give E_TRUNCATED where the input ends too early,
 * E_MALFORMED where it breaks its grammar or a rule of the protocol, E_TOO_LARGE over a
 * limit of the batch, -ENOMEM; @reterr_at (may be NULL) then says what and where. On
 * anything but 0 what they fill in is reset or untouched.
 */

#include "common/measurement.h"

/* TrickleResponse: what pcd says of a batch. */
struct answer {
    bool is_error;
    char error[LIMIT_ERROR_BYTES]; /* terminated; a longer text is cut */
};

/* Ping and its answer. Seconds since the Unix epoch. */
struct ping {
    int64_t timestamp;
};

struct pong {
    int64_t origin_timestamp;
    int64_t timestamp;
};

struct codec {
    const char *media_type; /* as sent in Content-Type */

    /* A TrickleRequest into an empty batch, reset on failure. */
    int (*decode_request)(struct span in, struct batch *ret, struct err_at *reterr_at);
    /* Appends a TrickleRequest. 0; E_TOO_LARGE; -ENOMEM; @to is unchanged then. */
    int (*encode_request)(const struct batch *b, struct buf *to);

    int (*decode_answer)(struct span in, struct answer *ret, struct err_at *reterr_at);
    /* @error: NULL for none; invalid UTF-8 in it becomes U+FFFD. */
    int (*encode_answer)(const char *error, struct buf *to);

    int (*decode_ping)(struct span in, struct ping *ret, struct err_at *reterr_at);
    int (*encode_ping)(const struct ping *ping, struct buf *to);
    int (*decode_pong)(struct span in, struct pong *ret, struct err_at *reterr_at);
    int (*encode_pong)(const struct pong *pong, struct buf *to);
};
