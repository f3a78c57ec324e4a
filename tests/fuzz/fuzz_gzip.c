/* SPDX-License-Identifier: MIT */
#include "common/gzip.h"
#include "pcd/gunzip.h"
#include "tests/fuzz/fuzz.h"

/* input = how:u8 bytes; how: 0 deflate, 1 to 9 gzip, of which the rest is that much
 * compressed when it is written again; more: the bytes are not compressed */
#define LEVELS 9u
#define INFLATED_MAX (64 * KIB)

static struct deflater *deflaters[LEVELS + 1];
static struct inflater *inflater;
static struct gunzip *gunzip;

static void set_up(void)
{
    if (inflater)
        return;
    FUZZ_CHECK(inflater_new(&inflater) == 0);
    FUZZ_CHECK(gunzip_new(&gunzip) == 0);
    for (unsigned level = 1; level <= LEVELS; level++)
        FUZZ_CHECK(deflater_new((int)level, &deflaters[level]) == 0);
}

static void check_again(struct span plain, unsigned level)
{
    CLEANUP(buf_done) struct buf packed;
    CLEANUP(buf_done) struct buf again;

    buf_init(&packed, FUZZ_BODY_MAX);
    buf_init(&again, FUZZ_BODY_MAX);
    FUZZ_CHECK(deflater_gzip(deflaters[level], plain, &packed) == 0);
    FUZZ_CHECK(inflater_run(inflater, CODING_GZIP, buf_span(&packed), &again, NULL) == 0);
    FUZZ_CHECK(span_equal(buf_span(&again), plain));
}

/* What is taken at once is what zlib makes of it, if it takes it. */
static void check_try(struct span in, int r, struct span plain)
{
    CLEANUP(buf_done) struct buf tried;

    buf_init(&tried, INFLATED_MAX);
    FUZZ_CHECK(buf_append_byte(&tried, 'x') == 0);
    FUZZ_CHECK(buf_reserve(&tried, INFLATED_MAX - 1) == 0);
    bool taken = gunzip_try(gunzip, in, &tried);
    FUZZ_CHECK(tried.data[0] == 'x' && tried.cap <= INFLATED_MAX);
    if (!taken)
        FUZZ_CHECK(tried.len == 1);
    else if (r == 0)
        FUZZ_CHECK(span_equal(buf_span(&tried), plain));
    else
        FUZZ_CHECK(r == E_MALFORMED);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    CLEANUP(buf_done) struct buf plain;
    struct fuzz_input in = {span_of(data, n)};
    unsigned how = fuzz_byte(&in);

    set_up();
    buf_init(&plain, INFLATED_MAX);
    if (how > LEVELS) {
        check_again(in.left, 1 + how % LEVELS);
        return 0;
    }
    FUZZ_CHECK(buf_append_byte(&plain, 'x') == 0);
    enum coding coding = how ? CODING_GZIP : CODING_DEFLATE;
    int r = inflater_run(inflater, coding, in.left, &plain, NULL);
    FUZZ_CHECK(r == 0 || r == E_TRUNCATED || r == E_MALFORMED || r == E_TOO_LARGE);
    FUZZ_CHECK(plain.data[0] == 'x' && (r == 0 || plain.len == 1));
    if (coding == CODING_GZIP)
        check_try(in.left, r, buf_span(&plain));
    if (r == 0)
        check_again(span_from(buf_span(&plain), 1), how ? how : 1);
    return 0;
}
