/* SPDX-License-Identifier: MIT */
#pragma once

/* What pcd says of itself: /healthz, /readyz and /metrics. Any thread. */

#include "common/buf.h"
#include "pcd/connection.h"
#include "pcd/service.h"

/**
 * pages_health() - is the process alive?
 *
 * Each of these appends a page; *ret_code is its status code.
 *
 * Return: 0; E_TOO_LARGE; -ENOMEM; @to may hold part of it then.
 */
PC_MUST_CHECK int pages_health(struct buf *to, unsigned *ret_code);
/* Would a batch be taken now? If not, a line for each reason, and 503. */
PC_MUST_CHECK int pages_ready(const struct service *s, struct buf *to,
                              unsigned *ret_code);
PC_MUST_CHECK int pages_metrics(const struct service *s, const struct connections *c,
                                struct buf *to, unsigned *ret_code);
