/* SPDX-License-Identifier: MIT */
#include "common/units.h"
#include "proto/limits.h"
#include "tests/lib/bytes.h"
#include "tests/lib/suite.h"

#include <inttypes.h>
#include <stdio.h>

#define UNTOUCHED UINT64_C(0x5ca1ab1e)

struct row {
    const char *text;
    int r;
    uint64_t value; /* if r is 0 */
};

static void check_row(const struct row *row,
                      int (*parse)(struct span text, uint64_t *ret))
{
    CLEANUP(bytes_drop) struct span in = suite_exact(span_of_str(row->text));
    uint64_t value = UNTOUCHED;
    int r = parse(in, &value);

    ck_assert_msg(r == row->r, "'%s': result %d, expected %d", row->text, r, row->r);
    ck_assert_msg(value == (r ? UNTOUCHED : row->value), "'%s': %" PRIu64, row->text,
                  value);
}

static const struct row durations[] = {
    {"0", 0, 0},
    {"0s", 0, 0},
    {"0.0s", 0, 0},
    {"0h0m", 0, 0},
    {"1ns", 0, 1},
    {"1us", 0, USEC},
    {"250ms", 0, 250 * MSEC},
    {"10s", 0, 10 * SEC},
    {"010s", 0, 10 * SEC},
    {"1m", 0, MINUTE},
    {"24h", 0, DAY},
    {"1d", 0, DAY},
    {"2h30m", 0, 150 * MINUTE},
    {"1d1h1m1s1ms1us1ns", 0, DAY + HOUR + MINUTE + SEC + MSEC + USEC + 1},
    {"1m1m", 0, 2 * MINUTE},
    {"1.5s", 0, 1500 * MSEC},
    {"1.50s", 0, 1500 * MSEC},
    {"0.25d", 0, 6 * HOUR},
    {"1.5h1.5m", 0, 91 * MINUTE + 30 * SEC},
    {"1.9ns", 0, 1},
    {"0.1234567899s", 0, 123456789},
    {"0.33333333333333333333333333333333333333d", 0, UINT64_C(28799999999999)},
    {"0.99999999999999999999999999999999999999d", 0, DAY - 1},
    {"18446744073709551615ns", 0, UINT64_MAX},
    {"213503d23h34m33s709ms551us615ns", 0, UINT64_MAX},
    {"18446744073.709551615s", 0, UINT64_MAX},
    {"18446744073709551616ns", E_TOO_LARGE, 0},
    {"18446744073.709551616s", E_TOO_LARGE, 0},
    {"18446744073s709551616ns", E_TOO_LARGE, 0},
    {"213504d", E_TOO_LARGE, 0},
    {"213503.99d", E_TOO_LARGE, 0},
    {"99999999999999999999999s", E_TOO_LARGE, 0},
    {"", E_MALFORMED, 0},
    {"10", E_MALFORMED, 0},
    {"00", E_MALFORMED, 0},
    {"0.0", E_MALFORMED, 0},
    {"10s5", E_MALFORMED, 0},
    {"s", E_MALFORMED, 0},
    {"10S", E_MALFORMED, 0},
    {"10sec", E_MALFORMED, 0},
    {"10 s", E_MALFORMED, 0},
    {" 10s", E_MALFORMED, 0},
    {"10s ", E_MALFORMED, 0},
    {"1h 30m", E_MALFORMED, 0},
    {"-1s", E_MALFORMED, 0},
    {"+1s", E_MALFORMED, 0},
    {".5s", E_MALFORMED, 0},
    {"5.s", E_MALFORMED, 0},
    {"5.", E_MALFORMED, 0},
    {"1.5.5s", E_MALFORMED, 0},
    {"1,5s", E_MALFORMED, 0},
    {"1e3s", E_MALFORMED, 0},
    {"0x10s", E_MALFORMED, 0},
    {"0.5ns", E_MALFORMED, 0},
    {"0.0000000001s", E_MALFORMED, 0},
    {"1s0.5ns", E_MALFORMED, 0},
    {"5KiB", E_MALFORMED, 0},
};

START_TEST(durations_are_read_strictly)
{
    check_row(&durations[_i], units_parse_duration);
}
END_TEST

