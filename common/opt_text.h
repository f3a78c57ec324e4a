/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The texts of options: values, what would be a right one, names and the nearest of them.
 * For opt's own files; knows nothing of where a value comes from or goes to.
 */

#include "common/opt.h"
#include "common/span.h"

/* Room for any flag or variable of a table, terminator included. */
#define OPT_NAME_TEXT 64
/* Room for what opt_text_expected() and opt_text_range() make. */
#define OPT_EXPECTED_TEXT 256
/* Room for what opt_text_show() makes. */
#define OPT_SHOWN_TEXT 128

union opt_value {
    const char *text; /* borrows from what was parsed */
    uint64_t number;
    bool yes;
    int choice;
};

/* Reads a value for an option. Return: 0; E_MALFORMED, also out of bounds. */
PC_MUST_CHECK int opt_text_parse(const struct opt *o, const char *text,
                                 union opt_value *ret);

/* Prints a number of an option with its unit. */
void opt_text_number(const struct opt *o, uint64_t number,
                     char ret_text[OPT_EXPECTED_TEXT]);

/* The values that an option takes, `10ms to 1h`; empty where any text or word will do. */
void opt_text_range(const struct opt *o, char ret_text[OPT_EXPECTED_TEXT]);
/* The same to follow "expected": `a duration with its unit, 10ms to 1h`. */
void opt_text_expected(const struct opt *o, char ret_text[OPT_EXPECTED_TEXT]);

/* What a user gave, to be part of a line: cut where it is long, each control character
 * and each byte that is not UTF-8 as a question mark. */
void opt_text_show(struct span given, char ret_text[OPT_SHOWN_TEXT]);

/* An option's variable, PCC_BATCH_SIZE for batch-size; @name is its name or old name. */
void opt_text_variable(const struct opt_program *p, const char *name,
                       char ret_text[OPT_NAME_TEXT]);

/**
 * opt_text_find_flag(), opt_text_find_variable() - the row that has this name
 * @name:    without dashes; with the prefix
 * @ret_old: is it the row's old name?
 *
 * Return: its index; n_opts if there is none.
 */
size_t opt_text_find_flag(const struct opt_program *p, struct span name, bool *ret_old);
size_t opt_text_find_variable(const struct opt_program *p, struct span name,
                              bool *ret_old);

/* The name that a mistyped one is nearest to by edit distance without case: of all rows,
 * secrets too, and for flags of those that come with every table. */
void opt_text_nearest_flag(const struct opt_program *p, struct span name,
                           char ret_text[OPT_NAME_TEXT]);
void opt_text_nearest_variable(const struct opt_program *p, struct span name,
                               char ret_text[OPT_NAME_TEXT]);
