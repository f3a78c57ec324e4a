/* SPDX-License-Identifier: MIT */
#include "common/log.h"
#include "common/media.h"
#include "common/units.h"
#include "pcc/options.h"
#include "tests/lib/bytes.h"
#include "tests/lib/suite.h"

static struct pcc_conf conf;
static struct opt_state state;
static char error[512];

static void tear_down(void)
{
    opt_done(&state);
}

/* Loads with one flag and one variable, each maybe NULL, then finishes. */
static int load(char *flag, char *variable, const char *home)
{
    char *argv[] = {(char[]){"pcc"}, flag, NULL};
    char *envp[] = {variable, NULL};
    const struct opt_program table = options_program();
    const struct pcc_surroundings around = {"web-01", home};
    enum opt_action action;

    opt_done(&state);
    state = (struct opt_state){0};
    conf = (struct pcc_conf){0};
    error[0] = '\0';
    int r = opt_load(&table, argv, envp, &conf, &state, &action);
    ck_assert_msg(r == 0, "%s", state.error);
    ck_assert_int_eq(action, OPT_RUN);
    return options_finish(&conf, &around, error, sizeof error);
}

START_TEST(defaults_are_those_of_the_plan)
{
    ck_assert_int_eq(load(NULL, NULL, "/home/u"), 0);
    ck_assert_int_eq(conf.mode, PCC_LOCAL);
    ck_assert_str_eq(conf.server_url, "http://localhost:8080");
    ck_assert_str_eq(conf.apikey, "");
    ck_assert_str_eq(conf.identifier, "web-01");
    ck_assert_uint_eq(conf.frequency_ns, 10 * SEC);
    ck_assert_uint_eq(conf.duration_ns, DAY);
    ck_assert_str_eq(conf.collection, "/home/u/pcc.json");
    ck_assert_uint_eq(conf.batch_size, 100);
    ck_assert_uint_eq(conf.batch_bytes, MIB);
    ck_assert_uint_eq(conf.flush_interval_ns, 30 * SEC);
    ck_assert_int_eq(conf.serialization, MEDIA_DELTA);
    ck_assert_uint_eq(conf.snapshot_interval, 1000);
    ck_assert_uint_eq(conf.delta_threshold_millionths, 0);
    ck_assert_int_eq(conf.compression, CODING_GZIP);
    ck_assert_uint_eq(conf.compression_level, 6);
    ck_assert_uint_eq(conf.queue_max_bytes, 4 * MIB);
    ck_assert_uint_eq(conf.timeout_ns, 30 * SEC);
    ck_assert_uint_eq(conf.connect_timeout_ns, 10 * SEC);
    ck_assert_str_eq(conf.root, "");
    ck_assert(!conf.tls_skip_verify);
    ck_assert_int_eq(conf.loglevel, LOG_INFO);
}
END_TEST

static const struct {
    const char *variable;
    const char *url; /* NULL: refused */
} urls[] = {
    {"PCC_SERVER_URL=http://h", "http://h"},
    {"PCC_SERVER_URL=https://h:1234/", "https://h:1234"},
    {"PCC_SERVER_URL=https://h/base/path//", "https://h/base/path"},
    {"PCC_SERVER_URL=http://[::1]:8080", "http://[::1]:8080"},
    {"PCC_SERVER=collector:8080", "http://collector:8080"},
    {"PCC_SERVER=10.0.0.1:80", "http://10.0.0.1:80"},
    {"PCC_SERVER_URL=ftp://h", NULL},
    {"PCC_SERVER_URL=http://", NULL},
    {"PCC_SERVER_URL=http://h/?q=1", NULL},
    {"PCC_SERVER_URL=http://h/#x", NULL},
    {"PCC_SERVER_URL=http://user:secret@h", NULL},
    {"PCC_SERVER_URL=http://a b", NULL},
    {"PCC_SERVER_URL=http://h:99999", NULL},
    {"PCC_SERVER_URL=", NULL},
};

START_TEST(server_is_a_url_or_an_old_host_and_port)
{
    char variable[256];

    (void)snprintf(variable, sizeof variable, "%s", urls[_i].variable);
    int r = load(NULL, variable, "/home/u");
    ck_assert_msg(r == (urls[_i].url ? 0 : E_MALFORMED), "row %d: %s", _i, error);
    if (r == 0)
        ck_assert_str_eq(conf.server_url, urls[_i].url);
    else
        ck_assert_msg(strstr(error, "PCC_SERVER_URL") != NULL, "row %d: %s", _i, error);
}
END_TEST

static const struct {
    const char *list;
    bool taken;
} lists[] = {
    {"/proc/stat", true},
    {" /proc/stat , statfs[*],, container/docker/* ,statfs[/mnt]", true},
    {"", false},
    {" , ", false},
    {"proc/stat", false},
    {"/proc/stat,stats[*]", false},
    {"statfs[mnt]", false},
    {"statfs[/mnt", false},
    {"container/docker/abc", false},
    {"/proc/stat,/proc/meminfo,/proc/stat", false},
};

START_TEST(subsystems_are_known_kinds_and_each_once)
{
    char variable[256];

    (void)snprintf(variable, sizeof variable, "PCC_SUBSYSTEMS=%s", lists[_i].list);
    int r = load(NULL, variable, "/home/u");
    ck_assert_msg(r == (lists[_i].taken ? 0 : E_MALFORMED), "row %d: %s", _i, error);
    if (r)
        ck_assert_msg(strstr(error, "PCC_SUBSYSTEMS") != NULL, "row %d: %s", _i, error);
}
END_TEST

