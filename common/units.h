/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Durations, sizes and fractions as people write them. Inside the programs time is always
 * nanoseconds in a uint64_t, a size is bytes, and a fraction is millionths.
 */

#include "common/err.h"
#include "common/span.h"

#include <stdint.h>

#define USEC UINT64_C(1000)
#define MSEC (USEC * 1000)
#define SEC (MSEC * 1000)
#define MINUTE (SEC * 60)
#define HOUR (MINUTE * 60)
#define DAY (HOUR * 24)

#define MILLION UINT64_C(1000000)

/* Room for any text that units_print_* makes, terminator included. */
#define UNITS_TEXT 32

/**
 * units_parse_duration() - `10s`, `250ms`, `1.5s`, `2h30m`, `1d`, `0`
 *
 * One or more numbers, each with one of the units ns, us, ms, s, m, h, d; a fraction
 * is allowed and rounded down to whole nanoseconds, a number without unit only for 0.
 * No blanks, and nothing that is rounded down to 0.
 *
 * Return: 0 and the nanoseconds; E_MALFORMED; E_TOO_LARGE beyond 2^64-1.
 */
PC_MUST_CHECK int units_parse_duration(struct span text, uint64_t *ret_ns);

/**
 * units_parse_size() - `65536`, `64KiB`, `1MiB`, `2GB`, `1.5GiB`
 *
 * Units: B, KiB, MiB, GiB, TiB (powers of 1024; K, M, G, T mean the same), kB or KB,
 * MB, GB, TB (powers of 1000); without a unit bytes. A fraction of a unit is rounded
 * down to whole bytes. No blanks, and nothing that is rounded down to 0.
 *
 * Return: 0 and the bytes; E_MALFORMED; E_TOO_LARGE beyond 2^64-1.
 */
PC_MUST_CHECK int units_parse_size(struct span text, uint64_t *ret_bytes);

/**
 * units_parse_fraction() - `0.001`, `0.25`, `1`, `0`
 *
 * Digits, with a point and more digits if need be; no blanks, and nothing finer than a
 * millionth, for that would have to be rounded.
 *
 * Return: 0 and the millionths; E_MALFORMED; E_TOO_LARGE beyond 2^64-1 of them.
 */
PC_MUST_CHECK int units_parse_fraction(struct span text, uint64_t *ret_millionths);

/* Decimal digits and nothing else. Return: 0; E_MALFORMED; E_TOO_LARGE. */
PC_MUST_CHECK int units_parse_u64(struct span text, uint64_t *ret);

/* The parsers above read back the same: a whole number of the largest unit that divides
 * the value, sizes rather of powers of 1024; a fraction without zeros at its end. */
void units_print_duration(uint64_t ns, char ret_text[UNITS_TEXT]);
void units_print_size(uint64_t bytes, char ret_text[UNITS_TEXT]);
void units_print_fraction(uint64_t millionths, char ret_text[UNITS_TEXT]);
