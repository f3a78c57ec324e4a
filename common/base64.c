/* SPDX-License-Identifier: MIT */
#include "common/base64.h"

#include "common/size.h"

#define NO_DIGIT 64u

static const char digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

int base64_encode(struct span bytes, struct buf *to)
{
    size_t n;
    int r = size_mul(bytes.n / 3 + (bytes.n % 3 > 0), 4, &n);

    if (r == 0)
        r = buf_reserve(to, n);
    if (r)
        return r;

    uint8_t *out = buf_tail(to);
    for (size_t i = 0; i < bytes.n; i += 3) {
        size_t left = bytes.n - i;
        uint32_t group = (uint32_t)bytes.data[i] << 16;
        if (left > 1)
            group |= (uint32_t)bytes.data[i + 1] << 8;
        if (left > 2)
            group |= bytes.data[i + 2];
        *out++ = (uint8_t)digits[group >> 18];
        *out++ = (uint8_t)digits[group >> 12 & 63];
        *out++ = left > 1 ? (uint8_t)digits[group >> 6 & 63] : '=';
        *out++ = left > 2 ? (uint8_t)digits[group & 63] : '=';
    }
    buf_commit(to, n);
    return 0;
}

static uint32_t value_of(uint8_t digit)
{
    if (digit >= 'A' && digit <= 'Z')
        return digit - 'A';
    if (digit >= 'a' && digit <= 'z')
        return digit - 'a' + 26u;
    if (digit >= '0' && digit <= '9')
        return digit - '0' + 52u;
    return digit == '+' ? 62u : digit == '/' ? 63u : NO_DIGIT;
}

/* Decodes 4 digits, of which @padding are missing at the end, to 3 bytes less as many. */
static int decode_group(const uint8_t *at, size_t padding, uint8_t *out)
{
    uint32_t group = 0;

    for (size_t i = 0; i < 4; i++) {
        uint32_t value = i < 4 - padding ? value_of(at[i]) : 0;
        if (value == NO_DIGIT)
            return E_MALFORMED;
        group = group << 6 | value;
    }
    /* The bits that no byte needs say nothing; other than zero they hide a second
     * spelling. */
    if (padding > 0 && (group & ((UINT32_C(1) << 8 * padding) - 1)) != 0)
        return E_MALFORMED;
    for (size_t i = 0; i < 3 - padding; i++)
        out[i] = (uint8_t)(group >> (16 - 8 * i));
    return 0;
}

int base64_decode(struct span text, struct buf *to)
{
    if (text.n % 4 != 0)
        return E_MALFORMED;
    if (text.n == 0)
        return 0;

    size_t padding = 0;
    while (padding < 2 && text.data[text.n - 1 - padding] == '=')
        padding++;
    size_t n = text.n / 4 * 3 - padding;
    int r = buf_reserve(to, n);
    if (r)
        return r;

    uint8_t *out = buf_tail(to);
    for (size_t i = 0; i < text.n; i += 4, out += 3) {
        r = decode_group(text.data + i, i + 4 == text.n ? padding : 0, out);
        if (r)
            return r;
    }
    buf_commit(to, n);
    return 0;
}
