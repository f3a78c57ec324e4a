/* SPDX-License-Identifier: MIT */
#include "common/units.h"
#include "pcc/catchup.h"
#include "tests/lib/suite.h"

START_TEST(connection_is_busy_with_old_batches_for_no_more_than_the_share)
{
    struct catchup c;

    catchup_init(&c, MILLION / 4);
    ck_assert_uint_eq(c.due_ns, 0);
    catchup_sent(&c, 100 * SEC, 2 * SEC);
    ck_assert_uint_eq(c.due_ns, 106 * SEC); /* busy 2 s of 8 */
    catchup_sent(&c, 106 * SEC, 0);
    ck_assert_uint_eq(c.due_ns, 106 * SEC);
}
END_TEST

START_TEST(whole_share_waits_for_nothing)
{
    struct catchup c;

    catchup_init(&c, MILLION);
    catchup_sent(&c, 5 * SEC, 30 * SEC);
    ck_assert_uint_eq(c.due_ns, 5 * SEC);
}
END_TEST

START_TEST(tiny_share_or_slow_server_never_stop_it_for_good)
{
    struct catchup c;

    catchup_init(&c, 1);
    catchup_sent(&c, SEC, 3 * HOUR);
    ck_assert_uint_gt(c.due_ns, SEC);
    ck_assert_uint_le(c.due_ns, SEC + 10 * MINUTE);
}
END_TEST

START_TEST(after_an_outage_it_begins_anew)
{
    struct catchup c;

    catchup_init(&c, MILLION / 2);
    catchup_sent(&c, 5 * SEC, 30 * SEC);
    catchup_restart(&c, 6 * SEC);
    ck_assert_uint_eq(c.due_ns, 6 * SEC);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pcc_catchup");
    TCase *c = tcase_create("catchup");

    tcase_add_test(c, connection_is_busy_with_old_batches_for_no_more_than_the_share);
    tcase_add_test(c, whole_share_waits_for_nothing);
    tcase_add_test(c, tiny_share_or_slow_server_never_stop_it_for_good);
    tcase_add_test(c, after_an_outage_it_begins_anew);
    suite_add_tcase(suite, c);
    return suite_run(suite);
}
