/* SPDX-License-Identifier: MIT */
#include "common/gzip.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>

#define ZLIB_CONST
#include <zlib.h>

/* zlib's windowBits: the logarithm of the window's size, at most 15; 16 more mean gzip
 * instead of zlib. */
#define WINDOW_BITS_MIN 12
#define WINDOW_BITS_MAX 15
#define WINDOW_ZLIB WINDOW_BITS_MAX
#define WINDOW_GZIP (WINDOW_BITS_MAX + 16)
/* One less halves what is taken beside the window. zlib's default for the largest is 8;
 * the smaller ones get a little more than their share, as chains are long otherwise. */
#define MEM_LEVEL(window_bits) ((window_bits) < WINDOW_BITS_MAX ? (window_bits)-6 : 8)

/* The first byte of every gzip member. */
#define GZIP_ID1 0x1f

/* Room asked for where a buffer is full. */
#define STEP_BYTES 4096u

struct deflater {
    z_stream z; /* holds a stream where window_bits isn't 0 */
    int level;
    int window_bits;
};

struct inflater {
    z_stream z;
    uint8_t too_much; /* where zlib may write what has no room */
};

/* zlib counts in unsigned int: what is larger goes in pieces. */
static uInt piece(size_t n)
{
    return n < UINT_MAX ? (uInt)n : UINT_MAX;
}

/* Lends zlib the free end of a buffer, grown if it has none. Return: as buf_reserve(). */
static int lend_tail(z_stream *z, struct buf *to)
{
    if (to->len == to->cap) {
        size_t left = to->max - to->len;
        int r = buf_reserve(to, left > 0 && left < STEP_BYTES ? left : STEP_BYTES);
        if (r)
            return r;
    }
    z->next_out = buf_tail(to);
    z->avail_out = piece(to->cap - to->len);
    return 0;
}

/* Takes back what lend_tail() lent. */
static void take_tail(const z_stream *z, struct buf *to)
{
    buf_commit(to, (size_t)(z->next_out - buf_tail(to)));
}

static void lend_input(z_stream *z, struct span in)
{
    z->next_in = in.data;
    z->avail_in = piece(in.n);
}

/* What is left of the input that lend_input() lent. */
static struct span unread(const z_stream *z, struct span in)
{
    return span_from(in, (size_t)(z->next_in - in.data));
}

int deflater_new(int level, struct deflater **ret)
{
    assert(level >= 1 && level <= 9);
    struct deflater *d = calloc(1, sizeof *d);
    if (!d)
        return -ENOMEM;
    d->level = level;
    *ret = d;
    return 0;
}

static void drop_stream(struct deflater *d)
{
    if (d->window_bits == 0)
        return;
    /* It only says whether a stream was in the middle of something. */
    (void)deflateEnd(&d->z);
    d->window_bits = 0;
}

void deflater_free(struct deflater *d)
{
    if (!d)
        return;
    drop_stream(d);
    free(d);
}

/* Of the smallest window that holds so much. */
static int window_bits_for(size_t n)
{
    int bits = WINDOW_BITS_MIN;

    while (bits < WINDOW_BITS_MAX && n > (size_t)1 << bits)
        bits++;
    return bits;
}

/* Makes a stream ready for an input of @n bytes. */
static int start_stream(struct deflater *d, size_t n)
{
    int bits = window_bits_for(n);
    int z;

    if (bits <= d->window_bits) {
        z = deflateReset(&d->z);
        assert(z == Z_OK);
        return 0;
    }
    drop_stream(d);
    z = deflateInit2(&d->z, d->level, Z_DEFLATED, bits + 16, MEM_LEVEL(bits),
                     Z_DEFAULT_STRATEGY);
    if (z == Z_MEM_ERROR)
        return -ENOMEM;
    assert(z == Z_OK);
    d->window_bits = bits;
    return 0;
}

int deflater_gzip(struct deflater *d, struct span in, struct buf *to)
{
    const size_t len_before = to->len;
    int r = start_stream(d, in.n);
    if (r)
        return r;

    for (int z = Z_OK; z != Z_STREAM_END;) {
        assert(z == Z_OK);
        r = lend_tail(&d->z, to);
        if (r) {
            buf_truncate(to, len_before);
            return r;
        }
        lend_input(&d->z, in);
        z = deflate(&d->z, in.n <= UINT_MAX ? Z_FINISH : Z_NO_FLUSH);
        in = unread(&d->z, in);
        take_tail(&d->z, to);
    }
    return 0;
}

