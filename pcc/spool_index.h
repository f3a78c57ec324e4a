/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * What the spool knows of its files without opening them, oldest first. Thread: sender.
 */

#include "pcc/gaps.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct spool_entry {
    uint64_t number;
    uint64_t session;      /* of its parts that are still to be stored, */
    uint64_t seq;          /* and their lowest SEQ; 0 where their sessions differ */
    struct gap_note range; /* of those parts */
    uint32_t blocks;       /* on disk */
    uint16_t part;         /* the one to be sent next */
    bool covered;
    bool has_halves; /* its SEQs are newer than its place */
};

struct spool_index {
    struct spool_entry *entries;
    size_t first;
    size_t n; /* from first on */
    size_t cap;
    uint64_t blocks; /* of all */
    bool unordered;  /* a session's SEQs may come in any order */
};

/* A zeroed one is empty. */
void spool_index_done(struct spool_index *x);

/* Makes room for one more entry. Return: 0; -ENOMEM. */
PC_MUST_CHECK int spool_index_reserve(struct spool_index *x);
/* Adds an entry, whose number must be the highest, where room was made. */
void spool_index_add(struct spool_index *x, const struct spool_entry *e);
/* What is known of a file has changed; @to has its number and is uncovered. */
void spool_index_change(struct spool_index *x, struct spool_entry *e,
                        const struct spool_entry *to);
/* The entry with a number; NULL if there is none. Until the next add or remove. */
struct spool_entry *spool_index_find(const struct spool_index *x, uint64_t number);
void spool_index_remove(struct spool_index *x, struct spool_entry *e);

/* The oldest one that isn't covered, or NULL. */
struct spool_entry *spool_index_oldest(const struct spool_index *x);
/* The oldest behind this one that isn't covered, or NULL. */
struct spool_entry *spool_index_next(const struct spool_index *x,
                                     const struct spool_entry *e);

/* In all files, or in those that aren't covered. */
uint64_t spool_index_measurements(const struct spool_index *x, bool covered_too);

/* As spool_floor(). */
uint64_t spool_index_floor(const struct spool_index *x, uint64_t session);
