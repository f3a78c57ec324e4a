/* SPDX-License-Identifier: MIT */
#include "common/units.h"
#include "pcd/stats.h"
#include "tests/lib/fault.h"
#include "tests/lib/suite.h"

#include <errno.h>
#include <stdlib.h>

#define PAGE_BYTES 65536u

static struct stats stats;
static const struct stats_view view = {
    .version = "1",
    .revision = "r",
    .libmicrohttpd = "m",
    .zlib = "z",
    .msgpack = "p",
    .connections = 7,
    .hosts = {.recent = 3},
    .delta = {.states = 4, .bytes = 5, .evicted = 6, .not_kept = 8, .conflicts = 9},
    .delta_bytes_max = 10,
    .store = {.log_failed = true, .recovery = {.duration_ns = 1500 * MSEC}},
};
static char page[PAGE_BYTES + 1];

static void setup(void)
{
    stats = (struct stats){0};
}

/* The page as a text. */
static void render(void)
{
    CLEANUP(buf_done) struct buf b;

    buf_init(&b, PAGE_BYTES);
    ck_assert_int_eq(stats_render(&stats, &view, &b), 0);
    memcpy(page, b.data, b.len);
    page[b.len] = '\0';
}

static void assert_line(const char *line)
{
    size_t n = strlen(line);
    const char *at = page;

    while (at && (strncmp(at, line, n) != 0 || at[n] != '\n')) {
        at = strchr(at, '\n');
        at = at ? at + 1 : NULL;
    }
    ck_assert_msg(at != NULL, "no line %s", line);
}

START_TEST(answers_are_counted_by_route_and_code)
{
    stats_request(&stats, STATS_TRICKLE, 200);
    stats_request(&stats, STATS_TRICKLE, 200);
    stats_request(&stats, STATS_TRICKLE, 409);
    stats_request(&stats, STATS_TRICKLE, 507);
    stats_request(&stats, STATS_OTHER, 404);
    stats_request(&stats, STATS_PING, 299);
    render();
    assert_line("pcd_requests_total{route=\"trickle\",code=\"200\"} 2");
    assert_line("pcd_requests_total{route=\"trickle\",code=\"409\"} 1");
    assert_line("pcd_requests_total{route=\"trickle\",code=\"507\"} 1");
    assert_line("pcd_requests_total{route=\"other\",code=\"404\"} 1");
    assert_line("pcd_requests_total{route=\"ping\",code=\"0\"} 1");
    assert_line("pcd_requests_total{route=\"metrics\",code=\"200\"} 0");
    ck_assert_ptr_null(strstr(page, "code=\"413\""));
}
END_TEST

START_TEST(counters_add_up)
{
    stats_add(&stats, STATS_MEASUREMENTS, 100);
    stats_add(&stats, STATS_MEASUREMENTS, UINT64_C(1) << 40);
    render();
    assert_line("pcd_measurements_total 1099511627876");
    assert_line("pcd_batches_total 0");
}
END_TEST

START_TEST(buckets_hold_what_is_at_most_their_bound)
{
    stats_observe(&stats, STATS_SYNC, 0);
    stats_observe(&stats, STATS_SYNC, MSEC);
    stats_observe(&stats, STATS_SYNC, MSEC + 1);
    stats_observe(&stats, STATS_SYNC, HOUR);
    render();
    assert_line("pcd_sync_seconds_bucket{le=\"0.0001\"} 1");
    assert_line("pcd_sync_seconds_bucket{le=\"0.001\"} 2");
    assert_line("pcd_sync_seconds_bucket{le=\"0.0025\"} 3");
    assert_line("pcd_sync_seconds_bucket{le=\"10\"} 3");
    assert_line("pcd_sync_seconds_bucket{le=\"+Inf\"} 4");
    assert_line("pcd_sync_seconds_count 4");
    assert_line("pcd_sync_seconds_sum 3600.002000001");
    assert_line("pcd_decode_seconds_count 0");
}
END_TEST

START_TEST(what_the_others_know_is_shown)
{
    render();
    assert_line(
        "pcd_build_info{version=\"1\",revision=\"r\",libmicrohttpd=\"m\",zlib=\"z\","
        "msgpack=\"p\"} 1");
    assert_line("pcd_connections 7");
    assert_line("pcd_hosts 3");
    assert_line("pcd_delta_states 4");
    assert_line("pcd_delta_state_bytes 5");
    assert_line("pcd_delta_state_bytes_max 10");
    assert_line("pcd_delta_states_evicted_total 6");
    assert_line("pcd_delta_states_not_kept_total 8");
    assert_line("pcd_delta_conflicts_total 9");
    assert_line("pcd_log_failed 1");
    assert_line("pcd_files_failed 0");
    assert_line("pcd_recovery_seconds 1.500000000");
}
END_TEST

/* Is the line a sample of the family? A histogram's samples have suffixes. */
static bool belongs(const char *line, const char *family)
{
    static const char *const suffixes[] = {" ", "{", "_bucket{", "_sum ", "_count "};
    size_t n = strlen(family);

    if (strncmp(line, family, n) != 0)
        return false;
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++)
        if (strncmp(line + n, suffixes[i], strlen(suffixes[i])) == 0)
            return true;
    return false;
}

START_TEST(every_metric_has_help_and_type_once_and_right_before_it)
{
    char family[128] = "";
    size_t n_families = 0;
    char *next;

    render();
    for (char *line = page; *line; line = next) {
        size_t n = strcspn(line, "\n");

        ck_assert_int_eq(line[n], '\n');
        line[n] = '\0';
        next = line + n + 1;
        if (strncmp(line, "# HELP ", 7) == 0) {
            size_t name_n = strcspn(line + 7, " ");

            ck_assert_uint_lt(name_n, sizeof family);
            memcpy(family, line + 7, name_n);
            family[name_n] = '\0';
            ck_assert_int_eq(strncmp(family, "pcd_", 4), 0);
            n_families++;
        } else if (strncmp(line, "# TYPE ", 7) == 0) {
            ck_assert_int_eq(strncmp(line + 7, family, strlen(family)), 0);
        } else {
            ck_assert_msg(belongs(line, family), "%s under %s", line, family);
        }
    }
    ck_assert_uint_gt(n_families, 40);
}
END_TEST

START_TEST(a_page_that_does_not_fit_is_an_error)
{
    struct buf b;
    bool fired = true;

    buf_init(&b, 1000);
    ck_assert_int_eq(stats_render(&stats, &view, &b), E_TOO_LARGE);
    buf_done(&b);
    for (long nth = 0; fired; nth++) {
        buf_init(&b, PAGE_BYTES);
        fault_arm(nth);
        int r = stats_render(&stats, &view, &b);
        fired = fault_disarm();
        ck_assert_int_eq(r, fired ? -ENOMEM : 0);
        buf_done(&b);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pcd stats");
    TCase *c = tcase_create("stats");

    tcase_add_checked_fixture(c, setup, NULL);
    tcase_add_test(c, answers_are_counted_by_route_and_code);
    tcase_add_test(c, counters_add_up);
    tcase_add_test(c, buckets_hold_what_is_at_most_their_bound);
    tcase_add_test(c, what_the_others_know_is_shown);
    tcase_add_test(c, every_metric_has_help_and_type_once_and_right_before_it);
    tcase_add_test(c, a_page_that_does_not_fit_is_an_error);
    suite_add_tcase(suite, c);
    return suite_run(suite);
}
