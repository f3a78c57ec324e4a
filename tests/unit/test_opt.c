/* SPDX-License-Identifier: MIT */
#include "common/io.h"
#include "common/opt.h"
#include "common/units.h"
#include "common/utf8.h"
#include "tests/lib/bytes.h"
#include "tests/lib/fault.h"
#include "tests/lib/home.h"
#include "tests/lib/suite.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

struct conf {
    const char *server;
    const char *key;
    uint64_t period_ns;
    uint64_t room;
    uint64_t count;
    uint64_t threshold;
    bool skip;
    int mode;
};

static const char *const modes[] = {"local", "trickle", "Both", NULL};

static const struct opt opts[] = {
    {.name = "server-url",
     .old_name = "server",
     .type = OPT_STRING,
     .at = offsetof(struct conf, server),
     .dflt = "http://localhost",
     .help = "where to send to"},
    {.name = "apikey",
     .old_name = "secret",
     .type = OPT_SECRET,
     .at = offsetof(struct conf, key),
     .dflt = "",
     .help = "the key"},
    {.name = "period",
     .type = OPT_DURATION,
     .at = offsetof(struct conf, period_ns),
     .dflt = "10s",
     .min = 10 * MSEC,
     .max = HOUR,
     .zero_too = true,
     .help =
         "time between two samples, which is explained at a length that no line of a "
         "help text can hold, so that it must be broken at blanks into several of them"},
    {.name = "queue-max",
     .type = OPT_SIZE,
     .at = offsetof(struct conf, room),
     .dflt = "4MiB",
     .min = 1024,
     .max = UINT64_MAX,
     .help = "room for batches"},
    {.name = "batch-size",
     .type = OPT_COUNT,
     .at = offsetof(struct conf, count),
     .dflt = "100",
     .min = 1,
     .max = 1000,
     .help = "measurements in a batch"},
    {.name = "threshold",
     .type = OPT_FRACTION,
     .at = offsetof(struct conf, threshold),
     .dflt = "0.001",
     .min = 1,
     .max = 999999,
     .zero_too = true,
     .help = "what is left out"},
    {.name = "tls-skip-verify",
     .type = OPT_BOOL,
     .at = offsetof(struct conf, skip),
     .dflt = "no",
     .help = "trust anybody"},
    {.name = "mode",
     .type = OPT_CHOICE,
     .at = offsetof(struct conf, mode),
     .dflt = "local",
     .choices = modes,
     .help = "what to do"},
};

static const struct opt_program program = {
    .name = "tst",
    .prefix = "TST_",
    .summary = "a program for tests",
    .more = "The end.\n",
    .version = "tst 1\n",
    .opts = opts,
    .n_opts = N_OF(opts),
};

#define ARGS_MAX 8
#define ARGS(...) ((const char *[ARGS_MAX]){__VA_ARGS__})
#define NONE ARGS(NULL)

static struct conf conf;
static struct opt_state state;
static enum opt_action action;

/* Loads from flags and an environment, each ended by NULL. */
static int load(const char *const *flags, const char *const *environment)
{
    char *argv[ARGS_MAX + 2] = {(char[]){"tst"}};
    char *envp[ARGS_MAX + 1] = {NULL};
    int argc = 1;

    opt_done(&state);
    memset(&conf, 0x55, sizeof conf); /* no value but those that are loaded */
    for (size_t i = 0; flags[i]; i++)
        argv[argc++] = strdup(flags[i]);
    for (size_t i = 0; environment[i]; i++)
        envp[i] = strdup(environment[i]);
    int r = opt_load(&program, argv, envp, &conf, &state, &action);
    /* What was loaded must not depend on them: free them before anything is looked at. */
    for (int i = 1; i < argc; i++)
        free(argv[i]);
    for (size_t i = 0; envp[i]; i++)
        free(envp[i]);
    return r;
}

static void assert_error(const char *expected)
{
    ck_assert_str_eq(state.error, expected);
}

static const char *source_of(const char *name)
{
    for (size_t i = 0; i < N_OF(opts); i++) {
        if (strcmp(opts[i].name, name) == 0)
            return state.sources[i];
    }
    return "no such option";
}

