/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Texts as kernels write them and as they never would, for the tests of shape and delta.
 */

#include "tests/lib/bytes.h"

static const char *const shape_texts[] = {
    "",
    "0",
    "7",
    "\n",
    "no number at all\n",
    "cpu  373708 4860 107483 67002379 258643 0 12620 0 0 0\n",
    "MemTotal:       16303428 kB\nMemFree:               0 kB\n",
    "  007",
    "   00",
    " 0",
    "  0",
    "   0   0",
    "0.05 0.50 0.5 2899.012 1.\n",
    "-5 - 5 -0 +7\n",
    "eth0: 1 veth12ab34: 2\n",
    "18446744073709551615 18446744073709551616\n",
    "99999999999999999999999999999999999999999999999999999999\n",
    "00000000000000000000000000000000000000000000000000001\n",
    "1\r\n2\r\n",
    "1 2 3 no newline",
    "\t12\t 12\t  12",
    "a  1b  2c",
    "1  2  3",
    "\x01\x02\x03\x04\x05\x06\x07\x08 12 \x7f\x80\xff",
};

/* A text put together from pieces that shapes are made of. */
static inline void shape_random_text(uint64_t *state, struct buf *to)
{
    static const char *const pieces[] = {
        " ", "  ", "    ", "\n", ".", "-", "cpu", "kB", ":", "\x01", "\x04", "\xff", "0",
    };
    size_t n = bytes_random(state) % 40;

    buf_reset(to);
    for (size_t i = 0; i < n; i++) {
        uint64_t dice = bytes_random(state);
        if (dice % 2)
            bytes_put(to, span_of_str(pieces[dice / 2 % N_OF(pieces)]));
        else
            ck_assert_int_eq(buf_append_u64(to, bytes_random(state) >> (dice / 2 % 64)),
                             0);
    }
}

/* Another text that may well have the same shape: some of its digits are others. */
static inline void shape_change_text(uint64_t *state, struct span text, struct buf *to)
{
    buf_reset(to);
    for (size_t i = 0; i < text.n; i++) {
        uint64_t dice = bytes_random(state) % 64;
        uint8_t byte = text.data[i];
        bool is_digit = byte >= '0' && byte <= '9';
        if (is_digit && dice < 8)
            byte = (uint8_t)('0' + bytes_random(state) % 10);
        if (!is_digit || dice != 9)
            bytes_put_one(to, byte);
        if (is_digit && dice == 10)
            bytes_put_one(to, '0');
        if (dice == 11 && byte == ' ')
            bytes_put_one(to, ' ');
    }
}
