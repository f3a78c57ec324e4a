/* SPDX-License-Identifier: MIT */
#include "common/opt.h"

#include "common/io.h"
#include "common/opt_file.h"
#include "common/opt_text.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define WARNINGS_BYTES (64u * 1024u)
#define FILE_BYTES (1024u * 1024u)
#define WHERE_TEXT (2 * OPT_SHOWN_TEXT + 32) /* PATH:LINE: NAME */

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
    unsigned *ranks; /* a row each: the rank of the value it has */
    const char *file;
    enum opt_action action;
};

/* Within a source an option's name beats its old one. */
static unsigned rank_of(enum source source, bool is_old)
{
    return 2 * (unsigned)source + !is_old;
}

PC_PRINTF(2, 3) static int fail(struct load *l, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    (void)vsnprintf(l->state->error, sizeof l->state->error, format, args);
    va_end(args);
    return E_MALFORMED;
}

/* A copy that lives as long as the state; NULL without memory. */
static const char *copy_text(struct opt_state *state, const char *text)
{
    char **texts = reallocarray(state->texts, state->n_texts + 1, sizeof *texts);

    if (!texts)
        return NULL;
    state->texts = texts;
    char *copy = strdup(text);
    if (copy)
        texts[state->n_texts++] = copy;
    return copy;
}

static int store(struct load *l, const struct opt *o, union opt_value value)
{
    char *at = (char *)l->conf + o->at;

    switch (o->type) {
    case OPT_STRING:
    case OPT_SECRET:
        value.text = copy_text(l->state, value.text);
        if (!value.text)
            return -ENOMEM;
        memcpy(at, &value.text, sizeof value.text);
        break;
    case OPT_DURATION:
    case OPT_SIZE:
    case OPT_COUNT:
    case OPT_FRACTION:
        memcpy(at, &value.number, sizeof value.number);
        break;
    case OPT_BOOL:
        memcpy(at, &value.yes, sizeof value.yes);
        break;
    case OPT_CHOICE:
        memcpy(at, &value.choice, sizeof value.choice);
        break;
    }
    return 0;
}

/* Sets a row, unless it has a stronger value; what is wrong is refused all the same.
 * @where: names the option and its source, for the error */
static int set(struct load *l, size_t row, const char *text, unsigned rank,
               const char *where)
{
    const struct opt *o = &l->program->opts[row];
    union opt_value value;

    if (opt_text_parse(o, text, &value) != 0) {
        char given[OPT_SHOWN_TEXT];
        char expected[OPT_EXPECTED_TEXT];

        opt_text_show(span_of_str(text), given);
        opt_text_expected(o, expected);
        return fail(l, "%s: given '%s', expected %s", where, given, expected);
    }
    if (rank < l->ranks[row])
        return 0;
    int r = store(l, o, value);
    if (r)
        return r;
    l->ranks[row] = rank;
    l->state->sources[row] = source_names[rank / 2];
    return 0;
}

static int set_defaults(struct load *l)
{
    for (size_t i = 0; i < l->program->n_opts; i++) {
        const struct opt *o = &l->program->opts[i];
        int r = set(l, i, o->dflt, rank_of(FROM_DEFAULT, true), o->name);

        assert(r != E_MALFORMED); /* the table is wrong */
        if (r)
            return r;
    }
    return 0;
}

/* A secret is no flag: all users of a host see the arguments of a program. */
static int refuse_secret_flag(struct load *l, const struct opt *o, struct span name)
{
    char given[OPT_SHOWN_TEXT];
    char variable[OPT_NAME_TEXT];

    opt_text_show(name, given);
    opt_text_variable(l->program, o->name, variable);
    return fail(l,
                "--%s: no such flag, as every user of the host could read it; give %s in "
                "the environment or in the file that --config names",
                given, variable);
}