static struct home home;
static char file[PATH_MAX + 16];

static void set_up(void)
{
    home_make(&home);
    (void)snprintf(file, sizeof file, "%s/conf", home.path);
}

static void tear_down(void)
{
    opt_done(&state);
    home_remove(&home);
}

static void write_file(const char *text)
{
    ck_assert_int_eq(io_replace_file(home.fd, "conf", span_of_str(text), 0600), 0);
}

START_TEST(without_anything_each_option_has_its_default)
{
    ck_assert_int_eq(load(NONE, NONE), 0);
    ck_assert_int_eq(action, OPT_RUN);
    ck_assert_str_eq(conf.server, "http://localhost");
    ck_assert_str_eq(conf.key, "");
    ck_assert_uint_eq(conf.period_ns, 10 * SEC);
    ck_assert_uint_eq(conf.room, 4 << 20);
    ck_assert_uint_eq(conf.count, 100);
    ck_assert_uint_eq(conf.threshold, 1000);
    ck_assert(!conf.skip);
    ck_assert_int_eq(conf.mode, 0);
    for (size_t i = 0; i < N_OF(opts); i++)
        ck_assert_str_eq(state.sources[i], "default");
    ck_assert_uint_eq(state.warnings.len, 0);
}
END_TEST

START_TEST(flags_take_their_value_both_ways)
{
    ck_assert_int_eq(
        load(ARGS("--server-url", "http://a", "--period=1m30s", "--queue-max", "64KiB",
                  "--mode=TRICKLE", "--tls-skip-verify", NULL),
             NONE),
        0);
    ck_assert_str_eq(conf.server, "http://a");
    ck_assert_uint_eq(conf.period_ns, 90 * SEC);
    ck_assert_uint_eq(conf.room, 65536);
    ck_assert_int_eq(conf.mode, 1);
    ck_assert(conf.skip);
    ck_assert_str_eq(source_of("mode"), "flag");
    ck_assert_str_eq(source_of("batch-size"), "default");
}
END_TEST

START_TEST(a_flag_may_have_any_value_behind_its_equals_sign)
{
    ck_assert_int_eq(load(ARGS("--server-url=", NULL), NONE), 0);
    ck_assert_str_eq(conf.server, "");
    ck_assert_int_eq(load(ARGS("--server-url=--a=b c", NULL), NONE), 0);
    ck_assert_str_eq(conf.server, "--a=b c");
    ck_assert_int_eq(load(ARGS("--server-url", "", NULL), NONE), 0);
    ck_assert_str_eq(conf.server, "");
    ck_assert_int_eq(load(ARGS("--server-url", "-", NULL), NONE), 0);
    ck_assert_str_eq(conf.server, "-");
}
END_TEST

START_TEST(of_a_flag_given_twice_the_last_counts)
{
    ck_assert_int_eq(load(ARGS("--batch-size=1", "--batch-size", "2", NULL), NONE), 0);
    ck_assert_uint_eq(conf.count, 2);
}
END_TEST

static const struct {
    const char *word;
    int value; /* -1: refused */
} words[] = {
    {"true", 1},  {"yes", 1}, {"on", 1},  {"1", 1},    {"TRUE", 1}, {"Yes", 1},
    {"false", 0}, {"no", 0},  {"off", 0}, {"0", 0},    {"OFF", 0},  {"", -1},
    {"2", -1},    {"t", -1},  {"ja", -1}, {" on", -1},
};

START_TEST(a_bool_is_one_of_eight_words)
{
    char text[64];

    (void)snprintf(text, sizeof text, "--tls-skip-verify=%s", words[_i].word);
    int r = load(ARGS(text, NULL), NONE);
    ck_assert_int_eq(r, words[_i].value < 0 ? E_MALFORMED : 0);
    if (r == 0)
        ck_assert_int_eq(conf.skip, words[_i].value);
}
END_TEST

