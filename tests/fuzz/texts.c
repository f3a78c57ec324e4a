/* SPDX-License-Identifier: MIT */
#include "tests/fuzz/texts.h"

#include <inttypes.h>
#include <stdio.h>

#define TEXT_MAX 1024u
#define CHANGES_MAX 16u
#define DIGITS_MAX 20u
#define REPEATED 8u

static const char *const names[TEXTS_SUBSYSTEMS] = {
    "/proc/stat", "/proc/meminfo", "statfs[*]", "pcc/gap", "/proc/loadavg", "b", "a", "c",
};

void texts_init(struct texts *t)
{
    for (size_t i = 0; i < TEXTS_SUBSYSTEMS; i++)
        buf_init(&t->last[i], TEXT_MAX);
    buf_init(&t->next, TEXT_MAX);
}

void texts_done(struct texts *t)
{
    for (size_t i = 0; i < TEXTS_SUBSYSTEMS; i++)
        buf_done(&t->last[i]);
    buf_done(&t->next);
}

/* What doesn't fit is left out: a text is still a text. */
static void put(struct buf *to, struct span bytes)
{
    int r = buf_append(to, bytes);

    FUZZ_CHECK(r == 0 || r == E_TOO_LARGE);
}

static bool is_digit(uint8_t byte)
{
    return byte >= '0' && byte <= '9';
}

/* The run of digits number @which, counted from the first again where there are less;
 * empty where there is none. */
static struct span find_number(struct span text, size_t which)
{
    struct span found = {0};
    size_t n = 0;

    for (size_t pass = 0; pass < 2 && (pass == 0 || n > 0); pass++) {
        size_t wanted = pass ? which % n : which;
        n = 0;
        for (size_t i = 0; i < text.n; i += found.n ? found.n : 1) {
            found = span_of(text.data + i, 0);
            while (i + found.n < text.n && is_digit(text.data[i + found.n]))
                found.n++;
            if (found.n && n++ == wanted)
                return found;
        }
    }
    return (struct span){0};
}

static uint64_t value_of(struct span digits)
{
    uint64_t value = 0;

    for (size_t i = 0; i < digits.n; i++)
        value = value * 10 + (digits.data[i] - '0');
    return value;
}

static uint64_t difference(unsigned how, struct fuzz_input *from)
{
    unsigned bytes = how >> 1 & 7;

    /* Most changes are small, in either direction. */
    return bytes ? fuzz_number(from, bytes + 1) : (uint64_t)(int8_t)fuzz_byte(from);
}

/* How many spaces stand before a place. */
static size_t spaces_before(struct span text, size_t at)
{
    size_t n = 0;

    while (n < at && text.data[at - 1 - n] == ' ')
        n++;
    return n;
}

/* Replaces a number in @t->next; as in a column, it may take or leave the spaces before.
 */
static void change_number(struct texts *t, struct fuzz_input *from)
{
    struct span which = find_number(buf_span(&t->next), fuzz_byte(from));
    unsigned how = fuzz_byte(from);
    uint64_t by = difference(how, from);
    CLEANUP(buf_done) struct buf old;
    char digits[DIGITS_MAX + 2];

    buf_init(&old, TEXT_MAX);
    if (!which.n)
        return;
    put(&old, buf_span(&t->next));
    size_t start = (size_t)(which.data - t->next.data), end = start + which.n;
    size_t n = (size_t)snprintf(digits, sizeof digits, "%" PRIu64, value_of(which) + by);
    size_t spaces = how & 1 ? spaces_before(buf_span(&old), start) : 0;

    buf_truncate(&t->next, start - spaces);
    for (size_t i = 0; i < spaces && (i == 0 || i + n < spaces + which.n); i++)
        put(&t->next, SPAN(" "));
    put(&t->next, span_of(digits, n));
    put(&t->next, span_from(buf_span(&old), end));
}

static void change_numbers(struct texts *t, struct fuzz_input *from)
{
    size_t n = fuzz_byte(from) % CHANGES_MAX;

    for (size_t i = 0; i < n; i++)
        change_number(t, from);
}

static void change_bytes(struct texts *t, struct span last, struct fuzz_input *from)
{
    size_t at = last.n ? fuzz_number(from, 2) % last.n : 0;
    size_t gone = fuzz_byte(from);
    unsigned how = fuzz_byte(from);
    struct span bytes = fuzz_bytes(from, how >> 2);

    put(&t->next, span_of(last.data, at));
    /* Long texts from few bytes of input. */
    for (size_t i = 0; i < (how & 1 ? REPEATED : 1); i++)
        put(&t->next, bytes);
    put(&t->next, span_from(last, at + gone));
}

struct measurement texts_next(struct texts *t, unsigned what, struct fuzz_input *from)
{
    struct buf *last = &t->last[what & 7];

    buf_reset(&t->next);
    switch (what >> 3 & 3) {
    case 0:
        put(&t->next, fuzz_bytes(from, fuzz_byte(from)));
        break;
    case 1:
        put(&t->next, buf_span(last));
        break;
    case 2:
        put(&t->next, buf_span(last));
        change_numbers(t, from);
        break;
    default:
        change_bytes(t, buf_span(last), from);
        break;
    }
    buf_reset(last);
    put(last, buf_span(&t->next));
    return (struct measurement){.subsystem = span_of_str(names[what & 7]),
                                .text = buf_span(last)};
}
