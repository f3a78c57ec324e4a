/* SPDX-License-Identifier: MIT */
#include "common/json_string.h"

#include "common/utf8.h"

#include <endian.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

/* Every name that anybody asks for is shorter. */
#define NAME_MAX_BYTES 32u

/* A byte in each of the eight places of a word. */
#define EIGHT(byte) (UINT64_C(0x0101010101010101) * (byte))

/* Sets the high bit of the bytes of @x below @n (at most 0x80); borrowing may set those
 * of bytes above one that is set, so only the lowest is to be relied on. */
static inline uint64_t bytes_below(uint64_t x, uint8_t n)
{
    return (x - EIGHT(n)) & ~x & EIGHT(0x80);
}

static inline bool is_special(uint8_t c)
{
    return c < 0x20 || c == '"' || c == '\\' || c >= 0x80;
}

#ifdef __SSE2__
/* Sets the bits of those of 16 bytes that are special. */
static inline unsigned special_of_16(const uint8_t *at)
{
    __m128i x = _mm_loadu_si128((const __m128i *)(const void *)at);
    /* Signed: those from 0x80 are below 0x20, too. */
    __m128i found = _mm_cmplt_epi8(x, _mm_set1_epi8(0x20));

    found = _mm_or_si128(found, _mm_cmpeq_epi8(x, _mm_set1_epi8('"')));
    found = _mm_or_si128(found, _mm_cmpeq_epi8(x, _mm_set1_epi8('\\')));
    return (unsigned)_mm_movemask_epi8(found);
}
#endif

/* The first byte that is not printable ASCII, or is a quotation mark or a backslash. */
static inline const uint8_t *find_special(const uint8_t *at, const uint8_t *end)
{
#ifdef __SSE2__
    while (end - at >= 16) {
        unsigned found = special_of_16(at);
        if (found)
            return at + __builtin_ctz(found);
        at += 16;
    }
#endif
    while (end - at >= 8) {
        uint64_t x;
        memcpy(&x, at, sizeof x);
        x = le64toh(x);
        uint64_t found = bytes_below(x, 0x20) | bytes_below(x ^ EIGHT('"'), 1) |
                         bytes_below(x ^ EIGHT('\\'), 1) | (x & EIGHT(0x80));
        if (found)
            return at + __builtin_ctzll(found) / 8;
        at += 8;
    }
    while (at < end && !is_special(*at))
        at++;
    return at;
}

/* A byte beyond ASCII with the continuation bytes behind it, as many as may belong to it.
 */
static size_t character_bytes(const uint8_t *at, const uint8_t *end)
{
    size_t n = 1;

    while (n < 4 && at + n < end && (at[n] & 0xc0) == 0x80)
        n++;
    return n;
}

/* The end of the valid UTF-8 beyond ASCII that starts at @at. A character at a time,
 * since looking farther would make a long run of invalid bytes cost its length for each.
 */
static const uint8_t *skip_characters(const uint8_t *at, const uint8_t *end)
{
    while (at < end && *at >= 0x80) {
        size_t n = character_bytes(at, end);
        size_t valid = utf8_valid_prefix(span_of(at, n));
        at += valid;
        if (valid < n)
            break;
    }
    return at;
}

/* The end of what a string holds as it is: all but quotation marks, backslashes, control
 * characters and invalid UTF-8. */
static const uint8_t *skip_plain(const uint8_t *at, const uint8_t *end)
{
    for (;;) {
        at = find_special(at, end);
        const uint8_t *after = skip_characters(at, end);
        if (after == at)
            return at;
        at = after;
    }
}

