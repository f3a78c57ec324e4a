/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Batches on disk that the server is still to get: a folder with one file a batch, which
 * lives until the batch is stored, through restarts and power cuts.
 *
 *     PCC_SPOOL_DIR/
 *       lock                    one agent a folder
 *       0000000000000017.batch  pcc/spool_file.h; numbers count up and are the order
 *       rejected/               what the server will never take, and what is damaged
 *
 * A file is written aside, synced, renamed, and the folder synced. It is removed without
 * a sync: one that comes back after a power cut is sent again under its old identity,
 * and the server knows that it has it. A file that is damaged is set aside, logged, and
 * never stops the others; of one with more batches, those that are whole are sent.
 *
 * A file may be a copy of what its owner also has in memory and will send from there: it
 * is *covered* then, and sent from here only once it is uncovered. Thread: sender.
 */

#include "pcc/spool_file.h"

struct spool;

struct spool_conf {
    const char *path;
    uint64_t max_bytes;      /* of the files, in whole blocks of the disk */
    uint64_t reserve_bytes;  /* of the disk that stay free for others */
    uint64_t rejected_bytes; /* of rejected/ at most; the oldest go */
};

/**
 * spool_open() - open the folder, made if it isn't there, and look at all its files
 * @conf: copied, its texts too
 *
 * Return: 0, and gives *ret for spool_free(); E_PENDING if another process has it;
 *         -ENOMEM; -errno.
 */
PC_MUST_CHECK int spool_open(const struct spool_conf *conf, struct spool **ret);
/* NULL is fine. */
void spool_free(struct spool *s);

/**
 * spool_put() - make a batch durable as the newest file
 * @label, @body: borrows
 * @covered: it is in memory as well
 *
 * Return: 0 and the file's number; E_FULL over the folder's maximum; E_NO_ROOM below the
 *         disk's reserve; -errno: no file is left.
 */
PC_MUST_CHECK int spool_put(struct spool *s, struct span identifier,
                            const struct label *label, struct span body, bool covered,
                            uint64_t *ret_number);
/* The batch is no longer in memory. */
void spool_uncover(struct spool *s, uint64_t number);
/* The batch is stored. */
void spool_remove(struct spool *s, uint64_t number);
/* The server will never take the batch. */
void spool_set_aside(struct spool *s, uint64_t number);
/* The server will never take a batch that has no file: one is made in rejected/, if it
 * can be. */
void spool_keep_rejected(struct spool *s, struct span identifier,
                         const struct label *label, struct span body);

/**
 * spool_weigh_oldest() - what would be lost with the oldest file that is neither covered
 * nor in flight
 * @lost: the loss is added, with the gaps that the batch told of
 *
 * Return: how many measurements; 0 if there is no such file.
 */
uint64_t spool_weigh_oldest(struct spool *s, struct gap_set *lost);
/* Removes that file, which must be there; once its loss is noted. */
void spool_drop_oldest(struct spool *s);

/* The batch that was taken is being sent: it must stay; or it is no longer. */
void spool_in_flight(struct spool *s, bool in_flight);

/* Is there something to take? */
bool spool_waiting(const struct spool *s);

/* A batch, whole, until another is taken, or it is stored or refused. */
struct spool_batch {
    const struct label *label;
    struct span body;
};

/**
 * spool_take() - read the oldest batch that isn't covered
 * @lost: if it is damaged, or gone, its loss is added
 *
 * Return: 0; E_MALFORMED if it is damaged: spool_give_up() once its loss is noted; E_GONE
 *         if there is none; -ENOMEM.
 */
PC_MUST_CHECK int spool_take(struct spool *s, struct gap_set *lost,
                             struct spool_batch *ret);
/* The one that proved to be damaged: it is set aside and logged. */
void spool_give_up(struct spool *s);
/* The one that was taken last, once more; until another is taken or one is dropped. */
struct spool_batch spool_taken(const struct spool *s);
/* It is stored; or the server will never take it. */
void spool_stored(struct spool *s);
void spool_refused(struct spool *s);

/**
 * spool_split() - two batches take the place of the one taken, durably and at once
 *
 * Return: 0; E_TOO_LARGE if the file has too many parts already; -ENOMEM; -errno: it is
 *         as it was.
 */
PC_MUST_CHECK int spool_split(struct spool *s, const struct spool_part halves[2]);

/* The lowest SEQ of a session that may still be sent from here; UINT64_MAX for none. */
uint64_t spool_floor(const struct spool *s, uint64_t session);

struct spool_counts {
    uint64_t files;
    uint64_t measurements;
    uint64_t uncovered; /* measurements that are nowhere else */
    uint64_t bytes;     /* in whole blocks */
    uint64_t damaged;   /* files, or batches in them, set aside since the start */
};
void spool_count(const struct spool *s, struct spool_counts *ret);
