/* SPDX-License-Identifier: MIT */
#include "common/units.h"
#include "pcc/status.h"
#include "tests/lib/bytes.h"
#include "tests/lib/fault.h"
#include "tests/lib/suite.h"

#include <errno.h>
#include <stdio.h>

static struct counters counters;
static struct status status;
static struct buf text;
static struct buf json;

static void set_up(void)
{
    counters = (struct counters){.last_tick_ns = 999 * SEC, .ticks = 7};
    status = (struct status){
        .version = "1.2.3",
        .identifier = "h",
        .server = "http://localhost:8080",
        .serialization = "delta",
        .compression = "gzip",
        .pid = 42,
        .now_ns = 1000 * SEC,
        .start_ns = 900 * SEC,
        .interval_ns = SEC,
        .counters = &counters,
        .stored_ns = 998 * SEC,
        .last_error = "",
    };
    buf_init(&text, STATUS_MAX);
    buf_init(&json, 8 * STATUS_MAX);
}

static void tear_down(void)
{
    buf_done(&text);
    buf_done(&json);
}

static void append(void)
{
    buf_reset(&text);
    ck_assert_int_eq(status_append(&status, &text), 0);
}

static bool has_line(const char *line)
{
    char wanted[256];

    (void)snprintf(wanted, sizeof wanted, "\n%s\n", line);
    return memmem(text.data, text.len, wanted, strlen(wanted)) != NULL;
}

static void assert_state(const char *state, bool well)
{
    append();
    char first[64];
    (void)snprintf(first, sizeof first, "state=%s\n", state);
    ck_assert(span_starts_with(buf_span(&text), span_of_str(first)));
    ck_assert_int_eq(status_is_well(buf_span(&text)), well);
}

START_TEST(state_is_ok_once_something_is_stored)
{
    assert_state("ok", true);
    status.stored_ns = 0;
    assert_state("waiting", true);
    status.server = ""; /* local mode waits for nobody */
    assert_state("ok", true);
}
END_TEST

START_TEST(state_is_failing_after_a_failure)
{
    status.failing = true;
    assert_state("failing", false);
}
END_TEST

START_TEST(state_is_stuck_when_ticks_stay_away)
{
    counters.last_tick_ns = 1000 * SEC - 8 * SEC;
    assert_state("ok", true);
    counters.last_tick_ns--;
    status.failing = true; /* that is the lesser trouble */
    assert_state("stuck", false);
    counters.last_tick_ns = 0; /* none yet: measured from the start */
    assert_state("stuck", false);
    status.start_ns = 999 * SEC;
    assert_state("failing", false);
    counters.last_tick_ns = 1001 * SEC; /* taken after `now` was read */
    assert_state("failing", false);
}
END_TEST

START_TEST(text_tells_ages_counts_and_losses_by_cause)
{
    status.memory = (struct status_waiting){1, 2, 3};
    status.spool = (struct status_waiting){4, 5, 6};
    status.last_error = "no answer";
    status.error_ns = 990 * SEC;
    counters.lost[GAP_FULL] = 11;
    append();
    ck_assert(has_line("server=http://localhost:8080"));
    ck_assert(has_line("tick_age_ms=1000"));
    ck_assert(has_line("stored_age_ms=2000"));
    ck_assert(has_line("memory_batches=1"));
    ck_assert(has_line("memory_measurements=2"));
    ck_assert(has_line("memory_bytes=3"));
    ck_assert(has_line("spool_batches=4"));
    ck_assert(has_line("spool_bytes=6"));
    ck_assert(has_line("last_error=no answer"));
    ck_assert(has_line("last_error_age_ms=10000"));
    ck_assert(has_line("lost_queue_full=11"));
    ck_assert(has_line("lost_behind=0"));
    status.stored_ns = status.error_ns = 0;
    append();
    ck_assert(has_line("stored_age_ms="));
    ck_assert(has_line("last_error_age_ms="));
}
END_TEST

START_TEST(every_cause_has_a_name_of_its_own)
{
    for (int a = 0; a < GAP_IDS; a++) {
        ck_assert_ptr_nonnull(gaps_name((enum gap_id)a));
        for (int b = 0; b < a; b++)
            ck_assert_str_ne(gaps_name((enum gap_id)a), gaps_name((enum gap_id)b));
    }
}
END_TEST

START_TEST(values_stay_in_their_line_and_under_a_limit)
{
    static char long_text[STATUS_MAX];

    memset(long_text, 'x', sizeof long_text - 1);
    long_text[sizeof long_text - 1] = '\0';
    status.last_error = "one\ntwo\x7f\x1b";
    append();
    ck_assert(has_line("last_error=one?two??"));
    status.last_error = status.server = status.identifier = long_text;
    append();
    status.version = status.serialization = status.compression = long_text;
    append();
}
END_TEST

START_TEST(json_has_strings_numbers_and_null)
{
    status.last_error = "a \"b\"";
    status.identifier = "123";
    status.stored_ns = 0;
    append();
    ck_assert_int_eq(status_append_json(buf_span(&text), &json), 0);
    ck_assert_int_eq(buf_append_byte(&json, '\0'), 0);
    const char *got = (const char *)json.data;
    ck_assert_ptr_nonnull(strstr(got, "{\"state\":\"waiting\",\"version\":\"1.2.3\","));
    ck_assert_ptr_nonnull(strstr(got, ",\"pid\":42,\"identifier\":\"123\","));
    ck_assert_ptr_nonnull(strstr(got, ",\"stored_age_ms\":null,"));
    ck_assert_ptr_nonnull(strstr(got, ",\"last_error\":\"a \\\"b\\\"\","));
    ck_assert_ptr_nonnull(strstr(got, "\"lost_stopped\":0}\n"));
}
END_TEST

static const char *const strange[] = {
    "", "\n", "state", "state=ok\n\npid=1\n", "pid=1x\n", "pid=-1\n"};

START_TEST(json_of_what_is_no_status_is_refused)
{
    ck_assert_int_eq(status_append_json(span_of_str(strange[_i]), &json), E_MALFORMED);
    ck_assert_uint_eq(json.len, 0);
}
END_TEST

START_TEST(text_survives_any_failed_allocation)
{
    bool fired = true;

    for (long nth = 0; fired; nth++) {
        CLEANUP(buf_done) struct buf b;
        buf_init(&b, STATUS_MAX);
        fault_arm(nth);
        int r = status_append(&status, &b);
        fired = fault_disarm();
        ck_assert_int_eq(r, fired ? -ENOMEM : 0);
        ck_assert(fired ? b.len == 0 : b.len > 0);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pcc_status");
    TCase *c = tcase_create("status");

    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_add_test(c, state_is_ok_once_something_is_stored);
    tcase_add_test(c, state_is_failing_after_a_failure);
    tcase_add_test(c, state_is_stuck_when_ticks_stay_away);
    tcase_add_test(c, text_tells_ages_counts_and_losses_by_cause);
    tcase_add_test(c, every_cause_has_a_name_of_its_own);
    tcase_add_test(c, values_stay_in_their_line_and_under_a_limit);
    tcase_add_test(c, json_has_strings_numbers_and_null);
    tcase_add_loop_test(c, json_of_what_is_no_status_is_refused, 0, N_OF(strange));
    tcase_add_test(c, text_survives_any_failed_allocation);
    suite_add_tcase(suite, c);
    return suite_run(suite);
}