static int hex_value(int c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static uint32_t read_four_digits(struct cursor *c)
{
    uint32_t unit = 0;

    for (int i = 0; i < 4; i++) {
        int digit = hex_value(cursor_peek(c));
        if (digit < 0 && cursor_left(c) > 0)
            cursor_fail(c, E_MALFORMED, "not four hexadecimal digits");
        (void)cursor_u8(c); /* fails at the end of the input */
        unit = unit << 4 | ((uint32_t)digit & 15);
    }
    return unit;
}

/* \uXXXX, of which the u is taken; a character above U+FFFF takes two of them. */
static uint32_t read_unicode(struct cursor *c)
{
    uint32_t unit = read_four_digits(c);

    if (unit < 0xd800 || unit > 0xdfff)
        return unit;
    if (unit > 0xdbff || cursor_u8(c) != '\\' || cursor_u8(c) != 'u')
        cursor_fail(c, E_MALFORMED, "half a surrogate pair");
    uint32_t low = read_four_digits(c);
    if (low < 0xdc00 || low > 0xdfff)
        cursor_fail(c, E_MALFORMED, "half a surrogate pair");
    return 0x10000 + ((unit & 0x3ff) << 10 | (low & 0x3ff));
}

/* An escape, of which the backslash is taken; the character, or anything on failure. */
static uint32_t read_escape(struct cursor *c)
{
    switch (cursor_u8(c)) {
    case 'n':
        return '\n';
    case '"':
        return '"';
    case '\\':
        return '\\';
    case '/':
        return '/';
    case 't':
        return '\t';
    case 'r':
        return '\r';
    case 'b':
        return '\b';
    case 'f':
        return '\f';
    case 'u':
        return read_unicode(c);
    default:
        cursor_fail(c, E_MALFORMED, "unknown escape");
        return 0;
    }
}

/* Is the character that the cursor is at cut off by the end of the input? */
static bool is_cut(const struct cursor *c)
{
    size_t n = character_bytes(c->at, c->end);

    return n == cursor_left(c) && n < 2u + (*c->at >= 0xe0) + (*c->at >= 0xf0);
}

/* Says why a string can't go on here. */
static void refuse(struct cursor *c)
{
    if (cursor_left(c) == 0)
        cursor_fail(c, E_TRUNCATED, "the input ends within a string");
    else if (*c->at < 0x20)
        cursor_fail(c, E_MALFORMED, "a control character in a string");
    else if (is_cut(c))
        cursor_fail(c, E_TRUNCATED, "the input ends within a character");
    else
        cursor_fail(c, E_MALFORMED, "not valid UTF-8");
}

struct json_string json_string_read(struct cursor *c)
{
    const uint8_t *from = c->at;
    size_t spared = 0; /* by writing what the escapes stand for */

    for (;;) {
        c->at = skip_plain(c->at, c->end);
        const uint8_t *at = c->at;
        int next = cursor_peek(c);
        if (next == '\\') {
            uint8_t bytes[4];
            c->at++;
            uint32_t scalar = read_escape(c);
            if (c->r)
                return (struct json_string){0};
            spared += (size_t)(c->at - at) - utf8_encode(scalar, bytes);
        } else if (next == '"') {
            c->at++;
            struct span raw = span_of(from, (size_t)(at - from));
            return (struct json_string){raw, raw.n - spared};
        } else {
            refuse(c);
            return (struct json_string){0};
        }
    }
}

size_t json_string_write(const struct json_string *s, uint8_t *to, size_t room)
{
    struct cursor c;
    size_t n = 0;

    cursor_init(&c, s->raw);
    while (cursor_left(&c) > 0 && n < room) {
        const uint8_t *escape = memchr(c.at, '\\', cursor_left(&c));
        size_t run = (size_t)((escape ? escape : c.end) - c.at);
        if (run > room - n)
            run = room - n;
        memcpy(to + n, c.at, run);
        n += run;
        c.at += run;
        if (c.at != escape)
            continue;
        uint8_t bytes[4];
        c.at++;
        size_t size = utf8_encode(read_escape(&c), bytes);
        if (size > room - n)
            break;
        memcpy(to + n, bytes, size);
        n += size;
    }
    return n;
}

bool json_string_equals(const struct json_string *s, const char *name)
{
    uint8_t bytes[NAME_MAX_BYTES];

    if (s->n == s->raw.n)
        return span_equal_str(s->raw, name);
    return span_equal_str(span_of(bytes, json_string_write(s, bytes, sizeof bytes)),
                          name);
}

static int append_escape(uint8_t c, struct buf *to)
{
    switch (c) {
    case '\n':
        return buf_append(to, SPAN("\\n"));
    case '"':
        return buf_append(to, SPAN("\\\""));
    case '\\':
        return buf_append(to, SPAN("\\\\"));
    case '\t':
        return buf_append(to, SPAN("\\t"));
    case '\r':
        return buf_append(to, SPAN("\\r"));
    case '\b':
        return buf_append(to, SPAN("\\b"));
    case '\f':
        return buf_append(to, SPAN("\\f"));
    default:
        return buf_printf(to, "\\u%04x", c);
    }
}

int json_string_append(struct span text, struct buf *to, bool *ret_valid)
{
    const size_t before = to->len;
    const uint8_t *at = text.data;
    const uint8_t *end = text.n ? at + text.n : at;
    bool valid = true;

    int r = buf_append_byte(to, '"');
    while (r == 0 && at < end) {
        const uint8_t *stop = skip_plain(at, end);
        r = buf_append(to, span_of(at, (size_t)(stop - at)));
        at = stop;
        if (r || at == end)
            break;
        if (*at < 0x80) {
            r = append_escape(*at++, to);
            continue;
        }
        r = buf_append(to, SPAN("\xef\xbf\xbd"));
        valid = false;
        at++;
    }
    if (r == 0)
        r = buf_append_byte(to, '"');
    if (r) {
        buf_truncate(to, before);
        return r;
    }
    *ret_valid = valid;
    return 0;
}
