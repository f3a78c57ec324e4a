/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * What the answer to a batch means (protocol, section 7), as a pure function of its
 * status, headers and body. A batch counts as stored only if the answer says so beyond
 * doubt; whatever isn't known means "later".
 */

#include "common/media.h"

#include <stdbool.h>
#include <stdint.h>

/* A header that is absent is {NULL, 0}. Spans live until the next request. */
struct http_answer {
    const char *failure; /* why there is no answer, or only part of one; NULL: whole */
    unsigned status;     /* 0 if none came */
    struct span accept_post;
    struct span accept_encoding;
    struct span stored;   /* Measurements-Stored */
    struct span replayed; /* Idempotent-Replayed */
    uint64_t retry_after_s;
    struct span body;
};

enum outcome {
    OUTCOME_STORED,
    OUTCOME_RETRY,    /* try again, with backoff */
    OUTCOME_WAIT,     /* as told, or with backoff */
    OUTCOME_DENIED,   /* another key is needed */
    OUTCOME_REFUSED,  /* the same bytes will never be taken */
    OUTCOME_LOWER,    /* another form may be taken */
    OUTCOME_SPLIT,    /* less may be taken */
    OUTCOME_SNAPSHOT, /* it builds on what the server doesn't have */
    OUTCOME_STRANGE,  /* not an answer that we know: try again, with backoff */
};

/**
 * answer_outcome() - what to do with the batch
 * @n_sent:       measurements in it
 * @server_named: the server has said which forms it takes
 * @ret_why:      receives what the server says of it, or what is wrong with the answer;
 *                maybe empty
 */
enum outcome answer_outcome(const struct http_answer *a, size_t n_sent, bool server_named,
                            struct answer *ret_why);
