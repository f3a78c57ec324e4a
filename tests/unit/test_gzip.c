/* SPDX-License-Identifier: MIT */
#include "common/gzip.h"
#include "proto/limits.h"
#include "tests/lib/bytes.h"
#include "tests/lib/fault.h"
#include "tests/lib/suite.h"

#include <errno.h>

#define ZLIB_CONST
#include <zlib.h>

/* Two lines that a kernel could have said. */
#define LINES                                                                            \
    SPAN("cpu  373708 4860 107483 67002379 258643 0 12620 0 0 0\n"                       \
         "cpu0 373708 4860 107483 67002379 258643 0 12620 0 0 0\n")

static struct deflater *deflater;
static struct inflater *inflater;

static void set_up(void)
{
    ck_assert_int_eq(deflater_new(6, &deflater), 0);
    ck_assert_int_eq(inflater_new(&inflater), 0);
}

static void tear_down(void)
{
    deflater_free(deflater);
    inflater_free(inflater);
}

static void pack(struct span in, struct buf *to)
{
    ck_assert_int_eq(deflater_gzip(deflater, in, to), 0);
}

/* Decompresses a copy of exactly these bytes behind a few that must stay. */
static int unpack_as(enum coding coding, struct span in, struct buf *ret,
                     struct err_at *reterr_at)
{
    CLEANUP(bytes_drop) struct span copy = suite_exact(in);
    const struct span before = SPAN("before");

    buf_reset(ret);
    bytes_put(ret, before);
    int r = inflater_run(inflater, coding, copy, ret, reterr_at);
    ck_assert(span_starts_with(buf_span(ret), before));
    if (r)
        ck_assert_uint_eq(ret->len, before.n);
    memmove(ret->data, ret->data + before.n, ret->len - before.n);
    buf_truncate(ret, ret->len - before.n);
    return r;
}

static int unpack(struct span in, struct buf *ret)
{
    return unpack_as(CODING_GZIP, in, ret, NULL);
}

/* RFC 1950 by zlib itself, with a preset dictionary if there is one. */
static void pack_zlib(struct span in, struct span dictionary, struct buf *to)
{
    z_stream z = {.next_in = in.data, .avail_in = (uInt)in.n};

    ck_assert_int_eq(deflateInit(&z, 6), Z_OK);
    if (dictionary.n)
        ck_assert_int_eq(deflateSetDictionary(&z, dictionary.data, (uInt)dictionary.n),
                         Z_OK);
    size_t room = deflateBound(&z, (uLong)in.n);
    ck_assert_int_eq(buf_reserve(to, room), 0);
    z.next_out = buf_tail(to);
    z.avail_out = (uInt)room;
    ck_assert_int_eq(deflate(&z, Z_FINISH), Z_STREAM_END);
    buf_commit(to, room - z.avail_out);
    ck_assert_int_eq(deflateEnd(&z), Z_OK);
}

/* A member whose header has every field that RFC 1952 knows. */
static void pack_with_all_fields(struct span in, struct buf *to)
{
    Bytef extra[] = "extra";
    Bytef name[] = "name";
    Bytef comment[] = "comment";
    gz_header header = {.time = 1,
                        .extra = extra,
                        .extra_len = 5,
                        .name = name,
                        .comment = comment,
                        .hcrc = 1};
    z_stream z = {.next_in = in.data, .avail_in = (uInt)in.n};

    ck_assert_int_eq(deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY),
                     Z_OK);
    ck_assert_int_eq(deflateSetHeader(&z, &header), Z_OK);
    ck_assert_int_eq(buf_reserve(to, 4096), 0);
    z.next_out = buf_tail(to);
    z.avail_out = 4096;
    ck_assert_int_eq(deflate(&z, Z_FINISH), Z_STREAM_END);
    buf_commit(to, 4096 - z.avail_out);
    ck_assert_int_eq(deflateEnd(&z), Z_OK);
}