START_TEST(flags_beat_the_environment_that_beats_the_file)
{
    char config[PATH_MAX + 32];

    write_file("TST_SERVER_URL=f\nTST_PERIOD=1s\nTST_BATCH_SIZE=1\n");
    (void)snprintf(config, sizeof config, "--config=%s", file);
    ck_assert_int_eq(load(ARGS("--server-url=flag", config, NULL),
                          ARGS("TST_SERVER_URL=e", "TST_PERIOD=2s", NULL)),
                     0);
    ck_assert_str_eq(conf.server, "flag");
    ck_assert_uint_eq(conf.period_ns, 2 * SEC);
    ck_assert_uint_eq(conf.count, 1);
    ck_assert_uint_eq(conf.room, 4 << 20);
    ck_assert_str_eq(source_of("server-url"), "flag");
    ck_assert_str_eq(source_of("period"), "environment");
    ck_assert_str_eq(source_of("batch-size"), "file");
    ck_assert_str_eq(source_of("queue-max"), "default");
}
END_TEST

START_TEST(the_last_line_of_a_file_counts)
{
    write_file("TST_BATCH_SIZE=1\nTST_BATCH_SIZE=2\n");
    ck_assert_int_eq(load(ARGS("--config", file, NULL), NONE), 0);
    ck_assert_uint_eq(conf.count, 2);
}
END_TEST

START_TEST(old_names_are_taken_wherever_names_are)
{
    ck_assert_int_eq(load(ARGS("--server=flag", NULL), NONE), 0);
    ck_assert_str_eq(conf.server, "flag");
    ck_assert_int_eq(load(NONE, ARGS("TST_SERVER=env", NULL)), 0);
    ck_assert_str_eq(conf.server, "env");
    write_file("TST_SERVER=file\n");
    ck_assert_int_eq(load(ARGS("--config", file, NULL), NONE), 0);
    ck_assert_str_eq(conf.server, "file");
    ck_assert_uint_eq(state.warnings.len, 0);
}
END_TEST

/* Within one source; a stronger source counts by either name. */
START_TEST(a_name_beats_its_old_name_in_any_order)
{
    ck_assert_int_eq(load(NONE, ARGS("TST_SERVER=old", "TST_SERVER_URL=new", NULL)), 0);
    ck_assert_str_eq(conf.server, "new");
    ck_assert_int_eq(load(NONE, ARGS("TST_SERVER_URL=new", "TST_SERVER=old", NULL)), 0);
    ck_assert_str_eq(conf.server, "new");
    ck_assert_int_eq(load(ARGS("--server=flag", NULL), ARGS("TST_SERVER_URL=e", NULL)),
                     0);
    ck_assert_str_eq(conf.server, "flag");
}
END_TEST

static const struct {
    const char *flag;
    uint64_t period_ns;
    uint64_t count;
    uint64_t room;
    int r;
} bounds[] = {
    {"--period=0", 0, 100, 4 << 20, 0},
    {"--period=10ms", 10 * MSEC, 100, 4 << 20, 0},
    {"--period=1h", HOUR, 100, 4 << 20, 0},
    {"--period=9999us", 0, 0, 0, E_MALFORMED},
    {"--period=3600001ms", 0, 0, 0, E_MALFORMED},
    {"--batch-size=1", 10 * SEC, 1, 4 << 20, 0},
    {"--batch-size=1000", 10 * SEC, 1000, 4 << 20, 0},
    {"--batch-size=0", 0, 0, 0, E_MALFORMED},
    {"--batch-size=1001", 0, 0, 0, E_MALFORMED},
    {"--batch-size=18446744073709551616", 0, 0, 0, E_MALFORMED},
    {"--queue-max=1024", 10 * SEC, 100, 1024, 0},
    {"--queue-max=18446744073709551615", 10 * SEC, 100, UINT64_MAX, 0},
    {"--queue-max=1023", 0, 0, 0, E_MALFORMED},
    {"--queue-max=18446744073709551616", 0, 0, 0, E_MALFORMED},
};

START_TEST(numbers_are_taken_within_their_bounds)
{
    ck_assert_int_eq(load(ARGS(bounds[_i].flag, NULL), NONE), bounds[_i].r);
    if (bounds[_i].r)
        return;
    ck_assert_uint_eq(conf.period_ns, bounds[_i].period_ns);
    ck_assert_uint_eq(conf.count, bounds[_i].count);
    ck_assert_uint_eq(conf.room, bounds[_i].room);
}
END_TEST

