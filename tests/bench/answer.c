/* SPDX-License-Identifier: MIT */
#include "tests/bench/answer.h"

#include "common/units.h"
#include "proto/wire.h"

/* Takes a line, without its end, from the front of @in. Return: was there one? */
static bool take_line(struct span *in, struct span *ret_line)
{
    const uint8_t *end = memmem(in->data, in->n, "\r\n", 2);

    if (!end)
        return false;
    *ret_line = span_of(in->data, (size_t)(end - in->data));
    *in = span_from(*in, ret_line->n + 2);
    return true;
}

/* HTTP/1.1 200 OK */
static int parse_status(struct span line, struct http_answer *ret)
{
    uint64_t status;

    if (!span_starts_with(line, SPAN("HTTP/1.")) || line.n < sizeof("HTTP/1.1 200") - 1)
        return E_MALFORMED;
    if (units_parse_u64(span_of(line.data + sizeof("HTTP/1.1 ") - 1, 3), &status))
        return E_MALFORMED;
    ret->status = (unsigned)status;
    return 0;
}

static int parse_header(struct span line, struct http_answer *ret, uint64_t *ret_length)
{
    const uint8_t *colon = memchr(line.data, ':', line.n);

    if (!colon)
        return E_MALFORMED;
    struct span name = span_of(line.data, (size_t)(colon - line.data));
    struct span value = span_trim(span_from(line, name.n + 1));

    if (span_equal_nocase(name, SPAN(WIRE_CONTENT_LENGTH)))
        return units_parse_u64(value, ret_length);
    if (span_equal_nocase(name, SPAN(WIRE_STORED))) {
        ret->has_stored = true;
        return units_parse_u64(value, &ret->stored);
    }
    if (span_equal_nocase(name, SPAN(WIRE_REPLAYED)))
        ret->replayed = span_equal_nocase(value, SPAN("true"));
    if (span_equal_nocase(name, SPAN(WIRE_CONNECTION)))
        ret->closes = span_equal_nocase(value, SPAN("close"));
    return 0;
}

int http_answer_parse(struct span in, struct http_answer *ret)
{
    struct http_answer a = {0};
    struct span rest = in, line;
    uint64_t length = UINT64_MAX;

    if (!take_line(&rest, &line))
        return E_TRUNCATED;
    int r = parse_status(line, &a);

    while (r == 0) {
        if (!take_line(&rest, &line))
            return E_TRUNCATED;
        if (line.n == 0)
            break;
        r = parse_header(line, &a, &length);
    }
    if (r || length == UINT64_MAX)
        return E_MALFORMED;
    if (length > rest.n)
        return E_TRUNCATED;
    a.body = span_of(rest.data, (size_t)length);
    a.n = in.n - rest.n + (size_t)length;
    *ret = a;
    return 0;
}
