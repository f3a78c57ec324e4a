/* SPDX-License-Identifier: MIT */
#pragma once

/* How much room tests give a queue. */

#include "pcc/queue.h"

/* What memory has of a small batch, as pcc/queue.c counts it. */
#define ITEM_BYTES ((sizeof(struct queue_item) + 512) * 5 / 4)
