/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Which Content-Type and Content-Encoding mean what: the one table that the client's
 * choice and the server's negotiation both read. Immutable, any thread.
 */

#include "common/codec.h"
#include "common/gzip.h"

enum media_form {
    MEDIA_JSON,
    MEDIA_MSGPACK,
    MEDIA_DELTA, /* requests only: answers to it are MessagePack */
    MEDIA_FORMS,
};

/* The bit of a form or a coding in a set of them. */
#define MEDIA_BIT(x) (1u << (x))

/* The codec of a form; lives for ever. */
const struct codec *media_codec(enum media_form form);

/**
 * media_of_content_type() - which form a body has
 * @value: the header's value; {NULL, 0} where the header is absent: JSON
 *
 * Parameters are ignored, case too.
 *
 * Return: 0; E_UNSUPPORTED.
 */
PC_MUST_CHECK int media_of_content_type(struct span value, enum media_form *ret);

/**
 * media_of_accept() - which form the answer should have
 * @value: the Accept header's value (RFC 9110 section 12.5.1); {NULL, 0}: absent
 * @dflt:  the request's own form, which the answer has where Accept doesn't name exactly
 *         another; MessagePack for MEDIA_DELTA
 *
 * The form with the highest weight wins, @dflt where it ties; nothing that we can
 * write gets @dflt too (an answer in the wrong form beats none).
 */
enum media_form media_of_accept(struct span value, enum media_form dflt);

/**
 * media_of_content_encoding() - which coding a body has
 * @value: the header's value; {NULL, 0} where the header is absent: identity
 *
 * Return: 0; E_UNSUPPORTED, also for a list of more than one.
 */
PC_MUST_CHECK int media_of_content_encoding(struct span value, enum coding *ret);

/* What a server of ours says it takes: values of Accept-Post and Accept-Encoding. */
const char *media_accept_post(void);
const char *media_accept_encoding(void);

/* The sets of forms and codings (MEDIA_BIT) that such values name; unknown ones are
 * passed over, weights of 0 leave out; `*` and `*` / `*` name all. Identity is in unless
 * it is left out (RFC 9110 section 12.5.3), delta only where it is named itself. */
unsigned media_forms_in(struct span accept_post);
unsigned media_codings_in(struct span accept_encoding);
