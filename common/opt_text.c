/* SPDX-License-Identifier: MIT */
#include "common/opt_text.h"

#include "common/units.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define NAME_BYTES 128u

static int parse_bool(const char *text, bool *ret)
{
    static const char *const words[2][4] = {{"false", "no", "off", "0"},
                                            {"true", "yes", "on", "1"}};

    for (size_t i = 0; i < 8; i++) {
        if (strcasecmp(text, words[i / 4][i % 4]) == 0) {
            *ret = i / 4 == 1;
            return 0;
        }
    }
    return E_MALFORMED;
}

static int parse_choice(const struct opt *o, const char *text, int *ret)
{
    for (int i = 0; o->choices[i]; i++) {
        if (strcasecmp(text, o->choices[i]) == 0) {
            *ret = i;
            return 0;
        }
    }
    return E_MALFORMED;
}

static int parse_number(const struct opt *o, struct span text, uint64_t *ret)
{
    int r = o->type == OPT_DURATION ? units_parse_duration(text, ret)
            : o->type == OPT_SIZE   ? units_parse_size(text, ret)
                                    : units_parse_u64(text, ret);

    if (r)
        return E_MALFORMED;
    bool is_right = (*ret >= o->min && *ret <= o->max) || (*ret == 0 && o->zero_too);
    return is_right ? 0 : E_MALFORMED;
}

int opt_text_parse(const struct opt *o, const char *text, union opt_value *ret)
{
    switch (o->type) {
    case OPT_STRING:
    case OPT_SECRET:
        ret->text = text;
        return 0;
    case OPT_BOOL:
        return parse_bool(text, &ret->yes);
    case OPT_CHOICE:
        return parse_choice(o, text, &ret->choice);
    case OPT_DURATION:
    case OPT_SIZE:
    case OPT_COUNT:
        break;
    }
    return parse_number(o, span_of_str(text), &ret->number);
}

static void print_number(const struct opt *o, uint64_t number, char ret_text[UNITS_TEXT])
{
    if (o->type == OPT_DURATION)
        units_print_duration(number, ret_text);
    else if (o->type == OPT_SIZE)
        units_print_size(number, ret_text);
    else
        (void)snprintf(ret_text, UNITS_TEXT, "%" PRIu64, number);
}

static void expected_choice(const struct opt *o, char *ret_text, size_t size)
{
    size_t n = 0;

    ret_text[0] = 0;
    for (size_t i = 0; o->choices[i] && n < size; i++) {
        const char *before = i == 0 ? "" : o->choices[i + 1] ? ", " : " or ";
        n += (size_t)snprintf(ret_text + n, size - n, "%s%s", before, o->choices[i]);
    }
}

void opt_text_expected(const struct opt *o, char *ret_text, size_t size)
{
    static const char *const kinds[] = {
        [OPT_DURATION] = "a duration (such as 10s)",
        [OPT_SIZE] = "a size (such as 64KiB)",
        [OPT_COUNT] = "a number",
    };
    char min[UNITS_TEXT];
    char max[UNITS_TEXT];

    if (o->type == OPT_CHOICE) {
        expected_choice(o, ret_text, size);
        return;
    }
    if (o->type != OPT_DURATION && o->type != OPT_SIZE && o->type != OPT_COUNT) {
        (void)snprintf(ret_text, size, "%s",
                       o->type == OPT_BOOL ? "true or false" : "a text");
        return;
    }
    print_number(o, o->min, min);
    print_number(o, o->max, max);
    (void)snprintf(ret_text, size, "%s from %s to %s%s", kinds[o->type], min, max,
                   o->zero_too ? ", or 0" : "");
}

void opt_text_variable(const struct opt_program *p, const char *name, char *ret_text,
                       size_t size)
{
    (void)snprintf(ret_text, size, "%s%s", p->prefix, name);
    for (char *c = ret_text; *c; c++)
        *c = *c == '-' ? '_' : (char)toupper((unsigned char)*c);
}

size_t opt_text_find_flag(const struct opt_program *p, const char *name)
{
    for (size_t i = 0; i < p->n_opts; i++) {
        const struct opt *o = &p->opts[i];
        if (strcmp(o->name, name) == 0 || (o->old_name && strcmp(o->old_name, name) == 0))
            return i;
    }
    return p->n_opts;
}

