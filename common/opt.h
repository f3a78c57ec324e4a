/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * A program's options as one table. Each row is an environment variable and a flag
 * (PCC_BATCH_SIZE = --batch-size), read from flags, the environment and a file given
 * with --config (the form of systemd's EnvironmentFile), in this order of precedence,
 * then the row's default, which goes through the same parser.
 * The flags --help, --version, --check-config and --config come with the table.
 */

#include "common/buf.h"
#include "common/err.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum opt_type {
    OPT_STRING,   /* const char *, never NULL */
    OPT_SECRET,   /* const char *, masked when shown, never a flag */
    OPT_DURATION, /* uint64_t, nanoseconds */
    OPT_SIZE,     /* uint64_t, bytes */
    OPT_COUNT,    /* uint64_t */
    OPT_FRACTION, /* uint64_t, millionths */
    OPT_BOOL,     /* bool: true, false, yes, no, on, off, 1, 0; a flag alone is true */
    OPT_CHOICE,   /* int, index into choices */
};

struct opt {
    const char *name;     /* as the flag without dashes: batch-size */
    const char *old_name; /* accepted as well, not shown; NULL for none */
    enum opt_type type;
    size_t at;        /* offset of the value in the program's struct */
    const char *dflt; /* text, parsed as a user's; "" where there is none */
    uint64_t min;     /* bounds of what is a uint64_t, inclusive */
    uint64_t max;
    bool zero_too;              /* 0 is taken as well, below min */
    const char *const *choices; /* ended by NULL; matched without case */
    const char *help;           /* one line, what it is and its unit */
};

struct opt_program {
    const char *name;    /* pcc */
    const char *prefix;  /* PCC_ */
    const char *summary; /* printed at the top of --help */
    const char *more;    /* printed at its end */
    const char *version; /* printed by --version, ended by a newline */
    const struct opt *opts;
    size_t n_opts;
};

enum opt_action {
    OPT_RUN,
    OPT_HELP,
    OPT_VERSION,
    OPT_CHECK, /* show the settings with opt_print() and end */
};

/* The texts that values point to; keep until the values are no longer used. */
struct opt_state {
    char **texts;
    size_t n_texts;
    const char **sources; /* a row each: "flag", "environment", "file", "default" */
    char error[512]; /* one line, no newline: what was wrong and what would be right */
    struct buf warnings; /* lines, each ended by a newline */
};

/**
 * opt_load() - fill a program's struct from flags, environment, file and defaults
 * @argv:  as main's, ended by NULL
 * @envp:  NAME=VALUE texts, ended by NULL
 * @conf:  the program's struct, written at each row's offset
 * @state: zeroed by the caller; opt_done() frees it whatever the result
 *
 * A variable with the program's prefix that is no option gets a warning with the
 * nearest name; anything else that is wrong ends the call.
 *
 * Return: 0 and what to do; E_MALFORMED with @state->error filled in; -errno likewise
 *         (the file can't be read).
 */
PC_MUST_CHECK int opt_load(const struct opt_program *program, char *const argv[],
                           char *const envp[], void *conf, struct opt_state *state,
                           enum opt_action *ret);
void opt_done(struct opt_state *state);

/* Takes a flag that is no option, such as a command's own, out of @argv, which ends in
 * NULL. Return: was it there? */
bool opt_take_flag(char *argv[], const char *flag);

/* Prints the help text. */
void opt_help(const struct opt_program *program, FILE *to);

/* Prints each setting as VARIABLE=value and where it came from, secrets masked. */
void opt_print(const struct opt_program *program, const void *conf,
               const struct opt_state *state, FILE *to);