int inflater_new(struct inflater **ret)
{
    struct inflater *i = calloc(1, sizeof *i);
    if (!i)
        return -ENOMEM;
    int z = inflateInit2(&i->z, WINDOW_GZIP);
    if (z == Z_MEM_ERROR) {
        free(i);
        return -ENOMEM;
    }
    assert(z == Z_OK);
    *ret = i;
    return 0;
}

void inflater_free(struct inflater *i)
{
    if (!i)
        return;
    (void)inflateEnd(&i->z);
    free(i);
}

static void reset(struct inflater *i, int window_bits)
{
    int z = inflateReset2(&i->z, window_bits);

    assert(z == Z_OK);
    (void)z;
}

/* Runs zlib once. Return: 0 and its result; as lend_tail(); E_TOO_LARGE. */
static int inflate_some(struct inflater *i, struct span *in, struct buf *to, int *ret)
{
    z_stream *z = &i->z;
    /* A full buffer must not keep zlib from the end of the member, so it gets a byte
     * that nobody wants: if it writes there, there was more. */
    bool is_full = to->len == to->max;

    if (is_full) {
        z->next_out = &i->too_much;
        z->avail_out = 1;
    } else {
        int r = lend_tail(z, to);
        if (r)
            return r;
    }
    lend_input(z, *in);
    *ret = inflate(z, Z_NO_FLUSH);
    *in = unread(z, *in);
    if (!is_full)
        take_tail(z, to);
    return is_full && z->avail_out == 0 ? E_TOO_LARGE : 0;
}

/* Takes a member from the start of the input. */
static int inflate_member(struct inflater *i, struct span *in, struct buf *to,
                          const char **ret_why)
{
    int done = Z_OK;

    while (done == Z_OK) {
        int r = inflate_some(i, in, to, &done);
        if (r)
            return r;
    }
    switch (done) {
    case Z_STREAM_END:
        return 0;
    case Z_BUF_ERROR: /* no input left, and there was room for output */
        return E_TRUNCATED;
    case Z_MEM_ERROR:
        return -ENOMEM;
    default: /* Z_DATA_ERROR, and Z_NEED_DICT without a message */
        assert(done != Z_STREAM_ERROR);
        *ret_why = i->z.msg ? i->z.msg : "a preset dictionary is not supported";
        return E_MALFORMED;
    }
}

/* Takes gzip members until the input ends. */
static int inflate_members(struct inflater *i, struct span *in, struct buf *to,
                           const char **ret_why)
{
    int r;

    do {
        if (in->n > 0 && in->data[0] != GZIP_ID1) {
            *ret_why = "not a gzip member";
            return E_MALFORMED;
        }
        reset(i, WINDOW_GZIP);
        r = inflate_member(i, in, to, ret_why);
    } while (r == 0 && in->n > 0);
    return r;
}

static int inflate_zlib(struct inflater *i, struct span *in, struct buf *to,
                        const char **ret_why)
{
    reset(i, WINDOW_ZLIB);
    int r = inflate_member(i, in, to, ret_why);
    if (r == 0 && in->n > 0) {
        *ret_why = "bytes behind the end of the compressed data";
        r = E_MALFORMED;
    }
    return r;
}

int inflater_run(struct inflater *i, enum coding coding, struct span in, struct buf *to,
                 struct err_at *reterr_at)
{
    const size_t len_before = to->len;
    struct span left = in;
    const char *why = NULL;
    int r;

    assert(coding == CODING_GZIP || coding == CODING_DEFLATE);
    if (coding == CODING_GZIP)
        r = inflate_members(i, &left, to, &why);
    else
        r = inflate_zlib(i, &left, to, &why);
    if (r == 0)
        return 0;
    buf_truncate(to, len_before);
    if (r == E_TRUNCATED)
        why = "the compressed data ends too early";
    if (r == E_TOO_LARGE)
        why = "the data is larger than allowed once decompressed";
    if (reterr_at)
        *reterr_at =
            (struct err_at){.what = why, .offset = in.n - left.n, .item = ERR_AT_UNKNOWN};
    return r;
}
