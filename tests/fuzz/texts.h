/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Texts that a fuzzer makes up: any bytes, or like the one before of the same subsystem,
 * so that there is something to find in what changes from one to the next.
 */

#include "tests/fuzz/fuzz.h"

#define TEXTS_SUBSYSTEMS 8u

struct texts {
    struct buf last[TEXTS_SUBSYSTEMS]; /* of each subsystem */
    struct buf next;
};

void texts_init(struct texts *t);
void texts_done(struct texts *t);

/**
 * texts_next() - a subsystem and a text for it
 * @what: subsystem (3 bits), and how to make the text (2 bits):
 *        0: anything: n:u8 bytes[n]
 *        1: the same again
 *        2: with other numbers: n:u8 times (which:u8 how:u8 difference)
 *        3: with other bytes at a place: at:u16 gone:u8 n:u8 bytes[n]
 * @from: further bytes of the input
 *
 * Return: without a time; its spans live until the next call.
 */
struct measurement texts_next(struct texts *t, unsigned what, struct fuzz_input *from);
