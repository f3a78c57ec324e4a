/* SPDX-License-Identifier: MIT */
#include "tests/bench/collection.h"

#include "common/io.h"
#include "common/json.h"

#include <fcntl.h>

void collection_init(struct batch *b)
{
    struct batch_limits limits = batch_limits_default;

    limits.measurements = COLLECTION_MAX;
    limits.bytes = COLLECTION_MAX;
    batch_init(b, &limits);
}

int collection_read(const char *path, struct batch *b)
{
    CLEANUP(buf_done) struct buf file;

    buf_init(&file, COLLECTION_MAX);
    int r = io_read_file(AT_FDCWD, path, &file);
    struct span left = buf_span(&file);

    while (r == 0 && left.n) {
        const uint8_t *end = memchr(left.data, '\n', left.n);
        size_t n = end ? (size_t)(end - left.data) + 1 : left.n;

        r = json_decode_line(span_of(left.data, n), b, NULL);
        left = span_from(left, n);
    }
    return r;
}

int collection_cut(const struct batch *collection, size_t from, size_t n,
                   struct batch *ret)
{
    size_t end = from;

    while (end < collection->n_items &&
           (end - from < n || !collection->items[end].starts_tick))
        end++;
    return batch_append_range(ret, collection, from, end - from);
}
