/* SPDX-License-Identifier: MIT */
#include "common/span.h"

static uint8_t lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c | 0x20) : c;
}

bool span_equal_nocase(struct span a, struct span b)
{
    if (a.n != b.n)
        return false;
    for (size_t i = 0; i < a.n; i++) {
        if (lower(a.data[i]) != lower(b.data[i]))
            return false;
    }
    return true;
}

bool span_starts_with(struct span s, struct span prefix)
{
    return s.n >= prefix.n && span_equal(span_of(s.data, prefix.n), prefix);
}

struct span span_trim(struct span s)
{
    while (s.n > 0 && (s.data[0] == ' ' || s.data[0] == '\t'))
        s = span_from(s, 1);
    while (s.n > 0 && (s.data[s.n - 1] == ' ' || s.data[s.n - 1] == '\t'))
        s.n--;
    return s;
}
