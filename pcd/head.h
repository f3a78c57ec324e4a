/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The head of a request: the headers that we read, and the checks of framing that
 * libmicrohttpd 0.9.75 doesn't make. Two programs that understand one head in two ways
 * (a proxy before us, say) can be made to disagree about where a request ends, so what
 * is unclear is refused.
 */

#include "common/err.h"
#include "common/span.h"

#include <microhttpd.h>
#include <stdbool.h>
#include <stdint.h>

enum head_field {
    HEAD_HOST,
    HEAD_CONTENT_LENGTH,
    HEAD_TRANSFER_ENCODING,
    HEAD_CONTENT_TYPE,
    HEAD_CONTENT_ENCODING,
    HEAD_ACCEPT,
    HEAD_APIKEY,
    HEAD_AUTHORIZATION,
    HEAD_IDEMPOTENCY_KEY,
    HEAD_IDEMPOTENCY_FLOOR,
    HEAD_FIELDS,
};

/* Spans live as long as the request. */
struct head {
    struct span fields[HEAD_FIELDS]; /* trimmed; {NULL, 0} where absent */
    bool repeated[HEAD_FIELDS];      /* there more than once, and not refused for it */
    bool chunked;
    uint64_t length; /* of the body as announced; 0 where chunked */
    size_t bytes;    /* of request line and headers */
};

/* Is this the libmicrohttpd whose gaps we fill? Later ones make such checks themselves,
 * if told to, and keep headers in other ways. */
bool head_knows_library(void);

/**
 * head_read() - read and check the head, in the first call of the access handler
 * @method, @version: as the handler was given them, the very pointers
 *
 * Return: 0; E_MALFORMED, *reterr_what says why, a literal, and what *ret holds so far
 *         is only good for choosing the form of the answer.
 */
PC_MUST_CHECK int head_read(struct MHD_Connection *c, const char *method,
                            const char *version, struct head *ret,
                            const char **reterr_what);

/* Is there a body to come? */
static inline bool head_has_body(const struct head *h)
{
    return h->chunked || h->length > 0;
}