/* Text-like bytes and noise of several lengths, those around zlib's window among them. */
static const size_t lengths[] = {0,    1,     2,     100,   4095,  4096,
                                 4097, 32767, 32768, 65536, 100000};

START_TEST(what_was_compressed_comes_back)
{
    size_t n = lengths[_i];
    uint64_t state = n;
    CLEANUP(buf_done) struct buf in;
    CLEANUP(buf_done) struct buf packed;
    CLEANUP(buf_done) struct buf out;

    buf_init(&in, MIB);
    buf_init(&packed, MIB);
    buf_init(&out, MIB);
    for (int level = 1; level <= 9; level++) {
        struct deflater *d;
        buf_reset(&in);
        while (in.len < n) {
            uint64_t x = bytes_random(&state);
            bytes_put_one(&in, level % 2 ? (unsigned)"0123456789 cpu\n"[x % 15]
                                         : (unsigned)(x & 0xff));
        }
        ck_assert_int_eq(deflater_new(level, &d), 0);
        buf_reset(&packed);
        bytes_put(&packed, SPAN("before"));
        ck_assert_int_eq(deflater_gzip(d, buf_span(&in), &packed), 0);
        deflater_free(d);
        ck_assert(span_starts_with(buf_span(&packed), SPAN("before\x1f\x8b\x08")));
        ck_assert_int_eq(unpack(span_from(buf_span(&packed), 6), &out), 0);
        ck_assert(span_equal(buf_span(&out), buf_span(&in)));
    }
}
END_TEST

START_TEST(a_reused_compressor_writes_the_same_again)
{
    CLEANUP(buf_done) struct buf once;
    CLEANUP(buf_done) struct buf again;
    CLEANUP(buf_done) struct buf little;

    buf_init(&once, BYTES_ROOM);
    buf_init(&again, BYTES_ROOM);
    buf_init(&little, 20);
    pack(LINES, &once);
    pack(SPAN("something else"), &again);
    ck_assert_int_eq(deflater_gzip(deflater, LINES, &little), E_TOO_LARGE);
    buf_reset(&again);
    pack(LINES, &again);
    ck_assert(span_equal(buf_span(&once), buf_span(&again)));
}
END_TEST

START_TEST(compressing_fits_or_leaves_the_buffer)
{
    CLEANUP(buf_done) struct buf want;

    buf_init(&want, BYTES_ROOM);
    pack(LINES, &want);
    for (size_t max = 3; max <= 3 + want.len; max++) {
        CLEANUP(buf_done) struct buf out;
        bool fits = max == 3 + want.len;
        buf_init(&out, max);
        bytes_put(&out, SPAN("abc"));
        ck_assert_int_eq(deflater_gzip(deflater, LINES, &out), fits ? 0 : E_TOO_LARGE);
        ck_assert(span_starts_with(buf_span(&out), SPAN("abc")));
        ck_assert_uint_eq(out.len, fits ? max : 3);
    }
}
END_TEST

START_TEST(a_body_cut_anywhere_is_truncated)
{
    CLEANUP(buf_done) struct buf in;
    CLEANUP(buf_done) struct buf out;

    buf_init(&in, BYTES_ROOM);
    buf_init(&out, BYTES_ROOM);
    if (_i == CODING_GZIP)
        pack_with_all_fields(LINES, &in);
    else
        pack_zlib(LINES, SPAN(""), &in);
    for (size_t n = 0; n < in.len; n++) {
        struct err_at at;
        ck_assert_int_eq(unpack_as((enum coding)_i, span_of(in.data, n), &out, &at),
                         E_TRUNCATED);
        ck_assert_uint_eq(at.offset, n);
        ck_assert_ptr_nonnull(at.what);
    }
    ck_assert_int_eq(unpack_as((enum coding)_i, buf_span(&in), &out, NULL), 0);
    ck_assert(span_equal(buf_span(&out), LINES));
}
END_TEST