size_t opt_text_find_variable(const struct opt_program *p, const char *name)
{
    char own[NAME_BYTES];

    for (size_t i = 0; i < p->n_opts; i++) {
        const struct opt *o = &p->opts[i];
        opt_text_variable(p, o->name, own, sizeof own);
        if (strcmp(own, name) == 0)
            return i;
        if (!o->old_name)
            continue;
        opt_text_variable(p, o->old_name, own, sizeof own);
        if (strcmp(own, name) == 0)
            return i;
    }
    return p->n_opts;
}

static size_t smallest(size_t a, size_t b, size_t c)
{
    size_t least = a < b ? a : b;

    return least < c ? least : c;
}

/* Levenshtein's, one row of the matrix at a time. */
static size_t distance(const char *a, const char *b)
{
    size_t row[NAME_BYTES];
    size_t n = strnlen(b, NAME_BYTES - 1);

    for (size_t j = 0; j <= n; j++)
        row[j] = j;
    for (size_t i = 0; a[i]; i++) {
        size_t corner = row[0];

        row[0] = i + 1;
        for (size_t j = 0; j < n; j++) {
            size_t above = row[j + 1];
            bool same = toupper((unsigned char)a[i]) == toupper((unsigned char)b[j]);
            row[j + 1] = smallest(above + 1, row[j] + 1, corner + !same);
            corner = above;
        }
    }
    return row[n];
}

void opt_text_nearest_flag(const struct opt_program *p, const char *name, char *ret_text,
                           size_t size)
{
    size_t best = SIZE_MAX;

    ret_text[0] = 0;
    for (size_t i = 0; i < p->n_opts; i++) {
        size_t d = distance(name, p->opts[i].name);
        if (p->opts[i].type == OPT_SECRET || d >= best)
            continue;
        best = d;
        (void)snprintf(ret_text, size, "%s", p->opts[i].name);
    }
}

void opt_text_nearest_variable(const struct opt_program *p, const char *name,
                               char *ret_text, size_t size)
{
    size_t best = SIZE_MAX;

    ret_text[0] = 0;
    for (size_t i = 0; i < p->n_opts; i++) {
        char own[NAME_BYTES];

        opt_text_variable(p, p->opts[i].name, own, sizeof own);
        size_t d = distance(name, own);
        if (d >= best)
            continue;
        best = d;
        (void)snprintf(ret_text, size, "%s", own);
    }
}

/* Takes a line off the file, joined with those that its end says go on. */
static struct span take_raw(struct opt_line *l)
{
    struct span s = l->rest;
    size_t n = 0;

    l->number++;
    while (n < s.n && s.data[n] != '\n') {
        if (s.data[n] == '\\' && n + 1 < s.n && s.data[n + 1] == '\n') {
            l->number++;
            n++;
        }
        n++;
    }
    l->rest = span_from(s, n + 1);
    return span_trim(span_of(s.data, n < s.n ? n : s.n));
}

/* Appends a value's characters without its quotes. Return: 0; E_MALFORMED. */
static int unquote(struct span s, char *to)
{
    uint8_t quote = 0;

    for (size_t i = 0; i < s.n; i++) {
        uint8_t c = s.data[i];

        if (c == 0)
            return E_MALFORMED;
        if (quote ? c == quote : c == '"' || c == '\'') {
            quote = quote ? 0 : c;
            continue;
        }
        if (c == '\\' && quote != '\'' && i + 1 < s.n) {
            c = s.data[++i];
            if (c == '\n')
                continue; /* joined lines */
        }
        *to++ = (char)c;
    }
    *to = 0;
    return quote ? E_MALFORMED : 0;
}

int opt_text_next_line(struct opt_line *l)
{
    opt_text_line_done(l);
    while (l->rest.n > 0) {
        struct span s = take_raw(l);

        if (s.n > 0 && s.data[s.n - 1] == '\r')
            s.n--;
        if (s.n == 0 || s.data[0] == '#' || s.data[0] == ';')
            continue;
        const uint8_t *equals = memchr(s.data, '=', s.n);
        if (!equals)
            return E_MALFORMED;
        struct span name = span_trim(span_of(s.data, (size_t)(equals - s.data)));
        struct span value = span_trim(span_from(s, (size_t)(equals - s.data) + 1));
        l->name = strndup((const char *)name.data, name.n);
        l->value = malloc(value.n + 1);
        if (!l->name || !l->value)
            return -ENOMEM;
        return unquote(value, l->value);
    }
    return E_GONE;
}

void opt_text_line_done(struct opt_line *l)
{
    free(l->name);
    if (l->value)
        explicit_bzero(l->value, strlen(l->value));
    free(l->value);
    l->name = l->value = NULL;
}
