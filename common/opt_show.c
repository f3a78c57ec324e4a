/* SPDX-License-Identifier: MIT */
#include "common/opt.h"

#include "common/opt_text.h"
#include "common/units.h"

#include <inttypes.h>
#include <string.h>

#define NAME_BYTES 128u
#define HELP_COLUMN 6u
#define LAST_COLUMN 96u

/* Writes words from a column on, broken before the last column. */
static void print_wrapped(const char *text, FILE *to)
{
    size_t column = HELP_COLUMN;

    (void)fprintf(to, "%*s", (int)HELP_COLUMN, "");
    while (*text) {
        size_t n = strcspn(text, " ");

        if (column > HELP_COLUMN && column + 1 + n > LAST_COLUMN) {
            (void)fprintf(to, "\n%*s", (int)HELP_COLUMN, "");
            column = HELP_COLUMN;
        }
        column +=
            (size_t)fprintf(to, "%s%.*s", column > HELP_COLUMN ? " " : "", (int)n, text);
        text += n + (text[n] == ' ');
    }
    (void)fputc('\n', to);
}

static void print_row(const struct opt_program *p, const struct opt *o, FILE *to)
{
    char variable[NAME_BYTES];
    char expected[256];
    char flag[NAME_BYTES] = "";

    opt_text_variable(p, o->name, variable, sizeof variable);
    if (o->type != OPT_SECRET)
        (void)snprintf(flag, sizeof flag, "--%s", o->name);
    (void)fprintf(to, "  %-24s %-28s", flag, variable);
    if (o->dflt[0])
        (void)fprintf(to, " default %s", o->dflt);
    (void)fputc('\n', to);
    print_wrapped(o->help, to);
    if (o->type == OPT_STRING || o->type == OPT_SECRET)
        return;
    opt_text_expected(o, expected, sizeof expected);
    print_wrapped(expected, to);
}

void opt_help(const struct opt_program *p, FILE *to)
{
    (void)fprintf(
        to,
        "%s - %s\n\n"
        "Usage: %s [FLAG...]\n\n"
        "Each option is a flag, a variable of the environment, or a line NAME=VALUE of\n"
        "the file given with --config; flags win over the environment, that over the "
        "file.\n\n"
        "  --config FILE            read options from a file\n"
        "  --check-config           show the resulting settings and end\n"
        "  --version                show version, build and libraries and end\n"
        "  --help                   show this text and end\n\n",
        p->name, p->summary, p->name);
    for (size_t i = 0; i < p->n_opts; i++)
        print_row(p, &p->opts[i], to);
    if (p->more)
        (void)fprintf(to, "\n%s", p->more);
}

/* A text as the file takes it: quoted where it has more than plain characters. */
static void print_text(const char *text, FILE *to)
{
    if (strcspn(text, " \t\n\\\"'#;") == strlen(text)) {
        (void)fputs(text, to);
        return;
    }
    (void)fputc('"', to);
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            (void)fputc('\\', to);
        (void)fputc(*text, to);
    }
    (void)fputc('"', to);
}

static void print_value(const struct opt *o, const void *conf, FILE *to)
{
    const char *at = (const char *)conf + o->at;
    char text[UNITS_TEXT];
    union opt_value v;

    switch (o->type) {
    case OPT_STRING:
    case OPT_SECRET:
        memcpy(&v.text, at, sizeof v.text);
        print_text(o->type == OPT_SECRET && v.text[0] ? "********" : v.text, to);
        return;
    case OPT_BOOL:
        memcpy(&v.yes, at, sizeof v.yes);
        (void)fputs(v.yes ? "true" : "false", to);
        return;
    case OPT_CHOICE:
        memcpy(&v.choice, at, sizeof v.choice);
        (void)fputs(o->choices[v.choice], to);
        return;
    case OPT_DURATION:
    case OPT_SIZE:
    case OPT_COUNT:
        break;
    }
    memcpy(&v.number, at, sizeof v.number);
    if (o->type == OPT_DURATION)
        units_print_duration(v.number, text);
    else if (o->type == OPT_SIZE)
        units_print_size(v.number, text);
    else
        (void)snprintf(text, sizeof text, "%" PRIu64, v.number);
    (void)fputs(text, to);
}

void opt_print(const struct opt_program *p, const void *conf,
               const struct opt_state *state, FILE *to)
{
    const char *source = "";

    for (size_t i = 0; i < p->n_opts; i++) {
        char variable[NAME_BYTES];

        /* A comment of its own, so that what is printed can be read as a file again. */
        if (strcmp(source, state->sources[i]) != 0) {
            source = state->sources[i];
            (void)fprintf(to, "# %s\n", source);
        }
        opt_text_variable(p, p->opts[i].name, variable, sizeof variable);
        (void)fprintf(to, "%s=", variable);
        print_value(&p->opts[i], conf, to);
        (void)fputc('\n', to);
    }
}