START_TEST(bytes_behind_the_last_member_are_refused)
{
    CLEANUP(buf_done) struct buf in;
    CLEANUP(buf_done) struct buf out;

    buf_init(&in, BYTES_ROOM);
    buf_init(&out, BYTES_ROOM);
    if (_i == CODING_GZIP)
        pack(LINES, &in);
    else
        pack_zlib(LINES, SPAN(""), &in);
    size_t whole = in.len;
    for (unsigned value = 0; value < 256; value++) {
        struct err_at at;
        buf_truncate(&in, whole);
        bytes_put_one(&in, value);
        /* That one byte may begin another gzip member. */
        bool begins = _i == CODING_GZIP && value == 0x1f;
        ck_assert_int_eq(unpack_as((enum coding)_i, buf_span(&in), &out, &at),
                         begins ? E_TRUNCATED : E_MALFORMED);
        ck_assert_uint_eq(at.offset, begins ? whole + 1 : whole);
        bytes_put_one(&in, value);
        ck_assert_int_eq(unpack_as((enum coding)_i, buf_span(&in), &out, NULL),
                         E_MALFORMED);
    }
    buf_truncate(&in, whole);
    for (int n = 1; n <= 600; n++) {
        bytes_put_one(&in, 0);
        ck_assert_int_eq(unpack_as((enum coding)_i, buf_span(&in), &out, NULL),
                         E_MALFORMED);
    }
}
END_TEST

START_TEST(members_may_meet_at_every_byte)
{
    const struct span text = LINES;
    CLEANUP(buf_done) struct buf in;
    CLEANUP(buf_done) struct buf out;

    buf_init(&in, BYTES_ROOM);
    buf_init(&out, BYTES_ROOM);
    for (size_t at = 0; at <= text.n; at++) {
        buf_reset(&in);
        pack(span_of(text.data, at), &in);
        size_t first = in.len;
        pack(span_from(text, at), &in);
        ck_assert_int_eq(unpack(buf_span(&in), &out), 0);
        ck_assert(span_equal(buf_span(&out), text));
        /* Cut anywhere but between them, it is truncated. */
        for (size_t n = first + 1; n < in.len; n += 7)
            ck_assert_int_eq(unpack(span_of(in.data, n), &out), E_TRUNCATED);
    }
}
END_TEST

START_TEST(very_many_empty_members_are_nothing)
{
    CLEANUP(buf_done) struct buf one;
    CLEANUP(buf_done) struct buf in;
    CLEANUP(buf_done) struct buf out;

    buf_init(&one, BYTES_ROOM);
    buf_init(&in, 8 * MIB);
    buf_init(&out, 6);
    pack(SPAN(""), &one);
    while (buf_append(&in, buf_span(&one)) == 0)
        ;
    ck_assert_int_eq(unpack(buf_span(&in), &out), 0);
    ck_assert_uint_eq(out.len, 0);
}
END_TEST

/* RFC 1952 has no sum over a plain header: flags for text, time, extra flags and system
 * may be anything. All else is covered by the sums, or by what it says. */
static bool may_change(size_t byte, unsigned bit)
{
    return (byte == 3 && bit == 0) || (byte >= 4 && byte <= 9);
}

START_TEST(a_flipped_bit_never_gives_other_data)
{
    CLEANUP(buf_done) struct buf in;
    CLEANUP(buf_done) struct buf out;
    unsigned n_taken = 0;

    buf_init(&in, BYTES_ROOM);
    buf_init(&out, BYTES_ROOM);
    pack(LINES, &in);
    for (size_t i = 0; i < in.len; i++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            in.data[i] ^= (uint8_t)(1u << bit);
            int r = unpack(buf_span(&in), &out);
            in.data[i] ^= (uint8_t)(1u << bit);
            ck_assert(r == 0 || r == E_TRUNCATED || r == E_MALFORMED || r == E_TOO_LARGE);
            if (r == 0)
                ck_assert(span_equal(buf_span(&out), LINES));
            if (r == 0 && !may_change(i, bit))
                n_taken++;
            if (may_change(i, bit))
                ck_assert_int_eq(r, 0);
        }
    }
    /* The bits that fill the last byte of the compressed data mean nothing. */
    ck_assert_uint_lt(n_taken, 8);
}
END_TEST

