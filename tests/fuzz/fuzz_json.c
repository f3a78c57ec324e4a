/* SPDX-License-Identifier: MIT */
#include "common/json.h"
#include "tests/fuzz/fuzz.h"
#include "tests/lib/same.h"

/* A line that is read is written, and read again the same. */
static void check_line(struct span in)
{
    CLEANUP(batch_done) struct batch b;
    CLEANUP(batch_done) struct batch again;
    CLEANUP(buf_done) struct buf line;

    batch_init(&b, &fuzz_limits);
    batch_init(&again, &fuzz_limits);
    buf_init(&line, FUZZ_BODY_MAX);
    if (json_decode_line(in, &b, NULL)) {
        FUZZ_CHECK(b.n_items == 0 && b.bytes.len == 0);
        return;
    }
    struct measurement m = batch_get(&b, 0);
    FUZZ_CHECK(json_append_line(&m, &line) == 0);
    FUZZ_CHECK(json_decode_line(buf_span(&line), &again, NULL) == 0);
    FUZZ_CHECK(same_batch(&b, &again));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    fuzz_codec(&json_codec, span_of(data, n));
    check_line(span_of(data, n));
    return 0;
}