static const struct {
    const char *flag;
    uint64_t millionths;
    int r;
} fractions[] = {
    {"--threshold=0", 0, 0},
    {"--threshold=0.000001", 1, 0},
    {"--threshold=0.25", 250000, 0},
    {"--threshold=0.999999", 999999, 0},
    {"--threshold=0.9999990", 999999, 0},
    {"--threshold=1", 0, E_MALFORMED},
    {"--threshold=0.9999999", 0, E_MALFORMED},
    {"--threshold=0.0000001", 0, E_MALFORMED},
    {"--threshold=99999999999999999999", 0, E_MALFORMED},
    {"--threshold=5%", 0, E_MALFORMED},
    {"--threshold=", 0, E_MALFORMED},
};

START_TEST(a_fraction_is_millionths_within_its_bounds)
{
    ck_assert_int_eq(load(ARGS(fractions[_i].flag, NULL), NONE), fractions[_i].r);
    if (fractions[_i].r == 0)
        ck_assert_uint_eq(conf.threshold, fractions[_i].millionths);
}
END_TEST

#define LONG_TEXT "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
#define SECRET_ERROR(flag)                                                               \
    "--" flag                                                                            \
    ": no such flag, as every user of the host could read it; give TST_APIKEY "          \
    "in the environment or in the file that --config names"

/* With it, one byte less than what is shown of a text that is too long. */
#define LONG_CUT "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"

static const struct {
    const char *flags[3];
    const char *variable;
    const char *error;
} errors[] = {
    {{"--period=10"},
     NULL,
     "--period: given '10', expected a duration with its unit, 10ms to 1h, or 0"},
    {{"--batch-size", "many"},
     NULL,
     "--batch-size: given 'many', expected a number, 1 to 1000"},
    {{"--queue-max=1"},
     NULL,
     "--queue-max: given '1', expected a size, 1KiB to 18446744073709551615B"},
    {{"--threshold=1"},
     NULL,
     "--threshold: given '1', expected a fraction of at most six places, 0.000001 to "
     "0.999999, or 0"},
    {{"--mode=remote"}, NULL, "--mode: given 'remote', expected local, trickle or Both"},
    {{"--tls-skip-verify=maybe"},
     NULL,
     "--tls-skip-verify: given 'maybe', expected true or false"},
    {{NULL},
     "TST_PERIOD=",
     "TST_PERIOD in the environment: given '', expected a duration with its unit, 10ms "
     "to 1h, or 0"},
    {{NULL},
     "TST_PERIOD",
     "TST_PERIOD in the environment: given '', expected a duration with its unit, 10ms "
     "to 1h, or 0"},
    {{"--period=1s"},
     "TST_PERIOD=1",
     "TST_PERIOD in the environment: given '1', expected a duration with its unit, 10ms "
     "to 1h, or 0"},
    {{"--period"},
     NULL,
     "--period: no value given, expected a duration with its unit, 10ms to 1h, or 0"},
    {{"--server-url"}, NULL, "--server-url: no value given, expected a text"},
    {{"--server-url", "--mode"}, NULL, "--server-url: no value given, expected a text"},
    {{"--server", "--mode"}, NULL, "--server: no value given, expected a text"},
    {{"--perriod=1s"}, NULL, "--perriod: no such flag, the nearest is --period"},
    {{"--BATCH-SIZE=1"}, NULL, "--BATCH-SIZE: no such flag, the nearest is --batch-size"},
    {{"--batch_size=1"}, NULL, "--batch_size: no such flag, the nearest is --batch-size"},
    {{"--apikei=x"}, NULL, SECRET_ERROR("apikei")},
    {{"--hepl"}, NULL, "--hepl: no such flag, the nearest is --help"},
    {{"--help=yes"}, NULL, "--help: no such flag, the nearest is --help"},
    {{"--"}, NULL, ""},
    {{"--", "x"}, NULL, "'x' is no flag; expected --NAME VALUE (--help shows all)"},
    {{"x"}, NULL, "'x' is no flag; expected --NAME VALUE (--help shows all)"},
    {{""}, NULL, "'' is no flag; expected --NAME VALUE (--help shows all)"},
    {{"-period=1s"},
     NULL,
     "'-period=1s' is no flag; expected --NAME VALUE (--help shows all)"},
    {{"--tls-skip-verify", "false"},
     NULL,
     "'false' is no flag; expected --NAME VALUE (--help shows all)"},
    {{"--apikey=hush"}, NULL, SECRET_ERROR("apikey")},
    {{"--secret", "hush"}, NULL, SECRET_ERROR("secret")},
    {{"--config"}, NULL, "--config: expected the name of a file"},
    {{"--config="}, NULL, "--config: expected the name of a file"},
    {{"--config=/dev/null", "--config=/dev/null"},
     NULL,
     "--config: given twice, expected once"},
    {{"--config", "/no/such/file"},
     NULL,
     "--config /no/such/file: No such file or directory"},
    {{"--config", "/"}, NULL, "--config /: Is a directory"},
    {{"--config", "/dev/zero"}, NULL, "--config /dev/zero: too large"},
    {{"--batch-size=a\nb\x1b\x7f\xff"},
     NULL,
     "--batch-size: given 'a?b?\?\?', expected a number, 1 to 1000"},
    {{"--batch-size=" LONG_TEXT LONG_TEXT LONG_TEXT},
     NULL,
     "--batch-size: given '" LONG_TEXT LONG_CUT
     "x\xe2\x80\xa6', expected a number, 1 to 1000"},
    {{"--batch-size=" LONG_TEXT LONG_CUT "\xc3\xbc\xc3\xbc"},
     NULL,
     "--batch-size: given '" LONG_TEXT LONG_CUT
     "\xe2\x80\xa6', expected a number, 1 to 1000"},
};

