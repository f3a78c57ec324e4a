/* SPDX-License-Identifier: MIT */
#include "tests/bench/widen.h"

#include <inttypes.h>
#include <stdio.h>

#define LINES_MAX 64u  /* recorded CPUs that are looked at, */
#define FIELDS_MAX 16u /* and numbers in the line of one */

static struct span take_line(struct span *in)
{
    const uint8_t *end = memchr(in->data, '\n', in->n);
    struct span line = span_of(in->data, end ? (size_t)(end - in->data) + 1 : in->n);

    *in = span_from(*in, line.n);
    return line;
}

static bool is_single_cpu(struct span line)
{
    return line.n > 4 && span_starts_with(line, SPAN("cpu")) && line.data[3] >= '0' &&
           line.data[3] <= '9';
}

/* A number of this CPU's own, the same each time. */
static uint64_t own_amount(size_t cpu, size_t field)
{
    uint64_t x = (cpu + 1) * UINT64_C(0x9e3779b97f4a7c15) + field;

    x = (x ^ x >> 31) * UINT64_C(0xbf58476d1ce4e5b9);
    return (x ^ x >> 29) % 5000;
}

/* The counters of a line, those beyond FIELDS_MAX left out. Return: how many. */
static size_t parse(struct span line, uint64_t ret[FIELDS_MAX])
{
    const uint8_t *at = memchr(line.data, ' ', line.n);
    const uint8_t *end = line.data + line.n;
    size_t n = 0;

    while (n < FIELDS_MAX && at && at < end && *at == ' ') {
        ret[n] = 0;
        for (at++; at < end && *at >= '0' && *at <= '9'; at++)
            ret[n] = ret[n] * 10 + (uint64_t)(*at - '0');
        n++;
    }
    return n;
}

static int append_line(const char *name, const uint64_t *values, size_t n, struct buf *to)
{
    int r = buf_append(to, span_of_str(name));

    for (size_t i = 0; r == 0 && i < n; i++)
        r = buf_printf(to, " %" PRIu64, values[i]);
    return r ? r : buf_append_byte(to, '\n');
}

/* The lines of so many CPUs, made of those of @n recorded ones, and before them that of
 * all together. Zeros stay; other counters have a beginning and a pace of their own. */
static int append_cpus(const struct span *recorded, size_t n, size_t cpus, struct buf *to)
{
    CLEANUP(buf_done) struct buf lines;
    uint64_t values[FIELDS_MAX], sums[FIELDS_MAX] = {0};
    char name[32];
    size_t n_fields = 0;
    int r = 0;

    buf_init(&lines, LIMIT_TEXT_BYTES);
    for (size_t cpu = 0; r == 0 && cpu < cpus; cpu++) {
        n_fields = parse(recorded[cpu % n], values);
        for (size_t i = 0; i < n_fields; i++) {
            uint64_t own = own_amount(cpu, i);

            if (values[i])
                values[i] = values[i] * (50 + own % 101) / 100 + own;
            sums[i] += values[i];
        }
        (void)snprintf(name, sizeof(name), "cpu%zu", cpu);
        r = append_line(name, values, n_fields, &lines);
    }
    if (r == 0)
        r = append_line("cpu ", sums, n_fields, to);
    return r ? r : buf_append(to, buf_span(&lines));
}

static int append_stat(struct span text, size_t cpus, struct buf *to)
{
    struct span recorded[LINES_MAX];
    struct span rest = text;
    size_t n = 0;

    (void)take_line(&rest); /* all CPUs together */
    for (text = rest; text.n; text = rest) {
        struct span line = take_line(&rest);

        if (!is_single_cpu(line))
            break;
        if (n < LINES_MAX)
            recorded[n++] = line;
    }
    if (n == 0)
        return E_MALFORMED;
    int r = append_cpus(recorded, n, cpus, to);
    return r ? r : buf_append(to, text);
}

int widen(const struct batch *from, size_t cpus, struct batch *ret)
{
    CLEANUP(buf_done) struct buf text;
    int r = 0;

    buf_init(&text, LIMIT_TEXT_BYTES);
    for (size_t i = 0; r == 0 && i < from->n_items; i++) {
        struct measurement m = batch_get(from, i);

        buf_reset(&text);
        if (span_equal_str(m.subsystem, "/proc/stat")) {
            r = append_stat(m.text, cpus, &text);
            m.text = buf_span(&text);
        }
        if (r == 0 && from->items[i].starts_tick)
            batch_begin_tick(ret);
        if (r == 0)
            r = batch_append(ret, &m);
    }
    return r;
}
