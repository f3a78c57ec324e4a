/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdint.h>

/* What the Go library (vmihailenco/msgpack v5) writes for identifier h1 and `cpu 1\n` of
 * /proc/stat. */
#define GOLDEN                                                                           \
    "82a169a26831a16d9183a954696d657374616d70d300000000695eaf93a953756273797374656d"     \
    "aa2f70726f632f73746174ab4d6561737572656d656e74a663707520310a"
#define GOLDEN_TIME UINT64_C(0x695eaf93)
