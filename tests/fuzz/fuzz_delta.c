/* SPDX-License-Identifier: MIT */
#include "common/delta.h"
#include "tests/fuzz/fuzz.h"
#include "tests/lib/same.h"

/* input = n:u16le body[n] body: two bodies of a chain, of which either may be anything */

/* Where batches that could be decoded are written again, and read once more. */
struct chain {
    struct delta_encoder *encoder;
    struct delta_decoder *decoder;
    struct delta_state *state; /* of what the encoder writes */
    struct delta_state *given; /* of what the input holds */
    struct batch again;
    struct buf body;
};

static void chain_init(struct chain *c)
{
    const struct delta_encoder_conf conf = {.threshold_millionths = 0};

    FUZZ_CHECK(delta_encoder_new(&conf, &c->encoder) == 0);
    FUZZ_CHECK(delta_decoder_new(&c->decoder) == 0);
    FUZZ_CHECK(delta_state_new(&c->state) == 0);
    FUZZ_CHECK(delta_state_new(&c->given) == 0);
    batch_init(&c->again, &fuzz_limits);
    buf_init(&c->body, FUZZ_BODY_MAX);
}

static void chain_done(struct chain *c)
{
    delta_encoder_free(c->encoder);
    delta_decoder_free(c->decoder);
    delta_state_free(c->state);
    delta_state_free(c->given);
    batch_done(&c->again);
    buf_done(&c->body);
}

/* Return: as delta_decoder_open() and delta_decoder_run(). */
static int decode(struct chain *c, struct delta_state *s, struct span body,
                  struct batch *ret, struct delta_head *ret_head)
{
    CLEANUP(fuzz_drop) struct span exact = fuzz_exact(body);
    struct err_at at;

    int r = delta_decoder_open(c->decoder, exact, &ret->limits, ret_head, &at);
    if (r == 0) {
        FUZZ_CHECK(identifier_check(ret_head->identifier) == 0);
        r = delta_decoder_run(c->decoder, s, ret, &at);
    }
    if (r == 0)
        FUZZ_CHECK(span_equal(batch_identifier(ret), ret_head->identifier));
    delta_decoder_reset(c->decoder);
    return r;
}

/* Sends a batch through the chain, or by itself. */
static void check_again(struct chain *c, const struct batch *b,
                        const struct delta_head *head, bool chained)
{
    struct delta_place place = {.chained = false};
    struct delta_head again;

    buf_reset(&c->body);
    batch_reset(&c->again);
    FUZZ_CHECK(
        (chained ? delta_encode_chained(c->encoder, b, head->first_tick, &c->body, &place)
                 : delta_encode_alone(c->encoder, b, head->first_tick, &c->body)) == 0);
    FUZZ_CHECK(decode(c, c->state, buf_span(&c->body), &c->again, &again) == 0);
    FUZZ_CHECK(same_batch(&c->again, b) && same_ticks(&c->again, b));
    FUZZ_CHECK(
        again.first_tick == head->first_tick && again.place.chained == place.chained &&
        again.place.snapshot == place.snapshot && again.place.number == place.number);
}

static void check_body(struct chain *c, struct span body)
{
    CLEANUP(batch_done) struct batch b;
    struct delta_head head = {.first_tick = 0};
    struct delta_place next;

    batch_init(&b, &fuzz_limits);
    int r = decode(c, c->given, body, &b, &head);
    if (r == 0) {
        /* Only what has a place in a chain moves the state on. */
        next = head.place;
        next.number++;
        FUZZ_CHECK(!head.place.chained || head.place.number == UINT64_MAX ||
                   delta_state_fits(c->given, &next));
        check_again(c, &b, &head, true);
        check_again(c, &b, &head, false);
        return;
    }
    FUZZ_CHECK(r == E_TRUNCATED || r == E_MALFORMED || r == E_TOO_LARGE ||
               r == E_UNSUPPORTED || r == E_CONFLICT);
    FUZZ_CHECK(b.n_items == 0 && b.n_ticks == 0 && b.bytes.len == 0 &&
               b.identifier_n == 0);
    if (r == E_CONFLICT) /* it was no fault of the state's */
        return;
    delta_state_free(c->given);
    FUZZ_CHECK(delta_state_new(&c->given) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct fuzz_input in = {span_of(data, n)};
    CLEANUP(chain_done) struct chain c = {0};

    chain_init(&c);
    struct span first = fuzz_bytes(&in, fuzz_number(&in, 2));
    check_body(&c, first);
    check_body(&c, in.left);
    return 0;
}
