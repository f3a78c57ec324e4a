/* SPDX-License-Identifier: MIT */
#include "common/msgpack.h"
#include "tests/fuzz/fuzz.h"

#define NODES 1000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct span in = span_of(data, n);
    int r = msgpack_walk(in, NODES, LIMIT_NESTING, NULL);

    FUZZ_CHECK(r == 0 || r == E_TRUNCATED || r == E_MALFORMED || r == E_TOO_LARGE);
    fuzz_codec(&msgpack_codec, in);
    return 0;
}
