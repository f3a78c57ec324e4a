/* SPDX-License-Identifier: MIT */
#include "common/datagram.h"

#include "common/le.h"
#include "common/measurement.h"
#include "common/varint.h"

#include <assert.h>
#include <errno.h>
#include <sodium.h>
#include <string.h>

#define VERSION_BITS 4u
#define VERSION 1u
#define KEY_ID_BYTES 8u
#define SESSION_BYTES 8u
/* Version and kind, key id, session, two numbers, and the length of the identifier. */
#define CLEAR_MAX                                                                        \
    (2u + KEY_ID_BYTES + SESSION_BYTES + 2u * VARINT_MAX + LIMIT_IDENTIFIER_BYTES)

static_assert(DATAGRAM_TAG_BYTES == crypto_aead_xchacha20poly1305_ietf_ABYTES, "");
static_assert(sizeof(((struct datagram_key *)0)->bytes) ==
                  crypto_aead_xchacha20poly1305_ietf_KEYBYTES,
              "");
static_assert(DATAGRAM_DIGEST_BYTES == crypto_hash_sha256_BYTES, "");
static_assert(LIMIT_IDENTIFIER_BYTES <= UINT8_MAX, "its length is one byte");

/* BLAKE2b's personalization: what is made for one purpose is of no use for another. */
static const char for_key_id[crypto_generichash_blake2b_PERSONALBYTES + 1] =
    "pcc datagram id ";
static const char for_tick[crypto_generichash_blake2b_PERSONALBYTES + 1] =
    "pcc datagram key";
static const char for_snapshot[crypto_generichash_blake2b_PERSONALBYTES + 1] =
    "pcd datagram key";

int datagram_start(void)
{
    return sodium_init() < 0 ? -ENOSYS : 0;
}

void datagram_digest(struct span api_key, uint8_t ret[DATAGRAM_DIGEST_BYTES])
{
    (void)crypto_hash_sha256(ret, api_key.data, api_key.n); /* it always returns 0 */
}

/* A keyed hash of @n bytes at @in. @to: room for @size, 16 to 64. */
static void derive(const uint8_t digest[DATAGRAM_DIGEST_BYTES], const char *purpose,
                   const uint8_t *in, size_t n, uint8_t *to, size_t size)
{
    int r = crypto_generichash_blake2b_salt_personal(
        to, size, in, n, digest, DATAGRAM_DIGEST_BYTES, NULL, (const uint8_t *)purpose);

    assert(r == 0); /* it only minds sizes */
    (void)r;
}

uint64_t datagram_key_id(const uint8_t digest[DATAGRAM_DIGEST_BYTES])
{
    uint8_t hash[crypto_generichash_blake2b_BYTES_MIN];
    struct cursor c;

    derive(digest, for_key_id, NULL, 0, hash, sizeof hash);
    cursor_init(&c, span_of(hash, sizeof hash));
    return cursor_le(&c, KEY_ID_BYTES);
}

void datagram_key(const uint8_t digest[DATAGRAM_DIGEST_BYTES],
                  const struct datagram_head *head, struct datagram_key *ret)
{
    uint8_t in[SESSION_BYTES + LIMIT_IDENTIFIER_BYTES];
    uint8_t *at = le_write(head->session, SESSION_BYTES, in);

    assert(head->identifier.n <= LIMIT_IDENTIFIER_BYTES);
    memcpy(at, head->identifier.data, head->identifier.n);
    derive(digest, head->kind == DATAGRAM_TICK ? for_tick : for_snapshot, in,
           SESSION_BYTES + head->identifier.n, ret->bytes, sizeof ret->bytes);
}

