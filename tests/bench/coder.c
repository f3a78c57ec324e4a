/* SPDX-License-Identifier: MIT */
#include "tests/bench/coder.h"

#include "common/json.h"
#include "common/msgpack.h"

#define BODY_MAX (4 * LIMIT_DECODED_BYTES)

const struct way ways[] = {
    {.name = "chained", .chained = true, .others = true},
    {.name = "snapshot", .chained = true, .first = true},
    {.name = "alone", .first = true, .others = true},
    {.name = "msgpack", .codec = &msgpack_codec, .first = true, .others = true},
    {.name = "json", .codec = &json_codec, .first = true, .others = true},
    {.name = NULL},
};

const struct way *way_find(const char *name)
{
    for (const struct way *way = ways; way->name; way++)
        if (strcmp(way->name, name) == 0)
            return way;
    return NULL;
}

static int make_parts(struct coder *c)
{
    const struct delta_encoder_conf conf = {.threshold_millionths = 0};
    int r = 0;

    if (!c->way->codec) {
        r = delta_encoder_new(&conf, &c->encoder);
        if (r == 0)
            r = delta_decoder_new(&c->decoder);
        if (r == 0)
            r = delta_state_new(&c->state);
    }
    if (r == 0 && c->level)
        r = deflater_new(c->level, &c->deflater);
    if (r == 0 && c->level)
        r = inflater_new(&c->inflater);
    return r;
}

int coder_init(struct coder *c, const struct way *way, int level)
{
    *c = (struct coder){.way = way, .level = level};
    buf_init(&c->plain, BODY_MAX);
    buf_init(&c->packed, BODY_MAX);
    buf_init(&c->unpacked, BODY_MAX);
    batch_init(&c->back, &batch_limits_default);
    int r = make_parts(c);
    if (r)
        coder_done(c);
    return r;
}

void coder_done(struct coder *c)
{
    delta_encoder_free(c->encoder);
    delta_decoder_free(c->decoder);
    delta_state_free(c->state);
    deflater_free(c->deflater);
    inflater_free(c->inflater);
    buf_done(&c->plain);
    buf_done(&c->packed);
    buf_done(&c->unpacked);
    batch_done(&c->back);
}

void coder_begin(struct coder *c)
{
    c->tick = 0;
    if (c->encoder)
        delta_encoder_forget(c->encoder);
}

static int encode(struct coder *c, const struct batch *b)
{
    uint64_t first_tick = c->tick;
    struct delta_place place;

    c->tick += b->n_ticks;
    buf_reset(&c->plain);
    if (c->way->codec)
        return c->way->codec->encode_request(b, &c->plain);
    if (!c->way->chained)
        return delta_encode_alone(c->encoder, b, first_tick, &c->plain);
    return delta_encode_chained(c->encoder, b, first_tick, &c->plain, &place);
}

static int compress(struct coder *c)
{
    buf_reset(&c->packed);
    return c->level ? deflater_gzip(c->deflater, buf_span(&c->plain), &c->packed) : 0;
}

static int decompress(struct coder *c)
{
    buf_reset(&c->unpacked);
    if (c->level == 0)
        return 0;
    return inflater_run(c->inflater, CODING_GZIP, buf_span(&c->packed), &c->unpacked,
                        NULL);
}

static int decode(struct coder *c)
{
    struct span in = buf_span(c->level ? &c->unpacked : &c->plain);
    struct delta_head head;

    batch_reset(&c->back);
    if (c->way->codec)
        return c->way->codec->decode_request(in, &c->back, NULL);
    int r = delta_decoder_open(c->decoder, in, &c->back.limits, &head, NULL);
    if (r == 0)
        r = delta_decoder_run(c->decoder, c->state, &c->back, NULL);
    delta_decoder_reset(c->decoder);
    return r;
}

int coder_step(struct coder *c, enum step step, const struct batch *b)
{
    switch (step) {
    case STEP_ENCODE:
        return encode(c, b);
    case STEP_COMPRESS:
        return compress(c);
    case STEP_DECOMPRESS:
        return decompress(c);
    case STEP_DECODE:
        return decode(c);
    case STEPS:
        break;
    }
    return E_UNSUPPORTED;
}

struct span coder_body(const struct coder *c)
{
    return buf_span(c->level ? &c->packed : &c->plain);
}
