/* SPDX-License-Identifier: MIT */
#pragma once

/* pcc's options: their table, and the settings as the rest of pcc reads them. */

#include "common/opt.h"
#include "proto/limits.h"

#include <limits.h>

enum pcc_mode {
    PCC_LOCAL,
    PCC_TRICKLE,
};

enum pcc_spool {
    PCC_SPOOL_AUTO,
    PCC_SPOOL_ALWAYS,
    PCC_SPOOL_NEVER,
};

enum pcc_spool_full {
    PCC_FULL_DROP,
    PCC_FULL_STOP,
};
/* The words for enum media_form and enum coding, ended by NULL. */
extern const char *const pcc_serializations[];
extern const char *const pcc_compressions[];

#define PCC_URL_MAX 2048u
#define PCC_SPOOL_DIR_DEFAULT "/var/lib/pcc/spool"

/* Texts live as long as the opt_state they were loaded with, or lie in the struct, which
 * therefore must not be moved. */
struct pcc_conf {
    int mode; /* enum pcc_mode */
    const char *server_url;
    const char *apikey;
    const char *apikey_file;
    const char *identifier;
    uint64_t frequency_ns;
    uint64_t duration_ns;   /* 0: for ever */
    const char *collection; /* empty: none */
    const char *subsystems;
    uint64_t batch_size;
    uint64_t batch_bytes;
    uint64_t flush_interval_ns;
    int serialization;          /* enum media_form */
    uint64_t snapshot_interval; /* ticks */
    uint64_t delta_threshold_millionths;
    int compression;            /* enum coding */
    uint64_t compression_level; /* 1 to 9 */
    uint64_t queue_max_bytes;
    int spool;                 /* enum pcc_spool */
    const char *spool_dir;     /* empty: the first of spool_dirs that can be had */
    const char *spool_dirs[2]; /* NULL for none */
    uint64_t spool_max_bytes;
    uint64_t spool_reserve_bytes;
    int spool_full; /* enum pcc_spool_full */
    uint64_t rejected_max_bytes;
    uint64_t catchup_share_millionths;
    uint64_t timeout_ns;
    uint64_t connect_timeout_ns;
    uint64_t spread_ns;
    const char *root;          /* without a slash at its end; empty for none */
    const char *status_socket; /* empty: the usual places; off: none */
    const char *tls_ca;
    const char *tls_cert;
    const char *tls_key;
    bool tls_skip_verify;
    int loglevel; /* enum log_level */

    char url_text[PCC_URL_MAX];
    char root_text[PATH_MAX];
    char collection_text[PATH_MAX];
    char spool_text[PATH_MAX];
    char host_name[LIMIT_IDENTIFIER_BYTES + 1];
};

/* What this machine adds to the settings. */
struct pcc_surroundings {
    const char *host_name;
    const char *home;  /* the home folder; NULL if there is none */
    const char *state; /* XDG_STATE_HOME; NULL or empty if it isn't set */
};

/* The table with its texts. */
struct opt_program options_program(void);

/**
 * options_finish() - fill in what depends on the machine, and check what a row can't
 * @conf:      as opt_load() filled it in
 * @ret_error: one line, what is wrong and what would be right
 *
 * Return: 0; E_MALFORMED.
 */
PC_MUST_CHECK int options_finish(struct pcc_conf *conf,
                                 const struct pcc_surroundings *around, char *ret_error,
                                 size_t size);

/* The part of it that says where the spool is, for those who need nothing else. */
PC_MUST_CHECK int options_finish_spool(struct pcc_conf *conf,
                                       const struct pcc_surroundings *around,
                                       char *ret_error, size_t size);
