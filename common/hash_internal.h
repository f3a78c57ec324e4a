/* SPDX-License-Identifier: MIT */
#pragma once

/* What the tests of hash compare with each other. */

#include "common/hash.h"

/* CRC-32C without the processor's instruction for it. */
uint32_t hash_crc32c_plain(uint32_t crc, struct span bytes);
