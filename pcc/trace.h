/* SPDX-License-Identifier: MIT */
#pragma once

/* What is sent, as it is logged at level TRACE. Thread: sender. */

#include "pcc/backlog.h"

/* The request, key masked; in delta, also where in the chain the batch stands. */
void trace_request(const char *server, const struct backlog_post *post);

/* Measurement by measurement. */
void trace_batch(const struct batch *batch);
