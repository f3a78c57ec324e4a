/* SPDX-License-Identifier: MIT */
#include "common/cursor.h"

#include <assert.h>

void cursor_init(struct cursor *c, struct span input)
{
    *c = (struct cursor){
        .start = input.data,
        .at = input.data,
        .end = input.n ? input.data + input.n : input.data,
        .why = ERR_AT_NOWHERE,
    };
}

void cursor_fail(struct cursor *c, int r, const char *what)
{
    assert(r > 0);
    if (c->r)
        return;
    c->r = r;
    c->why.what = what;
    c->why.offset = cursor_offset(c);
    c->at = c->end;
}

uint8_t cursor_u8(struct cursor *c)
{
    if (c->at == c->end) {
        cursor_fail(c, E_TRUNCATED, "the input ends too early");
        return 0;
    }
    return *c->at++;
}

static const uint8_t *take(struct cursor *c, uint64_t n)
{
    if (n > cursor_left(c)) {
        cursor_fail(c, E_TRUNCATED, "the input ends too early");
        return NULL;
    }
    const uint8_t *at = c->at;
    if (n > 0) /* an absent input has no bytes to point at */
        c->at += n;
    return at;
}

uint64_t cursor_be(struct cursor *c, unsigned n)
{
    assert(n >= 1 && n <= 8);
    const uint8_t *p = take(c, n);
    uint64_t value = 0;

    for (unsigned i = 0; p && i < n; i++)
        value = value << 8 | p[i];
    return value;
}

uint64_t cursor_le(struct cursor *c, unsigned n)
{
    assert(n >= 1 && n <= 8);
    const uint8_t *p = take(c, n);
    uint64_t value = 0;

    for (unsigned i = n; p && i > 0; i--)
        value = value << 8 | p[i - 1];
    return value;
}

struct span cursor_bytes(struct cursor *c, uint64_t n)
{
    const uint8_t *p = take(c, n);

    return p ? span_of(p, (size_t)n) : span_of(NULL, 0);
}
