/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The envelope of the UDP transport: who sends, and a content that only the two ends can
 * read or make. proto/README.md, chapter "Datagrams", is the format.
 *
 * A header stands in the clear and is authenticated; the content is sealed with
 * XChaCha20-Poly1305 (libsodium; draft-irtf-cfrg-xchacha). A key belongs to one
 * identifier, one session and one direction, and the number of a datagram is its nonce:
 * who draws a session anew whenever its process or its boot id changes, and never gives a
 * number twice in a session, never uses a nonce twice.
 *
 * Any thread, once datagram_start() was called.
 */

#include "common/buf.h"
#include "common/err.h"
#include "common/span.h"

#include <stdint.h>

#define DATAGRAM_DIGEST_BYTES 32u
#define DATAGRAM_TAG_BYTES 16u

enum datagram_kind {
    DATAGRAM_TICK = 1,     /* from the agent: a tick, or a part of one */
    DATAGRAM_SNAPSHOT = 2, /* to the agent: the snapshot that it builds on is needed */
};

/* In the clear. */
struct datagram_head {
    enum datagram_kind kind;
    uint64_t key_id;
    uint64_t session;
    uint64_t number;   /* in the session, from 1; of an answer: that of what it answers */
    uint64_t snapshot; /* ss of the base */
    struct span identifier;
};

struct datagram_key {
    uint8_t bytes[32];
};

/* A datagram taken apart; borrows from it. */
struct datagram {
    struct datagram_head head;
    struct span clear;  /* the header's bytes */
    struct span sealed; /* the content, sealed, and its tag */
};

/* Makes libsodium ready; to be called before the others, any number of times. Return: 0;
 * -ENOSYS where it can't be. */
PC_MUST_CHECK int datagram_start(void);

/* The SHA-256 of an API key, which is all that the rest is made of. */
void datagram_digest(struct span api_key, uint8_t ret[DATAGRAM_DIGEST_BYTES]);

/* What names an API key in a datagram without telling it. */
uint64_t datagram_key_id(const uint8_t digest[DATAGRAM_DIGEST_BYTES]);

/* The key of one direction. @head: its kind, session and identifier. */
void datagram_key(const uint8_t digest[DATAGRAM_DIGEST_BYTES],
                  const struct datagram_head *head, struct datagram_key *ret);

/* Bytes that a datagram has beside its content. */
size_t datagram_overhead(const struct datagram_head *head);

/**
 * datagram_seal() - append a datagram
 * @key:  from datagram_key(), of the same kind, session and identifier
 * @head: its identifier is one that identifier_check() takes
 *
 * Return: 0; E_TOO_LARGE beyond the maximum of @to; -ENOMEM. @to is unchanged on failure.
 */
PC_MUST_CHECK int datagram_seal(const struct datagram_key *key,
                                const struct datagram_head *head, struct span content,
                                struct buf *to);

/**
 * datagram_parse() - take apart what came, which may be anything
 *
 * Return: 0, and *ret borrows from @in; E_UNSUPPORTED for another version or kind;
 *         E_TRUNCATED; E_MALFORMED.
 */
PC_MUST_CHECK int datagram_parse(struct span in, struct datagram *ret);

/**
 * datagram_open() - append the content, if header and content are as they were sealed
 *
 * Return: 0; E_DENIED if they are not, or were sealed with another key; E_TOO_LARGE;
 *         -ENOMEM. @to is unchanged on failure.
 */
PC_MUST_CHECK int datagram_open(const struct datagram_key *key, const struct datagram *d,
                                struct buf *to);
