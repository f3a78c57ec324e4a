/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Just enough of HTTP/1.1 to read pcd's answers: a status line, headers, a body of
 * Content-Length bytes. Pure.
 */

#include "common/err.h"
#include "common/span.h"

struct http_answer {
    unsigned status;
    bool replayed;   /* Idempotent-Replayed: true */
    bool has_stored; /* Measurements-Stored is there */
    uint64_t stored;
    bool closes;      /* the server won't read another request */
    struct span body; /* borrows from the input */
    size_t n;         /* bytes of the whole answer */
};

/* Return: 0; E_TRUNCATED: read more and ask again; E_MALFORMED. */
PC_MUST_CHECK int http_answer_parse(struct span in, struct http_answer *ret);
