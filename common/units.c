/* SPDX-License-Identifier: MIT */
#include "common/units.h"

#include "proto/limits.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>

struct unit {
    const char *name;
    uint64_t value;
};

/* The printers take the first that divides a value, so the order matters. */
static const struct unit duration_units[] = {
    {"d", DAY},   {"h", HOUR},  {"m", MINUTE}, {"s", SEC},
    {"ms", MSEC}, {"us", USEC}, {"ns", 1},
};
static const struct unit size_units[] = {
    {"TiB", TIB},
    {"GiB", GIB},
    {"MiB", MIB},
    {"KiB", KIB},
    {"TB", UINT64_C(1000000000000)},
    {"GB", UINT64_C(1000000000)},
    {"MB", UINT64_C(1000000)},
    {"kB", UINT64_C(1000)},
    {"B", 1},
    {"T", TIB},
    {"G", GIB},
    {"M", MIB},
    {"K", KIB},
    {"KB", UINT64_C(1000)},
};

#define N_OF(array) (sizeof(array) / sizeof(array)[0])
#define MILLION_PLACES 6u

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

/* Takes the digits at the start of *text. */
static struct span take_digits(struct span *text)
{
    struct span digits = {text->data, 0};

    while (digits.n < text->n && is_digit(text->data[digits.n]))
        digits.n++;
    *text = span_from(*text, digits.n);
    return digits;
}

static int read_digits(struct span digits, uint64_t *ret)
{
    uint64_t value = 0;

    if (digits.n == 0)
        return E_MALFORMED;
    for (size_t i = 0; i < digits.n; i++) {
        if (__builtin_mul_overflow(value, UINT64_C(10), &value) ||
            __builtin_add_overflow(value, (uint64_t)(digits.data[i] - '0'), &value))
            return E_TOO_LARGE;
    }
    *ret = value;
    return 0;
}

/* The fraction 0.DIGITS of a unit, rounded down. From the last digit to the first the
 * sum stays below the unit, so any number of digits is read without overflow. */
static uint64_t fraction_of(uint64_t unit, struct span digits)
{
    uint64_t sum = 0;

    for (size_t i = digits.n; i > 0; i--)
        sum = ((uint64_t)(digits.data[i - 1] - '0') * unit + sum) / 10;
    return sum;
}

static bool all_zero(struct span digits)
{
    for (size_t i = 0; i < digits.n; i++) {
        if (digits.data[i] != '0')
            return false;
    }
    return true;
}

static const struct unit *find_unit(const struct unit *units, size_t n, struct span name)
{
    for (size_t i = 0; i < n; i++) {
        if (span_equal_str(name, units[i].name))
            return &units[i];
    }
    return NULL;
}

/* number = digits [ "." digits ] unit. Takes one from *text; *ret in the smallest unit.
 */
static int take_number(struct span *text, const struct unit *units, size_t n,
                       uint64_t *ret)
{
    struct span whole = take_digits(text);
    struct span fraction = {NULL, 0};
    uint64_t value;
    int r = read_digits(whole, &value);
    if (r)
        return r;

    if (text->n > 0 && text->data[0] == '.') {
        *text = span_from(*text, 1);
        fraction = take_digits(text);
        if (fraction.n == 0)
            return E_MALFORMED;
    }
    struct span name = {text->data, 0};
    while (name.n < text->n && !is_digit(text->data[name.n]))
        name.n++;
    const struct unit *unit = find_unit(units, n, name);
    if (!unit)
        return E_MALFORMED;
    *text = span_from(*text, name.n);

    if (__builtin_mul_overflow(value, unit->value, &value) ||
        __builtin_add_overflow(value, fraction_of(unit->value, fraction), &value))
        return E_TOO_LARGE;
    /* What is rounded down to nothing was not meant to be 0, which is often special. */
    if (value == 0 && !all_zero(fraction))
        return E_MALFORMED;
    *ret = value;
    return 0;
}

int units_parse_duration(struct span text, uint64_t *ret_ns)
{
    uint64_t sum = 0;

    if (text.n == 0)
        return E_MALFORMED;
    if (span_equal(text, SPAN("0"))) {
        *ret_ns = 0;
        return 0;
    }
    while (text.n > 0) {
        uint64_t part;
        int r = take_number(&text, duration_units, N_OF(duration_units), &part);
        if (r)
            return r;
        if (__builtin_add_overflow(sum, part, &sum))
            return E_TOO_LARGE;
    }
    *ret_ns = sum;
    return 0;
}

int units_parse_size(struct span text, uint64_t *ret_bytes)
{
    uint64_t value;

    if (text.n > 0 && is_digit(text.data[text.n - 1])) {
        int r = units_parse_u64(text, &value);
        if (r)
            return r;
    } else {
        int r = take_number(&text, size_units, N_OF(size_units), &value);
        if (r)
            return r;
        if (text.n > 0)
            return E_MALFORMED;
    }
    *ret_bytes = value;
    return 0;
}

int units_parse_fraction(struct span text, uint64_t *ret_millionths)
{
    struct span places = {NULL, 0};
    uint64_t value;
    int r = read_digits(take_digits(&text), &value);

    if (r == 0 && text.n > 0 && text.data[0] == '.') {
        text = span_from(text, 1);
        places = take_digits(&text);
        r = places.n > 0 ? 0 : E_MALFORMED;
    }
    if (r)
        return r;
    if (text.n > 0 || !all_zero(span_from(places, MILLION_PLACES)))
        return E_MALFORMED;
    if (__builtin_mul_overflow(value, MILLION, &value) ||
        __builtin_add_overflow(value, fraction_of(MILLION, places), &value))
        return E_TOO_LARGE;
    *ret_millionths = value;
    return 0;
}

int units_parse_u64(struct span text, uint64_t *ret)
{
    struct span digits = take_digits(&text);

    return text.n > 0 ? E_MALFORMED : read_digits(digits, ret);
}

/* The table's unit of 1 comes before those that are never printed. */
static void print(uint64_t value, const struct unit *units, char ret_text[UNITS_TEXT])
{
    while (value % units->value != 0)
        units++;
    if (value == 0)
        (void)snprintf(ret_text, UNITS_TEXT, "0");
    else
        (void)snprintf(ret_text, UNITS_TEXT, "%" PRIu64 "%s", value / units->value,
                       units->name);
}

void units_print_duration(uint64_t ns, char ret_text[UNITS_TEXT])
{
    print(ns, duration_units, ret_text);
}

void units_print_size(uint64_t bytes, char ret_text[UNITS_TEXT])
{
    print(bytes, size_units, ret_text);
}

void units_print_fraction(uint64_t millionths, char ret_text[UNITS_TEXT])
{
    int n = snprintf(ret_text, UNITS_TEXT, "%" PRIu64 ".%06" PRIu64, millionths / MILLION,
                     millionths % MILLION);

    while (ret_text[n - 1] == '0')
        ret_text[--n] = '\0';
    if (ret_text[n - 1] == '.')
        ret_text[--n] = '\0';
}
