/* SPDX-License-Identifier: MIT */
#include "common/gap.h"
#include "common/units.h"
#include "tests/lib/bytes.h"
#include "tests/lib/fault.h"
#include "tests/lib/suite.h"

#include <errno.h>

static const struct gap example = {
    .kind = "missed",
    .from_ns = UINT64_C(1700000000) * SEC + 500 * MSEC,
    .to_ns = UINT64_C(1700000003) * SEC,
    .ticks = 3,
    .measurements = 15,
    .reason = "the host was \"asleep\"",
};

#define EXAMPLE_TEXT                                                                     \
    "{\"kind\":\"missed\",\"from\":1700000000.5,\"to\":1700000003,\"ticks\":3,"          \
    "\"measurements\":15,\"reason\":\"the host was \\\"asleep\\\"\"}"

START_TEST(a_gap_is_one_compact_object)
{
    CLEANUP(buf_done) struct buf b;

    buf_init(&b, BYTES_ROOM);
    bytes_put(&b, SPAN("before"));
    ck_assert_int_eq(gap_append_text(&example, &b), 0);
    ck_assert(span_equal(buf_span(&b), SPAN("before" EXAMPLE_TEXT)));
}
END_TEST

static const struct {
    uint64_t ns;
    const char *text;
} times[] = {
    {0, "\"from\":0,"},
    {1, "\"from\":0.000000001,"},
    {SEC, "\"from\":1,"},
    {10 * SEC, "\"from\":10,"},
    {SEC + 10 * MSEC, "\"from\":1.01,"},
    {SEC + 123456789, "\"from\":1.123456789,"},
    {SEC + 123456780, "\"from\":1.12345678,"},
    {UINT64_MAX, "\"from\":18446744073.709551615,"},
};

START_TEST(times_have_as_much_fraction_as_they_need)
{
    CLEANUP(buf_done) struct buf b;
    struct gap g = {.kind = "x", .from_ns = times[_i].ns, .reason = ""};

    buf_init(&b, BYTES_ROOM);
    ck_assert_int_eq(gap_append_text(&g, &b), 0);
    ck_assert(span_starts_with(span_from(buf_span(&b), strlen("{\"kind\":\"x\",")),
                               span_of_str(times[_i].text)));
}
END_TEST

START_TEST(a_gap_that_does_not_fit_leaves_the_buffer_as_it_was)
{
    const size_t n = sizeof EXAMPLE_TEXT - 1;

    for (size_t max = 0; max <= n; max++) {
        CLEANUP(buf_done) struct buf b;

        buf_init(&b, 1 + max);
        bytes_put(&b, SPAN("x"));
        int r = gap_append_text(&example, &b);
        ck_assert_int_eq(r, max < n ? E_TOO_LARGE : 0);
        ck_assert_uint_eq(b.len, r ? 1 : 1 + n);
    }
}
END_TEST

START_TEST(a_gap_survives_any_failed_allocation)
{
    bool fired = true;

    for (long nth = 0; fired; nth++) {
        CLEANUP(buf_done) struct buf b;

        buf_init(&b, BYTES_ROOM);
        bytes_put(&b, SPAN("x"));
        fault_arm(nth);
        int r = gap_append_text(&example, &b);
        fired = fault_disarm();

        ck_assert_int_eq(r, fired ? -ENOMEM : 0);
        if (fired)
            ck_assert(span_equal(buf_span(&b), SPAN("x")));
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("gap");
    TCase *c = tcase_create("gap");

    tcase_add_test(c, a_gap_is_one_compact_object);
    tcase_add_loop_test(c, times_have_as_much_fraction_as_they_need, 0, N_OF(times));
    tcase_add_test(c, a_gap_that_does_not_fit_leaves_the_buffer_as_it_was);
    tcase_add_test(c, a_gap_survives_any_failed_allocation);
    suite_add_tcase(suite, c);
    return suite_run(suite);
}
