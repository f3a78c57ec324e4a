/* SPDX-License-Identifier: MIT */
#include "common/opt.h"

#include "common/opt_text.h"

#include <string.h>

#define LAST_COLUMN 100
#define LEAST_HELP_COLUMNS 30

/* Where the columns of the help begin, the first at 2. */
struct columns {
    int variable;
    int dflt;
    int help;
};

static int longer(int a, size_t b)
{
    return (int)b > a ? (int)b : a;
}

/* A secret is no flag. */
static void print_flag(const struct opt *o, char ret_text[OPT_NAME_TEXT])
{
    ret_text[0] = 0;
    if (o->type != OPT_SECRET)
        (void)snprintf(ret_text, OPT_NAME_TEXT, "--%s", o->name);
}

static struct columns lay_out(const struct opt_program *p)
{
    int flag = 0;
    int variable = 0;
    int dflt = 0;

    for (size_t i = 0; i < p->n_opts; i++) {
        char name[OPT_NAME_TEXT];

        print_flag(&p->opts[i], name);
        flag = longer(flag, strlen(name));
        opt_text_variable(p, p->opts[i].name, name);
        variable = longer(variable, strlen(name));
        dflt = longer(dflt, strlen(p->opts[i].dflt));
    }
    struct columns c = {.variable = 2 + flag + 2};
    c.dflt = c.variable + variable + 2;
    c.help = c.dflt + dflt + 2;
    if (c.help > LAST_COLUMN - LEAST_HELP_COLUMNS)
        c.help = LAST_COLUMN - LEAST_HELP_COLUMNS;
    return c;
}

/* Prints @n bytes behind a blank, or in a new line if they would pass the last column.
 * Return: the column after. */
static int print_word(const char *word, int n, int column, int indent, FILE *to)
{
    if (column > indent && column + 1 + n > LAST_COLUMN) {
        (void)fprintf(to, "\n%*s", indent, "");
        column = indent;
    }
    return column + fprintf(to, "%s%.*s", column > indent ? " " : "", n, word);
}

static int print_words(const char *text, int column, int indent, FILE *to)
{
    while (*text) {
        size_t n = strcspn(text, " ");

        column = print_word(text, (int)n, column, indent, to);
        text += n;
        text += strspn(text, " ");
    }
    return column;
}

static void print_help_row(const struct opt_program *p, const struct opt *o,
                           struct columns c, FILE *to)
{
    char flag[OPT_NAME_TEXT];
    char variable[OPT_NAME_TEXT];
    char range[OPT_EXPECTED_TEXT];
    char takes[OPT_EXPECTED_TEXT + 2];

    print_flag(o, flag);
    opt_text_variable(p, o->name, variable);
    int column = fprintf(to, "  %-*s%-*s%-*s", c.variable - 2, flag, c.dflt - c.variable,
                         variable, c.help - c.dflt, o->dflt);
    if (column > c.help) /* a default too long for its column */
        (void)fprintf(to, "\n%*s", c.help, "");
    column = print_words(o->help, c.help, c.help, to);

    opt_text_range(o, range);
    int n = snprintf(takes, sizeof takes, "(%s)", range);
    if (range[0] && n <= LAST_COLUMN - c.help)
        (void)print_word(takes, n, column, c.help,
                         to); /* not torn where it can be whole */
    else if (range[0])
        (void)print_words(takes, column, c.help, to);
    (void)fputc('\n', to);
}

void opt_help(const struct opt_program *p, FILE *to)
{
    struct columns c = lay_out(p);

    (void)fprintf(
        to,
        "%s: %s\n\n"
        "Usage: %s [--NAME VALUE | --NAME=VALUE]...\n\n"
        "  --config FILE   read settings from a file of NAME=VALUE lines\n"
        "  --check-config  show the settings that result, and where each is from\n"
        "  --version       show the version, its build and its libraries\n"
        "  --help          show this\n\n"
        "Every option is a flag, a variable of the environment, and a line of the file; "
        "a\n"
        "flag counts before the environment, the environment before the file.\n\n"
        "  %-*s%-*s%-*s%s\n",
        p->name, p->summary, p->name, c.variable - 2, "Flag", c.dflt - c.variable,
        "Variable", c.help - c.dflt, "Default", "Meaning (what it takes)");
    for (size_t i = 0; i < p->n_opts; i++)
        print_help_row(p, &p->opts[i], c, to);
    if (p->more && p->more[0])
        (void)fprintf(to, "\n%s", p->more);
}

/* A text as the file takes it: quoted if it has more than plain characters. */
static void print_text(const char *text, FILE *to)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                "0123456789_-+=.,:/@%~[]*";

    if (text[strspn(text, plain)] == 0) {
        (void)fputs(text, to);
        return;
    }
    (void)fputc('"', to);
    for (; *text; text++) {
        if (strchr("\"\\`$", *text))
            (void)fputc('\\', to);
        (void)fputc(*text, to);
    }
    (void)fputc('"', to);
}

static void print_value(const struct opt *o, const void *at, FILE *to)
{
    char number[OPT_EXPECTED_TEXT];
    union opt_value value;

    switch (o->type) {
    case OPT_STRING:
        memcpy(&value.text, at, sizeof value.text);
        print_text(value.text, to);
        break;
    case OPT_SECRET:
        memcpy(&value.text, at, sizeof value.text);
        (void)fputs(value.text[0] ? "********" : "", to);
        break;
    case OPT_DURATION:
    case OPT_SIZE:
    case OPT_COUNT:
    case OPT_FRACTION:
        memcpy(&value.number, at, sizeof value.number);
        opt_text_number(o, value.number, number);
        (void)fputs(number, to);
        break;
    case OPT_BOOL:
        memcpy(&value.yes, at, sizeof value.yes);
        (void)fputs(value.yes ? "true" : "false", to);
        break;
    case OPT_CHOICE:
        memcpy(&value.choice, at, sizeof value.choice);
        (void)fputs(o->choices[value.choice], to);
        break;
    }
}

static void print_setting(const struct opt_program *p, const struct opt *o,
                          const void *at, FILE *to)
{
    char variable[OPT_NAME_TEXT];
    union opt_value value = {.text = ""};

    opt_text_variable(p, o->name, variable);
    if (o->type == OPT_SECRET)
        memcpy(&value.text, at, sizeof value.text);
    /* A mask must not be taken for the secret when this is read as a file. */
    (void)fprintf(to, "%s%s=", value.text[0] ? "# " : "", variable);
    print_value(o, at, to);
    (void)fputc('\n', to);
}

void opt_print(const struct opt_program *p, const void *conf,
               const struct opt_state *state, FILE *to)
{
    static const struct {
        const char *source;
        const char *title;
    } groups[] = {
        {"flag", "# From flags:"},
        {"environment", "# From the environment:"},
        {"file", "# From the file:"},
        {"default", "# Defaults:"},
    };
    const char *before = "";

    for (size_t g = 0; g < sizeof groups / sizeof groups[0]; g++) {
        bool has_title = false;

        for (size_t i = 0; i < p->n_opts; i++) {
            if (strcmp(state->sources[i], groups[g].source) != 0)
                continue;
            if (!has_title)
                (void)fprintf(to, "%s%s\n", before, groups[g].title);
            has_title = true;
            before = "\n";
            print_setting(p, &p->opts[i], (const char *)conf + p->opts[i].at, to);
        }
    }
}
