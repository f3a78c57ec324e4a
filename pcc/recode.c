/* SPDX-License-Identifier: MIT */
#include "pcc/recode.h"

#include <errno.h>
#include <stdlib.h>

/* Of an encoded body before compression. JSON may need six bytes for one; beyond this no
 * server of ours would take it anyway. */
#define ENCODED_MAX (4 * LIMIT_DECODED_BYTES)
/* A buffer that an unusual batch made larger is given back after it. */
#define KEEP_MAX (2 * MIB)

struct recoder {
    struct deflater *deflater;
    struct inflater
        *inflater; /* made when first needed: as a rule nothing is read back */
    struct delta_encoder_conf delta_conf;
    struct delta_encoder *delta; /* made when first needed: not every server takes it */
    struct buf plain;
};

int recode_new(int level, uint64_t threshold_millionths, struct recoder **ret)
{
    struct recoder *r = calloc(1, sizeof *r);
    if (!r)
        return -ENOMEM;
    r->delta_conf.threshold_millionths = threshold_millionths;
    buf_init(&r->plain, ENCODED_MAX);
    int result = deflater_new(level, &r->deflater);
    if (result) {
        recode_free(r);
        return result;
    }
    *ret = r;
    return 0;
}

void recode_free(struct recoder *r)
{
    if (!r)
        return;
    deflater_free(r->deflater);
    inflater_free(r->inflater);
    delta_encoder_free(r->delta);
    buf_done(&r->plain);
    free(r);
}

static void forget(struct recoder *r)
{
    buf_reset(&r->plain);
    buf_shrink(&r->plain, KEEP_MAX);
}

/* @place: NULL where a batch in delta is to stand alone. */
static int encode_delta(struct recoder *r, const struct batch *b, uint64_t first_tick,
                        struct buf *to, struct delta_place *place)
{
    int result = r->delta ? 0 : delta_encoder_new(&r->delta_conf, &r->delta);

    if (result)
        return result;
    return place ? delta_encode_chained(r->delta, b, first_tick, to, place)
                 : delta_encode_alone(r->delta, b, first_tick, to);
}

static int encode(struct recoder *r, const struct batch *b, struct form form,
                  uint64_t first_tick, struct buf *to, struct delta_place *place)
{
    struct buf *plain = form.coding == CODING_IDENTITY ? to : &r->plain;
    int result = 0;

    buf_reset(to);
    if (form.media == MEDIA_DELTA)
        result = encode_delta(r, b, first_tick, plain, place);
    else
        result = media_codec(form.media)->encode_request(b, plain);
    if (result == 0 && plain != to)
        result = deflater_gzip(r->deflater, buf_span(plain), to);
    forget(r);
    return result;
}

int recode_encode(struct recoder *r, const struct batch *b, struct form form,
                  uint64_t first_tick, struct buf *to)
{
    return encode(r, b, form, first_tick, to, NULL);
}

int recode_encode_chained(struct recoder *r, const struct batch *b, enum coding coding,
                          uint64_t first_tick, struct buf *to, struct delta_place *ret)
{
    const struct form form = {MEDIA_DELTA, coding};
    int result = encode(r, b, form, first_tick, to, ret);

    if (result)
        recode_forget(r); /* the encoder may have done its part */
    return result;
}

void recode_forget(struct recoder *r)
{
    if (r->delta)
        delta_encoder_forget(r->delta);
}

int recode_decode(struct recoder *r, struct span body, struct form form,
                  struct batch *ret)
{
    const struct codec *codec = media_codec(form.media);

    if (form.coding == CODING_IDENTITY)
        return codec->decode_request(body, ret, NULL);
    int result = r->inflater ? 0 : inflater_new(&r->inflater);
    if (result == 0)
        result = inflater_run(r->inflater, form.coding, body, &r->plain, NULL);
    if (result == 0)
        result = codec->decode_request(buf_span(&r->plain), ret, NULL);
    forget(r);
    return result;
}
