/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The form of a body (media type and coding), and which one client and server have
 * agreed on: what the options want, as far as the server says that it takes it. Delta
 * goes only to a server that has named it; the next form down is MessagePack, then JSON.
 * A server that says nothing is believed to take all but delta until it refuses. What is
 * refused without another being named (delta, then all but plain JSON) is not tried again
 * for an hour. Pure.
 */

#include "common/media.h"

#include <stdbool.h>
#include <stdint.h>

struct form {
    enum media_form media;
    enum coding coding;
};

struct agreement {
    struct form wanted;
    bool named;                 /* the server has said what it takes: */
    unsigned forms;             /* MEDIA_BIT of each */
    unsigned codings;           /* likewise */
    uint64_t no_delta_until_ns; /* the boot clock: no delta before then */
    uint64_t plain_until_ns;    /* the boot clock: only plain JSON before then */
};

void agreement_init(struct agreement *a, struct form wanted);

/**
 * agreement_learn() - take in what an answer says of what the server takes
 * @accept_post, @accept_encoding: the headers' values; {NULL, 0} where absent
 *
 * The first answer that names anything ends an earlier fallback.
 */
void agreement_learn(struct agreement *a, struct span accept_post,
                     struct span accept_encoding);
/* The server says nothing: it is, or may now be, one that never does. */
void agreement_forget(struct agreement *a);

/* The form for new bodies. */
struct form agreement_form(const struct agreement *a, uint64_t now_ns);
/* The form for a batch that delta can't hold: the next one down. */
struct form agreement_form_but_delta(const struct agreement *a, uint64_t now_ns);
/* May a body of this form be sent as it is? */
bool agreement_fits(const struct agreement *a, struct form f, uint64_t now_ns);

/**
 * agreement_refused() - the server doesn't take this form
 *
 * Return: is there another to try? False after plain JSON was refused.
 */
bool agreement_refused(struct agreement *a, struct form f, uint64_t now_ns);
