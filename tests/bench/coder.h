/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Batches to bodies and back, one step after the other, so that each can be measured by
 * itself. One thread at a time.
 */

#include "common/codec.h"
#include "common/delta.h"
#include "common/gzip.h"

/* One way to write the batches of a collection, and which of them a figure is about. */
struct way {
    const char *name;
    const struct codec *codec; /* NULL: delta, */
    bool chained;              /* each building on the one before */
    bool first;                /* is the first batch of a collection counted? */
    bool others;               /* the ones after it? */
};

/* Ended by one without a name. */
extern const struct way ways[];

/* Return: that way; NULL where there is none of this name. */
const struct way *way_find(const char *name);

/* What is done with a batch, in this order. */
enum step {
    STEP_ENCODE,
    STEP_COMPRESS,
    STEP_DECOMPRESS,
    STEP_DECODE,
    STEPS,
};

struct coder {
    const struct way *way;
    int level;
    struct delta_encoder *encoder;
    struct delta_decoder *decoder;
    struct delta_state *state;
    struct deflater *deflater;
    struct inflater *inflater;
    uint64_t tick;
    struct buf plain;
    struct buf packed;
    struct buf unpacked;
    struct batch back; /* what was decoded */
};

/* @level: of gzip, 1 to 9; 0: none. Return: 0, for coder_done(); -errno. */
PC_MUST_CHECK int coder_init(struct coder *c, const struct way *way, int level);
void coder_done(struct coder *c);

/* The next batch is the first of a collection. */
void coder_begin(struct coder *c);

/* Does a step with what the step before left. @b: borrows; the batch that is being
 * encoded. Return: 0; what failed. */
PC_MUST_CHECK int coder_step(struct coder *c, enum step step, const struct batch *b);

/* What is sent, after STEP_COMPRESS. */
struct span coder_body(const struct coder *c);