/* Which option, from where, what was given, and what would be right. */
START_TEST(what_is_wrong_is_one_line_that_says_what_would_be_right)
{
    int r = load(ARGS(errors[_i].flags[0], errors[_i].flags[1], NULL),
                 ARGS(errors[_i].variable, NULL));

    assert_error(errors[_i].error);
    ck_assert_int_eq(r != 0, errors[_i].error[0] != 0);
}
END_TEST

START_TEST(a_file_that_can_not_be_read_is_a_fault)
{
    ck_assert_int_eq(load(ARGS("--config=/no/such/file", NULL), NONE), -ENOENT);
    ck_assert_int_eq(load(ARGS("--config=/dev/zero", NULL), NONE), E_MALFORMED);
}
END_TEST

static const struct {
    const char *text;
    const char *error; /* behind the file's name */
} file_errors[] = {
    {"\n# c\nTST_PERIOD=10\n",
     ":3: TST_PERIOD: given '10', expected a duration with its unit, 10ms to 1h, or 0"},
    {"TST_PERIOD=\n",
     ":1: TST_PERIOD: given '', expected a duration with its unit, 10ms to 1h, or 0"},
    {"TST_PERIOD=1s\nTST_PEROID=1s\n",
     ":2: TST_PEROID: no such option, the nearest is TST_PERIOD"},
    {"PERIOD=1s\n", ":1: PERIOD: no such option, the nearest is TST_PERIOD"},
    {"period=1s\n", ":1: period: no such option, the nearest is TST_PERIOD"},
    {"=1s\n", ":1: : no such option, the nearest is TST_MODE"},
    {"TST_MODE=local\nnonsense\n", ":2: expected NAME=VALUE"},
    {"TST_MODE='local\n", ":1: the single quote is never closed"},
};

START_TEST(what_is_wrong_in_a_file_is_said_with_its_line)
{
    char expected[PATH_MAX + 256];

    write_file(file_errors[_i].text);
    ck_assert_int_eq(load(ARGS("--config", file, NULL), NONE), E_MALFORMED);
    (void)snprintf(expected, sizeof expected, "%s%s", file, file_errors[_i].error);
    assert_error(expected);
}
END_TEST

