/* SPDX-License-Identifier: MIT */
#include "common/msgpack.h"
#include "common/units.h"
#include "tests/lib/batches.h"
#include "tests/lib/bytes.h"
#include "tests/lib/fault.h"
#include "tests/lib/suite.h"
#include "tests/unit/msgpack_golden.h"

#include <errno.h>

static int decode(const struct buf *in, struct batch *ret)
{
    CLEANUP(bytes_drop) struct span copy = suite_exact(buf_span(in));

    return msgpack_codec.decode_request(copy, ret, NULL);
}

static void make_golden(struct batch *b)
{
    batch_init(b, &batch_limits_default);
    ck_assert_int_eq(batch_set_identifier(b, SPAN("h1")), 0);
    batches_add(b, GOLDEN_TIME * SEC, SPAN("/proc/stat"), SPAN("cpu 1\n"));
}

START_TEST(request_is_written_as_the_go_encoder_does)
{
    CLEANUP(bytes_drop) struct span want = bytes_of_hex(GOLDEN);
    CLEANUP(batch_done) struct batch b;
    CLEANUP(buf_done) struct buf out;

    make_golden(&b);
    buf_init(&out, BYTES_ROOM);
    bytes_put(&out, SPAN("before"));
    ck_assert_int_eq(msgpack_codec.encode_request(&b, &out), 0);
    ck_assert(span_starts_with(buf_span(&out), SPAN("before")));
    ck_assert(span_equal(span_from(buf_span(&out), 6), want));
}
END_TEST

/* A measurement with nanoseconds whose text is no UTF-8, and one with neither. */
static const char full[] =
    "82a169a26831a16d92"
    "84a954696d657374616d70d300000000695eaf93ab4e616e6f7365636f6e6473ce3b9ac9ff"
    "a953756273797374656da161ab4d6561737572656d656e74c402ff0a"
    "83a954696d657374616d70d300000000695eaf94"
    "a953756273797374656da162ab4d6561737572656d656e74a0";

static void make_full(struct batch *b)
{
    batch_init(b, &batch_limits_default);
    ck_assert_int_eq(batch_set_identifier(b, SPAN("h1")), 0);
    batches_add(b, GOLDEN_TIME * SEC + 999999999, SPAN("a"), SPAN("\xff\n"));
    batches_add(b, (GOLDEN_TIME + 1) * SEC, SPAN("b"), SPAN(""));
}

START_TEST(request_writes_nanoseconds_and_any_bytes)
{
    CLEANUP(bytes_drop) struct span want = bytes_of_hex(full);
    CLEANUP(batch_done) struct batch b;
    CLEANUP(batch_done) struct batch back;
    CLEANUP(buf_done) struct buf out;

    make_full(&b);
    buf_init(&out, BYTES_ROOM);
    ck_assert_int_eq(msgpack_codec.encode_request(&b, &out), 0);
    ck_assert(span_equal(buf_span(&out), want));
    batch_init(&back, &batch_limits_default);
    ck_assert_int_eq(decode(&out, &back), 0);
    batches_assert_same(&b, &back);
    ck_assert_uint_eq(back.n_ticks, 2);
}
END_TEST

static void make_random(struct batch *b, uint64_t *state)
{
    uint8_t bytes[70000];
    size_t n_items = bytes_random(state) % 40;

    ck_assert_int_eq(batch_set_identifier(b, SPAN("wëb-01")), 0);
    for (size_t i = 0; i < n_items; i++) {
        uint64_t x = bytes_random(state);
        /* All three length classes of str and bin, valid UTF-8 and not. */
        size_t n = x % (x & 0x100 ? 40 : x & 0x200 ? 400 : sizeof bytes);
        for (size_t k = 0; k < n; k++)
            bytes[k] = (uint8_t)(bytes_random(state) & (x & 0x400 ? 0x7f : 0xff));
        uint64_t seconds =
            LIMIT_TIMESTAMP_MIN +
            bytes_random(state) % (LIMIT_TIMESTAMP_MAX - LIMIT_TIMESTAMP_MIN + 1);
        uint64_t ns = x & 0x800 ? bytes_random(state) % SEC : 0;
        char name[] = "/proc/xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx";
        batches_add(b, seconds * SEC + ns,
                    span_of(name, bytes_random(state) % sizeof name), span_of(bytes, n));
    }
}

