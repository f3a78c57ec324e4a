/* SPDX-License-Identifier: MIT */
#pragma once

/* What every request needs of the rest of pcd; made by main, borrowed by all. */

#include "common/log.h"
#include "pcd/admit.h"

#include <stdbool.h>

struct service {
    const struct pcd_conf *conf;
    struct auth *auth;
    struct rate *key_rate;     /* or NULL */
    struct rate *address_rate; /* or NULL */
    struct admit *admit;
    struct hosts *hosts;
    struct chains *chains;
    struct stats *stats;
    struct store *store;
    struct log_limit *two_sessions; /* holds down the lines about cloned images, */
    struct log_limit *states_full;  /* about delta states that aren't kept, */
    struct log_limit *over_rate;    /* and about those who ask too often */
    uint64_t start_s;               /* since the Unix epoch */
    _Atomic bool stops;             /* requests that begin get 503 */
};