START_TEST(a_secret_comes_from_the_environment_or_the_file)
{
    ck_assert_int_eq(load(NONE, ARGS("TST_APIKEY=hush", NULL)), 0);
    ck_assert_str_eq(conf.key, "hush");
    write_file("TST_APIKEY='hush hush'\n");
    ck_assert_int_eq(load(ARGS("--config", file, NULL), NONE), 0);
    ck_assert_str_eq(conf.key, "hush hush");
}
END_TEST

START_TEST(unknown_variables_of_the_prefix_get_a_warning)
{
    ck_assert_int_eq(
        load(NONE, ARGS("TST_PERIODE=1s", "PATH=/bin", "TST_PORT=tcp://1", "XTST_MODE=x",
                        "TST_CONFIG=/etc/x", "TST_PERIOD=2s", NULL)),
        0);
    ck_assert_uint_eq(conf.period_ns, 2 * SEC);
    ck_assert(span_equal(
        buf_span(&state.warnings),
        SPAN(
            "TST_PERIODE in the environment: no such option, the nearest is TST_PERIOD\n"
            "TST_PORT in the environment: no such option, the nearest is TST_MODE\n"
            "TST_CONFIG in the environment: no such option, the nearest is TST_MODE\n")));
}
END_TEST

/* However many there are, and whatever is in their names. */
START_TEST(warnings_are_bounded)
{
    static char names[3000][16];
    static char *envp[3001];
    char odd[] = "TST_\n\x1b\xff=";
    char *argv[] = {(char[]){"tst"}, NULL};

    for (size_t i = 0; i < N_OF(names); i++) {
        (void)snprintf(names[i], sizeof names[i], "TST_X%zu=", i);
        envp[i] = names[i];
    }
    envp[0] = odd;
    ck_assert_int_eq(opt_load(&program, argv, envp, &conf, &state, &action), 0);
    ck_assert_uint_le(state.warnings.len, state.warnings.max);
    ck_assert_uint_gt(state.warnings.len, state.warnings.max - 200);
    ck_assert(span_starts_with(buf_span(&state.warnings), SPAN("TST_?\?\? in")));
    ck_assert_int_eq(state.warnings.data[state.warnings.len - 1], '\n');
}
END_TEST

START_TEST(the_common_flags_say_what_to_do)
{
    ck_assert_int_eq(load(ARGS("--check-config", "--period=2s", NULL), NONE), 0);
    ck_assert_int_eq(action, OPT_CHECK);
    ck_assert_uint_eq(conf.period_ns, 2 * SEC);
    ck_assert_int_eq(load(ARGS("--period=2s", "--version", NULL), NONE), 0);
    ck_assert_int_eq(action, OPT_VERSION);
    ck_assert_int_eq(load(ARGS("--help", "--version", NULL), NONE), 0);
    ck_assert_int_eq(action, OPT_HELP);
}
END_TEST

START_TEST(who_asks_for_help_gets_it_whatever_else_is_wrong)
{
    ck_assert_int_eq(load(ARGS("--config=/no/such", "--help", "--nonsense", NULL),
                          ARGS("TST_PERIOD=x", NULL)),
                     0);
    ck_assert_int_eq(action, OPT_HELP);
}
END_TEST

/* The help of a program, or without one our settings, in a text to be freed. */
static char *print(const struct opt_program *help)
{
    char *text = NULL;
    size_t n;
    FILE *to = open_memstream(&text, &n);

    ck_assert_ptr_nonnull(to);
    if (help)
        opt_help(help, to);
    else
        opt_print(&program, &conf, &state, to);
    ck_assert_int_eq(fclose(to), 0);
    return text;
}

START_TEST(settings_are_printed_by_source_with_secrets_masked)
{
    write_file("TST_MODE=both\n");
    ck_assert_int_eq(load(ARGS("--config", file, "--period=90s", NULL),
                          ARGS("TST_APIKEY=hush", "TST_SERVER=a b", NULL)),
                     0);
    char *text = print(NULL);
    ck_assert_str_eq(text, "# From flags:\n"
                           "TST_PERIOD=90s\n"
                           "\n"
                           "# From the environment:\n"
                           "TST_SERVER_URL=\"a b\"\n"
                           "# TST_APIKEY=********\n"
                           "\n"
                           "# From the file:\n"
                           "TST_MODE=Both\n"
                           "\n"
                           "# Defaults:\n"
                           "TST_QUEUE_MAX=4MiB\n"
                           "TST_BATCH_SIZE=100\n"
                           "TST_THRESHOLD=0.001\n"
                           "TST_TLS_SKIP_VERIFY=false\n");
    free(text);
}
END_TEST

