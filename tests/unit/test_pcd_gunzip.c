/* SPDX-License-Identifier: MIT */
#include "common/gzip.h"
#include "pcd/gunzip.h"
#include "tests/lib/bytes.h"
#include "tests/lib/suite.h"

#define ROOM 100000u
#define FLAGS_AT 3u
#define FLAG_HEADER_CRC 2u
#define HEADER_BYTES 10u

static struct deflater *deflater;
static struct gunzip *gunzip; /* NULL: built without libdeflate, it takes nothing */
static struct buf text;
static struct buf packed;

static void set_up(void)
{
    ck_assert_int_eq(deflater_new(6, &deflater), 0);
    ck_assert_int_eq(gunzip_new(&gunzip), 0);
    buf_init(&text, BYTES_ROOM);
    buf_init(&packed, BYTES_ROOM);
    for (unsigned i = 0; i < 400; i++)
        ck_assert_int_eq(buf_printf(&text, "cpu%u %u %u\n", i, i * i, 7 * i), 0);
}

static void tear_down(void)
{
    deflater_free(deflater);
    gunzip_free(gunzip);
    buf_done(&text);
    buf_done(&packed);
}

static void pack(struct span in)
{
    ck_assert_int_eq(deflater_gzip(deflater, in, &packed), 0);
}

/* Gives a buffer that has this much room behind a few bytes that must stay. */
static void make_room(struct buf *ret, size_t n)
{
    buf_init(ret, BYTES_ROOM);
    ck_assert_int_eq(buf_append(ret, SPAN("before")), 0);
    ck_assert_int_eq(buf_reserve(ret, n), 0);
}

/* Was a copy of exactly these bytes taken? What is there before stays, and no room comes
 * to be. */
static bool take(struct span in, struct buf *to)
{
    CLEANUP(bytes_drop) struct span copy = suite_exact(in);
    size_t cap = to->cap;
    size_t len = to->len;
    bool taken = gunzip_try(gunzip, copy, to);

    ck_assert_uint_eq(to->cap, cap);
    ck_assert(span_starts_with(buf_span(to), SPAN("before")));
    if (!taken)
        ck_assert_uint_eq(to->len, len);
    ck_assert(gunzip || !taken);
    return taken;
}

static void check_taken(struct span in, struct span is)
{
    CLEANUP(buf_done) struct buf to;

    make_room(&to, ROOM);
    ck_assert_int_eq(take(in, &to), gunzip != NULL);
    if (gunzip)
        ck_assert(span_equal(span_from(buf_span(&to), 6), is));
}

static void check_left(struct span in)
{
    CLEANUP(buf_done) struct buf to;

    make_room(&to, ROOM);
    ck_assert(!take(in, &to));
}

START_TEST(what_fits_is_what_was_compressed)
{
    for (size_t n = 0; n <= text.len; n = 2 * n + 1) {
        buf_reset(&packed);
        pack(span_of(text.data, n));
        check_taken(buf_span(&packed), span_of(text.data, n));
    }
}
END_TEST

START_TEST(members_follow_each_other)
{
    for (size_t n = 0; n <= text.len; n += 997) {
        buf_reset(&packed);
        pack(span_of(text.data, n));
        pack(span_of(NULL, 0));
        pack(span_from(buf_span(&text), n));
        check_taken(buf_span(&packed), buf_span(&text));
    }
}
END_TEST

START_TEST(what_does_not_fit_is_left)
{
    CLEANUP(buf_done) struct buf to;

    pack(buf_span(&text));
    make_room(&to, text.len);
    while (to.cap - to.len >= text.len)
        ck_assert_int_eq(buf_append_byte(&to, 'x'), 0);
    ck_assert(!take(buf_span(&packed), &to));
    /* Nor where it claims that it would. */
    packed.data[packed.len - 3] = 0;
    packed.data[packed.len - 4] = 1;
    ck_assert(!take(buf_span(&packed), &to));
    buf_truncate(&to, to.len - 1);
    ck_assert(!take(buf_span(&packed), &to));
    to.len = to.cap;
    ck_assert(!take(buf_span(&packed), &to));
}
END_TEST

START_TEST(what_fits_exactly_is_taken)
{
    CLEANUP(buf_done) struct buf to;

    pack(buf_span(&text));
    make_room(&to, text.len);
    while (to.cap - to.len > text.len)
        ck_assert_int_eq(buf_append_byte(&to, 'x'), 0);
    ck_assert_int_eq(take(buf_span(&packed), &to), gunzip != NULL);
}
END_TEST

START_TEST(a_body_cut_anywhere_is_left)
{
    pack(buf_span(&text));
    size_t n = packed.len;
    pack(span_of(text.data, 30));
    for (size_t cut = 0; cut < packed.len; cut++) {
        if (cut != n)
            check_left(span_of(packed.data, cut));
    }
}
END_TEST

START_TEST(bytes_behind_the_last_member_are_left)
{
    pack(buf_span(&text));
    for (unsigned byte = 0; byte < 256; byte++) {
        size_t n = packed.len;

        ck_assert_int_eq(buf_append_byte(&packed, (uint8_t)byte), 0);
        check_left(buf_span(&packed));
        for (unsigned i = 0; i < 20; i++)
            ck_assert_int_eq(buf_append_byte(&packed, (uint8_t)byte), 0);
        check_left(buf_span(&packed));
        buf_truncate(&packed, n);
    }
}
END_TEST

START_TEST(a_flipped_bit_never_gives_other_text)
{
    pack(buf_span(&text));
    for (size_t bit = 0; bit < 8 * packed.len; bit++) {
        CLEANUP(buf_done) struct buf to;

        make_room(&to, ROOM);
        packed.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        /* Some bits mean nothing: the time, and what fills the last byte. */
        if (take(buf_span(&packed), &to))
            ck_assert(span_equal(span_from(buf_span(&to), 6), buf_span(&text)));
        packed.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}
END_TEST

START_TEST(a_checksum_of_the_header_is_left)
{
    CLEANUP(buf_done) struct buf summed;

    pack(buf_span(&text));
    buf_init(&summed, BYTES_ROOM);
    bytes_put(&summed, span_of(packed.data, HEADER_BYTES));
    summed.data[FLAGS_AT] |= FLAG_HEADER_CRC;
    bytes_put(&summed, SPAN("no"));
    bytes_put(&summed, span_from(buf_span(&packed), HEADER_BYTES));
    check_left(buf_span(&summed));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pcd_gunzip");
    TCase *c = tcase_create("pcd_gunzip");

    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_set_timeout(c, 60);
    tcase_add_test(c, what_fits_is_what_was_compressed);
    tcase_add_test(c, members_follow_each_other);
    tcase_add_test(c, what_does_not_fit_is_left);
    tcase_add_test(c, what_fits_exactly_is_taken);
    tcase_add_test(c, a_body_cut_anywhere_is_left);
    tcase_add_test(c, bytes_behind_the_last_member_are_left);
    tcase_add_test(c, a_flipped_bit_never_gives_other_text);
    tcase_add_test(c, a_checksum_of_the_header_is_left);
    suite_add_tcase(suite, c);
    return suite_run(suite);
}
