/* SPDX-License-Identifier: MIT */
#include "common/opt.h"

#include "common/io.h"
#include "common/opt_text.h"
#include "common/units.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define WARNINGS_MAX (64u * 1024u)
#define NAME_BYTES 128u

/* Where a value came from, weakest first. */
enum source {
    FROM_DEFAULT,
    FROM_FILE,
    FROM_ENVIRONMENT,
    FROM_FLAG,
};

static const char *const source_names[] = {"default", "file", "environment", "flag"};

struct load {
    const struct opt_program *program;
    void *conf;
    struct opt_state *state;
    enum source *from; /* a row each: the strongest seen so far */
};

PC_PRINTF(2, 3) static int fail(struct opt_state *state, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    (void)vsnprintf(state->error, sizeof state->error, format, args);
    va_end(args);
    return E_MALFORMED;
}

/* A copy that lives as long as the state; NULL without memory. */
static const char *keep(struct opt_state *state, const char *text)
{
    char **texts = reallocarray(state->texts, state->n_texts + 1, sizeof *texts);

    if (!texts)
        return NULL;
    state->texts = texts;
    texts[state->n_texts] = strdup(text);
    return texts[state->n_texts] ? texts[state->n_texts++] : NULL;
}

/* Puts a checked value in place. */
static int store(struct load *l, const struct opt *o, union opt_value value)
{
    char *at = (char *)l->conf + o->at;

    switch (o->type) {
    case OPT_STRING:
    case OPT_SECRET: {
        const char *copy = keep(l->state, value.text);
        if (!copy)
            return -ENOMEM;
        memcpy(at, &copy, sizeof copy);
        return 0;
    }
    case OPT_DURATION:
    case OPT_SIZE:
    case OPT_COUNT:
        memcpy(at, &value.number, sizeof value.number);
        return 0;
    case OPT_BOOL:
        memcpy(at, &value.yes, sizeof value.yes);
        return 0;
    case OPT_CHOICE:
        memcpy(at, &value.choice, sizeof value.choice);
        return 0;
    }
    return 0;
}

/* Sets a row from a source, unless a stronger one did. @where names it in errors. */
static int set(struct load *l, size_t row, const char *text, enum source from,
               const char *where)
{
    const struct opt *o = &l->program->opts[row];
    union opt_value value;
    char right[256];

    if (opt_text_parse(o, text, &value) != 0) {
        opt_text_expected(o, right, sizeof right);
        return fail(l->state, "%s: '%s' is not %s", where,
                    o->type == OPT_SECRET ? "…" : text, right);
    }
    if (from < l->from[row])
        return 0;
    int r = store(l, o, value);
    if (r)
        return r;
    l->from[row] = from;
    l->state->sources[row] = source_names[from];
    return 0;
}

static int set_defaults(struct load *l)
{
    for (size_t i = 0; i < l->program->n_opts; i++) {
        char where[NAME_BYTES];

        (void)snprintf(where, sizeof where, "default of %s", l->program->opts[i].name);
        int r = set(l, i, l->program->opts[i].dflt, FROM_DEFAULT, where);
        if (r)
            return r;
    }
    return 0;
}

static int unknown_flag(struct load *l, const char *name)
{
    char near[NAME_BYTES];

    opt_text_nearest_flag(l->program, name, near, sizeof near);
    return fail(l->state, "--%s: no such flag; did you mean --%s? (--help lists them)",
                name, near);
}

/* One flag at argv[*at]; moves on over its value. */
static int take_flag(struct load *l, int argc, char *const argv[], int *at)
{
    const char *flag = argv[*at] + 2;
    const char *equals = strchr(flag, '=');
    char name[NAME_BYTES];
    char where[NAME_BYTES + 2];
    const char *value = equals ? equals + 1 : NULL;

    (void)snprintf(name, sizeof name, "%.*s",
                   equals ? (int)(equals - flag) : (int)strlen(flag), flag);
    (void)snprintf(where, sizeof where, "--%s", name);
    size_t row = opt_text_find_flag(l->program, name);
    if (row == l->program->n_opts)
        return unknown_flag(l, name);
    const struct opt *o = &l->program->opts[row];
    if (o->type == OPT_SECRET) {
        opt_text_variable(l->program, o->name, name, sizeof name);
        return fail(
            l->state,
            "%s: a flag could be read by every user of the host; set %s, or a file",
            where, name);
    }
    if (!value && o->type == OPT_BOOL)
        value = "true";
    else if (!value && *at + 1 < argc)
        value = argv[++*at];
    else if (!value)
        return fail(l->state, "%s: the value is missing", where);
    return set(l, row, value, FROM_FLAG, where);
}

