/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * What both ends of a delta chain keep of each subsystem: name, shape with the last text,
 * predictors. For the files delta_*.c alone.
 */

#include "common/buf.h"
#include "common/shape.h"

#define DELTA_VERSION 1u
#define DELTA_TERMS 2u
#define DELTA_SHIFT_MAX 7u
/* Columns that the subsystems of a state may have, at any time. */
#define DELTA_COLUMNS_MAX ((size_t)(LIMIT_DELTA_STATE_BYTES / LIMIT_DELTA_COLUMN_BYTES))

enum delta_stream {
    DELTA_SHAPES,
    DELTA_BASE_VALUES,
    DELTA_PREDICTOR_LISTS,
    DELTA_BITMAPS,
    DELTA_CHANGES,
    DELTA_RAW_TEXTS,
    DELTA_STREAMS,
};

/* Bits of a group's flags. */
#define DELTA_NEW_SHAPE 1u
#define DELTA_PREDICTORS 2u
#define DELTA_RAW 4u

/* Bits of the byte of a predictor; its shift is above them. */
#define DELTA_PACE 1u
#define DELTA_TERMS_AT 1u /* two bits from this one on: how many terms */
#define DELTA_MINUS 8u    /* the first is subtracted; the second: the next bit */
#define DELTA_SHIFT_AT 5u

/* How a column's differences follow from its residuals; 0 in each member: they are. */
struct delta_predictor {
    uint32_t column;
    uint32_t terms[DELTA_TERMS]; /* columns before it */
    /* Bits, for a server has many of these from every host. */
    uint8_t n_terms : 2;
    uint8_t minus : 2; /* bit i: term i is subtracted */
    uint8_t shift : 3;
    bool keeps_pace : 1;
    bool is_changed; /* the encoder's: it has to be written (again) */
    uint64_t pace;
};

struct delta_source {
    struct buf name;
    bool has_shape;
    struct buf text;
    struct shape shape;                 /* of the text */
    struct delta_predictor *predictors; /* in the order of their columns */
    size_t n_predictors;
    size_t cap_predictors;
};

struct delta_sources {
    struct delta_source **at; /* NULL where a well-known one was not used yet */
    size_t n;
    size_t n_made; /* rows that may hold memory for use again; at least n */
    size_t cap;
};

struct delta_state {
    struct delta_sources sources;
    bool begun;
    uint64_t snapshot; /* ss, and */
    uint64_t number;   /* q of the last batch */
    uint64_t last_ns;  /* time of its last tick */
};

/* Sets up the well-known subsystems. Return: 0; -ENOMEM. */
PC_MUST_CHECK int delta_sources_init(struct delta_sources *s);
/* Also takes a zeroed one. */
void delta_sources_done(struct delta_sources *s);
/* Back to the well-known ones, without shapes; memory is kept. */
void delta_sources_reset(struct delta_sources *s);

/* The number of a subsystem; n if there is none of that name. @hint: any number, which is
 * looked at first. */
size_t delta_sources_find(const struct delta_sources *s, struct span name, size_t hint);
/* The name of subsystem @i < n. */
struct span delta_sources_name(const struct delta_sources *s, size_t i);
/* The subsystem with number @i < n, made where it was not used yet. Return: 0; -ENOMEM.
 */
PC_MUST_CHECK int delta_sources_get(struct delta_sources *s, size_t i,
                                    struct delta_source **ret);
/* Adds one. Return: 0; E_TOO_LARGE past LIMIT_DELTA_SUBSYSTEMS; -ENOMEM. */
PC_MUST_CHECK int delta_sources_add(struct delta_sources *s, struct span name);

/* What the protocol counts of them against LIMIT_DELTA_STATE_BYTES. */
size_t delta_sources_size(const struct delta_sources *s);
/* Columns of all that have a shape. */
size_t delta_sources_columns(const struct delta_sources *s);
/* Gives back the memory of those without a shape. */
void delta_sources_trim(struct delta_sources *s);
/* The memory that they take. */
size_t delta_sources_memory(const struct delta_sources *s);

/* Its last text; with hardly more memory than it needs. Return: 0; -ENOMEM. */
PC_MUST_CHECK int delta_source_keep(struct delta_source *s, struct span text);
/* It has no shape any more. */
void delta_source_forget(struct delta_source *s);
/* The same, and gives its memory back. */
void delta_source_drop(struct delta_source *s);
/* Gives back memory that @n columns do not need, before they come: of the columns, which
 * are gone then, and of predictors where there are none. */
void delta_source_trim(struct delta_source *s, size_t n);

/* Makes room for @n predictors. Return: 0; -ENOMEM. */
PC_MUST_CHECK int delta_source_reserve(struct delta_source *s, size_t n);
