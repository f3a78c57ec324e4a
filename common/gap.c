/* SPDX-License-Identifier: MIT */
#include "common/gap.h"

#include "common/json.h"
#include "common/units.h"

/* Seconds, with the fraction's trailing zeros left out. */
static int append_seconds(uint64_t ns, struct buf *to)
{
    int digits = 9;
    uint64_t fraction = ns % SEC;

    int r = buf_append_u64(to, ns / SEC);
    if (r || fraction == 0)
        return r;
    for (; fraction % 10 == 0; fraction /= 10)
        digits--;
    return buf_printf(to, ".%0*llu", digits, (unsigned long long)fraction);
}

int gap_append_text(const struct gap *g, struct buf *to)
{
    size_t before = to->len;
    int r = buf_append(to, SPAN("{\"kind\":"));

    if (r == 0)
        r = json_append_string(span_of_str(g->kind), to);
    if (r == 0)
        r = buf_append(to, SPAN(",\"from\":"));
    if (r == 0)
        r = append_seconds(g->from_ns, to);
    if (r == 0)
        r = buf_append(to, SPAN(",\"to\":"));
    if (r == 0)
        r = append_seconds(g->to_ns, to);
    if (r == 0)
        r = buf_printf(to, ",\"ticks\":%llu,\"measurements\":%llu,\"reason\":",
                       (unsigned long long)g->ticks, (unsigned long long)g->measurements);
    if (r == 0)
        r = json_append_string(span_of_str(g->reason), to);
    if (r == 0)
        r = buf_append_byte(to, '}');
    if (r)
        buf_truncate(to, before);
    return r;
}