START_TEST(request_comes_back_as_it_went)
{
    uint64_t state = 7;
    CLEANUP(batch_done) struct batch b;
    CLEANUP(batch_done) struct batch back;
    CLEANUP(buf_done) struct buf out;

    batch_init(&b, &batch_limits_default);
    batch_init(&back, &batch_limits_default);
    buf_init(&out, LIMIT_DECODED_BYTES);
    for (int round = 0; round < 50; round++) {
        batch_reset(&b);
        batch_reset(&back);
        buf_reset(&out);
        make_random(&b, &state);
        ck_assert_int_eq(msgpack_codec.encode_request(&b, &out), 0);
        ck_assert_int_eq(decode(&out, &back), 0);
        batches_assert_same(&b, &back);
    }
}
END_TEST

/* What fits again behind a part that did not must not hide that. */
START_TEST(request_that_does_not_fit_leaves_the_buffer)
{
    const size_t whole = 3 + strlen(full) / 2;
    CLEANUP(batch_done) struct batch b;

    make_full(&b);
    for (size_t max = 3; max <= whole; max++) {
        CLEANUP(buf_done) struct buf out;
        buf_init(&out, max);
        bytes_put(&out, SPAN("abc"));
        int r = msgpack_codec.encode_request(&b, &out);
        ck_assert_int_eq(r, max == whole ? 0 : E_TOO_LARGE);
        if (r)
            ck_assert(span_equal(buf_span(&out), SPAN("abc")));
    }
}
END_TEST

/* MessagePack has 32 bits for a length: more must not be cut to fit. */
START_TEST(request_with_a_length_beyond_32_bits_is_refused)
{
    CLEANUP(batch_done) struct batch b;
    CLEANUP(buf_done) struct buf out;

    make_golden(&b);
    buf_init(&out, SIZE_MAX);
    b.items[0].text_n = (size_t)UINT32_MAX + 1;
    ck_assert_int_eq(msgpack_codec.encode_request(&b, &out), E_TOO_LARGE);
    b.items[0].text_n = 0;
    b.items[0].subsystem_n = (size_t)UINT32_MAX + 1;
    ck_assert_int_eq(msgpack_codec.encode_request(&b, &out), E_TOO_LARGE);
    b.n_items = (size_t)UINT32_MAX + 1;
    ck_assert_int_eq(msgpack_codec.encode_request(&b, &out), E_TOO_LARGE);
    ck_assert_uint_eq(out.len, 0);
}
END_TEST

START_TEST(request_survives_any_failed_allocation)
{
    CLEANUP(batch_done) struct batch b;
    bool fired = true;

    make_golden(&b);
    for (long nth = 0; fired; nth++) {
        CLEANUP(buf_done) struct buf out;
        buf_init(&out, BYTES_ROOM);
        bytes_put(&out, SPAN("abc"));
        fault_arm(nth);
        int r = msgpack_codec.encode_request(&b, &out);
        fired = fault_disarm();
        ck_assert_int_eq(r, fired ? -ENOMEM : 0);
        if (fired)
            ck_assert(span_equal(buf_span(&out), SPAN("abc")));
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("msgpack_encode");
    TCase *c = tcase_create("request");

    tcase_add_test(c, request_is_written_as_the_go_encoder_does);
    tcase_add_test(c, request_writes_nanoseconds_and_any_bytes);
    tcase_add_test(c, request_comes_back_as_it_went);
    tcase_add_test(c, request_that_does_not_fit_leaves_the_buffer);
    tcase_add_test(c, request_with_a_length_beyond_32_bits_is_refused);
    tcase_add_test(c, request_survives_any_failed_allocation);
    tcase_set_timeout(c, 60);
    suite_add_tcase(suite, c);
    return suite_run(suite);
}