/* Writes the header. @to: room for CLEAR_MAX. Return: its bytes. */
static size_t write_clear(const struct datagram_head *head, uint8_t *to)
{
    uint8_t *at = to;

    assert(head->identifier.n <= LIMIT_IDENTIFIER_BYTES);
    *at++ = (uint8_t)(VERSION << VERSION_BITS | head->kind);
    at = le_write(head->key_id, KEY_ID_BYTES, at);
    at = le_write(head->session, SESSION_BYTES, at);
    at = varint_write(head->number, at);
    at = varint_write(head->snapshot, at);
    *at++ = (uint8_t)head->identifier.n;
    memcpy(at, head->identifier.data, head->identifier.n);
    return (size_t)(at - to) + head->identifier.n;
}

size_t datagram_overhead(const struct datagram_head *head)
{
    uint8_t clear[CLEAR_MAX];

    return write_clear(head, clear) + DATAGRAM_TAG_BYTES;
}

/* What a number is as a nonce; the rest is 0. */
struct nonce {
    uint8_t bytes[crypto_aead_xchacha20poly1305_ietf_NPUBBYTES];
};

static struct nonce nonce_of(uint64_t number)
{
    struct nonce nonce = {{0}};

    (void)le_write(number, sizeof number, nonce.bytes);
    return nonce;
}

int datagram_seal(const struct datagram_key *key, const struct datagram_head *head,
                  struct span content, struct buf *to)
{
    const struct nonce nonce = nonce_of(head->number);
    uint8_t clear[CLEAR_MAX];
    size_t n = write_clear(head, clear);
    unsigned long long sealed;

    int r = content.n > to->max ? E_TOO_LARGE
                                : buf_reserve(to, n + content.n + DATAGRAM_TAG_BYTES);
    if (r)
        return r;
    uint8_t *at = buf_tail(to);
    memcpy(at, clear, n);
    r = crypto_aead_xchacha20poly1305_ietf_encrypt(at + n, &sealed, content.data,
                                                   content.n, clear, n, NULL, nonce.bytes,
                                                   key->bytes);
    assert(r == 0); /* it always returns 0 */
    buf_commit(to, n + (size_t)sealed);
    return 0;
}

int datagram_parse(struct span in, struct datagram *ret)
{
    struct cursor c;

    cursor_init(&c, in);
    uint8_t first = cursor_u8(&c);
    unsigned kind = first & ((1u << VERSION_BITS) - 1);
    if (c.r == 0 && (first >> VERSION_BITS != VERSION ||
                     (kind != DATAGRAM_TICK && kind != DATAGRAM_SNAPSHOT)))
        return E_UNSUPPORTED;
    struct datagram_head *head = &ret->head;
    head->kind = kind == DATAGRAM_TICK ? DATAGRAM_TICK : DATAGRAM_SNAPSHOT;
    head->key_id = cursor_le(&c, KEY_ID_BYTES);
    head->session = cursor_le(&c, SESSION_BYTES);
    head->number = varint_take(&c);
    head->snapshot = varint_take(&c);
    head->identifier = cursor_bytes(&c, cursor_u8(&c));
    if (c.r)
        return c.r;
    if (cursor_left(&c) < DATAGRAM_TAG_BYTES)
        return E_TRUNCATED;
    if (head->number == 0 || identifier_check(head->identifier))
        return E_MALFORMED;
    ret->clear = span_of(in.data, cursor_offset(&c));
    ret->sealed = span_of(c.at, cursor_left(&c));
    return 0;
}

int datagram_open(const struct datagram_key *key, const struct datagram *d,
                  struct buf *to)
{
    const struct nonce nonce = nonce_of(d->head.number);
    unsigned long long n;

    int r = buf_reserve(to, d->sealed.n - DATAGRAM_TAG_BYTES);
    if (r)
        return r;
    if (crypto_aead_xchacha20poly1305_ietf_decrypt(buf_tail(to), &n, NULL, d->sealed.data,
                                                   d->sealed.n, d->clear.data, d->clear.n,
                                                   nonce.bytes, key->bytes))
        return E_DENIED;
    buf_commit(to, (size_t)n);
    return 0;
}
