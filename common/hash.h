/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Two hashes: SipHash-1-3 for tables whose keys come from outside, and CRC-32C for
 * records on disk.
 */

#include "common/span.h"

#include <stdint.h>

/* SipHash-1-3 of @bytes (Aumasson and Bernstein) under a 128-bit key. */
uint64_t hash_sip13(uint64_t k0, uint64_t k1, struct span bytes);

/**
 * hash_crc32c() - CRC-32C (Castagnoli, RFC 3720 appendix B.4)
 * @crc: 0 to begin, or the result over the bytes before these
 */
uint32_t hash_crc32c(uint32_t crc, struct span bytes);