static const struct row sizes[] = {
    {"0", 0, 0},
    {"00", 0, 0},
    {"0B", 0, 0},
    {"0GiB", 0, 0},
    {"65536", 0, 65536},
    {"12B", 0, 12},
    {"64KiB", 0, 64 * KIB},
    {"64K", 0, 64 * KIB},
    {"1MiB", 0, MIB},
    {"1M", 0, MIB},
    {"1GiB", 0, GIB},
    {"1G", 0, GIB},
    {"1TiB", 0, TIB},
    {"1T", 0, TIB},
    {"1kB", 0, 1000},
    {"1KB", 0, 1000},
    {"2MB", 0, 2000000},
    {"2GB", 0, UINT64_C(2000000000)},
    {"2TB", 0, UINT64_C(2000000000000)},
    {"1.5GiB", 0, 1536 * MIB},
    {"0.5KiB", 0, 512},
    {"1.1KiB", 0, 1126},
    {"1.9B", 0, 1},
    {"18446744073709551615", 0, UINT64_MAX},
    {"18446744073709551615B", 0, UINT64_MAX},
    {"16777215TiB", 0, UINT64_MAX - TIB + 1},
    {"16777215.999TiB", 0, UINT64_MAX - UINT64_C(1099511627)},
    {"18446744073709551616", E_TOO_LARGE, 0},
    {"18446744073709551616B", E_TOO_LARGE, 0},
    {"16777216TiB", E_TOO_LARGE, 0},
    {"", E_MALFORMED, 0},
    {"B", E_MALFORMED, 0},
    {"KiB", E_MALFORMED, 0},
    {"1k", E_MALFORMED, 0},
    {"1kib", E_MALFORMED, 0},
    {"1Kib", E_MALFORMED, 0},
    {"1KiBB", E_MALFORMED, 0},
    {"1 KiB", E_MALFORMED, 0},
    {" 1", E_MALFORMED, 0},
    {"1 ", E_MALFORMED, 0},
    {"1.5", E_MALFORMED, 0},
    {"-1", E_MALFORMED, 0},
    {"+1", E_MALFORMED, 0},
    {"1_000", E_MALFORMED, 0},
    {"0x10", E_MALFORMED, 0},
    {"1KiB1", E_MALFORMED, 0},
    {"1KiB1B", E_MALFORMED, 0},
    {"0.5B", E_MALFORMED, 0},
    {"0.0001KiB", E_MALFORMED, 0},
    {"10s", E_MALFORMED, 0},
    {"1PiB", E_MALFORMED, 0},
};

START_TEST(sizes_are_read_strictly)
{
    check_row(&sizes[_i], units_parse_size);
}
END_TEST

static const struct row numbers[] = {
    {"0", 0, 0},
    {"007", 0, 7},
    {"18446744073709551615", 0, UINT64_MAX},
    {"000018446744073709551615", 0, UINT64_MAX},
    {"18446744073709551616", E_TOO_LARGE, 0},
    {"18446744073709551620", E_TOO_LARGE, 0},
    {"100000000000000000000", E_TOO_LARGE, 0},
    {"", E_MALFORMED, 0},
    {" 1", E_MALFORMED, 0},
    {"1 ", E_MALFORMED, 0},
    {"-1", E_MALFORMED, 0},
    {"+1", E_MALFORMED, 0},
    {"1.0", E_MALFORMED, 0},
    {"1a", E_MALFORMED, 0},
    {"a", E_MALFORMED, 0},
    {"18446744073709551616x", E_MALFORMED, 0},
};

START_TEST(numbers_are_digits_and_nothing_else)
{
    check_row(&numbers[_i], units_parse_u64);
}
END_TEST

static const struct row fractions[] = {
    {"0", 0, 0},
    {"0.0", 0, 0},
    {"00.00", 0, 0},
    {"1", 0, 1000000},
    {"0.001", 0, 1000},
    {"0.5", 0, 500000},
    {"0.000001", 0, 1},
    {"0.0000010000", 0, 1},
    {"0.123456", 0, 123456},
    {"0.999999", 0, 999999},
    {"2.25", 0, 2250000},
    {"18446744073709.551615", 0, UINT64_MAX},
    {"18446744073709.551616", E_TOO_LARGE, 0},
    {"18446744073710", E_TOO_LARGE, 0},
    {"18446744073709551616", E_TOO_LARGE, 0},
    {"0.0000001", E_MALFORMED, 0},
    {"0.1234567", E_MALFORMED, 0},
    {"", E_MALFORMED, 0},
    {".", E_MALFORMED, 0},
    {".5", E_MALFORMED, 0},
    {"5.", E_MALFORMED, 0},
    {"0.5.5", E_MALFORMED, 0},
    {"0,5", E_MALFORMED, 0},
    {"-0.5", E_MALFORMED, 0},
    {"+0.5", E_MALFORMED, 0},
    {"1e-3", E_MALFORMED, 0},
    {"5%", E_MALFORMED, 0},
    {" 0.5", E_MALFORMED, 0},
    {"0.5 ", E_MALFORMED, 0},
    {"0.x", E_MALFORMED, 0},
};

START_TEST(fractions_are_read_exactly_or_not_at_all)
{
    check_row(&fractions[_i], units_parse_fraction);
}
END_TEST

