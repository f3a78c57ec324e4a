/* SPDX-License-Identifier: MIT */
#include "common/opt_text.h"

#include "common/units.h"
#include "common/utf8.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

static int parse_bool(struct span text, bool *ret)
{
    static const char *const words[] = {"false", "true", "no", "yes",
                                        "off",   "on",   "0",  "1"};

    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (span_equal_nocase(text, span_of_str(words[i]))) {
            *ret = i % 2 == 1;
            return 0;
        }
    }
    return E_MALFORMED;
}

static int parse_choice(const struct opt *o, struct span text, int *ret)
{
    for (int i = 0; o->choices[i]; i++) {
        if (span_equal_nocase(text, span_of_str(o->choices[i]))) {
            *ret = i;
            return 0;
        }
    }
    return E_MALFORMED;
}

static int check_bounds(const struct opt *o, uint64_t number)
{
    if (number >= o->min && number <= o->max)
        return 0;
    return number == 0 && o->zero_too ? 0 : E_MALFORMED;
}

int opt_text_parse(const struct opt *o, const char *text, union opt_value *ret)
{
    struct span bytes = span_of_str(text);
    union opt_value value;
    int r = 0;

    switch (o->type) {
    case OPT_STRING:
    case OPT_SECRET:
        ret->text = text;
        return 0;
    case OPT_BOOL:
        return parse_bool(bytes, &ret->yes);
    case OPT_CHOICE:
        return parse_choice(o, bytes, &ret->choice);
    case OPT_DURATION:
        r = units_parse_duration(bytes, &value.number);
        break;
    case OPT_SIZE:
        r = units_parse_size(bytes, &value.number);
        break;
    case OPT_COUNT:
        r = units_parse_u64(bytes, &value.number);
        break;
    case OPT_FRACTION:
        r = units_parse_fraction(bytes, &value.number);
        break;
    }
    /* A number beyond 64 bits is out of bounds as others are. */
    if (r || check_bounds(o, value.number) != 0)
        return E_MALFORMED;
    *ret = value;
    return 0;
}

void opt_text_number(const struct opt *o, uint64_t number,
                     char ret_text[OPT_EXPECTED_TEXT])
{
    if (o->type == OPT_DURATION)
        units_print_duration(number, ret_text);
    else if (o->type == OPT_SIZE)
        units_print_size(number, ret_text);
    else if (o->type == OPT_FRACTION)
        units_print_fraction(number, ret_text);
    else
        (void)snprintf(ret_text, OPT_EXPECTED_TEXT, "%" PRIu64, number);
}

static void print_choices(const struct opt *o, char ret_text[OPT_EXPECTED_TEXT])
{
    size_t n = 0;

    ret_text[0] = 0;
    for (size_t i = 0; o->choices[i] && n < OPT_EXPECTED_TEXT; i++) {
        const char *before = i == 0 ? "" : o->choices[i + 1] ? ", " : " or ";
        n += (size_t)snprintf(ret_text + n, OPT_EXPECTED_TEXT - n, "%s%s", before,
                              o->choices[i]);
    }
}

void opt_text_range(const struct opt *o, char ret_text[OPT_EXPECTED_TEXT])
{
    char min[OPT_EXPECTED_TEXT];
    char max[OPT_EXPECTED_TEXT];

    ret_text[0] = 0;
    if (o->type == OPT_CHOICE)
        print_choices(o, ret_text);
    if (o->type != OPT_DURATION && o->type != OPT_SIZE && o->type != OPT_COUNT &&
        o->type != OPT_FRACTION)
        return;
    opt_text_number(o, o->min, min);
    opt_text_number(o, o->max, max);
    (void)snprintf(ret_text, OPT_EXPECTED_TEXT, "%.32s to %.32s%s", min, max,
                   o->zero_too ? ", or 0" : "");
}

void opt_text_expected(const struct opt *o, char ret_text[OPT_EXPECTED_TEXT])
{
    static const char *const kinds[] = {
        [OPT_STRING] = "a text",
        [OPT_SECRET] = "a text",
        [OPT_DURATION] = "a duration with its unit, ",
        [OPT_SIZE] = "a size, ",
        [OPT_COUNT] = "a number, ",
        [OPT_FRACTION] = "a fraction of at most six places, ",
        [OPT_BOOL] = "true or false",
        [OPT_CHOICE] = "",
    };
    char range[OPT_EXPECTED_TEXT];

    opt_text_range(o, range);
    (void)snprintf(ret_text, OPT_EXPECTED_TEXT, "%s%.200s", kinds[o->type], range);
}

