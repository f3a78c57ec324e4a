/* SPDX-License-Identifier: MIT */
#include "common/notify.h"
#include "common/units.h"
#include "tests/lib/home.h"
#include "tests/lib/suite.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int manager_fd = -1;
static char manager[200]; /* as NOTIFY_SOCKET has it */

/* A manager listens at a name of this test's own. */
static void listen_at(const char *name)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    size_t n = strlen(name);

    (void)snprintf(manager, sizeof manager, "%s", name);
    memcpy(at.sun_path, name, n);
    if (name[0] == '@')
        at.sun_path[0] = '\0';
    size_t size = offsetof(struct sockaddr_un, sun_path) + n + (name[0] == '/');
    manager_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    ck_assert_int_ge(manager_fd, 0);
    ck_assert_int_eq(bind(manager_fd, (struct sockaddr *)&at, (socklen_t)size), 0);
    ck_assert_int_eq(setenv("NOTIFY_SOCKET", manager, 1), 0);
}

static void set_up(void)
{
    ck_assert_int_eq(unsetenv("NOTIFY_SOCKET"), 0);
    ck_assert_int_eq(unsetenv("WATCHDOG_USEC"), 0);
    ck_assert_int_eq(unsetenv("WATCHDOG_PID"), 0);
}

static void listen_abstract(void)
{
    char name[64];

    (void)snprintf(name, sizeof name, "@pc-test-notify-%ld", (long)getpid());
    listen_at(name);
}

static void tear_down(void)
{
    if (manager_fd >= 0)
        ck_assert_int_eq(close(manager_fd), 0);
    manager_fd = -1;
}

/* The next message; empty if there is none. */
static const char *heard(void)
{
    static char text[2048];
    ssize_t n = recv(manager_fd, text, sizeof text - 1, 0);

    text[n < 0 ? 0 : n] = '\0';
    return text;
}

START_TEST(without_a_manager_nothing_is_said_and_nothing_is_wrong)
{
    CLEANUP(notify_done) struct notify n;

    ck_assert_int_eq(setenv("WATCHDOG_USEC", "1000", 1), 0);
    ck_assert_int_eq(notify_init(&n), 0);
    ck_assert_int_eq(notify_send(&n, "READY=1"), 0);
    ck_assert_int_eq(notify_alive(&n), 0);
    ck_assert_int_eq(notify_reloading(&n), 0);
    ck_assert_uint_eq(notify_pause_ns(&n), UINT64_MAX);
}
END_TEST

START_TEST(what_is_sent_is_heard_at_an_abstract_name)
{
    CLEANUP(notify_done) struct notify n;

    listen_abstract();
    ck_assert_int_eq(notify_init(&n), 0);
    ck_assert_int_eq(notify_send(&n, "READY=1\nSTATUS=%s", "well"), 0);
    ck_assert_str_eq(heard(), "READY=1\nSTATUS=well");
    ck_assert_int_eq(notify_alive(&n), 0);
    ck_assert_str_eq(heard(), "WATCHDOG=1");
    ck_assert_str_eq(heard(), "");
}
END_TEST

START_TEST(what_is_sent_is_heard_at_a_path)
{
    CLEANUP(notify_done) struct notify n;
    struct home home;
    char name[100];

    home_make(&home);
    ck_assert_int_lt(snprintf(name, sizeof name, "%.80s/notify", home.path), 100);
    listen_at(name);
    ck_assert_int_eq(notify_init(&n), 0);
    ck_assert_int_eq(notify_send(&n, "STOPPING=1"), 0);
    ck_assert_str_eq(heard(), "STOPPING=1");
    home_remove(&home);
}
END_TEST

START_TEST(reloading_says_when)
{
    CLEANUP(notify_done) struct notify n;
    uint64_t usec = 0;

    listen_abstract();
    ck_assert_int_eq(notify_init(&n), 0);
    ck_assert_int_eq(notify_reloading(&n), 0);
    ck_assert_int_eq(
        sscanf(heard(), "RELOADING=1\nMONOTONIC_USEC=%" SCNu64, &usec), /* NOLINT */
        1);
    ck_assert_uint_gt(usec, 0);
}
END_TEST

START_TEST(a_manager_that_is_not_there_is_told_of)
{
    CLEANUP(notify_done) struct notify n;

    ck_assert_int_eq(setenv("NOTIFY_SOCKET", "/nonexistent/notify", 1), 0);
    ck_assert_int_eq(notify_init(&n), -ENOENT);
    ck_assert_int_eq(notify_send(&n, "READY=1"), 0);
}
END_TEST

static const char *const no_names[] = {"relative", "@", "vsock:2:1", "-"};

START_TEST(other_names_are_refused)
{
    CLEANUP(notify_done) struct notify n;

    ck_assert_int_eq(setenv("NOTIFY_SOCKET", no_names[_i], 1), 0);
    ck_assert_int_eq(notify_init(&n), E_MALFORMED);
    ck_assert_int_eq(notify_alive(&n), 0);
}
END_TEST