static int unknown_flag(struct load *l, struct span name)
{
    char given[OPT_SHOWN_TEXT];
    char nearest[OPT_NAME_TEXT];
    bool is_old;

    opt_text_nearest_flag(l->program, name, nearest);
    size_t row = opt_text_find_flag(l->program, span_of_str(nearest), &is_old);
    if (row < l->program->n_opts && l->program->opts[row].type == OPT_SECRET)
        return refuse_secret_flag(l, &l->program->opts[row], name);
    opt_text_show(name, given);
    return fail(l, "--%s: no such flag, the nearest is --%s", given, nearest);
}

/* A flag's value: behind its "=", else the next argument, over which *at moves on; NULL
 * if there is none. */
static const char *take_value(char *const **at)
{
    const char *equals = strchr(**at, '=');
    const char *next = (*at)[1];

    if (equals)
        return equals + 1;
    /* Rather a forgotten value than one that looks like a flag: that takes the "=". */
    if (!next || strncmp(next, "--", 2) == 0)
        return NULL;
    ++*at;
    return next;
}

static int take_config(struct load *l, char *const **at)
{
    const char *file = take_value(at);

    if (!file || !file[0])
        return fail(l, "--config: expected the name of a file");
    if (l->file)
        return fail(l, "--config: given twice, expected once");
    l->file = file;
    return 0;
}

static int take_option(struct load *l, char *const **at, struct span name)
{
    char where[WHERE_TEXT];
    bool is_old;
    size_t row = opt_text_find_flag(l->program, name, &is_old);

    if (row == l->program->n_opts)
        return unknown_flag(l, name);
    const struct opt *o = &l->program->opts[row];
    if (o->type == OPT_SECRET)
        return refuse_secret_flag(l, o, name);
    (void)snprintf(where, sizeof where, "--%s", is_old ? o->old_name : o->name);
    const char *value =
        o->type == OPT_BOOL && !strchr(**at, '=') ? "true" : take_value(at);
    if (!value) {
        char expected[OPT_EXPECTED_TEXT];

        opt_text_expected(o, expected);
        return fail(l, "%s: no value given, expected %s", where, expected);
    }
    return set(l, row, value, rank_of(FROM_FLAG, is_old), where);
}

static int refuse_positional(struct load *l, const char *argument)
{
    char given[OPT_SHOWN_TEXT];

    opt_text_show(span_of_str(argument), given);
    return fail(l, "'%s' is no flag; expected --NAME VALUE (--help shows all)", given);
}

/* One flag, with its value. */
static int take_flag(struct load *l, char *const **at)
{
    const char *flag = **at + 2;
    struct span name = span_of(flag, strcspn(flag, "="));

    if (span_equal(name, SPAN("config")))
        return take_config(l, at);
    if (strcmp(flag, "help") == 0)
        l->action = OPT_HELP;
    else if (strcmp(flag, "version") == 0)
        l->action = OPT_VERSION;
    else if (strcmp(flag, "check-config") == 0)
        l->action = OPT_CHECK;
    else
        return take_option(l, at, name);
    return 0;
}

/* Who asks for help or the version gets it, whatever else is there. */
static bool is_answer(enum opt_action action)
{
    return action == OPT_HELP || action == OPT_VERSION;
}

static int read_flags(struct load *l, char *const argv[])
{
    if (!argv[0])
        return 0;
    for (char *const *at = argv + 1; *at && !is_answer(l->action); at++) {
        if (strcmp(*at, "--") == 0)
            return at[1] ? refuse_positional(l, at[1]) : 0;
        if (strncmp(*at, "--", 2) != 0)
            return refuse_positional(l, *at);
        int r = take_flag(l, &at);
        if (r)
            return r;
    }
    return 0;
}

static int warn_unknown(struct load *l, struct span name)
{
    char given[OPT_SHOWN_TEXT];
    char nearest[OPT_NAME_TEXT];

    opt_text_show(name, given);
    opt_text_nearest_variable(l->program, name, nearest);
    int r = buf_printf(&l->state->warnings,
                       "%s in the environment: no such option, the nearest is %s\n",
                       given, nearest);
    return r == E_TOO_LARGE ? 0 : r; /* thousands more would help nobody */
}

