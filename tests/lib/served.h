/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * A pcd that serves requests from tests/lib/mhd.h, with a store and without a network.
 * Its limits are small, so that tests reach them.
 */

#include "pcd/options.h"
#include "pcd/stats.h"
#include "pcd/store.h"
#include "pcd/upload.h"

/* The keys that are taken: for any identifier, and for `web-*`. */
#define SERVED_KEY "0123456789abcdef"
#define SERVED_BOUND_KEY "fedcba9876543210"

struct served {
    struct pcd_conf conf;
    struct admit admit;
    struct stats stats;
    struct store_conf store;
    struct service service;
    struct log_limit limits[3];
    struct worker worker;
};

/**
 * served_start() - open a store in a folder, and be ready
 * @home: borrowed until served_stop(); an absolute path
 *
 * Return: 0; as what failed. served_stop() ends it whatever the result.
 */
PC_MUST_CHECK int served_start(struct served *s, const char *home);

/* Closes the store, which files everything, and frees all; no connection may be open.
 * Return: as store_close(). */
PC_MUST_CHECK int served_stop(struct served *s);

/**
 * served_count() - how many measurements stand in the day files of a closed store
 * @home: as given to served_start()
 *
 * Return: their number; -1 where a line is none, or a file can't be read.
 */
long served_count(const char *home);