START_TEST(a_secret_that_is_not_set_is_not_masked)
{
    ck_assert_int_eq(load(NONE, NONE), 0);
    char *text = print(NULL);
    ck_assert_ptr_nonnull(strstr(text, "\nTST_APIKEY=\n"));
    free(text);
}
END_TEST

static const char *const texts[] = {
    "",           "plain",       "http://[::1]:8080/x?y=1&z=2",
    " a ",        "#a",          ";a",
    "a'b",        "a\"b",        "a\\b",
    "$HOME `x`",  "a\\",         "\"",
    "two\nlines", "caf\xc3\xa9", "\\n",
    "'q'x",       "=",           "a\tb",
    "********",   "a # b",
};

START_TEST(printed_settings_are_a_file_with_the_same_settings)
{
    char variable[64];

    (void)snprintf(variable, sizeof variable, "TST_SERVER_URL=%s", texts[_i]);
    ck_assert_int_eq(
        load(ARGS("--period=1500ms", "--tls-skip-verify", "--threshold=0.0125", NULL),
             ARGS(variable, "TST_QUEUE_MAX=1025", "TST_MODE=trickle", NULL)),
        0);
    char *text = print(NULL);
    write_file(text);
    free(text);
    ck_assert_int_eq(load(ARGS("--config", file, NULL), NONE), 0);
    ck_assert_str_eq(conf.server, texts[_i]);
    ck_assert_uint_eq(conf.period_ns, 1500 * MSEC);
    ck_assert_uint_eq(conf.room, 1025);
    ck_assert_uint_eq(conf.threshold, 12500);
    ck_assert(conf.skip);
    ck_assert_int_eq(conf.mode, 1);
    ck_assert_str_eq(source_of("server-url"), "file");
}
END_TEST

START_TEST(help_shows_every_option_in_columns)
{
    char *text = print(&program);
    static const char *const rows[] = {
        "tst: a program for tests\n",
        "  --config FILE ",
        "  --check-config ",
        "  --version ",
        "  --help ",
        "  --server-url       TST_SERVER_URL       http://localhost  where to send to\n",
        "                     TST_APIKEY                             the key\n",
        "  --period           TST_PERIOD           10s               time between two",
        "  --queue-max        TST_QUEUE_MAX        4MiB              room for batches\n",
        "  --batch-size       TST_BATCH_SIZE       100               measurements in a ",
        " measurements in a batch (1 to 1000)\n",
        "  --threshold        TST_THRESHOLD        0.001             what is left out\n",
        "(0.000001 to 0.999999, or 0)\n",
        "  --tls-skip-verify  TST_TLS_SKIP_VERIFY  no                trust anybody\n",
        "  --mode             TST_MODE             local             what to do (local, ",
        " what to do (local, trickle or Both)\n",
        "(10ms to 1h, or 0)\n",
        "\nThe end.\n",
    };

    for (size_t i = 0; i < N_OF(rows); i++)
        ck_assert_msg(strstr(text, rows[i]), "'%s' is not in:\n%s", rows[i], text);
    ck_assert_ptr_null(strstr(text, "--apikey"));
    ck_assert_ptr_null(strstr(text, "TST_SERVER "));
    free(text);
}
END_TEST

/* Words of one letter reach every second column: those of the two rows are not the same.
 */
