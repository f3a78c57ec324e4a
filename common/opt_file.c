/* SPDX-License-Identifier: MIT */
#include "common/opt_file.h"

#include "common/utf8.h"

#include <errno.h>
#include <stdlib.h>

int opt_file_init(struct opt_file *f, struct span text)
{
    *f = (struct opt_file){.rest = text, .line = 1};
    /* No value is longer than what it is read from. */
    f->value = malloc(text.n + 1);
    return f->value ? 0 : -ENOMEM;
}

void opt_file_done(struct opt_file *f)
{
    free(f->value);
    f->value = NULL;
}

static int fail(struct opt_file *f, const char *what)
{
    f->what = what;
    return E_MALFORMED;
}

/* The next byte without taking it; -1 at the end. */
static int peek(const struct opt_file *f)
{
    return f->rest.n > 0 ? f->rest.data[0] : -1;
}

static int take(struct opt_file *f)
{
    int c = peek(f);

    f->line += c == '\n';
    f->rest = span_from(f->rest, 1);
    return c;
}

static void keep(struct opt_file *f, int c)
{
    f->value[f->n_value++] = (char)c;
}

static bool is_blank(int c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static void skip_blanks(struct opt_file *f)
{
    while (is_blank(peek(f)))
        (void)take(f);
}

/* Blank lines, and comments, which a backslash at their end does not continue. */
static void skip_to_name(struct opt_file *f)
{
    for (;;) {
        skip_blanks(f);
        int c = peek(f);
        if (c == '#' || c == ';') {
            while (peek(f) >= 0 && peek(f) != '\n')
                (void)take(f);
        } else if (c != '\n') {
            return;
        }
        (void)take(f);
    }
}

static int read_name(struct opt_file *f)
{
    struct span name = {f->rest.data, 0};

    while (peek(f) >= 0 && peek(f) != '\n' && peek(f) != '=') {
        (void)take(f);
        name.n++;
    }
    if (peek(f) != '=')
        return fail(f, "expected NAME=VALUE");
    (void)take(f);
    f->name = span_trim(name);
    return 0;
}

/* Between single quotes all is as it stands. */
static int read_single_quoted(struct opt_file *f)
{
    (void)take(f);
    while (peek(f) >= 0) {
        int c = take(f);
        if (c == '\'')
            return 0;
        keep(f, c);
    }
    return fail(f, "the single quote is never closed");
}

/* Between double quotes a backslash counts before one of "\`$ and the end of a line. */
static int read_double_quoted(struct opt_file *f)
{
    (void)take(f);
    while (peek(f) >= 0) {
        int c = take(f);
        if (c == '"')
            return 0;
        if (c == '\\' && peek(f) >= 0) {
            c = take(f);
            if (c == '\n')
                continue;
            if (c != '"' && c != '\\' && c != '`' && c != '$')
                keep(f, '\\');
        }
        keep(f, c);
    }
    return fail(f, "the double quote is never closed");
}

/* Without quotes a value ends with its line, and a backslash keeps what follows. */
static void read_bare(struct opt_file *f)
{
    size_t end = f->n_value; /* behind the last that is no blank, or is escaped */

    while (peek(f) >= 0 && peek(f) != '\n') {
        int c = take(f);
        if (c == '\\') {
            c = take(f);
            if (c >= 0 && c != '\n')
                keep(f, c);
            end = f->n_value;
            continue;
        }
        keep(f, c);
        if (!is_blank(c))
            end = f->n_value;
    }
    f->n_value = end;
}

/* value = { quoted } [ bare ]: quotes behind the first bare character are characters. */
static int read_value(struct opt_file *f)
{
    int r = 0;

    f->n_value = 0;
    while (r == 0) {
        skip_blanks(f);
        if (peek(f) == '\'') {
            r = read_single_quoted(f);
        } else if (peek(f) == '"') {
            r = read_double_quoted(f);
        } else {
            read_bare(f);
            break;
        }
    }
    f->value[f->n_value] = 0;
    return r;
}

int opt_file_next(struct opt_file *f)
{
    skip_to_name(f);
    f->at_line = f->line;
    if (peek(f) < 0)
        return E_GONE;
    int r = read_name(f);
    if (r)
        return r;
    r = read_value(f);
    if (r)
        return r;
    if (memchr(f->value, 0, f->n_value))
        return fail(f, "a NUL byte can't be part of a value");
    if (!utf8_valid(span_of(f->value, f->n_value)))
        return fail(f, "the value is not UTF-8");
    return 0;
}
