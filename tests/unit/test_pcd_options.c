/* SPDX-License-Identifier: MIT */
#include "common/log.h"
#include "common/units.h"
#include "pcd/options.h"
#include "pcd/store.h"
#include "tests/lib/suite.h"

static struct pcd_conf conf;
static struct opt_state state;

static void setup(void)
{
    conf = (struct pcd_conf){0};
    state = (struct opt_state){0};
}

static void teardown(void)
{
    options_done(&conf);
    opt_done(&state);
}

/* Loads the table with up to two variables set. */
static void load(const char *first, const char *second)
{
    char name[] = "pcd";
    char *argv[] = {name, NULL};
    char *envp[] = {(char *)(uintptr_t)first, (char *)(uintptr_t)second, NULL};
    enum opt_action action;

    int r = opt_load(&options_program, argv, envp, &conf, &state, &action);
    ck_assert_msg(r == 0, "%s", state.error);
    ck_assert_int_eq(action, OPT_RUN);
}

START_TEST(the_defaults_are_those_of_the_protocol)
{
    const char *text;

    load(NULL, NULL);
    ck_assert_str_eq(conf.listen, "localhost:8080");
    ck_assert_int_eq(conf.sync, STORE_SYNC_ALWAYS);
    ck_assert_int_eq(conf.log_level, LOG_INFO);
    ck_assert_uint_eq(conf.body_max, LIMIT_BODY_BYTES);
    ck_assert_uint_eq(conf.decoded_max, LIMIT_DECODED_BYTES);
    ck_assert_uint_eq(conf.measurements_max, LIMIT_MEASUREMENTS);
    ck_assert_uint_eq(conf.text_max, LIMIT_TEXT_BYTES);
    ck_assert_uint_eq(conf.subsystem_max, LIMIT_SUBSYSTEM_BYTES);
    ck_assert_uint_eq(conf.headers_max, LIMIT_HEADER_BYTES);
    ck_assert_uint_eq(conf.connections_max, LIMIT_CONNECTIONS);
    ck_assert_uint_eq(conf.idle_timeout_ns, 120 * SEC);
    ck_assert_uint_eq(conf.request_timeout_ns, 30 * SEC);
    ck_assert_uint_eq(conf.keys_keep_ns, 30 * DAY);
    ck_assert_uint_eq(conf.delta_state_max, 256 * MIB);
    ck_assert_int_eq(options_finish(&conf, "/home/x", &text), 0);
    ck_assert_str_eq(conf.home_path, "/home/x/.pcd");
    ck_assert_str_eq(conf.apikeys_path, "/home/x/.pcd/apikeys");
}
END_TEST

START_TEST(paths_are_taken_as_given_but_for_the_home_folder)
{
    const char *text;

    load("PCD_HOME=/srv/~/pcd", "PCD_APIKEYS_FILE=~/keys");
    ck_assert_int_eq(options_finish(&conf, "/home/x", &text), 0);
    ck_assert_str_eq(conf.home_path, "/srv/~/pcd");
    ck_assert_str_eq(conf.apikeys_path, "/home/x/keys");
}
END_TEST

START_TEST(another_users_home_folder_is_not_guessed)
{
    const char *text;

    load("PCD_HOME=~other/pcd", NULL);
    ck_assert_int_eq(options_finish(&conf, "/home/x", &text), 0);
    ck_assert_str_eq(conf.home_path, "~other/pcd");
}
END_TEST

START_TEST(the_old_name_of_listen_is_taken)
{
    load("PCD_LISTENADDRESS=:7", NULL);
    ck_assert_str_eq(conf.listen, ":7");
}
END_TEST

static const struct {
    const char *variable;
    const char *names; /* what the complaint must name */
} wrong[] = {
    {"PCD_TLS_CERT=/c.pem", "PCD_TLS_KEY"},
    {"PCD_TLS_KEY=/k.pem", "PCD_TLS_CERT"},
    {"PCD_QUEUE_MAX=255MiB", "PCD_QUEUE_MAX"},
    {"PCD_DECODED_MAX=4MiB", "PCD_BODY_MAX"},
    {"PCD_HEADERS_MAX=9KiB", "PCD_HEADERS_MAX"},
    {"PCD_HOME=", "PCD_HOME"},
    {"PCD_LISTEN=8080", "PCD_LISTEN"},
    {"PCD_LISTEN=localhost:", "PCD_LISTEN"},
    {"PCD_LISTEN=localhost:http", "PCD_LISTEN"},
    {"PCD_LISTEN=localhost:65536", "PCD_LISTEN"},
    {"PCD_LISTEN=::1:80", "PCD_LISTEN"},
};

START_TEST(what_does_not_go_together_is_named)
{
    const char *text;

    load(wrong[_i].variable, NULL);
    ck_assert_int_eq(options_finish(&conf, "/home/x", &text), E_MALFORMED);
    ck_assert_msg(strstr(text, wrong[_i].names), "%s: %s", wrong[_i].variable, text);
}
END_TEST

static const char *const addresses[] = {
    "PCD_LISTEN=localhost:8080", "PCD_LISTEN=:0",        "PCD_LISTEN=[::1]:80",
    "PCD_LISTEN=[::]:65535",     "PCD_LISTEN=0.0.0.0:1",
};

START_TEST(every_form_of_an_address_is_taken)
{
    const char *text;

    load(addresses[_i], NULL);
    ck_assert_int_eq(options_finish(&conf, "/home/x", &text), 0);
}
END_TEST

START_TEST(a_home_that_is_not_known_is_said)
{
    const char *text;

    load(NULL, NULL);
    ck_assert_int_eq(options_finish(&conf, NULL, &text), E_MALFORMED);
    ck_assert(strstr(text, "HOME"));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pcd options");
    TCase *c = tcase_create("options");

    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, the_defaults_are_those_of_the_protocol);
    tcase_add_test(c, paths_are_taken_as_given_but_for_the_home_folder);
    tcase_add_test(c, another_users_home_folder_is_not_guessed);
    tcase_add_test(c, the_old_name_of_listen_is_taken);
    tcase_add_loop_test(c, what_does_not_go_together_is_named, 0,
                        sizeof wrong / sizeof *wrong);
    tcase_add_loop_test(c, every_form_of_an_address_is_taken, 0,
                        sizeof addresses / sizeof *addresses);
    tcase_add_test(c, a_home_that_is_not_known_is_said);
    suite_add_tcase(suite, c);
    return suite_run(suite);
}