void opt_text_show(struct span given, char ret_text[OPT_SHOWN_TEXT])
{
    static const char mark[] = "\xe2\x80\xa6";
    size_t n = given.n;

    if (n > OPT_SHOWN_TEXT - sizeof mark) {
        n = OPT_SHOWN_TEXT - sizeof mark;
        while (n > 0 && (given.data[n] & 0xc0) == 0x80) /* never inside a character */
            n--;
    }
    for (size_t i = 0; i < n; i++) {
        ret_text[i] = '?';
        if (given.data[i] >= 0x20 && given.data[i] != 0x7f)
            ret_text[i] = (char)given.data[i];
    }
    size_t at;
    while ((at = utf8_valid_prefix(span_of(ret_text, n))) < n)
        ret_text[at] = '?';
    memcpy(ret_text + n, mark, sizeof mark);
    if (n == given.n)
        ret_text[n] = 0;
}

void opt_text_variable(const struct opt_program *p, const char *name,
                       char ret_text[OPT_NAME_TEXT])
{
    int n = snprintf(ret_text, OPT_NAME_TEXT, "%s%s", p->prefix, name);

    assert(n < OPT_NAME_TEXT);
    for (char *c = ret_text; *c; c++) {
        if (*c == '-')
            *c = '_';
        else if (*c >= 'a' && *c <= 'z')
            *c = (char)(*c - 'a' + 'A');
    }
}

size_t opt_text_find_flag(const struct opt_program *p, struct span name, bool *ret_old)
{
    for (size_t i = 0; i < p->n_opts; i++) {
        const struct opt *o = &p->opts[i];

        *ret_old = o->old_name && span_equal_str(name, o->old_name);
        if (*ret_old || span_equal_str(name, o->name))
            return i;
    }
    return p->n_opts;
}

size_t opt_text_find_variable(const struct opt_program *p, struct span name,
                              bool *ret_old)
{
    char variable[OPT_NAME_TEXT];

    for (size_t i = 0; i < p->n_opts; i++) {
        const struct opt *o = &p->opts[i];

        opt_text_variable(p, o->name, variable);
        *ret_old = false;
        if (span_equal_str(name, variable))
            return i;
        if (!o->old_name)
            continue;
        opt_text_variable(p, o->old_name, variable);
        *ret_old = true;
        if (span_equal_str(name, variable))
            return i;
    }
    return p->n_opts;
}

static size_t smallest(size_t a, size_t b, size_t c)
{
    size_t least = a < b ? a : b;

    return least < c ? least : c;
}

static uint8_t lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c - 'A' + 'a') : c;
}

/* Levenshtein's distance without case, one row of the matrix at a time. */
static size_t distance(struct span a, const char *b)
{
    size_t row[OPT_NAME_TEXT];
    size_t n = strlen(b);

    assert(n < OPT_NAME_TEXT);
    if (a.n > OPT_NAME_TEXT)
        a.n = OPT_NAME_TEXT; /* as far from all names as the rest of it would be */
    for (size_t j = 0; j <= n; j++)
        row[j] = j;
    for (size_t i = 0; i < a.n; i++) {
        size_t corner = row[0];

        row[0] = i + 1;
        for (size_t j = 0; j < n; j++) {
            size_t above = row[j + 1];
            bool is_other = lower(a.data[i]) != lower((uint8_t)b[j]);
            row[j + 1] = smallest(above + 1, row[j] + 1, corner + is_other);
            corner = above;
        }
    }
    return row[n];
}

/* Takes @candidate if it is nearer than the best so far. */
static void nearer(struct span name, const char *candidate, size_t *best,
                   char text[OPT_NAME_TEXT])
{
    size_t d = distance(name, candidate);

    if (d >= *best)
        return;
    *best = d;
    (void)snprintf(text, OPT_NAME_TEXT, "%s", candidate);
}

void opt_text_nearest_flag(const struct opt_program *p, struct span name,
                           char ret_text[OPT_NAME_TEXT])
{
    static const char *const common[] = {"help", "version", "check-config", "config"};
    size_t best = SIZE_MAX;

    for (size_t i = 0; i < p->n_opts; i++)
        nearer(name, p->opts[i].name, &best, ret_text);
    for (size_t i = 0; i < sizeof common / sizeof common[0]; i++)
        nearer(name, common[i], &best, ret_text);
}

void opt_text_nearest_variable(const struct opt_program *p, struct span name,
                               char ret_text[OPT_NAME_TEXT])
{
    size_t best = SIZE_MAX;

    ret_text[0] = 0;
    for (size_t i = 0; i < p->n_opts; i++) {
        char variable[OPT_NAME_TEXT];

        opt_text_variable(p, p->opts[i].name, variable);
        nearer(name, variable, &best, ret_text);
    }
}
