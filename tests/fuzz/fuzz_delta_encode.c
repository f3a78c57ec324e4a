/* SPDX-License-Identifier: MIT */
#include "common/delta.h"
#include "common/units.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/near.h"
#include "tests/fuzz/texts.h"
#include "tests/lib/same.h"

/*
 * input = threshold:u8 batch*
 * batch = how:u8 n:u8 measurement* damage*
 * measurement = what:u8, the bytes that it needs (texts.h)
 * damage = at:u16le byte:u8
 *
 * A batch is written in a chain or alone, may get lost or damaged on the way, and must
 * come out as it went in; with a threshold as near as that says.
 */

#define BATCHES_MAX 8u
#define MEASUREMENTS_MAX 24u

enum how {
    HOW_ALONE = 1,   /* else the next of the chain */
    HOW_FORGET = 2,  /* the chain begins anew */
    HOW_LOST = 4,    /* the other end doesn't get it */
    HOW_DAMAGED = 8, /* it gets something like it, with 1 to 16 other bytes */
};

static const uint64_t thresholds[] = {0, 0, 0, 0, 1000, 100000, 999999, 1};

struct ends {
    struct delta_encoder *encoder;
    struct delta_decoder *decoder;
    struct delta_state *state;
    struct batch in;
    struct batch out;
    struct buf body;
    uint64_t threshold;
    uint64_t time_ns;
    uint64_t tick;
    struct texts texts;
};

static void ends_init(struct ends *e, uint64_t threshold)
{
    const struct delta_encoder_conf conf = {threshold};
    struct batch_limits limits = batch_limits_default;

    limits.bytes = MIB;
    e->threshold = threshold;
    e->time_ns = LIMIT_TIMESTAMP_MIN * SEC;
    FUZZ_CHECK(delta_encoder_new(&conf, &e->encoder) == 0);
    FUZZ_CHECK(delta_decoder_new(&e->decoder) == 0);
    FUZZ_CHECK(delta_state_new(&e->state) == 0);
    batch_init(&e->in, &limits);
    batch_init(&e->out, &limits);
    buf_init(&e->body, FUZZ_BODY_MAX);
    texts_init(&e->texts);
}

static void ends_done(struct ends *e)
{
    delta_encoder_free(e->encoder);
    delta_decoder_free(e->decoder);
    delta_state_free(e->state);
    batch_done(&e->in);
    batch_done(&e->out);
    buf_done(&e->body);
    texts_done(&e->texts);
}

/* A time to go on with: mostly a little later. Return: does a tick begin? */
static bool next_time(struct ends *e, unsigned how, struct fuzz_input *from)
{
    const uint64_t first_ns = LIMIT_TIMESTAMP_MIN * SEC;
    const uint64_t range_ns = (LIMIT_TIMESTAMP_MAX + 1) * SEC - first_ns;
    uint64_t now_ns = e->time_ns - first_ns;

    switch (how) {
    case 4:
        now_ns += SEC;
        break;
    case 5:
        now_ns += (uint64_t)(int8_t)fuzz_byte(from) * SEC;
        break;
    case 6: /* a clock that stood still */
        return true;
    case 7:
        now_ns += fuzz_number(from, fuzz_byte(from) % 8 + 1);
        break;
    default:
        return false;
    }
    e->time_ns = first_ns + now_ns % range_ns;
    return true;
}

static void make_batch(struct ends *e, struct fuzz_input *from)
{
    size_t n = 1 + fuzz_byte(from) % MEASUREMENTS_MAX;

    batch_reset(&e->in);
    FUZZ_CHECK(batch_set_identifier(&e->in, SPAN("host")) == 0);
    for (size_t i = 0; i < n; i++) {
        unsigned what = fuzz_byte(from);
        if (next_time(e, what >> 5, from))
            batch_begin_tick(&e->in);
        struct measurement m = texts_next(&e->texts, what & 31, from);
        m.time_ns = e->time_ns;
        FUZZ_CHECK(batch_append(&e->in, &m) == 0);
    }
}