START_TEST(help_is_at_most_100_columns_wide)
{
#define WORDS                                                                            \
    "a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a a " \
    "a"
    struct opt rows[] = {opts[0], opts[0]};
    struct opt_program wide = program;
    size_t widest = 0;

    rows[0].help = WORDS;
    rows[1].help = "bb " WORDS;
    wide.opts = rows;
    wide.n_opts = N_OF(rows);
    char *text = print(&wide);
    for (const char *line = text; *line; line += strcspn(line, "\n") + 1) {
        size_t n = strcspn(line, "\n");
        ck_assert_msg(n <= 100, "%.*s", (int)n, line);
        ck_assert_msg(n == 0 || line[n - 1] != ' ', "'%.*s'", (int)n, line);
        widest = n > widest ? n : widest;
    }
    ck_assert_uint_eq(widest, 100);
    free(text);
#undef WORDS
}
END_TEST

START_TEST(loading_survives_any_failed_allocation)
{
    char *argv[] = {(char[]){"tst"}, (char[]){"--server-url=flag"}, (char[]){"--config"},
                    file, NULL};
    char *envp[] = {(char[]){"TST_APIKEY=hush"}, (char[]){"TST_UNKNOWN="}, NULL};
    bool fired = true;

    write_file("TST_SERVER_URL=file\nTST_MODE=trickle\n");
    for (long nth = 0; fired; nth++) {
        opt_done(&state);
        fault_arm(nth);
        int r = opt_load(&program, argv, envp, &conf, &state, &action);
        fired = fault_disarm();

        ck_assert_int_eq(r, fired ? -ENOMEM : 0);
        ck_assert_int_eq(state.error[0] != 0, fired);
        ck_assert(utf8_valid(span_of_str(state.error)));
    }
    ck_assert_str_eq(conf.server, "flag");
    ck_assert_str_eq(conf.key, "hush");
    ck_assert_int_eq(conf.mode, 1);
}
END_TEST

START_TEST(done_takes_a_state_that_was_never_loaded)
{
    struct opt_state never = {0};

    opt_done(&never);
    opt_done(&never);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("opt");
    TCase *c = tcase_create("load");

    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_add_test(c, without_anything_each_option_has_its_default);
    tcase_add_test(c, flags_take_their_value_both_ways);
    tcase_add_test(c, a_flag_may_have_any_value_behind_its_equals_sign);
    tcase_add_test(c, of_a_flag_given_twice_the_last_counts);
    tcase_add_loop_test(c, a_bool_is_one_of_eight_words, 0, N_OF(words));
    tcase_add_test(c, flags_beat_the_environment_that_beats_the_file);
    tcase_add_test(c, the_last_line_of_a_file_counts);
    tcase_add_test(c, old_names_are_taken_wherever_names_are);
    tcase_add_test(c, a_name_beats_its_old_name_in_any_order);
    tcase_add_loop_test(c, numbers_are_taken_within_their_bounds, 0, N_OF(bounds));
    tcase_add_loop_test(c, a_fraction_is_millionths_within_its_bounds, 0,
                        N_OF(fractions));
    tcase_add_loop_test(c, what_is_wrong_is_one_line_that_says_what_would_be_right, 0,
                        N_OF(errors));
    tcase_add_test(c, a_file_that_can_not_be_read_is_a_fault);
    tcase_add_loop_test(c, what_is_wrong_in_a_file_is_said_with_its_line, 0,
                        N_OF(file_errors));
    tcase_add_test(c, a_secret_comes_from_the_environment_or_the_file);
    tcase_add_test(c, unknown_variables_of_the_prefix_get_a_warning);
    tcase_add_test(c, warnings_are_bounded);
    tcase_add_test(c, the_common_flags_say_what_to_do);
    tcase_add_test(c, who_asks_for_help_gets_it_whatever_else_is_wrong);
    tcase_add_test(c, loading_survives_any_failed_allocation);
    tcase_add_test(c, done_takes_a_state_that_was_never_loaded);
    suite_add_tcase(suite, c);

    c = tcase_create("show");
    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_add_test(c, settings_are_printed_by_source_with_secrets_masked);
    tcase_add_test(c, a_secret_that_is_not_set_is_not_masked);
    tcase_add_loop_test(c, printed_settings_are_a_file_with_the_same_settings, 0,
                        N_OF(texts));
    tcase_add_test(c, help_shows_every_option_in_columns);
    tcase_add_test(c, help_is_at_most_100_columns_wide);
    suite_add_tcase(suite, c);
    return suite_run(suite);
}