static const struct {
    const char *variable;
    const char *named; /* in the error; NULL: taken */
} others[] = {
    {"PCC_ROOT=/host/", NULL},
    {"PCC_ROOT=/", NULL},
    {"PCC_ROOT=host", "PCC_ROOT"},
    {"PCC_IDENTIFIER=na\tme", "PCC_IDENTIFIER"},
    {"PCC_IDENTIFIER=na\xc3(", "PCC_IDENTIFIER"},
    {"PCC_IDENTIFIER=höst", NULL},
    {"PCC_MODE=trickle", "PCC_APIKEY"},
};

START_TEST(values_that_a_row_cannot_check_are_checked)
{
    char variable[256];

    (void)snprintf(variable, sizeof variable, "%s", others[_i].variable);
    int r = load(NULL, variable, "/home/u");
    ck_assert_msg(r == (others[_i].named ? E_MALFORMED : 0), "row %d: %s", _i, error);
    if (r)
        ck_assert_msg(strstr(error, others[_i].named) != NULL, "row %d: %s", _i, error);
}
END_TEST

static const struct {
    const char *serialization;
    const char *level;
    uint64_t want;
} levels[] = {
    {"delta", "0", 6},   {"delta", "1", 1}, {"delta", "9", 9}, {"msgpack", "0", 1},
    {"msgpack", "6", 6}, {"json", "0", 1},  {"json", "3", 3},
};

START_TEST(level_follows_the_serialization_unless_one_is_given)
{
    char flag[64];
    char variable[64];

    (void)snprintf(flag, sizeof flag, "--serialization=%s", levels[_i].serialization);
    (void)snprintf(variable, sizeof variable, "PCC_COMPRESSION_LEVEL=%s",
                   levels[_i].level);
    ck_assert_int_eq(load(flag, variable, "/home/u"), 0);
    ck_assert_uint_eq(conf.compression_level, levels[_i].want);
}
END_TEST

START_TEST(delta_has_its_settings)
{
    char flag[] = "--delta-threshold=0.001";
    char variable[] = "PCC_SNAPSHOT_INTERVAL=1";

    ck_assert_int_eq(load(flag, variable, "/home/u"), 0);
    ck_assert_uint_eq(conf.delta_threshold_millionths, 1000);
    ck_assert_uint_eq(conf.snapshot_interval, 1);
}
END_TEST

START_TEST(root_is_kept_without_a_slash_at_its_end)
{
    char host[] = "PCC_ROOT=/host/";
    char top[] = "PCC_ROOT=/";

    ck_assert_int_eq(load(NULL, host, "/home/u"), 0);
    ck_assert_str_eq(conf.root, "/host");
    ck_assert_int_eq(load(NULL, top, "/home/u"), 0);
    ck_assert_str_eq(conf.root, "");
}
END_TEST

START_TEST(trickle_mode_has_no_collection_unless_told)
{
    char flag[] = "--mode=trickle";
    char key[] = "PCC_APIKEY=k";

    ck_assert_int_eq(load(flag, key, "/home/u"), 0);
    ck_assert_str_eq(conf.collection, "");
    ck_assert_str_eq(conf.apikey, "k");
}
END_TEST

START_TEST(key_that_cannot_be_a_header_is_refused_and_not_shown)
{
    char flag[] = "--mode=trickle";
    char key[] = "PCC_APIKEY=secret\r\nX: y";

    ck_assert_int_eq(load(flag, key, "/home/u"), E_MALFORMED);
    ck_assert_ptr_null(strstr(error, "secret"));
}
END_TEST

START_TEST(local_mode_without_home_needs_a_collection)
{
    char flag[] = "--collection=/tmp/x";

    ck_assert_int_eq(load(NULL, NULL, NULL), E_MALFORMED);
    ck_assert(strstr(error, "PCC_COLLECTION") != NULL);
    ck_assert_int_eq(load(flag, NULL, NULL), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pcc_options");
    TCase *c = tcase_create("options");

    tcase_add_checked_fixture(c, NULL, tear_down);
    tcase_add_test(c, defaults_are_those_of_the_plan);
    tcase_add_loop_test(c, server_is_a_url_or_an_old_host_and_port, 0, (int)N_OF(urls));
    tcase_add_loop_test(c, subsystems_are_known_kinds_and_each_once, 0, (int)N_OF(lists));
    tcase_add_loop_test(c, values_that_a_row_cannot_check_are_checked, 0,
                        (int)N_OF(others));
    tcase_add_loop_test(c, level_follows_the_serialization_unless_one_is_given, 0,
                        (int)N_OF(levels));
    tcase_add_test(c, delta_has_its_settings);
    tcase_add_test(c, root_is_kept_without_a_slash_at_its_end);
    tcase_add_test(c, trickle_mode_has_no_collection_unless_told);
    tcase_add_test(c, key_that_cannot_be_a_header_is_refused_and_not_shown);
    tcase_add_test(c, local_mode_without_home_needs_a_collection);
    suite_add_tcase(suite, c);
    return suite_run(suite);
}