START_TEST(sums_and_lengths_that_lie_are_refused)
{
    CLEANUP(buf_done) struct buf in;
    CLEANUP(buf_done) struct buf out;

    buf_init(&in, BYTES_ROOM);
    buf_init(&out, BYTES_ROOM);
    pack(LINES, &in);
    for (size_t from_end = 1; from_end <= 8; from_end++) {
        struct err_at at;
        in.data[in.len - from_end] ^= 0xff;
        ck_assert_int_eq(unpack_as(CODING_GZIP, buf_span(&in), &out, &at), E_MALFORMED);
        ck_assert_ptr_nonnull(strstr(at.what, from_end <= 4 ? "length" : "data check"));
        ck_assert_uint_gt(at.offset, in.len - 9);
        in.data[in.len - from_end] ^= 0xff;
    }
}
END_TEST

START_TEST(a_bomb_stops_at_the_ceiling)
{
    CLEANUP(buf_done) struct buf zeros;
    CLEANUP(buf_done) struct buf in;
    CLEANUP(buf_done) struct buf out;
    struct err_at at;

    buf_init(&zeros, 64 * MIB);
    ck_assert_int_eq(buf_reserve(&zeros, 64 * MIB), 0);
    memset(buf_tail(&zeros), 0, 64 * MIB);
    buf_commit(&zeros, 64 * MIB);
    buf_init(&in, MIB);
    pack(buf_span(&zeros), &in);
    ck_assert_uint_lt(in.len, 80 * KIB);

    buf_init(&out, MIB);
    ck_assert_int_eq(unpack_as(CODING_GZIP, buf_span(&in), &out, &at), E_TOO_LARGE);
    ck_assert_uint_le(out.cap, MIB);
    ck_assert_ptr_nonnull(strstr(at.what, "larger"));
    /* It did not go on to the end of the input. */
    ck_assert_uint_lt(at.offset, in.len / 32);

    /* The same in members that each would fit. */
    buf_reset(&in);
    for (int i = 0; i < 64; i++)
        pack(span_of(zeros.data, 100000), &in);
    ck_assert_int_eq(unpack_as(CODING_GZIP, buf_span(&in), &out, &at), E_TOO_LARGE);
    ck_assert_uint_lt(at.offset, in.len / 4);
}
END_TEST

START_TEST(the_ceiling_is_exact)
{
    const size_t before = 6;
    CLEANUP(buf_done) struct buf in;
    CLEANUP(buf_done) struct buf out;

    buf_init(&in, MIB);
    for (size_t n = 0; n < 40000; n += n < 300 ? 1 : 4001) {
        CLEANUP(buf_done) struct buf text;
        buf_init(&text, MIB);
        while (text.len < n)
            bytes_put_one(&text, 'a' + (unsigned)(text.len % 7));
        buf_reset(&in);
        pack(buf_span(&text), &in);
        buf_init(&out, before + n);
        ck_assert_int_eq(unpack(buf_span(&in), &out), 0);
        ck_assert(span_equal(buf_span(&out), buf_span(&text)));
        buf_done(&out);
        if (n > 0) {
            buf_init(&out, before + n - 1);
            ck_assert_int_eq(unpack(buf_span(&in), &out), E_TOO_LARGE);
            buf_done(&out);
        }
    }
}
END_TEST

