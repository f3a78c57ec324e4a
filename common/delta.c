/* SPDX-License-Identifier: MIT */
#include "common/delta.h"

#include "common/msgpack.h"
#include "common/msgpack_encode.h"
#include "proto/wire.h"

/*
 * The form as one of the codecs: for who reads or writes a batch now and then. Answers
 * and pings are those of MessagePack.
 */

static int decode_request(struct span in, struct batch *ret, struct err_at *reterr_at)
{
    struct delta_decoder *d;
    struct delta_head head;

    int r = delta_decoder_new(&d);
    if (r)
        return r;
    r = delta_decoder_open(d, in, &ret->limits, &head, reterr_at);
    if (r == 0)
        r = delta_decoder_run(d, NULL, ret, reterr_at);
    delta_decoder_free(d);
    return r;
}

static int encode_request(const struct batch *b, struct buf *to)
{
    const struct delta_encoder_conf conf = {.threshold_millionths = 0};
    struct delta_encoder *e;

    int r = delta_encoder_new(&conf, &e);
    if (r)
        return r;
    r = delta_encode_alone(e, b, 0, to);
    delta_encoder_free(e);
    return r;
}

static int decode_answer(struct span in, struct answer *ret, struct err_at *reterr_at)
{
    return msgpack_codec.decode_answer(in, ret, reterr_at);
}

static int decode_ping(struct span in, struct ping *ret, struct err_at *reterr_at)
{
    return msgpack_codec.decode_ping(in, ret, reterr_at);
}

static int decode_pong(struct span in, struct pong *ret, struct err_at *reterr_at)
{
    return msgpack_codec.decode_pong(in, ret, reterr_at);
}

const struct codec delta_codec = {
    .media_type = WIRE_TYPE_DELTA,
    .decode_request = decode_request,
    .encode_request = encode_request,
    .decode_answer = decode_answer,
    .encode_answer = msgpack_encode_answer,
    .decode_ping = decode_ping,
    .encode_ping = msgpack_encode_ping,
    .decode_pong = decode_pong,
    .encode_pong = msgpack_encode_pong,
};
