/* SPDX-License-Identifier: MIT */
#include "common/buf.h"

#include "common/decimal.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define BUF_FIRST 64u

void buf_init(struct buf *b, size_t max)
{
    *b = (struct buf){.max = max};
}

void buf_done(struct buf *b)
{
    free(b->data);
    *b = (struct buf){.max = b->max};
}

int buf_reserve(struct buf *b, size_t more)
{
    /* Subtract, never add: len + more could wrap. */
    if (more > b->max - b->len)
        return E_TOO_LARGE;
    if (more <= b->cap - b->len)
        return 0;

    size_t want = b->len + more;
    size_t cap = b->cap ? b->cap : BUF_FIRST;
    while (cap < want && cap <= b->max / 2)
        cap *= 2;
    if (cap < want || cap > b->max)
        cap = b->max;

    uint8_t *data = realloc(b->data, cap);
    if (!data)
        return -ENOMEM;
    b->data = data;
    b->cap = cap;
    return 0;
}

void buf_commit(struct buf *b, size_t n)
{
    assert(n <= b->cap - b->len);
    b->len += n;
}

/* As buf_reserve(), which it spares who needs none. */
static inline int reserve(struct buf *b, size_t more)
{
    return more <= b->cap - b->len ? 0 : buf_reserve(b, more);
}

int buf_append(struct buf *b, struct span bytes)
{
    int r = reserve(b, bytes.n);
    if (r)
        return r;
    if (bytes.n > 0)
        memcpy(b->data + b->len, bytes.data, bytes.n);
    b->len += bytes.n;
    return 0;
}

int buf_append_byte(struct buf *b, uint8_t byte)
{
    int r = reserve(b, 1);
    if (r)
        return r;
    b->data[b->len++] = byte;
    return 0;
}

int buf_append_zeros(struct buf *b, size_t n)
{
    int r = reserve(b, n);
    if (r)
        return r;
    if (n > 0)
        memset(b->data + b->len, 0, n);
    b->len += n;
    return 0;
}

int buf_printf(struct buf *b, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (n < 0)
        return -errno;

    /* vsnprintf ends with a NUL, which needs a byte of room but isn't ours to keep. */
    char small[256];
    if ((size_t)n < sizeof small) {
        va_start(args, format);
        (void)vsnprintf(small, sizeof small, format, args);
        va_end(args);
        return buf_append(b, span_of(small, (size_t)n));
    }
    char *large = malloc((size_t)n + 1);
    if (!large)
        return -ENOMEM;
    va_start(args, format);
    (void)vsnprintf(large, (size_t)n + 1, format, args);
    va_end(args);
    int r = buf_append(b, span_of(large, (size_t)n));
    free(large);
    return r;
}

int buf_append_u64(struct buf *b, uint64_t value)
{
    unsigned n = decimal_size(value);
    int r = reserve(b, n);

    if (r == 0) {
        decimal_write(value, n, buf_tail(b));
        b->len += n;
    }
    return r;
}

void buf_truncate(struct buf *b, size_t len)
{
    assert(len <= b->len);
    b->len = len;
}

void buf_shrink(struct buf *b, size_t keep)
{
    assert(b->len == 0);
    if (b->cap > keep)
        buf_done(b);
}

void buf_take(struct buf *to, struct buf *from)
{
    assert(!to->data);
    *to = *from;
    *from = (struct buf){.max = from->max};
}
