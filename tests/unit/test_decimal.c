/* SPDX-License-Identifier: MIT */
#include "common/decimal.h"
#include "tests/lib/bytes.h"
#include "tests/lib/suite.h"

#include <inttypes.h>
#include <stdio.h>

static void check(uint64_t value)
{
    char expected[32];
    uint8_t written[DECIMAL_MAX];
    uint64_t read = 0;
    int n = snprintf(expected, sizeof expected, "%" PRIu64, value);

    ck_assert_uint_eq(decimal_size(value), (unsigned)n);
    decimal_write(value, (unsigned)n, written);
    ck_assert_mem_eq(written, expected, (size_t)n);
    ck_assert_int_eq(decimal_read(written, (size_t)n, &read), 0);
    ck_assert_uint_eq(read, value);
}

START_TEST(numbers_are_written_and_read_at_each_power_of_ten_and_two)
{
    uint64_t ten = 1;

    check(UINT64_MAX);
    for (int i = 0; i < 20; i++, ten *= 10) {
        check(ten - 1);
        check(ten);
        check(ten + 1);
    }
    for (int i = 0; i < 64; i++) {
        check((UINT64_C(1) << i) - 1);
        check(UINT64_C(1) << i);
    }
}
END_TEST

START_TEST(numbers_are_written_and_read_whatever_they_are)
{
    uint64_t state = 3;

    for (int i = 0; i < 10000; i++)
        check(bytes_random(&state) >> (i % 64));
}
END_TEST

/* Each half is worked out by itself: with all of each, all numbers are seen. */
START_TEST(eight_digits_are_told_apart)
{
    for (uint64_t i = 0; i < 10000; i++) {
        uint64_t value = i * 10000 + (9999 - i);
        uint64_t eight = decimal_eight(value);
        char expected[16];
        (void)snprintf(expected, sizeof expected, "%08" PRIu64, value);
        for (unsigned k = 0; k < 8; k++)
            ck_assert_uint_eq(eight >> 8 * k & 0xff, (uint64_t)(expected[k] - '0'));
    }
}
END_TEST

START_TEST(zeros_in_front_are_read)
{
    uint64_t value = 0;

    ck_assert_int_eq(
        decimal_read((const uint8_t *)"000000000000000000000000000018446744073709551615",
                     48, &value),
        0);
    ck_assert_uint_eq(value, UINT64_MAX);
}
END_TEST

START_TEST(a_number_past_64_bits_is_too_large_and_changes_nothing)
{
    uint64_t value = 5;

    ck_assert_int_eq(decimal_read((const uint8_t *)"18446744073709551616", 20, &value),
                     E_TOO_LARGE);
    ck_assert_int_eq(decimal_read((const uint8_t *)"99999999999999999999", 20, &value),
                     E_TOO_LARGE);
    ck_assert_int_eq(decimal_read((const uint8_t *)"100000000000000000000", 21, &value),
                     E_TOO_LARGE);
    ck_assert_uint_eq(value, 5);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("decimal");
    TCase *c = tcase_create("decimal");

    tcase_add_test(c, numbers_are_written_and_read_at_each_power_of_ten_and_two);
    tcase_add_test(c, numbers_are_written_and_read_whatever_they_are);
    tcase_add_test(c, eight_digits_are_told_apart);
    tcase_add_test(c, zeros_in_front_are_read);
    tcase_add_test(c, a_number_past_64_bits_is_too_large_and_changes_nothing);
    suite_add_tcase(suite, c);
    return suite_run(suite);
}
