/* SPDX-License-Identifier: MIT */
#include "common/hash.h"

#include "common/hash_internal.h"

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

/* Little-endian, as SipHash and CRC-32C both read; memcpy for any alignment. */
static uint64_t load_u64(const uint8_t *p)
{
    uint64_t v;

    memcpy(&v, p, sizeof v);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    v = __builtin_bswap64(v);
#endif
    return v;
}

static uint64_t rotl(uint64_t x, unsigned n)
{
    return x << n | x >> (64 - n);
}

static void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[1] = rotl(v[1], 13) ^ v[0];
    v[0] = rotl(v[0], 32);
    v[2] += v[3];
    v[3] = rotl(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = rotl(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = rotl(v[1], 17) ^ v[2];
    v[2] = rotl(v[2], 32);
}

static void sip_word(uint64_t v[4], uint64_t word)
{
    v[3] ^= word;
    sip_round(v);
    v[0] ^= word;
}

uint64_t hash_sip13(uint64_t k0, uint64_t k1, struct span bytes)
{
    uint64_t v[4] = {
        k0 ^ UINT64_C(0x736f6d6570736575),
        k1 ^ UINT64_C(0x646f72616e646f6d),
        k0 ^ UINT64_C(0x6c7967656e657261),
        k1 ^ UINT64_C(0x7465646279746573),
    };
    uint64_t last = (uint64_t)bytes.n << 56;
    size_t at = 0;

    for (; bytes.n - at >= 8; at += 8)
        sip_word(v, load_u64(bytes.data + at));
    for (size_t i = at; i < bytes.n; i++)
        last |= (uint64_t)bytes.data[i] << 8 * (i - at);
    sip_word(v, last);
    v[2] ^= 0xff;
    sip_round(v);
    sip_round(v);
    sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

/* The reversed polynomial, a nibble at a time: small enough to check by eye, and only
 * for processors without the instruction. */
uint32_t hash_crc32c_plain(uint32_t crc, struct span bytes)
{
    static const uint32_t nibbles[16] = {
        0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3,
        0x61c69362, 0x7198540d, 0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9,
        0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
    };

    crc = ~crc;
    for (size_t i = 0; i < bytes.n; i++) {
        crc ^= bytes.data[i];
        crc = crc >> 4 ^ nibbles[crc & 15];
        crc = crc >> 4 ^ nibbles[crc & 15];
    }
    return ~crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t crc32c_sse42(uint32_t crc,
                                                               struct span bytes)
{
    uint64_t wide = ~crc;
    size_t at = 0;

    for (; bytes.n - at >= 8; at += 8)
        wide = _mm_crc32_u64(wide, load_u64(bytes.data + at));
    crc = (uint32_t)wide;
    for (; at < bytes.n; at++)
        crc = _mm_crc32_u8(crc, bytes.data[at]);
    return ~crc;
}
#endif

uint32_t hash_crc32c(uint32_t crc, struct span bytes)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("sse4.2"))
        return crc32c_sse42(crc, bytes);
#endif
    return hash_crc32c_plain(crc, bytes);
}