static int read_file(struct load *l, const char *path)
{
    CLEANUP(buf_done) struct buf bytes;
    struct opt_line line = {0};
    int r;

    buf_init(&bytes, 1024 * 1024);
    r = io_read_file(AT_FDCWD, path, &bytes);
    if (r) {
        (void)fail(l->state, "--config %s: %s", path, err_text(r));
        return r;
    }
    line.rest = buf_span(&bytes);
    while ((r = opt_text_next_line(&line)) == 0) {
        char where[512];
        size_t row = opt_text_find_variable(l->program, line.name);

        (void)snprintf(where, sizeof where, "%s:%zu: %s", path, line.number, line.name);
        if (row == l->program->n_opts) {
            char near[NAME_BYTES];
            opt_text_nearest_variable(l->program, line.name, near, sizeof near);
            r = fail(l->state, "%s: no such option; did you mean %s?", where, near);
        } else {
            r = set(l, row, line.value, FROM_FILE, where);
        }
        if (r)
            break;
    }
    opt_text_line_done(&line);
    if (r == E_MALFORMED && !l->state->error[0])
        r = fail(l->state, "%s:%zu: not NAME=VALUE", path, line.number);
    return r == E_GONE ? 0 : r;
}

static int read_environment(struct load *l, char *const envp[])
{
    size_t n_prefix = strlen(l->program->prefix);

    for (size_t i = 0; envp && envp[i]; i++) {
        const char *equals = strchr(envp[i], '=');
        char name[NAME_BYTES];

        if (!equals || strncmp(envp[i], l->program->prefix, n_prefix) != 0)
            continue;
        (void)snprintf(name, sizeof name, "%.*s", (int)(equals - envp[i]), envp[i]);
        size_t row = opt_text_find_variable(l->program, name);
        int r;
        if (row < l->program->n_opts) {
            r = set(l, row, equals + 1, FROM_ENVIRONMENT, name);
        } else {
            char near[NAME_BYTES];
            opt_text_nearest_variable(l->program, name, near, sizeof near);
            r = buf_printf(&l->state->warnings, "%s is no option; the nearest is %s\n",
                           name, near);
            r = r > 0 ? 0 : r; /* warnings beyond the limit are left out */
        }
        if (r)
            return r;
    }
    return 0;
}

/* The flags that come with the table. Return: is it one? */
static bool take_common(const char *arg, enum opt_action *ret)
{
    if (strcmp(arg, "--help") == 0 || strcmp(arg, "-h") == 0)
        *ret = OPT_HELP;
    else if (strcmp(arg, "--version") == 0)
        *ret = OPT_VERSION;
    else if (strcmp(arg, "--check-config") == 0)
        *ret = OPT_CHECK;
    else
        return false;
    return true;
}

/* --config FILE or --config=FILE at argv[*at]; 0 if it is not that. */
static int take_config(struct load *l, int argc, char *const argv[], int *at,
                       const char **path)
{
    const char *arg = argv[*at];

    if (strcmp(arg, "--config") != 0 && strncmp(arg, "--config=", 9) != 0)
        return 0;
    if (*path)
        return fail(l->state, "--config: given twice");
    if (arg[8] == '=')
        *path = arg + 9;
    else if (*at + 1 < argc)
        *path = argv[++*at];
    else
        return fail(l->state, "--config: the file is missing");
    return E_REPLAY; /* taken */
}

static int read_flags(struct load *l, int argc, char *const argv[], const char **path,
                      enum opt_action *ret)
{
    for (int i = 1; i < argc; i++) {
        if (take_common(argv[i], ret))
            continue;
        int r = take_config(l, argc, argv, &i, path);
        if (r == E_REPLAY)
            continue;
        if (r == 0 && strncmp(argv[i], "--", 2) != 0)
            r = fail(l->state, "%s: not a flag (--help lists them)", argv[i]);
        if (r == 0)
            r = take_flag(l, argc, argv, &i);
        if (r)
            return r;
    }
    return 0;
}

int opt_load(const struct opt_program *program, int argc, char *const argv[],
             char *const envp[], void *conf, struct opt_state *state,
             enum opt_action *ret)
{
    struct load l = {.program = program, .conf = conf, .state = state};
    const char *path = NULL;
    enum opt_action action = OPT_RUN;

    buf_init(&state->warnings, WARNINGS_MAX);
    l.from = calloc(program->n_opts + 1, sizeof *l.from);
    state->sources = calloc(program->n_opts + 1, sizeof *state->sources);
    int r = l.from && state->sources ? 0 : -ENOMEM;
    if (r == 0)
        r = set_defaults(&l);
    if (r == 0)
        r = read_flags(&l, argc, argv, &path, &action);
    if (r == 0 && action != OPT_HELP && action != OPT_VERSION && path)
        r = read_file(&l, path);
    if (r == 0 && action != OPT_HELP && action != OPT_VERSION)
        r = read_environment(&l, envp);
    free(l.from);
    if (r && !state->error[0])
        (void)snprintf(state->error, sizeof state->error, "%s", err_text(r));
    if (r == 0)
        *ret = action;
    return r;
}

void opt_done(struct opt_state *state)
{
    for (size_t i = 0; i < state->n_texts; i++) {
        explicit_bzero(state->texts[i],
                       strlen(state->texts[i])); /* keys may be among them */
        free(state->texts[i]);
    }
    free(state->texts);
    free(state->sources);
    buf_done(&state->warnings);
    *state = (struct opt_state){0};
}
