/* SPDX-License-Identifier: MIT */
#include "pcd/gunzip.h"

#include <errno.h>
#include <libdeflate.h>
#include <stdlib.h>

/* RFC 1952: the shortest member, in it the flags, and the size that ends it. */
#define MEMBER_BYTES 18u
#define FLAGS_AT 3u
#define FLAG_HEADER_CRC 2u /* of a checksum that libdeflate doesn't look at */
#define SIZE_BYTES 4u

struct gunzip {
    struct libdeflate_decompressor *d;
};

int gunzip_new(struct gunzip **ret)
{
    struct gunzip *g = calloc(1, sizeof *g);

    if (!g)
        return -ENOMEM;
    g->d = libdeflate_alloc_decompressor();
    if (!g->d) {
        free(g);
        return -ENOMEM;
    }
    *ret = g;
    return 0;
}

void gunzip_free(struct gunzip *g)
{
    if (!g)
        return;
    libdeflate_free_decompressor(g->d);
    free(g);
}

/* What the last member says that its text has. */
static size_t claimed_bytes(struct span in)
{
    const uint8_t *at = in.data + in.n - SIZE_BYTES;

    return (size_t)at[0] | (size_t)at[1] << 8 | (size_t)at[2] << 16 | (size_t)at[3] << 24;
}

static bool try_member(struct gunzip *g, struct span *in, struct buf *to)
{
    size_t room = to->cap - to->len;
    size_t taken;
    size_t given;

    if (in->n < MEMBER_BYTES || in->data[FLAGS_AT] & FLAG_HEADER_CRC || room == 0 ||
        libdeflate_gzip_decompress_ex(g->d, in->data, in->n, buf_tail(to), room, &taken,
                                      &given) != LIBDEFLATE_SUCCESS)
        return false;
    *in = span_from(*in, taken);
    buf_commit(to, given);
    return true;
}

bool gunzip_try(struct gunzip *g, struct span in, struct buf *to)
{
    const size_t len_before = to->len;

    /* Believed only where it says that trying is of no use. */
    if (!g || in.n < MEMBER_BYTES || claimed_bytes(in) > to->cap - to->len)
        return false;
    do {
        if (!try_member(g, &in, to)) {
            buf_truncate(to, len_before);
            return false;
        }
    } while (in.n > 0);
    return true;
}

const char *gunzip_version(void)
{
    return LIBDEFLATE_VERSION_STRING;
}
