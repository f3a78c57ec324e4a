/* SPDX-License-Identifier: MIT */
#include "common/cursor.h"
#include "tests/lib/bytes.h"
#include "tests/lib/suite.h"

static const char truncated[] = "the input ends too early";

START_TEST(numbers_are_read_in_both_byte_orders)
{
    static const char digits[] = "0102030405060708";
    CLEANUP(bytes_drop) struct span in = bytes_of_hex(digits);
    uint64_t be = 0;

    for (unsigned n = 1; n <= 8; n++) {
        struct cursor c;
        uint64_t le = 0;

        be = be << 8 | n;
        for (unsigned i = n; i > 0; i--)
            le = le << 8 | i;
        cursor_init(&c, in);
        ck_assert_uint_eq(cursor_be(&c, n), be);
        ck_assert_uint_eq(cursor_offset(&c), n);
        cursor_init(&c, in);
        ck_assert_uint_eq(cursor_le(&c, n), le);
        ck_assert_uint_eq(cursor_left(&c), 8 - n);
        ck_assert_int_eq(c.r, 0);
    }
}
END_TEST

START_TEST(numbers_keep_their_highest_bit)
{
    CLEANUP(bytes_drop) struct span in = bytes_of_hex("ffffffffffffffff");
    struct cursor c;

    cursor_init(&c, in);
    ck_assert_uint_eq(cursor_be(&c, 8), UINT64_MAX);
    cursor_init(&c, in);
    ck_assert_uint_eq(cursor_le(&c, 8), UINT64_MAX);
    cursor_init(&c, in);
    ck_assert_uint_eq(cursor_u8(&c), 0xff);
    ck_assert_int_eq(cursor_peek(&c), 0xff);
}
END_TEST

START_TEST(bytes_are_borrowed_from_the_input)
{
    CLEANUP(bytes_drop) struct span in = suite_exact(SPAN("abcdef"));
    struct cursor c;

    cursor_init(&c, in);
    struct span first = cursor_bytes(&c, 2);
    ck_assert_ptr_eq(first.data, in.data);
    ck_assert_uint_eq(first.n, 2);
    ck_assert_uint_eq(cursor_bytes(&c, 0).n, 0);
    ck_assert(span_equal(cursor_bytes(&c, 4), SPAN("cdef")));
    ck_assert_int_eq(c.r, 0);
    ck_assert_int_eq(cursor_peek(&c), -1);
    ck_assert_int_eq(c.r, 0); /* looking is no failure */
}
END_TEST

START_TEST(a_read_past_the_end_takes_nothing_and_says_where)
{
    for (size_t n = 0; n < 8; n++) {
        CLEANUP(bytes_drop) struct span in = suite_exact(span_of("abcdefgh", n));
        struct cursor c;

        cursor_init(&c, in);
        ck_assert_uint_eq(cursor_bytes(&c, n).n, n);
        ck_assert_uint_eq(cursor_u8(&c), 0);
        ck_assert_int_eq(c.r, E_TRUNCATED);
        ck_assert_str_eq(c.why.what, truncated);
        ck_assert_uint_eq(c.why.offset, n);

        cursor_init(&c, in);
        ck_assert_uint_eq(cursor_be(&c, 8), 0);
        ck_assert_int_eq(c.r, E_TRUNCATED);
        ck_assert_uint_eq(c.why.offset, 0);
        ck_assert_uint_eq(cursor_left(&c), 0);

        cursor_init(&c, in);
        ck_assert_uint_eq(cursor_le(&c, 8), 0);
        ck_assert_int_eq(c.r, E_TRUNCATED);
    }
}
END_TEST

/* Lengths as a peer may claim them. */
START_TEST(no_length_is_too_large_to_be_refused)
{
    static const uint64_t lengths[] = {5, UINT32_MAX, (uint64_t)INT64_MAX, UINT64_MAX - 1,
                                       UINT64_MAX};
    CLEANUP(bytes_drop) struct span in = suite_exact(SPAN("abcdef"));
    struct cursor c;

    cursor_init(&c, in);
    ck_assert_uint_eq(cursor_bytes(&c, 2).n, 2);
    struct span got = cursor_bytes(&c, lengths[_i]);
    ck_assert_uint_eq(got.n, 0);
    ck_assert_int_eq(c.r, E_TRUNCATED);
    ck_assert_uint_eq(c.why.offset, 2);
}
END_TEST

START_TEST(the_first_failure_sticks_and_nothing_is_read_after_it)
{
    struct cursor c;

    cursor_init(&c, SPAN("abcdef"));
    ck_assert_uint_eq(cursor_u8(&c), 'a');
    cursor_fail(&c, E_MALFORMED, "no b may come here");
    ck_assert_uint_eq(cursor_u8(&c), 0);
    ck_assert_uint_eq(cursor_be(&c, 4), 0);
    ck_assert_uint_eq(cursor_bytes(&c, 1).n, 0);
    ck_assert_int_eq(cursor_peek(&c), -1);
    cursor_fail(&c, E_TOO_LARGE, "another");
    ck_assert_int_eq(c.r, E_MALFORMED);
    ck_assert_str_eq(c.why.what, "no b may come here");
    ck_assert_uint_eq(c.why.offset, 1);
    ck_assert_uint_eq(c.why.item, ERR_AT_UNKNOWN);
}
END_TEST

START_TEST(an_input_of_nothing_has_nothing)
{
    struct cursor c;

    cursor_init(&c, span_of(NULL, 0));
    ck_assert_uint_eq(cursor_left(&c), 0);
    ck_assert_uint_eq(cursor_offset(&c), 0);
    ck_assert_int_eq(cursor_peek(&c), -1);
    ck_assert_uint_eq(cursor_bytes(&c, 0).n, 0);
    ck_assert_int_eq(c.r, 0);
    ck_assert_uint_eq(cursor_u8(&c), 0);
    ck_assert_int_eq(c.r, E_TRUNCATED);
    ck_assert_uint_eq(c.why.offset, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cursor");
    TCase *c = tcase_create("cursor");

    tcase_add_test(c, numbers_are_read_in_both_byte_orders);
    tcase_add_test(c, numbers_keep_their_highest_bit);
    tcase_add_test(c, bytes_are_borrowed_from_the_input);
    tcase_add_test(c, a_read_past_the_end_takes_nothing_and_says_where);
    tcase_add_loop_test(c, no_length_is_too_large_to_be_refused, 0, 5);
    tcase_add_test(c, the_first_failure_sticks_and_nothing_is_read_after_it);
    tcase_add_test(c, an_input_of_nothing_has_nothing);
    suite_add_tcase(suite, c);
    return suite_run(suite);
}
