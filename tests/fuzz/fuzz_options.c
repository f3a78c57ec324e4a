/* SPDX-License-Identifier: MIT */
#include "common/opt.h"
#include "common/opt_file.h"
#include "common/units.h"
#include "common/utf8.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/home.h"

#include <stdio.h>

/* input = the file that --config names, of a program with an option of each type. */

struct conf {
    const char *name;
    const char *secret;
    uint64_t wait_ns;
    uint64_t bytes;
    uint64_t count;
    uint64_t share;
    bool yes;
    int choice;
};

static const char *const choices[] = {"json", "msgpack", "delta", NULL};
static const struct opt opts[] = {
    {.name = "name", .type = OPT_STRING, .at = offsetof(struct conf, name), .dflt = ""},
    {.name = "secret",
     .old_name = "key",
     .type = OPT_SECRET,
     .at = offsetof(struct conf, secret),
     .dflt = ""},
    {.name = "wait",
     .type = OPT_DURATION,
     .at = offsetof(struct conf, wait_ns),
     .dflt = "1s",
     .min = MSEC,
     .max = 1000 * HOUR},
    {.name = "bytes",
     .type = OPT_SIZE,
     .at = offsetof(struct conf, bytes),
     .dflt = "1MiB",
     .min = 100,
     .max = 4096 * GIB,
     .zero_too = true},
    {.name = "count",
     .old_name = "number",
     .type = OPT_COUNT,
     .at = offsetof(struct conf, count),
     .dflt = "5",
     .max = UINT64_MAX},
    {.name = "share",
     .type = OPT_FRACTION,
     .at = offsetof(struct conf, share),
     .dflt = "0.5",
     .max = MILLION},
    {.name = "yes", .type = OPT_BOOL, .at = offsetof(struct conf, yes), .dflt = "no"},
    {.name = "choice",
     .type = OPT_CHOICE,
     .at = offsetof(struct conf, choice),
     .dflt = "json",
     .choices = choices},
};
static const struct opt_program program = {
    .name = "fuzz",
    .prefix = "F_",
    .opts = opts,
    .n_opts = sizeof opts / sizeof *opts,
};

static int load(const struct fuzz_home *home, struct conf *conf, struct opt_state *state)
{
    char path[PATH_MAX + 8];
    char name[] = "fuzz";
    char flag[] = "--config";
    char *argv[] = {name, flag, path, NULL};
    char *envp[] = {NULL};
    enum opt_action action;

    (void)snprintf(path, sizeof path, "%s/file", home->path);
    int r = opt_load(&program, argv, envp, conf, state, &action);
    FUZZ_CHECK(r != 0 || action == OPT_RUN);
    return r;
}

/* What is wrong is said in a line that can be shown anywhere. */
static void check_error(const char *error)
{
    FUZZ_CHECK(error[0] && utf8_valid(span_of_str(error)));
    for (; *error; error++)
        FUZZ_CHECK((uint8_t)*error >= ' ' && *error != 0x7f);
}

static void append_text(struct buf *file, const char *name, const char *value)
{
    FUZZ_CHECK(buf_printf(file, "%s=\"", name) == 0);
    for (; *value; value++) {
        if (strchr("\\\"`$", *value))
            FUZZ_CHECK(buf_append_byte(file, '\\') == 0);
        FUZZ_CHECK(buf_append_byte(file, (uint8_t)*value) == 0);
    }
    FUZZ_CHECK(buf_append(file, SPAN("\"\n")) == 0);
}

/* The same settings, written in one of the forms that they can have. */
static void write_file(const struct conf *c, struct buf *file)
{
    append_text(file, "F_NAME", c->name);
    append_text(file, "F_SECRET", c->secret);
    FUZZ_CHECK(buf_printf(file,
                          "F_WAIT=%lluns\nF_BYTES='%llu'\nF_COUNT = %llu\n"
                          "F_SHARE=%llu.%06llu\nF_YES=%s\nF_CHOICE=%s",
                          (unsigned long long)c->wait_ns, (unsigned long long)c->bytes,
                          (unsigned long long)c->count,
                          (unsigned long long)(c->share / MILLION),
                          (unsigned long long)(c->share % MILLION),
                          c->yes ? "On" : "false", choices[c->choice]) == 0);
}

static void check_again(const struct fuzz_home *home, const struct conf *c)
{
    CLEANUP(buf_done) struct buf file;
    CLEANUP(opt_done) struct opt_state state = {0};
    struct conf again;

    FUZZ_CHECK(c->wait_ns >= MSEC && c->wait_ns <= 1000 * HOUR);
    FUZZ_CHECK(c->bytes == 0 || (c->bytes >= 100 && c->bytes <= 4096 * GIB));
    FUZZ_CHECK(c->share <= MILLION && c->choice >= 0 && c->choice < 3);
    FUZZ_CHECK(utf8_valid(span_of_str(c->name)) && utf8_valid(span_of_str(c->secret)));
    buf_init(&file, FUZZ_BODY_MAX);
    write_file(c, &file);
    fuzz_home_put(home, "file", buf_span(&file));
    FUZZ_CHECK(load(home, &again, &state) == 0);
    FUZZ_CHECK(strcmp(again.name, c->name) == 0 && strcmp(again.secret, c->secret) == 0);
    FUZZ_CHECK(again.wait_ns == c->wait_ns && again.bytes == c->bytes);
    FUZZ_CHECK(again.count == c->count && again.share == c->share);
    FUZZ_CHECK(again.yes == c->yes && again.choice == c->choice);
}

/* Shown settings are lines, and no secret is among them. */
static void check_shown(const struct conf *c, const struct opt_state *state)
{
    char *text = NULL;
    size_t n = 0;
    FILE *to = open_memstream(&text, &n);

    FUZZ_CHECK(to);
    opt_print(&program, c, state, to);
    (void)fclose(to);
    /* A short one may be part of any word. */
    if (strlen(c->secret) > 16 && !strstr(c->name, c->secret))
        FUZZ_CHECK(!strstr(text, c->secret));
    free(text);
}

/* Every setting stands in the file where the reader says. */
static void check_settings(struct span text)
{
    CLEANUP(opt_file_done) struct opt_file f;
    size_t line = 1;
    int r;

    FUZZ_CHECK(opt_file_init(&f, text) == 0);
    while ((r = opt_file_next(&f)) == 0) {
        FUZZ_CHECK(f.at_line >= line && f.line >= f.at_line);
        FUZZ_CHECK(f.n_value <= text.n && strlen(f.value) == f.n_value);
        FUZZ_CHECK(f.name.n <= text.n && !memchr(f.name.data, '\n', f.name.n));
        line = f.at_line;
    }
    FUZZ_CHECK(r == E_GONE || (r == E_MALFORMED && f.what && f.at_line >= line));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    const struct fuzz_home *home = fuzz_home_empty();
    CLEANUP(opt_done) struct opt_state state = {0};
    CLEANUP(fuzz_drop) struct span text = fuzz_exact(span_of(data, n));
    struct conf conf;

    check_settings(text);
    fuzz_home_put(home, "file", text);
    int r = load(home, &conf, &state);
    FUZZ_CHECK(r == 0 || r == E_MALFORMED);
    if (r) {
        check_error(state.error);
        return 0;
    }
    check_shown(&conf, &state);
    check_again(home, &conf);
    return 0;
}
