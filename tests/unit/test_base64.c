/* SPDX-License-Identifier: MIT */
#include "common/base64.h"
#include "tests/lib/bytes.h"
#include "tests/lib/fault.h"
#include "tests/lib/suite.h"

#include <errno.h>

/* RFC 4648, section 10, and the digits that it has no example of. */
static const struct {
    const char *bytes; /* in hexadecimal */
    const char *text;
} pairs[] = {
    {"", ""},
    {"66", "Zg=="},
    {"666f", "Zm8="},
    {"666f6f", "Zm9v"},
    {"666f6f62", "Zm9vYg=="},
    {"666f6f6261", "Zm9vYmE="},
    {"666f6f626172", "Zm9vYmFy"},
    {"000000", "AAAA"},
    {"ffffff", "////"},
    {"fbefbe", "++++"},
    {"00108310518720928b30d38f41149351559761969b71d79f8218a39259a7a29aabb2dbafc31cb3d35db"
     "7e3"
     "9ebbf3dfbf",
     "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"},
};

START_TEST(examples_are_encoded_and_decoded)
{
    CLEANUP(bytes_drop) struct span bytes = bytes_of_hex(pairs[_i].bytes);
    CLEANUP(bytes_drop) struct span text = suite_exact(span_of_str(pairs[_i].text));
    CLEANUP(buf_done) struct buf out;

    buf_init(&out, BYTES_ROOM);
    bytes_put(&out, SPAN("x"));
    ck_assert_int_eq(base64_encode(bytes, &out), 0);
    ck_assert(span_equal(span_from(buf_span(&out), 1), text));
    buf_truncate(&out, 1);
    ck_assert_int_eq(base64_decode(text, &out), 0);
    ck_assert(span_equal(span_from(buf_span(&out), 1), bytes));
}
END_TEST

START_TEST(any_bytes_come_back)
{
    uint64_t dice = 1;

    for (size_t n = 0; n < 300; n++) {
        uint8_t bytes[300];
        CLEANUP(buf_done) struct buf text;
        CLEANUP(buf_done) struct buf again;
        for (size_t i = 0; i < n; i++)
            bytes[i] = (uint8_t)bytes_random(&dice);
        buf_init(&text, BYTES_ROOM);
        buf_init(&again, n);
        ck_assert_int_eq(base64_encode(span_of(bytes, n), &text), 0);
        ck_assert_uint_eq(text.len, (n + 2) / 3 * 4);
        ck_assert_int_eq(base64_decode(buf_span(&text), &again), 0);
        ck_assert(span_equal(buf_span(&again), span_of(bytes, n)));
    }
}
END_TEST

static const char *const malformed[] = {
    "Z",      "Zg",     "Zg=",      "=",    "==",      "====",    "Z===",
    "A===",   "Zg==Z",  "Zg==Zg==", /* padding only at the end */
    "Zg==\n", "Zm9v\n", "\nZm9",    " Zg=", "Zg=\n",   "Zm 9", /* no white space */
    "Zh==",   "Zo==",   "Zm9=",     "Zm+=",                    /* spare bits not zero */
    "Zm-_",   "Zm9.",   "Zm9@",     "Zm9[", "Zm9`",    "Zm9{",    "Zm9:",
    "Zm9,",   "=m9v",   "Z=9v",     "Zm=v", "Zm9\x80", "Zm9\xff", "Zm9vZm9vZ=9v",
};

START_TEST(anything_else_is_malformed)
{
    CLEANUP(bytes_drop) struct span text = suite_exact(span_of_str(malformed[_i]));
    CLEANUP(buf_done) struct buf out;

    buf_init(&out, BYTES_ROOM);
    bytes_put(&out, SPAN("x"));
    ck_assert_int_eq(base64_decode(text, &out), E_MALFORMED);
    ck_assert(span_equal(buf_span(&out), SPAN("x")));
}
END_TEST

START_TEST(nul_is_no_digit)
{
    CLEANUP(buf_done) struct buf out;

    buf_init(&out, BYTES_ROOM);
    ck_assert_int_eq(base64_decode(SPAN("Zm\0v"), &out), E_MALFORMED);
}
END_TEST

START_TEST(output_stays_within_the_buffers_maximum)
{
    CLEANUP(buf_done) struct buf out;

    buf_init(&out, 8);
    ck_assert_int_eq(base64_encode(SPAN("1234567"), &out), E_TOO_LARGE);
    ck_assert_uint_eq(out.len, 0);
    ck_assert_int_eq(base64_encode(SPAN("123456"), &out), 0);
    ck_assert_uint_eq(out.len, 8);
    ck_assert_int_eq(base64_encode(span_of(out.data, SIZE_MAX), &out), E_TOO_LARGE);
    ck_assert_uint_eq(out.len, 8);

    buf_reset(&out);
    ck_assert_int_eq(base64_decode(SPAN("MTIzNDU2Nzg5"), &out), E_TOO_LARGE);
    ck_assert_uint_eq(out.len, 0);
    ck_assert_int_eq(base64_decode(SPAN("MTIzNDU2Nzg="), &out), 0);
    ck_assert(span_equal(buf_span(&out), SPAN("12345678")));
}
END_TEST

START_TEST(a_failed_allocation_changes_nothing)
{
    CLEANUP(buf_done) struct buf out;

    buf_init(&out, BYTES_ROOM);
    fault_arm(0);
    int encoded = base64_encode(SPAN("a"), &out);
    fault_arm(0);
    int decoded = base64_decode(SPAN("YQ=="), &out);
    ck_assert(fault_disarm());
    ck_assert_int_eq(encoded, -ENOMEM);
    ck_assert_int_eq(decoded, -ENOMEM);
    ck_assert_uint_eq(out.len, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("base64");
    TCase *c = tcase_create("base64");

    tcase_add_loop_test(c, examples_are_encoded_and_decoded, 0, N_OF(pairs));
    tcase_add_test(c, any_bytes_come_back);
    tcase_add_loop_test(c, anything_else_is_malformed, 0, N_OF(malformed));
    tcase_add_test(c, nul_is_no_digit);
    tcase_add_test(c, output_stays_within_the_buffers_maximum);
    tcase_add_test(c, a_failed_allocation_changes_nothing);
    suite_add_tcase(suite, c);
    return suite_run(suite);
}
