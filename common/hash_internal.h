/* SPDX-License-Identifier: MIT */
#pragma once

/* For hash.c and its test only: the code for processors without a CRC-32C instruction. */

#include "common/span.h"

#include <stdint.h>

/* As hash_crc32c(), by tables, eight bytes at a time. */
uint32_t hash_crc32c_by_table(uint32_t crc, struct span bytes);
