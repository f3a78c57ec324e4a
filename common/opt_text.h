/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The texts of options: values, names, the lines of a file. Internal to opt; knows
 * nothing of where a value comes from or goes to.
 */

#include "common/opt.h"
#include "common/span.h"

union opt_value {
    const char *text; /* borrows from what was parsed */
    uint64_t number;
    bool yes;
    int choice;
};

/* Reads a value for an option. Return: 0; E_MALFORMED, also out of bounds. */
PC_MUST_CHECK int opt_text_parse(const struct opt *o, const char *text,
                                 union opt_value *ret);

/* What would be right, to follow "is not": `a duration from 10ms to 1h`. */
void opt_text_expected(const struct opt *o, char *ret_text, size_t size);

/* The variable of an option: PCC_BATCH_SIZE for batch-size. */
void opt_text_variable(const struct opt_program *p, const char *name, char *ret_text,
                       size_t size);

/* The row with this flag (without dashes) or variable; n_opts if there is none. */
size_t opt_text_find_flag(const struct opt_program *p, const char *name);
size_t opt_text_find_variable(const struct opt_program *p, const char *name);

/* The name that a mistyped one is nearest to, by edit distance. */
void opt_text_nearest_flag(const struct opt_program *p, const char *name, char *ret_text,
                           size_t size);
void opt_text_nearest_variable(const struct opt_program *p, const char *name,
                               char *ret_text, size_t size);

/* A line of a file in the form of systemd's EnvironmentFile. Zeroed, with @rest the file.
 */
struct opt_line {
    struct span rest;
    size_t number; /* of the line last read, from 1 */
    char *name;    /* terminated, owned */
    char *value;
};

/**
 * opt_text_next_line() - the next NAME=VALUE
 *
 * Blank lines and those that begin with # or ; are passed over; a backslash before the
 * newline joins two lines; values may be quoted, and a backslash in double quotes or
 * outside of quotes keeps the character after it.
 *
 * Return: 0; E_GONE at the end; E_MALFORMED; -ENOMEM.
 */
PC_MUST_CHECK int opt_text_next_line(struct opt_line *l);
void opt_text_line_done(struct opt_line *l);
