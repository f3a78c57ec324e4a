/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * DeltaTrickleRequest: batches as what changed since the batch before. proto/README.md,
 * chapter "Delta", is the format; what comes out of the decoder equals what went into the
 * encoder byte for byte (but see the encoder's threshold).
 *
 * An encoder keeps what the server's state should be; a state is what a decoder keeps
 * from batch to batch, and a decoder what it needs for one batch and reuses. After
 * warm-up none of them allocates. Each belongs to one thread at a time.
 */

#include "common/codec.h"

/* TrickleRequest as batches that stand alone; answers and pings as in MessagePack.
 * Decoding gives E_CONFLICT for a batch that doesn't stand alone. */
extern const struct codec delta_codec;

struct delta_encoder;

struct delta_encoder_conf {
    /* A change of a number that stands between blanks is left out while it is smaller
     * than this many millionths of the larger of the two values; 0: nothing is. What the
     * decoder builds is never further from the truth than that. */
    uint64_t threshold_millionths;
};

/* Return: 0, and gives *ret for delta_encoder_free(); -ENOMEM. */
PC_MUST_CHECK int delta_encoder_new(const struct delta_encoder_conf *conf,
                                    struct delta_encoder **ret);
void delta_encoder_free(struct delta_encoder *e);

/* The next chained batch will be a snapshot. */
void delta_encoder_forget(struct delta_encoder *e);

/* How a batch was, or is to be, written. */
struct delta_place {
    bool chained;      /* else it stands alone, and leaves the encoder's chain as it is */
    uint64_t snapshot; /* chained: ss, and */
    uint64_t number;   /* q; 0: it is the snapshot */
};

/**
 * delta_encode_chained() - append a batch as the next of the chain
 * @b:          borrows; its identifier is set
 * @first_tick: number of its first tick in the session
 * @to:         unchanged on failure
 * @ret:        where in the chain it stands
 *
 * It is a snapshot if it is the first, after delta_encoder_forget(), or where the state
 * would pass a limit of the protocol. The chain goes on as if the server had taken it:
 * after anything else call delta_encoder_forget().
 *
 * Return: 0; E_TOO_LARGE beyond the maximum of @to; -ENOMEM. The next one is a snapshot
 *         after a failure.
 */
PC_MUST_CHECK int delta_encode_chained(struct delta_encoder *e, const struct batch *b,
                                       uint64_t first_tick, struct buf *to,
                                       struct delta_place *ret);

/* Appends a batch that stands alone; the chain stays as it is. Otherwise as
 * delta_encode_chained(). */
PC_MUST_CHECK int delta_encode_alone(struct delta_encoder *e, const struct batch *b,
                                     uint64_t first_tick, struct buf *to);

struct delta_state;

/* An empty state. Return: 0, and gives *ret for delta_state_free(); -ENOMEM. */
PC_MUST_CHECK int delta_state_new(struct delta_state **ret);
void delta_state_free(struct delta_state *s);
/* The memory that it takes. */
size_t delta_state_bytes(const struct delta_state *s);
/* May @place, chained and no snapshot, be decoded on this state? */
bool delta_state_fits(const struct delta_state *s, const struct delta_place *place);

struct delta_decoder;

/* Return: 0, and gives *ret for delta_decoder_free(); -ENOMEM. */
PC_MUST_CHECK int delta_decoder_new(struct delta_decoder **ret);
void delta_decoder_free(struct delta_decoder *d);
/* Forgets the message that was opened, and gives back memory that a rare large one
 * needed. */
void delta_decoder_reset(struct delta_decoder *d);

struct delta_head {
    struct span identifier; /* checked; borrows from the message */
    struct delta_place place;
    uint64_t first_tick;
};

/**
 * delta_decoder_open() - read what comes before the measurements
 * @in:      borrows, until delta_decoder_reset()
 * @limits:  the same; those of the batch that it will be decoded into
 *
 * Return: 0; E_UNSUPPORTED for another version; E_TRUNCATED, E_MALFORMED, E_TOO_LARGE;
 *         all with *reterr_at (may be NULL); -ENOMEM.
 */
PC_MUST_CHECK int delta_decoder_open(struct delta_decoder *d, struct span in,
                                     const struct batch_limits *limits,
                                     struct delta_head *ret, struct err_at *reterr_at);

/**
 * delta_decoder_run() - decode the message that was opened
 * @s:   a chained batch's state, or an empty one for a snapshot; emptied first where the
 *       batch is a snapshot. NULL where nothing is to be kept; a batch without a place in
 *       a chain never changes it
 * @ret: an empty batch; reset on failure. Its tick marks are those of the encoder
 *
 * Return: 0; E_CONFLICT where the batch builds on a state that @s is not: it is as it
 *         was; E_TRUNCATED, E_MALFORMED, E_TOO_LARGE with *reterr_at (may be NULL);
 *         -ENOMEM: after these @s must be freed.
 */
PC_MUST_CHECK int delta_decoder_run(struct delta_decoder *d, struct delta_state *s,
                                    struct batch *ret, struct err_at *reterr_at);
