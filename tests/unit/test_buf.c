/* SPDX-License-Identifier: MIT */
#include "common/buf.h"
#include "tests/lib/fault.h"
#include "tests/lib/suite.h"

#include <errno.h>

START_TEST(append_keeps_the_bytes_in_order)
{
    CLEANUP(buf_done) struct buf b;

    buf_init(&b, 100);
    ck_assert_int_eq(buf_append(&b, SPAN("ab")), 0);
    ck_assert_int_eq(buf_append_byte(&b, 'c'), 0);
    ck_assert_int_eq(buf_printf(&b, "%d%s", 12, "x"), 0);
    ck_assert_int_eq(buf_append_u64(&b, UINT64_MAX), 0);
    ck_assert(span_equal(buf_span(&b), SPAN("abc12x18446744073709551615")));
}
END_TEST

START_TEST(append_refuses_to_pass_its_limit)
{
    CLEANUP(buf_done) struct buf b;

    buf_init(&b, 10);
    ck_assert_int_eq(buf_append(&b, SPAN("0123456789")), 0);
    ck_assert_int_eq(buf_append_byte(&b, 'x'), E_TOO_LARGE);
    ck_assert_int_eq(buf_append(&b, SPAN("")), 0);
    ck_assert(span_equal(buf_span(&b), SPAN("0123456789")));
    ck_assert_int_eq(buf_reserve(&b, SIZE_MAX), E_TOO_LARGE);
}
END_TEST

START_TEST(zeros_are_appended_within_the_limit)
{
    CLEANUP(buf_done) struct buf b;

    buf_init(&b, 6);
    ck_assert_int_eq(buf_append_zeros(&b, 0), 0);
    ck_assert_int_eq(buf_append(&b, SPAN("abc")), 0);
    ck_assert_int_eq(buf_append_zeros(&b, 4), E_TOO_LARGE);
    ck_assert_uint_eq(b.len, 3);
    memset(buf_tail(&b), 'x', b.cap - b.len);
    ck_assert_int_eq(buf_append_zeros(&b, 3), 0);
    ck_assert(span_equal(buf_span(&b), span_of("abc\0\0", 6)));
}
END_TEST

START_TEST(printf_takes_long_texts)
{
    CLEANUP(buf_done) struct buf b;

    buf_init(&b, 2000);
    ck_assert_int_eq(buf_printf(&b, "%1500d", 7), 0);
    ck_assert_uint_eq(b.len, 1500);
    ck_assert_int_eq(b.data[1499], '7');
    ck_assert_int_eq(buf_printf(&b, "%600d", 7), E_TOO_LARGE);
    ck_assert_uint_eq(b.len, 1500);
}
END_TEST

/* Wherever memory runs out, the buffer keeps exactly the bytes it had. */
START_TEST(append_survives_any_failed_allocation)
{
    bool fired = true;

    for (long nth = 0; fired; nth++) {
        CLEANUP(buf_done) struct buf b;
        size_t before = 0;
        int r = 0;

        buf_init(&b, 4096);
        fault_arm(nth);
        while (r == 0 && b.len < 2000) {
            before = b.len;
            r = buf_append(&b, SPAN("0123456789"));
        }
        fired = fault_disarm();

        ck_assert_int_eq(r, fired ? -ENOMEM : 0);
        if (fired)
            ck_assert_uint_eq(b.len, before);
    }
}
END_TEST

START_TEST(take_moves_and_shrink_frees)
{
    struct buf a;
    struct buf b;

    buf_init(&a, 100);
    buf_init(&b, 50);
    ck_assert_int_eq(buf_append(&a, SPAN("hello")), 0);
    buf_take(&b, &a);
    ck_assert_ptr_null(a.data);
    ck_assert_uint_eq(a.max, 100);
    ck_assert(span_equal(buf_span(&b), SPAN("hello")));
    buf_reset(&b);
    buf_shrink(&b, 64);
    ck_assert_ptr_nonnull(b.data);
    buf_shrink(&b, 63);
    ck_assert_ptr_null(b.data);
    buf_done(&a);
    buf_done(&b);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("buf");
    TCase *c = tcase_create("buf");

    tcase_add_test(c, append_keeps_the_bytes_in_order);
    tcase_add_test(c, append_refuses_to_pass_its_limit);
    tcase_add_test(c, zeros_are_appended_within_the_limit);
    tcase_add_test(c, printf_takes_long_texts);
    tcase_add_test(c, append_survives_any_failed_allocation);
    tcase_add_test(c, take_moves_and_shrink_frees);
    suite_add_tcase(suite, c);
    return suite_run(suite);
}
