/* SPDX-License-Identifier: MIT */
#include "common/utf8.h"
#include "tests/lib/bytes.h"
#include "tests/lib/suite.h"

START_TEST(every_scalar_value_is_encoded_as_valid_text)
{
    size_t n_of_length[5] = {0};

    for (uint32_t scalar = 0; scalar <= 0x10ffff; scalar++) {
        uint8_t bytes[4];
        if (scalar == 0xd800)
            scalar = 0xe000;
        size_t n = utf8_encode(scalar, bytes);
        n_of_length[n]++;
        if (!utf8_valid(span_of(bytes, n)))
            ck_abort_msg("U+%04X is not valid", (unsigned)scalar);
    }
    ck_assert_uint_eq(n_of_length[1], 0x80);
    ck_assert_uint_eq(n_of_length[2], 0x800 - 0x80);
    ck_assert_uint_eq(n_of_length[3], 0x10000 - 0x800 - 0x800);
    ck_assert_uint_eq(n_of_length[4], 0x110000 - 0x10000);
}
END_TEST

/* Is this sequence what its own scalar value is encoded as? Written without a look at the
 * table in the code: shift first, judge after. */
static bool is_shortest_form(const uint8_t *bytes, size_t n)
{
    static const uint8_t lead_mask[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    uint32_t scalar = bytes[0] & lead_mask[n];
    uint8_t again[4];

    for (size_t i = 1; i < n; i++)
        scalar = scalar << 6 | (bytes[i] & 0x3f);
    if (scalar > 0x10ffff || (scalar >= 0xd800 && scalar <= 0xdfff))
        return false;
    return utf8_encode(scalar, again) == n && memcmp(bytes, again, n) == 0;
}

START_TEST(sequences_are_valid_only_in_their_shortest_form)
{
    static const uint8_t edges[] = {0x00, 0x7f, 0x80, 0x8f, 0x90, 0x9f,
                                    0xa0, 0xbf, 0xc0, 0xed, 0xff};
    size_t n_edges = N_OF(edges);

    for (unsigned pair = 0; pair < 0x10000; pair++) {
        uint8_t b[4] = {(uint8_t)(pair >> 8), (uint8_t)pair, 0x80, 0x80};
        if (b[0] < 0x80)
            continue;
        ck_assert_int_eq(utf8_valid(span_of(b, 2)), is_shortest_form(b, 2));
        for (size_t i = 0; i < n_edges * n_edges; i++) {
            b[2] = edges[i / n_edges];
            b[3] = edges[i % n_edges];
            if (b[1] < 0x80 || is_shortest_form(b, 2))
                continue; /* a sequence ends before the third byte */
            if (utf8_valid(span_of(b, 3)) != is_shortest_form(b, 3))
                ck_abort_msg("%02x %02x %02x", b[0], b[1], b[2]);
            if (!is_shortest_form(b, 3) &&
                utf8_valid(span_of(b, 4)) != is_shortest_form(b, 4))
                ck_abort_msg("%02x %02x %02x %02x", b[0], b[1], b[2], b[3]);
        }
    }
}
END_TEST

static const struct {
    const char *text; /* in hexadecimal */
    size_t valid;
} prefixes[] = {
    {"", 0},
    {"80", 0},
    {"bf", 0},
    {"c080", 0},         /* U+0000 in two bytes */
    {"c1bf", 0},         /* U+007F in two bytes */
    {"c2", 0},           /* cut */
    {"c27f", 0},         /* no continuation */
    {"c2c0", 0},         /* another lead byte */
    {"c280", 2},         /* U+0080 */
    {"dfbf", 2},         /* U+07FF */
    {"e09fbf", 0},       /* U+07FF in three bytes */
    {"e0a080", 3},       /* U+0800 */
    {"e0a0", 0},         /* cut */
    {"e28282", 3},       /* U+2082 */
    {"e282", 0},         /* cut */
    {"ed9fbf", 3},       /* U+D7FF */
    {"eda080", 0},       /* U+D800, a surrogate */
    {"edbfbf", 0},       /* U+DFFF, a surrogate */
    {"eda0bdedb880", 0}, /* CESU-8 */
    {"ee8080", 3},       /* U+E000 */
    {"efbfbf", 3},       /* U+FFFF */
    {"f08fbfbf", 0},     /* U+FFFF in four bytes */
    {"f0908080", 4},     /* U+10000 */
    {"f09080", 0},       /* cut */
    {"f48fbfbf", 4},     /* U+10FFFF */
    {"f4908080", 0},     /* U+110000 */
    {"f5808080", 0},     /* beyond */
    {"f888808080", 0},   /* five bytes */
    {"fe", 0},
    {"ff", 0},
    {"c3a4c3a4ff", 4},
    {"41c3a441c3", 4},
    {"c3a480", 2},
};

/* Wherever the eight bytes looked at together begin. */
START_TEST(valid_prefix_ends_before_the_first_bad_sequence)
{
    CLEANUP(bytes_drop) struct span text = bytes_of_hex(prefixes[_i].text);

    for (size_t before = 0; before < 20; before++) {
        for (size_t after = 0; after < 20; after += 19) {
            uint8_t bytes[64];
            memset(bytes, 'a', sizeof bytes);
            if (text.n > 0)
                memcpy(bytes + before, text.data, text.n);
            size_t n = before + text.n + after;
            CLEANUP(bytes_drop) struct span in = suite_exact(span_of(bytes, n));
            bool is_valid = prefixes[_i].valid == text.n;
            ck_assert_uint_eq(utf8_valid_prefix(in),
                              is_valid ? n : before + prefixes[_i].valid);
            ck_assert_int_eq(utf8_valid(in), is_valid);
        }
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("utf8");
    TCase *c = tcase_create("utf8");

    tcase_set_timeout(c, 60);
    tcase_add_test(c, every_scalar_value_is_encoded_as_valid_text);
    tcase_add_test(c, sequences_are_valid_only_in_their_shortest_form);
    tcase_add_loop_test(c, valid_prefix_ends_before_the_first_bad_sequence, 0,
                        N_OF(prefixes));
    suite_add_tcase(suite, c);
    return suite_run(suite);
}
