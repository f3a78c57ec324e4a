/* SPDX-License-Identifier: MIT */
#include "common/gap.h"

#include "common/json.h"
#include "common/units.h"
#include "proto/wire.h"

#include <inttypes.h>
#include <stdio.h>

#define TIME_TEXT 32

/* Seconds, without zeros at the end of the fraction. */
static void print_time(uint64_t ns, char ret_text[TIME_TEXT])
{
    int n = snprintf(ret_text, TIME_TEXT, "%" PRIu64 ".%09" PRIu64, ns / SEC, ns % SEC);

    while (ret_text[n - 1] == '0')
        n--;
    if (ret_text[n - 1] == '.')
        n--;
    ret_text[n] = 0;
}

static int append(const struct gap *g, struct buf *to)
{
    char from[TIME_TEXT];
    char till[TIME_TEXT];

    print_time(g->from_ns, from);
    print_time(g->to_ns, till);
    int r = buf_append(to, SPAN("{\"" WIRE_GAP_KIND "\":"));
    if (r)
        return r;
    r = json_append_string(span_of_str(g->kind), to);
    if (r)
        return r;
    r = buf_printf(to,
                   ",\"" WIRE_GAP_FROM "\":%s,\"" WIRE_GAP_TO "\":%s,\"" WIRE_GAP_TICKS
                   "\":%" PRIu64 ",\"" WIRE_GAP_MEASUREMENTS "\":%" PRIu64
                   ",\"" WIRE_GAP_REASON "\":",
                   from, till, g->ticks, g->measurements);
    if (r)
        return r;
    r = json_append_string(span_of_str(g->reason), to);
    if (r)
        return r;
    return buf_append_byte(to, '}');
}

int gap_append_text(const struct gap *g, struct buf *to)
{
    size_t before = to->len;
    int r = append(g, to);

    if (r)
        buf_truncate(to, before);
    return r;
}
