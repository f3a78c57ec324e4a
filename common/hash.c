/* SPDX-License-Identifier: MIT */
#include "common/hash.h"

#include "common/hash_internal.h"

#include <endian.h>
#include <threads.h>

#if defined(__x86_64__)
#include <cpuid.h>
#include <nmmintrin.h>
#endif

/* Least significant byte first, whatever the machine and the alignment. */
static uint64_t load_le64(const uint8_t *p)
{
    uint64_t value;

    memcpy(&value, p, sizeof value);
    return le64toh(value);
}

static uint64_t rotate_left(uint64_t x, unsigned n)
{
    return x << n | x >> (64 - n);
}

static void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[2] += v[3];
    v[1] = rotate_left(v[1], 13) ^ v[0];
    v[3] = rotate_left(v[3], 16) ^ v[2];
    v[0] = rotate_left(v[0], 32) + v[3];
    v[2] += v[1];
    v[1] = rotate_left(v[1], 17) ^ v[2];
    v[3] = rotate_left(v[3], 21) ^ v[0];
    v[2] = rotate_left(v[2], 32);
}

static void sip_block(uint64_t v[4], uint64_t block)
{
    v[3] ^= block;
    sip_round(v);
    v[0] ^= block;
}

uint64_t hash_sip13(uint64_t k0, uint64_t k1, struct span bytes)
{
    /* "somepseudorandomlygeneratedbytes", as the paper has it. */
    uint64_t v[4] = {
        k0 ^ UINT64_C(0x736f6d6570736575),
        k1 ^ UINT64_C(0x646f72616e646f6d),
        k0 ^ UINT64_C(0x6c7967656e657261),
        k1 ^ UINT64_C(0x7465646279746573),
    };
    uint64_t last = (uint64_t)bytes.n << 56;

    while (bytes.n >= 8) {
        sip_block(v, load_le64(bytes.data));
        bytes = span_from(bytes, 8);
    }
    for (size_t i = 0; i < bytes.n; i++)
        last |= (uint64_t)bytes.data[i] << (8 * i);
    sip_block(v, last);

    v[2] ^= 0xff;
    for (int i = 0; i < 3; i++)
        sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

/* crc_table[k][b]: what byte b, with k zero bytes behind it, does to the remainder. */
static uint32_t crc_table[8][256];
static once_flag crc_table_once = ONCE_FLAG_INIT;

static void make_crc_table(void)
{
    for (uint32_t b = 0; b < 256; b++) {
        uint32_t crc = b;
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? UINT32_C(0x82f63b78) : 0);
        crc_table[0][b] = crc;
    }
    for (uint32_t b = 0; b < 256; b++) {
        for (int k = 1; k < 8; k++) {
            uint32_t crc = crc_table[k - 1][b];
            crc_table[k][b] = crc >> 8 ^ crc_table[0][crc & 0xff];
        }
    }
}

uint32_t hash_crc32c_by_table(uint32_t crc, struct span bytes)
{
    call_once(&crc_table_once, make_crc_table);
    crc = ~crc;
    while (bytes.n >= 8) {
        uint64_t x = load_le64(bytes.data) ^ crc;
        crc = 0;
        for (unsigned i = 0; i < 8; i++)
            crc ^= crc_table[7 - i][x >> (8 * i) & 0xff];
        bytes = span_from(bytes, 8);
    }
    for (size_t i = 0; i < bytes.n; i++)
        crc = crc >> 8 ^ crc_table[0][(crc ^ bytes.data[i]) & 0xff];
    return ~crc;
}

#if defined(__x86_64__)
static bool cpu_has_crc;
static once_flag cpu_once = ONCE_FLAG_INIT;

/* Not __builtin_cpu_supports(), which brings 4 KB that know every processor. */
static void ask_cpu(void)
{
    unsigned eax, ebx, ecx, edx;

    cpu_has_crc = __get_cpuid(1, &eax, &ebx, &ecx, &edx) && (ecx & bit_SSE4_2);
}

__attribute__((target("sse4.2"))) static uint32_t crc32c_by_cpu(uint32_t crc,
                                                                struct span bytes)
{
    uint64_t wide = ~crc;

    while (bytes.n >= 8) {
        wide = _mm_crc32_u64(wide, load_le64(bytes.data));
        bytes = span_from(bytes, 8);
    }
    crc = (uint32_t)wide;
    for (size_t i = 0; i < bytes.n; i++)
        crc = _mm_crc32_u8(crc, bytes.data[i]);
    return ~crc;
}
#endif

uint32_t hash_crc32c(uint32_t crc, struct span bytes)
{
#if defined(__x86_64__)
    call_once(&cpu_once, ask_cpu);
    if (cpu_has_crc)
        return crc32c_by_cpu(crc, bytes);
#endif
    return hash_crc32c_by_table(crc, bytes);
}
