/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Both ends of a delta chain, for tests: batches go in at one and must come out at the
 * other. A call that fails here fails the test.
 */

#include "common/delta.h"
#include "tests/lib/batches.h"
#include "tests/lib/bytes.h"
#include "tests/lib/suite.h"

struct delta_chain {
    struct delta_encoder *encoder;
    struct delta_decoder *decoder;
    struct delta_state *state;
    struct buf body;
    struct batch out;
    uint64_t ticks;
};

static inline void delta_chain_init(struct delta_chain *c, uint64_t threshold_millionths)
{
    const struct delta_encoder_conf conf = {threshold_millionths};

    *c = (struct delta_chain){0};
    ck_assert_int_eq(delta_encoder_new(&conf, &c->encoder), 0);
    ck_assert_int_eq(delta_decoder_new(&c->decoder), 0);
    ck_assert_int_eq(delta_state_new(&c->state), 0);
    buf_init(&c->body, LIMIT_DECODED_BYTES);
    batch_init(&c->out, &batch_limits_default);
}

static inline void delta_chain_done(struct delta_chain *c)
{
    delta_encoder_free(c->encoder);
    delta_decoder_free(c->decoder);
    delta_state_free(c->state);
    buf_done(&c->body);
    batch_done(&c->out);
}

/* Decodes bytes into @c->out. Return: what the decoder says. */
static inline int delta_chain_decode(struct delta_chain *c, struct span body,
                                     struct delta_head *ret_head, struct err_at *at)
{
    CLEANUP(bytes_drop) struct span exact = suite_exact(body);

    batch_reset(&c->out);
    *at = ERR_AT_NOWHERE;
    int r = delta_decoder_open(c->decoder, exact, &c->out.limits, ret_head, at);
    if (r == 0)
        r = delta_decoder_run(c->decoder, c->state, &c->out, at);
    delta_decoder_reset(c->decoder);
    return r;
}

static inline void delta_chain_assert_ticks(const struct batch *a, const struct batch *b)
{
    ck_assert_uint_eq(a->n_ticks, b->n_ticks);
    for (size_t i = 0; i < a->n_items; i++)
        ck_assert_int_eq(a->items[i].starts_tick, b->items[i].starts_tick);
}

/* Sends a batch, as the next of the chain or standing alone, and compares. */
static inline struct delta_place delta_chain_send(struct delta_chain *c,
                                                  const struct batch *b, bool alone)
{
    struct delta_place place = {0};
    struct delta_head head;
    struct err_at at;

    buf_reset(&c->body);
    int r = alone ? delta_encode_alone(c->encoder, b, c->ticks, &c->body)
                  : delta_encode_chained(c->encoder, b, c->ticks, &c->body, &place);
    ck_assert_int_eq(r, 0);
    r = delta_chain_decode(c, buf_span(&c->body), &head, &at);
    ck_assert_msg(r == 0, "%d: %s", r, at.what ? at.what : "?");
    ck_assert_int_eq(head.place.chained, !alone);
    ck_assert_uint_eq(head.place.snapshot, place.snapshot);
    ck_assert_uint_eq(head.place.number, place.number);
    ck_assert_uint_eq(head.first_tick, c->ticks);
    batches_assert_same(&c->out, b);
    delta_chain_assert_ticks(&c->out, b);
    c->ticks += b->n_ticks;
    return place;
}
