/* SPDX-License-Identifier: MIT */
#include "tests/fuzz/fuzz.h"

#include "common/codec.h"
#include "tests/lib/same.h"

#include <stdio.h>

const struct batch_limits fuzz_limits = {
    .measurements = 64,
    .text_bytes = 4096,
    .subsystem_bytes = 32,
    .bytes = 16 * KIB,
    .nesting = 8,
};

void fuzz_fail(const char *file, int line, const char *what)
{
    fprintf(stderr, "%s:%d: not so: %s\n", file, line, what);
    abort();
}

uint8_t fuzz_byte(struct fuzz_input *in)
{
    uint8_t byte = in->left.n ? in->left.data[0] : 0;

    in->left = span_from(in->left, 1);
    return byte;
}

uint64_t fuzz_number(struct fuzz_input *in, unsigned bytes)
{
    uint64_t n = 0;

    for (unsigned i = 0; i < bytes; i++)
        n |= (uint64_t)fuzz_byte(in) << 8 * i;
    return n;
}

struct span fuzz_bytes(struct fuzz_input *in, size_t n)
{
    struct span bytes = span_of(in->left.data, n < in->left.n ? n : in->left.n);

    in->left = span_from(in->left, bytes.n);
    return bytes;
}

struct span fuzz_exact(struct span bytes)
{
    uint8_t *copy = malloc(bytes.n ? bytes.n : 1);

    FUZZ_CHECK(copy);
    if (bytes.n)
        memcpy(copy, bytes.data, bytes.n);
    return span_of(copy, bytes.n);
}

void fuzz_drop(struct span *s)
{
    free((void *)(uintptr_t)s->data);
}

static bool is_verdict(int r)
{
    return r == E_TRUNCATED || r == E_MALFORMED || r == E_TOO_LARGE;
}

static void check_request(const struct codec *codec, struct span in)
{
    CLEANUP(batch_done) struct batch b;
    CLEANUP(batch_done) struct batch again;
    CLEANUP(buf_done) struct buf body;
    struct err_at at;

    batch_init(&b, &fuzz_limits);
    batch_init(&again, &fuzz_limits);
    buf_init(&body, FUZZ_BODY_MAX);
    int r = codec->decode_request(in, &b, &at);
    if (r) {
        FUZZ_CHECK(is_verdict(r));
        FUZZ_CHECK(b.n_items == 0 && b.bytes.len == 0 && b.identifier_n == 0);
        return;
    }
    FUZZ_CHECK(codec->encode_request(&b, &body) == 0);
    FUZZ_CHECK(codec->decode_request(buf_span(&body), &again, &at) == 0);
    FUZZ_CHECK(same_batch(&b, &again));
}

static void check_answer(const struct codec *codec, struct span in)
{
    CLEANUP(buf_done) struct buf body;
    struct answer answer, again;

    buf_init(&body, FUZZ_BODY_MAX);
    int r = codec->decode_answer(in, &answer, NULL);
    if (r) {
        FUZZ_CHECK(is_verdict(r));
        return;
    }
    FUZZ_CHECK(codec->encode_answer(answer.is_error ? answer.error : NULL, &body) == 0);
    FUZZ_CHECK(codec->decode_answer(buf_span(&body), &again, NULL) == 0);
    FUZZ_CHECK(again.is_error == answer.is_error);
}

static void check_ping(const struct codec *codec, struct span in)
{
    CLEANUP(buf_done) struct buf body;
    struct ping ping, again;

    buf_init(&body, FUZZ_BODY_MAX);
    int r = codec->decode_ping(in, &ping, NULL);
    if (r) {
        FUZZ_CHECK(is_verdict(r));
        return;
    }
    FUZZ_CHECK(codec->encode_ping(&ping, &body) == 0);
    FUZZ_CHECK(codec->decode_ping(buf_span(&body), &again, NULL) == 0);
    FUZZ_CHECK(again.timestamp == ping.timestamp);
}

static void check_pong(const struct codec *codec, struct span in)
{
    CLEANUP(buf_done) struct buf body;
    struct pong pong, again;

    buf_init(&body, FUZZ_BODY_MAX);
    int r = codec->decode_pong(in, &pong, NULL);
    if (r) {
        FUZZ_CHECK(is_verdict(r));
        return;
    }
    FUZZ_CHECK(codec->encode_pong(&pong, &body) == 0);
    FUZZ_CHECK(codec->decode_pong(buf_span(&body), &again, NULL) == 0);
    FUZZ_CHECK(again.timestamp == pong.timestamp &&
               again.origin_timestamp == pong.origin_timestamp);
}

void fuzz_codec(const struct codec *codec, struct span in)
{
    check_request(codec, in);
    check_answer(codec, in);
    check_ping(codec, in);
    check_pong(codec, in);
}
