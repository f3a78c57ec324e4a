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
    struct buf plain;
};

int recode_new(int level, struct recoder **ret)
{
    struct recoder *r = calloc(1, sizeof *r);
    if (!r)
        return -ENOMEM;
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
    buf_done(&r->plain);
    free(r);
}

static void forget(struct recoder *r)
{
    buf_reset(&r->plain);
    buf_shrink(&r->plain, KEEP_MAX);
}

int recode_encode(struct recoder *r, const struct batch *b, struct form form,
                  struct buf *to)
{
    const struct codec *codec = media_codec(form.media);

    buf_reset(to);
    if (form.coding == CODING_IDENTITY)
        return codec->encode_request(b, to);
    int result = codec->encode_request(b, &r->plain);
    if (result == 0)
        result = deflater_gzip(r->deflater, buf_span(&r->plain), to);
    forget(r);
    return result;
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
