/* SPDX-License-Identifier: MIT */
#include "tests/fuzz/near.h"

#include "common/decimal.h"

#define MILLION 1000000u

static bool is_blank(uint8_t byte)
{
    return byte == ' ' || byte == '\t' || byte == '\n';
}

static size_t spaces(struct span s)
{
    size_t n = 0;

    while (n < s.n && s.data[n] == ' ')
        n++;
    return n;
}

/* What comes before the next blank. */
static struct span word(struct span s)
{
    size_t n = 0;

    while (n < s.n && !is_blank(s.data[n]))
        n++;
    return span_of(s.data, n);
}

/* Return: is it a number as it would be written, and *ret its value? */
static bool read_number(struct span word, uint64_t *ret)
{
    for (size_t i = 0; i < word.n; i++)
        if (word.data[i] < '0' || word.data[i] > '9')
            return false;
    if (word.n == 0 || (word.n > 1 && word.data[0] == '0'))
        return false;
    return decimal_read(word.data, word.n, ret) == 0;
}

static bool near_number(struct span got, struct span sent, uint64_t threshold)
{
    uint64_t a, b;

    if (!read_number(got, &a) || !read_number(sent, &b))
        return false;
    uint64_t larger = a > b ? a : b, apart = a > b ? a - b : b - a;
    return (unsigned __int128)apart * MILLION < (unsigned __int128)larger * threshold;
}

/* The spaces before a word and the word, from the start of both. */
static bool near_word(struct span *got, struct span *sent, uint64_t threshold)
{
    size_t before_got = spaces(*got), before_sent = spaces(*sent);
    struct span a = word(span_from(*got, before_got));
    struct span b = word(span_from(*sent, before_sent));

    *got = span_from(*got, before_got + a.n);
    *sent = span_from(*sent, before_sent + b.n);
    if (span_equal(a, b))
        return before_got == before_sent;
    /* It ends in the same place, but for one that takes all of the spaces but one. */
    if (before_got + a.n != before_sent + b.n && before_got != 1 && before_sent != 1 &&
        before_got + before_sent > 0)
        return false;
    return (before_got > 0) == (before_sent > 0) && near_number(a, b, threshold);
}

bool near_text(struct span got, struct span sent, uint64_t threshold)
{
    while (got.n > 0 && sent.n > 0) {
        if (!near_word(&got, &sent, threshold))
            return false;
        /* Blanks that are no spaces: near_word() goes over those. */
        if (got.n > 0 && sent.n > 0 && (got.data[0] != ' ' || sent.data[0] != ' ')) {
            if (got.data[0] != sent.data[0])
                return false;
            got = span_from(got, 1);
            sent = span_from(sent, 1);
        }
    }
    return got.n == 0 && sent.n == 0;
}
