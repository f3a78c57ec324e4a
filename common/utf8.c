/* SPDX-License-Identifier: MIT */
#include "common/utf8.h"

#include <assert.h>

#define HIGH_BITS UINT64_C(0x8080808080808080)

/* What may follow a lead byte: how many bytes, and between what the first of them lies
 * (the others between 80 and BF). Unicode 15, table 3-7. */
struct sequence {
    uint8_t n; /* bytes with the lead; 0: no lead byte */
    uint8_t first;
    uint8_t last;
};

static struct sequence sequence_of(uint8_t lead)
{
    if (lead < 0xc2 || lead > 0xf4)
        return (struct sequence){0};
    if (lead < 0xe0)
        return (struct sequence){2, 0x80, 0xbf};
    if (lead < 0xf0)
        return (struct sequence){3, lead == 0xe0 ? 0xa0 : 0x80,
                                 lead == 0xed ? 0x9f : 0xbf};
    return (struct sequence){4, lead == 0xf0 ? 0x90 : 0x80, lead == 0xf4 ? 0x8f : 0xbf};
}

/* Bytes of the sequence beyond ASCII that starts at @at; 0 if it is none. */
static size_t sequence_length(const uint8_t *at, size_t left)
{
    struct sequence s = sequence_of(at[0]);

    if (s.n == 0 || s.n > left || at[1] < s.first || at[1] > s.last)
        return 0;
    for (size_t i = 2; i < s.n; i++) {
        if (at[i] < 0x80 || at[i] > 0xbf)
            return 0;
    }
    return s.n;
}

size_t utf8_valid_prefix(struct span text)
{
    size_t i = 0;

    while (i < text.n) {
        uint64_t eight = HIGH_BITS;
        if (text.n - i >= sizeof eight)
            memcpy(&eight, text.data + i, sizeof eight);
        if ((eight & HIGH_BITS) == 0) {
            i += sizeof eight;
            continue;
        }
        size_t n = text.data[i] < 0x80 ? 1 : sequence_length(text.data + i, text.n - i);
        if (n == 0)
            break;
        i += n;
    }
    return i;
}

size_t utf8_encode(uint32_t scalar, uint8_t ret_bytes[4])
{
    assert(scalar <= 0x10ffff && (scalar < 0xd800 || scalar > 0xdfff));
    if (scalar < 0x80) {
        ret_bytes[0] = (uint8_t)scalar;
        return 1;
    }

    size_t n = scalar < 0x800 ? 2 : scalar < 0x10000 ? 3 : 4;
    static const uint8_t lead[] = {[2] = 0xc0, [3] = 0xe0, [4] = 0xf0};
    for (size_t i = n - 1; i > 0; i--) {
        ret_bytes[i] = (uint8_t)(0x80 | (scalar & 0x3f));
        scalar >>= 6;
    }
    ret_bytes[0] = (uint8_t)(lead[n] | scalar);
    return n;
}
