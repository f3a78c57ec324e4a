/* SPDX-License-Identifier: MIT */
#pragma once

/* The table of pcd's options and what it fills in. Immutable once main has it. */

#include "common/opt.h"

#include <stdbool.h>
#include <stdint.h>

struct pcd_conf {
    const char *listen;
    const char *home;         /* as given; expanded below */
    const char *apikeys_file; /* likewise */
    const char *tls_cert;     /* empty: plain HTTP */
    const char *tls_key;
    const char *tls_client_ca; /* empty: clients need no certificate */
    int sync;                  /* enum store_sync */
    uint64_t threads;
    bool metrics_auth;
    uint64_t rate;         /* requests a second; 0: any number */
    uint64_t rate_address; /* likewise */
    uint64_t keys_keep_ns;
    uint64_t body_max;
    uint64_t decoded_max;
    uint64_t measurements_max;
    uint64_t text_max;
    uint64_t subsystem_max;
    uint64_t nesting_max;
    uint64_t headers_max;
    uint64_t idle_timeout_ns;
    uint64_t request_timeout_ns;
    uint64_t connection_age_ns;
    uint64_t connections_max;
    uint64_t connection_memory;
    uint64_t queue_max;
    uint64_t delta_state_max;
    uint64_t log_max;
    uint64_t disk_reserve;
    uint64_t gather_ns;
    uint64_t checkpoint_ns;
    uint64_t files_max;
    uint64_t retain_ns;
    uint64_t retain_bytes;
    int log_level; /* enum log_level */

    /* Made by options_finish(), freed by options_done(). */
    char *home_path;
    char *apikeys_path;
};

extern const struct opt_program options_program;

/**
 * options_finish() - complete what the table filled in, and check what belongs together
 * @home_dir:     of the user, for paths that begin with ~/; NULL: unknown
 * @reterr_text:  on anything but 0, one line for the user
 *
 * Return: 0; E_MALFORMED; -ENOMEM.
 */
PC_MUST_CHECK int options_finish(struct pcd_conf *conf, const char *home_dir,
                                 const char **reterr_text);
void options_done(struct pcd_conf *conf);
