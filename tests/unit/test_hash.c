/* SPDX-License-Identifier: MIT */
#include "common/hash.h"
#include "common/hash_internal.h"
#include "tests/lib/bytes.h"
#include "tests/lib/suite.h"

/* Of the bytes 0, 1, 2 and so on. Those of keys 0 and below are what CPython 3.11, whose
 * hash of bytes is SipHash-1-3, gives with PYTHONHASHSEED=0 and 42. */
static const struct {
    uint64_t k0;
    uint64_t k1;
    size_t n;
    uint64_t hash;
} sips[] = {
    {UINT64_C(0x0706050403020100), UINT64_C(0x0f0e0d0c0b0a0908), 0,
     UINT64_C(0xabac0158050fc4dc)},
    {0, 0, 1, UINT64_C(0x68a914128e01e473)},
    {0, 0, 7, UINT64_C(0x2f098ab0c751325a)},
    {0, 0, 8, UINT64_C(0xead411e67ebe2eea)},
    {0, 0, 9, UINT64_C(0x75927f9d95124362)},
    {0, 0, 15, UINT64_C(0xf30eb725bb91c9ea)},
    {0, 0, 16, UINT64_C(0x8972188433a5c5b7)},
    {0, 0, 63, UINT64_C(0x385d3e39e5f37359)},
    {UINT64_C(0xdc504fd368cd90af), UINT64_C(0xb920bb9ffe99e9c1), 1,
     UINT64_C(0xce880c366bcf3489)},
    {UINT64_C(0xdc504fd368cd90af), UINT64_C(0xb920bb9ffe99e9c1), 7,
     UINT64_C(0xce280fabc397fbda)},
    {UINT64_C(0xdc504fd368cd90af), UINT64_C(0xb920bb9ffe99e9c1), 8,
     UINT64_C(0x60866c3c108c6afb)},
    {UINT64_C(0xdc504fd368cd90af), UINT64_C(0xb920bb9ffe99e9c1), 63,
     UINT64_C(0x06e24d6f0d014c37)},
};

START_TEST(siphash_gives_the_known_hashes)
{
    uint8_t bytes[64];

    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)i;
    CLEANUP(bytes_drop) struct span in = suite_exact(span_of(bytes, sips[_i].n));
    ck_assert_uint_eq(hash_sip13(sips[_i].k0, sips[_i].k1, in), sips[_i].hash);
}
END_TEST

/* RFC 3720 appendix B.4, which shows the bytes of a CRC in the order they are sent. */
static const struct {
    const char *bytes;
    uint32_t crc;
} crcs[] = {
    {"0000000000000000000000000000000000000000000000000000000000000000", 0x8a9136aa},
    {"ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff", 0x62a8ab43},
    {"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f", 0x46dd794e},
    {"1f1e1d1c1b1a191817161514131211100f0e0d0c0b0a09080706050403020100", 0x113fdb5c},
    {"01c00000000000000000000000000000140000000000040000000014"
     "000000182800000000000000"
     "0200000000000000",
     0xd9963a56},
    {"313233343536373839", 0xe3069283},
    {"", 0},
};

START_TEST(crc32c_gives_the_known_sums)
{
    CLEANUP(bytes_drop) struct span in = bytes_of_hex(crcs[_i].bytes);

    ck_assert_uint_eq(hash_crc32c(0, in), crcs[_i].crc);
    ck_assert_uint_eq(hash_crc32c_by_table(0, in), crcs[_i].crc);
}
END_TEST

/* At every length around the eight bytes that each takes at once, and every alignment. */
START_TEST(both_ways_to_crc32c_agree)
{
    uint8_t bytes[128];
    uint64_t state = 3;

    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)bytes_random(&state);
    for (size_t at = 0; at < 8; at++) {
        for (size_t n = 0; n <= sizeof bytes - at; n++) {
            CLEANUP(bytes_drop) struct span in = suite_exact(span_of(bytes + at, n));
            uint32_t crc = (uint32_t)bytes_random(&state);

            ck_assert_uint_eq(hash_crc32c(crc, in), hash_crc32c_by_table(crc, in));
            ck_assert_uint_eq(hash_crc32c(crc, span_of(bytes + at, n)),
                              hash_crc32c_by_table(crc, in));
        }
    }
}
END_TEST

START_TEST(crc32c_goes_on_where_it_stopped)
{
    struct span all = SPAN("a record's head, its body, and what else belongs to it");

    for (size_t n = 0; n <= all.n; n++) {
        struct span first = span_of(all.data, n);

        ck_assert_uint_eq(hash_crc32c(hash_crc32c(0, first), span_from(all, n)),
                          hash_crc32c(0, all));
        ck_assert_uint_eq(
            hash_crc32c_by_table(hash_crc32c_by_table(0, first), span_from(all, n)),
            hash_crc32c(0, all));
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("hash");
    TCase *c = tcase_create("hash");

    tcase_add_loop_test(c, siphash_gives_the_known_hashes, 0, N_OF(sips));
    tcase_add_loop_test(c, crc32c_gives_the_known_sums, 0, N_OF(crcs));
    tcase_add_test(c, both_ways_to_crc32c_agree);
    tcase_add_test(c, crc32c_goes_on_where_it_stopped);
    suite_add_tcase(suite, c);
    return suite_run(suite);
}
