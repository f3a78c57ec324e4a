/* SPDX-License-Identifier: MIT */
#include "pcc/answer.h"
#include "pcc/form.h"
#include "tests/fuzz/fuzz.h"

#include <stdio.h>

/* input = bits:u8 status:u16le n_sent:u8 n:u8 stored[n] n:u8 accept_post[n]
 *         n:u8 accept_encoding[n] body
 * bits: which of the three headers are absent; no whole answer came; the server named
 * what it takes */
#define NO_STORED 1u
#define NO_POST 2u
#define NO_ENCODING 4u
#define FAILED 8u
#define NAMED 16u
#define NOW_NS UINT64_C(1)

static struct span header(struct fuzz_input *in, bool absent)
{
    struct span value = fuzz_bytes(in, fuzz_byte(in));

    return absent ? span_of(NULL, 0) : fuzz_exact(value);
}

static bool says_stored(struct span body)
{
    struct answer answer;
    int r = media_codec(MEDIA_JSON)->decode_answer(body, &answer, NULL);

    if (r)
        r = media_codec(MEDIA_MSGPACK)->decode_answer(body, &answer, NULL);
    return r == 0 && !answer.is_error;
}

/* Stored only beyond doubt: a whole 200 that decodes, names no error, and counts what was
 * sent if it counts at all. Nothing else loses a batch but a refusal of those bytes. */
static void check_outcome(const struct http_answer *a, size_t n_sent, bool named)
{
    struct answer why;
    char count[24];

    enum outcome o = answer_outcome(a, n_sent, named, &why);
    FUZZ_CHECK(memchr(why.error, 0, sizeof why.error));
    (void)snprintf(count, sizeof count, "%zu", n_sent);
    bool counted = !a->stored.data || span_equal(a->stored, span_of_str(count));
    if (o == OUTCOME_STORED)
        FUZZ_CHECK(a->status == 200 && !a->failure && says_stored(a->body));
    else if (o == OUTCOME_REFUSED)
        FUZZ_CHECK(a->status == 400 && named);
    FUZZ_CHECK(o != OUTCOME_STORED || counted || a->stored.data[0] == '0');
    if (a->status == 200 && !a->failure && says_stored(a->body) && counted)
        FUZZ_CHECK(o == OUTCOME_STORED);
}

/* Whatever a server names, there is a form to send, and it fits what was agreed on. */
static void check_agreement(const struct http_answer *a, unsigned wanted)
{
    struct agreement agreement;
    const struct form want = {(enum media_form)(wanted % 3), (enum coding)(wanted % 2)};

    agreement_init(&agreement, want);
    agreement_learn(&agreement, a->accept_post, a->accept_encoding);
    struct form f = agreement_form(&agreement, NOW_NS);
    FUZZ_CHECK(agreement_fits(&agreement, f, NOW_NS));
    FUZZ_CHECK(f.media != MEDIA_DELTA || a->accept_post.data);
    f = agreement_form_but_delta(&agreement, NOW_NS);
    FUZZ_CHECK(f.media != MEDIA_DELTA && agreement_fits(&agreement, f, NOW_NS));
    /* Refusals come to an end: at plain JSON. */
    unsigned refusals = 0;
    for (f = agreement_form(&agreement, NOW_NS); agreement_refused(&agreement, f, NOW_NS);
         f = agreement_form(&agreement, NOW_NS))
        FUZZ_CHECK(++refusals < 8);
    FUZZ_CHECK(f.media == MEDIA_JSON && f.coding == CODING_IDENTITY);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct fuzz_input in = {span_of(data, n)};
    uint8_t bits = fuzz_byte(&in);
    struct http_answer a = {
        .failure = bits & FAILED ? "cut" : NULL,
        .status = (unsigned)fuzz_number(&in, 2),
    };
    size_t n_sent = fuzz_byte(&in);

    CLEANUP(fuzz_drop) struct span stored = header(&in, bits & NO_STORED);
    CLEANUP(fuzz_drop) struct span accept_post = header(&in, bits & NO_POST);
    CLEANUP(fuzz_drop) struct span accept_encoding = header(&in, bits & NO_ENCODING);
    CLEANUP(fuzz_drop) struct span body = fuzz_exact(in.left);
    a.stored = stored;
    a.accept_post = accept_post;
    a.accept_encoding = accept_encoding;
    a.body = body;
    check_outcome(&a, n_sent, bits & NAMED);
    check_agreement(&a, bits >> 5);
    return 0;
}