static int receive(struct ends *e, struct delta_head *ret)
{
    CLEANUP(fuzz_drop) struct span exact = fuzz_exact(buf_span(&e->body));

    batch_reset(&e->out);
    FUZZ_CHECK(delta_decoder_open(e->decoder, exact, &e->out.limits, ret, NULL) == 0);
    int r = delta_decoder_run(e->decoder, e->state, &e->out, NULL);
    delta_decoder_reset(e->decoder);
    return r;
}

/* What comes of a message that was changed is anything, but nothing bad. */
static void receive_damaged(struct ends *e, size_t n, struct fuzz_input *from)
{
    struct delta_head head;

    FUZZ_CHECK(e->body.len > 0);
    for (size_t i = 0; i < n; i++)
        e->body.data[fuzz_number(from, 2) % e->body.len] ^= fuzz_byte(from);
    CLEANUP(fuzz_drop) struct span exact = fuzz_exact(buf_span(&e->body));
    batch_reset(&e->out);
    int r = delta_decoder_open(e->decoder, exact, &e->out.limits, &head, NULL);
    if (r == 0)
        r = delta_decoder_run(e->decoder, e->state, &e->out, NULL);
    FUZZ_CHECK(r >= 0 && (r == 0 || e->out.n_items == 0));
    delta_decoder_reset(e->decoder);
    delta_state_free(e->state);
    FUZZ_CHECK(delta_state_new(&e->state) == 0);
}

static struct delta_place send_it(struct ends *e, bool alone)
{
    struct delta_place place = {.chained = false};

    buf_reset(&e->body);
    int r = alone ? delta_encode_alone(e->encoder, &e->in, e->tick, &e->body)
                  : delta_encode_chained(e->encoder, &e->in, e->tick, &e->body, &place);
    FUZZ_CHECK(r == 0);
    FUZZ_CHECK(place.chained == !alone);
    return place;
}

static void check_arrived(const struct ends *e, const struct delta_head *head,
                          const struct delta_place *place)
{
    FUZZ_CHECK(head->first_tick == e->tick && head->place.chained == place->chained &&
               head->place.snapshot == place->snapshot &&
               head->place.number == place->number);
    FUZZ_CHECK(e->out.n_items == e->in.n_items);
    if (e->threshold == 0)
        FUZZ_CHECK(same_batch(&e->in, &e->out));
    for (size_t i = 0; i < e->in.n_items; i++) {
        struct measurement sent = batch_get(&e->in, i);
        struct measurement got = batch_get(&e->out, i);
        FUZZ_CHECK(got.time_ns == sent.time_ns);
        FUZZ_CHECK(span_equal(got.subsystem, sent.subsystem));
        FUZZ_CHECK(near_text(got.text, sent.text, e->threshold));
    }
    FUZZ_CHECK(same_ticks(&e->in, &e->out));
}

static void check_batch(struct ends *e, unsigned how, struct fuzz_input *from)
{
    bool alone = how & HOW_ALONE;
    struct delta_head head;

    if (how & HOW_FORGET)
        delta_encoder_forget(e->encoder);
    struct delta_place place = send_it(e, alone);
    if (how & HOW_DAMAGED) {
        receive_damaged(e, 1 + (how >> 4), from);
    } else if (!(how & HOW_LOST)) {
        int r = receive(e, &head);
        if (r == E_CONFLICT) { /* one before it was lost */
            FUZZ_CHECK(!alone && place.number > 0);
            delta_encoder_forget(e->encoder);
            place = send_it(e, false);
            FUZZ_CHECK(place.number == 0);
            r = receive(e, &head);
        }
        FUZZ_CHECK(r == 0);
        check_arrived(e, &head, &place);
    }
    e->tick += e->in.n_ticks;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct fuzz_input in = {span_of(data, n)};
    CLEANUP(ends_done) struct ends e = {0};

    ends_init(&e, thresholds[fuzz_byte(&in) % 8]);
    for (size_t i = 0; i < BATCHES_MAX && in.left.n > 0; i++) {
        unsigned how = fuzz_byte(&in);
        make_batch(&e, &in);
        check_batch(&e, how, &in);
    }
    return 0;
}