/* A buffer that may hold nothing at all is enough for nothing. */
START_TEST(nothing_fits_into_no_room)
{
    CLEANUP(buf_done) struct buf in;
    struct buf none;

    buf_init(&in, BYTES_ROOM);
    buf_init(&none, 0);
    pack(SPAN(""), &in);
    ck_assert_int_eq(inflater_run(inflater, CODING_GZIP, buf_span(&in), &none, NULL), 0);
    pack(SPAN("x"), &in);
    ck_assert_int_eq(inflater_run(inflater, CODING_GZIP, buf_span(&in), &none, NULL),
                     E_TOO_LARGE);
    ck_assert_int_eq(deflater_gzip(deflater, SPAN(""), &none), E_TOO_LARGE);
    ck_assert_ptr_null(none.data);
}
END_TEST

START_TEST(a_coding_is_no_other)
{
    CLEANUP(buf_done) struct buf gzip;
    CLEANUP(buf_done) struct buf zlib;
    CLEANUP(buf_done) struct buf out;

    buf_init(&gzip, BYTES_ROOM);
    buf_init(&zlib, BYTES_ROOM);
    buf_init(&out, BYTES_ROOM);
    pack(LINES, &gzip);
    pack_zlib(LINES, SPAN(""), &zlib);
    ck_assert_int_eq(unpack_as(CODING_DEFLATE, buf_span(&gzip), &out, NULL), E_MALFORMED);
    ck_assert_int_eq(unpack_as(CODING_GZIP, buf_span(&zlib), &out, NULL), E_MALFORMED);
    ck_assert_int_eq(unpack_as(CODING_GZIP, SPAN("x"), &out, NULL), E_MALFORMED);
    ck_assert_int_eq(unpack_as(CODING_GZIP, LINES, &out, NULL), E_MALFORMED);
    ck_assert_int_eq(unpack_as(CODING_DEFLATE, LINES, &out, NULL), E_MALFORMED);
    /* Deflate without the wrapping of RFC 1950. */
    ck_assert_int_eq(
        unpack_as(CODING_DEFLATE, span_of(zlib.data + 2, zlib.len - 6), &out, NULL),
        E_MALFORMED);
    /* Whatever was refused, the next is taken. */
    ck_assert_int_eq(unpack_as(CODING_DEFLATE, buf_span(&zlib), &out, NULL), 0);
    ck_assert(span_equal(buf_span(&out), LINES));
    ck_assert_int_eq(unpack_as(CODING_GZIP, buf_span(&gzip), &out, NULL), 0);
    ck_assert(span_equal(buf_span(&out), LINES));
}
END_TEST

START_TEST(a_preset_dictionary_is_refused)
{
    CLEANUP(buf_done) struct buf in;
    CLEANUP(buf_done) struct buf out;
    struct err_at at;

    buf_init(&in, BYTES_ROOM);
    buf_init(&out, BYTES_ROOM);
    pack_zlib(LINES, SPAN("cpu 0 0 0"), &in);
    ck_assert_int_eq(unpack_as(CODING_DEFLATE, buf_span(&in), &out, &at), E_MALFORMED);
    ck_assert_ptr_nonnull(strstr(at.what, "dictionary"));
}
END_TEST

START_TEST(any_failed_allocation_leaves_the_buffer)
{
    CLEANUP(buf_done) struct buf in;
    bool fired = true;

    buf_init(&in, MIB);
    while (in.len < 100000)
        bytes_put(&in, LINES);
    for (long nth = 0; fired; nth++) {
        CLEANUP(buf_done) struct buf packed;
        CLEANUP(buf_done) struct buf out;
        struct deflater *d = NULL;
        struct inflater *i = NULL;
        buf_init(&packed, MIB);
        buf_init(&out, MIB);
        fault_arm(nth);
        int r = deflater_new(1, &d);
        if (r == 0)
            r = deflater_gzip(d, buf_span(&in), &packed);
        bool is_packed = r == 0;
        if (r == 0)
            r = inflater_new(&i);
        if (r == 0)
            r = inflater_run(i, CODING_GZIP, buf_span(&packed), &out, NULL);
        fired = fault_disarm();
        deflater_free(d);
        inflater_free(i);
        ck_assert_int_eq(r, fired ? -ENOMEM : 0);
        ck_assert(is_packed || packed.len == 0);
        ck_assert_uint_eq(out.len, fired ? 0 : in.len);
    }
}
END_TEST