static int read_environment(struct load *l, char *const envp[])
{
    for (; *envp; envp++) {
        struct span name = span_of(*envp, strcspn(*envp, "="));
        char where[WHERE_TEXT];
        bool is_old;
        int r;

        if (!span_starts_with(name, span_of_str(l->program->prefix)))
            continue;
        size_t row = opt_text_find_variable(l->program, name, &is_old);
        if (row == l->program->n_opts) {
            r = warn_unknown(l, name);
        } else {
            /* Without "=", which only a broken caller hands down, the value is empty. */
            const char *value = *envp + name.n + ((*envp)[name.n] == '=');
            (void)snprintf(where, sizeof where, "%.*s in the environment", (int)name.n,
                           *envp);
            r = set(l, row, value, rank_of(FROM_ENVIRONMENT, is_old), where);
        }
        if (r)
            return r;
    }
    return 0;
}

/* One setting of the file; @path as it is shown. */
static int take_setting(struct load *l, const struct opt_file *f, const char *path)
{
    char where[WHERE_TEXT];
    char given[OPT_SHOWN_TEXT];
    char nearest[OPT_NAME_TEXT];
    bool is_old;
    size_t row = opt_text_find_variable(l->program, f->name, &is_old);

    opt_text_show(f->name, given);
    if (row == l->program->n_opts) {
        opt_text_nearest_variable(l->program, f->name, nearest);
        return fail(l, "%s:%zu: %s: no such option, the nearest is %s", path, f->at_line,
                    given, nearest);
    }
    (void)snprintf(where, sizeof where, "%s:%zu: %s", path, f->at_line, given);
    return set(l, row, f->value, rank_of(FROM_FILE, is_old), where);
}

static int read_file(struct load *l)
{
    CLEANUP(buf_done) struct buf bytes;
    CLEANUP(opt_file_done) struct opt_file f = {0};
    char path[OPT_SHOWN_TEXT];

    buf_init(&bytes, FILE_BYTES);
    opt_text_show(span_of_str(l->file), path);
    int r = io_read_file(AT_FDCWD, l->file, &bytes);
    if (r) {
        (void)fail(l, "--config %s: %s", path, err_text(r));
        return r < 0 ? r : E_MALFORMED;
    }
    r = opt_file_init(&f, buf_span(&bytes));
    if (r)
        return r;
    while ((r = opt_file_next(&f)) == 0) {
        r = take_setting(l, &f, path);
        if (r)
            return r;
    }
    if (r == E_MALFORMED)
        return fail(l, "%s:%zu: %s", path, f.at_line, f.what);
    return 0;
}

static int read_all(struct load *l, char *const argv[], char *const envp[])
{
    int r = set_defaults(l);

    if (r)
        return r;
    r = read_flags(l, argv);
    if (r || is_answer(l->action))
        return r;
    r = read_environment(l, envp);
    if (r || !l->file)
        return r;
    return read_file(l);
}

int opt_load(const struct opt_program *program, char *const argv[], char *const envp[],
             void *conf, struct opt_state *state, enum opt_action *ret)
{
    struct load l = {.program = program, .conf = conf, .state = state, .action = OPT_RUN};

    buf_init(&state->warnings, WARNINGS_BYTES);
    state->sources = calloc(program->n_opts, sizeof *state->sources);
    l.ranks = calloc(program->n_opts, sizeof *l.ranks);
    int r = state->sources && l.ranks ? read_all(&l, argv, envp) : -ENOMEM;
    free(l.ranks);
    if (r && !state->error[0])
        (void)snprintf(state->error, sizeof state->error, "%s", err_text(r));
    if (r == 0)
        *ret = l.action;
    return r;
}

void opt_done(struct opt_state *state)
{
    for (size_t i = 0; i < state->n_texts; i++)
        free(state->texts[i]);
    free(state->texts);
    free(state->sources);
    buf_done(&state->warnings);
    *state = (struct opt_state){0};
}

bool opt_take_flag(char *argv[], const char *flag)
{
    bool found = false;
    char **to = argv;

    for (char **at = argv; *at; at++) {
        if (strcmp(*at, flag) == 0)
            found = true;
        else
            *to++ = *at;
    }
    *to = NULL;
    return found;
}
