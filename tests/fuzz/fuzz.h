/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * What every fuzz target shares. Each is one file with an LLVMFuzzerTestOneInput that
 * ends the program where a promise of a header isn't kept. It is linked with libFuzzer
 * (tests/fuzz/run) or, in any other build, with replay.c.
 */

#include "common/measurement.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* Says what is not so, and ends the program. */
__attribute__((noreturn)) void fuzz_fail(const char *file, int line, const char *what);

#define FUZZ_CHECK(is_so) ((is_so) ? (void)0 : fuzz_fail(__FILE__, __LINE__, #is_so))

/* Smaller than the product's, so that inputs reach them and runs are fast. */
extern const struct batch_limits fuzz_limits;
/* Room for the encoding of any batch within them. */
#define FUZZ_BODY_MAX (4 * MIB)

/* An input read from its start; past its end there are only zeros. */
struct fuzz_input {
    struct span left;
};

uint8_t fuzz_byte(struct fuzz_input *in);
/* A number of so many bytes, 1 to 8, least significant first. */
uint64_t fuzz_number(struct fuzz_input *in, unsigned bytes);
/* The next @n bytes, or as many as there are. */
struct span fuzz_bytes(struct fuzz_input *in, size_t n);

/* A copy of the bytes in a heap block of exactly their size, so that a sanitizer sees a
 * read one byte over. Ended by fuzz_drop(). */
struct span fuzz_exact(struct span bytes);
/* For CLEANUP. */
void fuzz_drop(struct span *s);

struct codec;

/* Every decoder of a codec, with the same bytes. What decodes is encoded again and must
 * then be the same. */
void fuzz_codec(const struct codec *codec, struct span in);
