/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Answers: the only maker of responses. An answer is a text or a TrickleResponse in the
 * client's form; everything is copied.
 */

#include "common/media.h"
#include "common/span.h"

#include <microhttpd.h>
#include <stdbool.h>
#include <stdint.h>

struct reply {
    unsigned code;
    enum media_form form; /* of a TrickleResponse */
    const char *error;    /* of a TrickleResponse; NULL: none */
    struct span body;     /* sent instead of a TrickleResponse where type is set */
    const char *type;
    bool negotiates; /* say which types and codings are taken */
    bool replayed;
    bool has_stored;
    uint64_t stored;        /* measurements */
    unsigned retry_after_s; /* 0: none */
    const char *allow;      /* methods; NULL: none */
    bool asks_for_key;
    bool closes; /* the connection ends with this answer */
};

/* The status code that a result of reading or storing a batch is answered with. */
unsigned reply_code(int r);

/* A number of seconds for Retry-After, spread so that clients don't come back at once. */
unsigned reply_retry_after_s(void);

/* Queues an answer. Return: what the access handler is to return. */
enum MHD_Result reply_send(struct MHD_Connection *c, const struct reply *reply);

/**
 * reply_raw() - put an error on a plain HTTP connection, past libmicrohttpd
 *
 * For where that takes no answer: while a body is on its way. Never waits; what doesn't
 * go out at once is lost. The connection must end right after.
 */
void reply_raw(int fd, enum media_form form, unsigned code, const char *error);