/* What stands behind the span is not looked at. */
START_TEST(a_text_ends_where_its_span_ends)
{
    uint64_t value;

    ck_assert_int_eq(units_parse_duration(span_of("10s5m", 3), &value), 0);
    ck_assert_uint_eq(value, 10 * SEC);
    ck_assert_int_eq(units_parse_size(span_of("64KiB", 2), &value), 0);
    ck_assert_uint_eq(value, 64);
    ck_assert_int_eq(units_parse_fraction(span_of("0.25", 3), &value), 0);
    ck_assert_uint_eq(value, 200000);
    ck_assert_int_eq(units_parse_duration(span_of(NULL, 0), &value), E_MALFORMED);
    ck_assert_int_eq(units_parse_fraction(span_of(NULL, 0), &value), E_MALFORMED);
    ck_assert_int_eq(units_parse_size(span_of(NULL, 0), &value), E_MALFORMED);
    ck_assert_int_eq(units_parse_u64(span_of(NULL, 0), &value), E_MALFORMED);
}
END_TEST

static const struct {
    uint64_t value;
    const char *duration;
    const char *size;
} printed[] = {
    {0, "0", "0"},
    {1, "1ns", "1B"},
    {999, "999ns", "999B"},
    {1000, "1us", "1kB"},
    {1024, "1024ns", "1KiB"},
    {1536, "1536ns", "1536B"},
    {1024000, "1024us", "1000KiB"},
    {1000000, "1ms", "1MB"},
    {MIB, "1048576ns", "1MiB"},
    {10 * SEC, "10s", "9765625KiB"},
    {90 * SEC, "90s", "87890625KiB"},
    {24 * HOUR, "1d", "84375000000KiB"},
    {36 * HOUR, "36h", "126562500000KiB"},
    {GIB + MIB, "1074790400ns", "1025MiB"},
    {5 * TIB, "5497558138880ns", "5TiB"},
    {UINT64_MAX, "18446744073709551615ns", "18446744073709551615B"},
};

START_TEST(values_are_printed_as_whole_numbers_of_their_largest_unit)
{
    char text[UNITS_TEXT];

    units_print_duration(printed[_i].value, text);
    ck_assert_str_eq(text, printed[_i].duration);
    units_print_size(printed[_i].value, text);
    ck_assert_str_eq(text, printed[_i].size);
}
END_TEST

static const struct {
    uint64_t millionths;
    const char *text;
} shown[] = {
    {0, "0"},           {1, "0.000001"},
    {10, "0.00001"},    {1000, "0.001"},
    {500000, "0.5"},    {999999, "0.999999"},
    {1000000, "1"},     {10000000, "10"},
    {10500000, "10.5"}, {UINT64_MAX, "18446744073709.551615"},
};

START_TEST(fractions_are_printed_without_zeros_at_their_end)
{
    char text[UNITS_TEXT];

    units_print_fraction(shown[_i].millionths, text);
    ck_assert_str_eq(text, shown[_i].text);
}
END_TEST

static void assert_reads_back(uint64_t value)
{
    char text[UNITS_TEXT];
    uint64_t back = 0;

    units_print_duration(value, text);
    ck_assert_int_eq(units_parse_duration(span_of_str(text), &back), 0);
    ck_assert_uint_eq(back, value);
    units_print_size(value, text);
    ck_assert_int_eq(units_parse_size(span_of_str(text), &back), 0);
    ck_assert_uint_eq(back, value);
    units_print_fraction(value, text);
    ck_assert_int_eq(units_parse_fraction(span_of_str(text), &back), 0);
    ck_assert_uint_eq(back, value);
}

/* Of every magnitude, and often a whole number of some unit. */
START_TEST(what_is_printed_reads_back_to_the_same_value)
{
    static const uint64_t units[] = {1,    USEC, MSEC, SEC, MINUTE,
                                     HOUR, DAY,  KIB,  MIB, GIB};
    uint64_t state = 2;

    for (int i = 0; i < 20000; i++) {
        uint64_t value = bytes_random(&state) >> (bytes_random(&state) % 64);
        uint64_t unit = units[bytes_random(&state) % N_OF(units)];

        assert_reads_back(value);
        assert_reads_back(value / unit * unit);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("units");
    TCase *c = tcase_create("units");

    tcase_add_loop_test(c, durations_are_read_strictly, 0, N_OF(durations));
    tcase_add_loop_test(c, sizes_are_read_strictly, 0, N_OF(sizes));
    tcase_add_loop_test(c, numbers_are_digits_and_nothing_else, 0, N_OF(numbers));
    tcase_add_loop_test(c, fractions_are_read_exactly_or_not_at_all, 0, N_OF(fractions));
    tcase_add_test(c, a_text_ends_where_its_span_ends);
    tcase_add_loop_test(c, values_are_printed_as_whole_numbers_of_their_largest_unit, 0,
                        N_OF(printed));
    tcase_add_loop_test(c, fractions_are_printed_without_zeros_at_their_end, 0,
                        N_OF(shown));
    tcase_add_test(c, what_is_printed_reads_back_to_the_same_value);
    suite_add_tcase(suite, c);
    return suite_run(suite);
}