START_TEST(a_compressor_that_could_not_grow_goes_on)
{
    CLEANUP(buf_done) struct buf in;
    CLEANUP(buf_done) struct buf packed;
    CLEANUP(buf_done) struct buf out;

    buf_init(&in, MIB);
    buf_init(&packed, MIB);
    buf_init(&out, MIB);
    ck_assert_int_eq(buf_reserve(&packed, MIB), 0);
    while (in.len < 100000)
        bytes_put(&in, LINES);
    pack(LINES, &packed);
    buf_reset(&packed);
    fault_arm(0);
    int r = deflater_gzip(deflater, buf_span(&in), &packed);
    ck_assert(fault_disarm());
    ck_assert_int_eq(r, -ENOMEM);
    ck_assert_uint_eq(packed.len, 0);

    const struct span bodies[] = {LINES, buf_span(&in), LINES};
    for (size_t i = 0; i < N_OF(bodies); i++) {
        buf_reset(&packed);
        pack(bodies[i], &packed);
        ck_assert_int_eq(unpack(buf_span(&packed), &out), 0);
        ck_assert(span_equal(buf_span(&out), bodies[i]));
    }
}
END_TEST

START_TEST(a_compressor_grows_with_its_inputs_alone)
{
    CLEANUP(buf_done) struct buf in;
    CLEANUP(buf_done) struct buf packed;

    buf_init(&in, MIB);
    buf_init(&packed, MIB);
    ck_assert_int_eq(buf_reserve(&packed, MIB), 0);
    while (in.len < 5000)
        bytes_put(&in, LINES);
    pack(buf_span(&in), &packed);
    int r = 0;
    fault_arm(0);
    for (size_t n = 0; r == 0 && n <= in.len; n += 500)
        r = deflater_gzip(deflater, span_of(in.data, n), &packed);
    ck_assert(!fault_disarm());
    ck_assert_int_eq(r, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("gzip");
    TCase *c = tcase_create("gzip");

    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_set_timeout(c, 60);
    tcase_add_loop_test(c, what_was_compressed_comes_back, 0, N_OF(lengths));
    tcase_add_test(c, a_reused_compressor_writes_the_same_again);
    tcase_add_test(c, compressing_fits_or_leaves_the_buffer);
    tcase_add_loop_test(c, a_body_cut_anywhere_is_truncated, CODING_GZIP,
                        CODING_DEFLATE + 1);
    tcase_add_loop_test(c, bytes_behind_the_last_member_are_refused, CODING_GZIP,
                        CODING_DEFLATE + 1);
    tcase_add_test(c, members_may_meet_at_every_byte);
    tcase_add_test(c, very_many_empty_members_are_nothing);
    tcase_add_test(c, a_flipped_bit_never_gives_other_data);
    tcase_add_test(c, sums_and_lengths_that_lie_are_refused);
    tcase_add_test(c, a_bomb_stops_at_the_ceiling);
    tcase_add_test(c, the_ceiling_is_exact);
    tcase_add_test(c, nothing_fits_into_no_room);
    tcase_add_test(c, a_coding_is_no_other);
    tcase_add_test(c, a_preset_dictionary_is_refused);
    tcase_add_test(c, any_failed_allocation_leaves_the_buffer);
    tcase_add_test(c, a_compressor_that_could_not_grow_goes_on);
    tcase_add_test(c, a_compressor_grows_with_its_inputs_alone);
    suite_add_tcase(suite, c);
    return suite_run(suite);
}