/* The kernel's 108 bytes, one of which a path needs for its end. */
START_TEST(names_have_an_end)
{
    char name[120];

    for (size_t size = 100; size < 112; size++) {
        for (int i = 0; i < 2; i++) {
            CLEANUP(notify_done) struct notify n;

            memset(name, 'x', sizeof name);
            name[0] = i ? '@' : '/';
            name[size] = '\0';
            ck_assert_int_eq(setenv("NOTIFY_SOCKET", name, 1), 0);
            ck_assert_int_eq(notify_init(&n), size > (i ? 108 : 107)
                                                  ? E_TOO_LARGE
                                                  : (i ? -ECONNREFUSED : -ENOENT));
        }
    }
}
END_TEST

START_TEST(a_message_has_an_end)
{
    CLEANUP(notify_done) struct notify n;
    char text[1024];

    listen_abstract();
    ck_assert_int_eq(notify_init(&n), 0);
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = '\0';
    ck_assert_int_eq(notify_send(&n, "%s", text), 0);
    ck_assert_str_eq(heard(), text);
    ck_assert_int_eq(notify_send(&n, "%sy", text), E_TOO_LARGE);
    ck_assert_str_eq(heard(), "");
}
END_TEST

START_TEST(a_manager_that_went_away_is_an_error)
{
    CLEANUP(notify_done) struct notify n;

    listen_abstract();
    ck_assert_int_eq(notify_init(&n), 0);
    tear_down();
    ck_assert_int_eq(notify_alive(&n), -ECONNREFUSED);
}
END_TEST

START_TEST(a_sign_of_life_is_due_thrice_in_the_watchdogs_time)
{
    CLEANUP(notify_done) struct notify n;
    char pid[32];

    listen_abstract();
    ck_assert_int_eq(setenv("WATCHDOG_USEC", "3000000", 1), 0);
    ck_assert_int_eq(notify_init(&n), 0);
    ck_assert_uint_eq(n.watchdog_ns, 3 * SEC);
    ck_assert_uint_eq(notify_pause_ns(&n), SEC);
    notify_done(&n);

    (void)snprintf(pid, sizeof pid, "%ld", (long)getpid());
    ck_assert_int_eq(setenv("WATCHDOG_PID", pid, 1), 0);
    ck_assert_int_eq(notify_init(&n), 0);
    ck_assert_uint_eq(n.watchdog_ns, 3 * SEC);
}
END_TEST

START_TEST(a_watchdog_of_another_process_is_not_ours)
{
    CLEANUP(notify_done) struct notify n;

    listen_abstract();
    ck_assert_int_eq(setenv("WATCHDOG_USEC", "3000000", 1), 0);
    ck_assert_int_eq(setenv("WATCHDOG_PID", "1", 1), 0);
    ck_assert_int_eq(notify_init(&n), 0);
    ck_assert_uint_eq(n.watchdog_ns, 0);
    ck_assert_int_eq(notify_send(&n, "READY=1"), 0);
    ck_assert_str_eq(heard(), "READY=1");
}
END_TEST

static const struct {
    const char *usec;
    int r;
} no_numbers[] = {
    {"", E_MALFORMED},
    {"1s", E_MALFORMED},
    {"-1", E_MALFORMED},
    {"18446744073709551615", E_TOO_LARGE},
    {"18446744073709551616", E_TOO_LARGE},
};

START_TEST(a_watchdog_that_is_no_number_is_refused)
{
    CLEANUP(notify_done) struct notify n;

    listen_abstract();
    ck_assert_int_eq(setenv("WATCHDOG_USEC", no_numbers[_i].usec, 1), 0);
    ck_assert_int_eq(notify_init(&n), no_numbers[_i].r);
    ck_assert_uint_eq(n.watchdog_ns, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("notify");
    TCase *tc = tcase_create("notify");

    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_test(tc, without_a_manager_nothing_is_said_and_nothing_is_wrong);
    tcase_add_test(tc, what_is_sent_is_heard_at_an_abstract_name);
    tcase_add_test(tc, what_is_sent_is_heard_at_a_path);
    tcase_add_test(tc, reloading_says_when);
    tcase_add_test(tc, a_manager_that_is_not_there_is_told_of);
    tcase_add_loop_test(tc, other_names_are_refused, 0,
                        sizeof no_names / sizeof *no_names);
    tcase_add_test(tc, names_have_an_end);
    tcase_add_test(tc, a_message_has_an_end);
    tcase_add_test(tc, a_manager_that_went_away_is_an_error);
    tcase_add_test(tc, a_sign_of_life_is_due_thrice_in_the_watchdogs_time);
    tcase_add_test(tc, a_watchdog_of_another_process_is_not_ours);
    tcase_add_loop_test(tc, a_watchdog_that_is_no_number_is_refused, 0,
                        sizeof no_numbers / sizeof *no_numbers);
    suite_add_tcase(suite, tc);
    return suite_run(suite);
}
