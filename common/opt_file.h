/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * A file of NAME=VALUE settings, read as systemd reads an EnvironmentFile
 * (systemd.exec(5)), so that one file serves both; what systemd passes over in silence
 * (a line without "=", a quote that is never closed) is refused. For opt's own files.
 */

#include "common/err.h"
#include "common/span.h"

struct opt_file {
    struct span rest;
    size_t line;      /* the next to be read, from 1 */
    struct span name; /* the setting last read: borrows from the file */
    char *value;      /* terminated, owned; the next setting overwrites it */
    size_t n_value;
    size_t at_line;   /* where that setting, or what is wrong, begins */
    const char *what; /* what is wrong: a literal */
};

/**
 * opt_file_init() - begin to read
 * @text: borrows until opt_file_done()
 *
 * Return: 0; -ENOMEM. opt_file_done() frees it whatever the result.
 */
PC_MUST_CHECK int opt_file_init(struct opt_file *f, struct span text);
void opt_file_done(struct opt_file *f);

/**
 * opt_file_next() - read the next setting into name, value and at_line
 *
 * Return: 0; E_GONE at the end; E_MALFORMED, with what and at_line filled in.
 */
PC_MUST_CHECK int opt_file_next(struct opt_file *f);
