/* SPDX-License-Identifier: MIT */
#include "common/utf8.h"

#include <string.h>

/* The bytes of the sequence at the front, by the table of RFC 3629 section 4; 0 if it is
 * none. */
static size_t sequence(const uint8_t *p, size_t n)
{
    uint8_t low = 0x80;
    uint8_t high = 0xbf;
    size_t length;

    if (p[0] < 0x80)
        return 1;
    if (p[0] >= 0xc2 && p[0] <= 0xdf)
        length = 2;
    else if (p[0] >= 0xe0 && p[0] <= 0xef)
        length = 3;
    else if (p[0] >= 0xf0 && p[0] <= 0xf4)
        length = 4;
    else
        return 0;
    if (p[0] == 0xe0)
        low = 0xa0; /* shorter forms exist */
    else if (p[0] == 0xed)
        high = 0x9f; /* surrogates */
    else if (p[0] == 0xf0)
        low = 0x90; /* shorter forms exist */
    else if (p[0] == 0xf4)
        high = 0x8f; /* above U+10FFFF */
    if (n < length || p[1] < low || p[1] > high)
        return 0;
    for (size_t i = 2; i < length; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    }
    return length;
}

size_t utf8_valid_prefix(struct span text)
{
    size_t at = 0;

    while (at < text.n) {
        uint64_t eight;

        if (text.n - at >= sizeof eight) {
            memcpy(&eight, text.data + at, sizeof eight);
            if ((eight & UINT64_C(0x8080808080808080)) == 0) {
                at += sizeof eight;
                continue;
            }
        }
        size_t n = sequence(text.data + at, text.n - at);
        if (n == 0)
            break;
        at += n;
    }
    return at;
}

size_t utf8_encode(uint32_t scalar, uint8_t ret_bytes[4])
{
    if (scalar < 0x80) {
        ret_bytes[0] = (uint8_t)scalar;
        return 1;
    }
    if (scalar < 0x800) {
        ret_bytes[0] = (uint8_t)(0xc0 | scalar >> 6);
        ret_bytes[1] = (uint8_t)(0x80 | (scalar & 0x3f));
        return 2;
    }
    if (scalar < 0x10000) {
        ret_bytes[0] = (uint8_t)(0xe0 | scalar >> 12);
        ret_bytes[1] = (uint8_t)(0x80 | (scalar >> 6 & 0x3f));
        ret_bytes[2] = (uint8_t)(0x80 | (scalar & 0x3f));
        return 3;
    }
    ret_bytes[0] = (uint8_t)(0xf0 | scalar >> 18);
    ret_bytes[1] = (uint8_t)(0x80 | (scalar >> 12 & 0x3f));
    ret_bytes[2] = (uint8_t)(0x80 | (scalar >> 6 & 0x3f));
    ret_bytes[3] = (uint8_t)(0x80 | (scalar & 0x3f));
    return 4;
}
