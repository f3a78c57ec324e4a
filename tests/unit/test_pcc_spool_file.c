/* SPDX-License-Identifier: MIT */
#include "common/units.h"
#include "pcc/spool_file.h"
#include "tests/lib/fault.h"
#include "tests/lib/suite.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define AT (UINT64_C(1767813011) * SEC)
#define SESSION UINT64_C(0x1122334455667788)

/* Two parts, written without our encoder: the format must never change. */
static const char golden[] =
    "\xad\xd8\xa1\xa4\x50\x43\x53\x31\xd6\x00\x00\x00\x02\x00\x06\x00"
    "\xe0\x00\x00\x00\x00\x00\x00\x00\x88\x77\x66\x55\x44\x33\x22\x11"
    "\x07\x00\x00\x00\x00\x00\x00\x00\x1e\x00\x00\x00\x00\x00\x00\x00"
    "\x00\xfe\xf7\x35\x91\x88\x88\x18\x00\x92\x2d\xad\x91\x88\x88\x18"
    "\x03\x00\x00\x00\x00\x00\x00\x00\x0c\x00\x00\x00\x00\x00\x00\x00"
    "\x02\x01\x00\x01\xe6\x37\x74\x33\x08\x00\x00\x00\x00\x00\x00\x00"
    "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x50\x51\xa6\x8e\x88\x88\x18"
    "\x00\x42\x57\xd0\x8f\x88\x88\x18\x06\x00\x00\x00\x00\x00\x00\x00"
    "\x18\x00\x00\x00\x00\x00\x00\x00\x88\x77\x66\x55\x44\x33\x22\x11"
    "\x09\x00\x00\x00\x00\x00\x00\x00\x21\x00\x00\x00\x00\x00\x00\x00"
    "\x00\x5c\xc8\xe8\x91\x88\x88\x18\x00\x5c\xc8\xe8\x91\x88\x88\x18"
    "\x01\x00\x00\x00\x00\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00"
    "\x00\x00\x01\x00\xf9\x23\x20\x49\x02\x00\x00\x00\x00\x00\x00\x00"
    "\x77\x65\x62\x2d\x30\x31\x7b\x22\x61\x22\x3a\x31\x7d\x0a\x81\xa1";

#define GOLDEN span_of((const uint8_t *)golden, sizeof golden - 1)

static struct spool_file file;

static void make(void)
{
    file = (struct spool_file){
        .identifier = SPAN("web-01"),
        .n_parts = 2,
        .parts =
            {
                {.label = {.session = SESSION,
                           .seq = 7,
                           .first_tick = 30,
                           .form = {MEDIA_DELTA, CODING_GZIP},
                           .range = {AT, AT + 2 * SEC, 3, 12}},
                 .body = SPAN("{\"a\":1}\n")},
                {.label = {.session = SESSION,
                           .seq = 9,
                           .first_tick = 33,
                           .is_half = true,
                           .form = {MEDIA_JSON, CODING_IDENTITY},
                           .range = {AT + 3 * SEC, AT + 3 * SEC, 1, 4}},
                 .body = SPAN("\x81\xa1")},
            },
    };
    file.parts[0].label.carried.notes[GAP_MISSED] =
        (struct gap_note){AT - 11 * SEC, AT - 6 * SEC, 6, 24};
}

static void assert_note(const struct gap_note *got, const struct gap_note *want)
{
    ck_assert_uint_eq(got->from_ns, want->from_ns);
    ck_assert_uint_eq(got->to_ns, want->to_ns);
    ck_assert_uint_eq(got->ticks, want->ticks);
    ck_assert_uint_eq(got->measurements, want->measurements);
}

/* The labels are those of make(). */
static void assert_labels(const struct spool_file *got)
{
    ck_assert(span_equal(got->identifier, file.identifier));
    ck_assert_uint_eq(got->n_parts, file.n_parts);
    for (size_t i = 0; i < file.n_parts; i++) {
        const struct label *a = &got->parts[i].label;
        const struct label *b = &file.parts[i].label;
        ck_assert_uint_eq(a->session, b->session);
        ck_assert_uint_eq(a->seq, b->seq);
        ck_assert_uint_eq(a->first_tick, b->first_tick);
        ck_assert_int_eq(a->is_half, b->is_half);
        ck_assert_int_eq((int)a->form.media, (int)b->form.media);
        ck_assert_int_eq((int)a->form.coding, (int)b->form.coding);
        assert_note(&a->range, &b->range);
        for (size_t id = 0; id < GAP_IDS; id++)
            assert_note(&a->carried.notes[id], &b->carried.notes[id]);
    }
}

START_TEST(file_is_written_as_the_format_says)
{
    CLEANUP(buf_done) struct buf to;

    make();
    buf_init(&to, KIB);
    ck_assert_int_eq(spool_file_write(&file, &to), 0);
    ck_assert(span_equal(buf_span(&to), GOLDEN));
}
END_TEST

START_TEST(file_is_read_as_the_format_says)
{
    struct spool_file got;
    struct err_at why = ERR_AT_NOWHERE;
    struct span bytes = suite_exact(GOLDEN);

    make();
    ck_assert_int_eq(spool_file_read(bytes, &got, &why), 0);
    assert_labels(&got);
    ck_assert_uint_eq(got.bytes, GOLDEN.n);
    for (size_t i = 0; i < 2; i++) {
        ck_assert(!got.parts[i].damaged);
        ck_assert(span_equal(got.parts[i].body, file.parts[i].body));
    }
    free((void *)(uintptr_t)bytes.data);
}
END_TEST

START_TEST(header_alone_tells_the_labels)
{
    struct spool_file got;
    struct err_at why = ERR_AT_NOWHERE;

    make();
    size_t bodies = file.parts[0].body.n + file.parts[1].body.n;
    struct span bytes = suite_exact(span_of(GOLDEN.data, GOLDEN.n - bodies));
    ck_assert_int_eq(spool_file_read_header(bytes, &got, &why), 0);
    assert_labels(&got);
    ck_assert_uint_eq(got.bytes, GOLDEN.n);
    free((void *)(uintptr_t)bytes.data);
}
END_TEST

/* Each bit: what it damaged is noticed, and nothing of it believed. */
START_TEST(no_flipped_bit_goes_unnoticed)
{
    struct spool_file got;
    struct span bytes = suite_exact(GOLDEN);
    uint8_t *data = (uint8_t *)(uintptr_t)bytes.data;
    const size_t header = GOLDEN.n - 10; /* two bodies of 8 and 2 bytes */

    for (size_t bit = 0; bit < bytes.n * 8; bit++) {
        struct err_at why = ERR_AT_NOWHERE;
        data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        int r = spool_file_read(bytes, &got, &why);
        data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        ck_assert_int_gt(r, 0);
        ck_assert_ptr_nonnull(why.what);
        if (bit / 8 < header) {
            ck_assert_uint_eq(got.n_parts, 0);
            continue;
        }
        ck_assert_uint_eq(got.n_parts, 2);
        ck_assert_int_eq(got.parts[0].damaged, bit / 8 < header + 8);
        ck_assert_int_eq(got.parts[1].damaged, bit / 8 >= header + 8);
    }
    free(data);
}
END_TEST

START_TEST(file_cut_short_anywhere_is_noticed)
{
    struct spool_file got;

    for (size_t n = 0; n < GOLDEN.n; n++) {
        struct err_at why = ERR_AT_NOWHERE;
        struct span bytes = suite_exact(span_of(GOLDEN.data, n));
        ck_assert_int_gt(spool_file_read(bytes, &got, &why), 0);
        ck_assert_ptr_nonnull(why.what);
        if (got.n_parts > 0) {
            ck_assert_int_eq(got.parts[0].damaged, n < GOLDEN.n - 2);
            ck_assert(got.parts[1].damaged);
        }
        free((void *)(uintptr_t)bytes.data);
    }
}
END_TEST

START_TEST(bytes_behind_the_end_are_noticed)
{
    struct spool_file got;
    struct err_at why = ERR_AT_NOWHERE;
    uint8_t longer[sizeof golden];

    memcpy(longer, golden, sizeof golden); /* its terminator, too */
    ck_assert_int_eq(spool_file_read(span_of(longer, sizeof longer), &got, &why),
                     E_MALFORMED);
    ck_assert(!got.parts[0].damaged && !got.parts[1].damaged);
}
END_TEST

START_TEST(file_of_most_parts_with_all_gaps_goes_both_ways)
{
    struct spool_file got;
    struct err_at why = ERR_AT_NOWHERE;
    CLEANUP(buf_done) struct buf to;

    make();
    for (size_t id = 0; id < GAP_IDS; id++)
        file.parts[0].label.carried.notes[id] = (struct gap_note){1, 2, 3, id};
    for (size_t i = 1; i < SPOOL_PARTS_MAX; i++)
        file.parts[i] = file.parts[0];
    file.n_parts = SPOOL_PARTS_MAX;
    buf_init(&to, MIB);
    ck_assert_int_eq(spool_file_write(&file, &to), 0);
    ck_assert_int_eq(spool_file_read(buf_span(&to), &got, &why), 0);
    assert_labels(&got);
}
END_TEST

START_TEST(without_room_or_memory_nothing_is_written)
{
    CLEANUP(buf_done) struct buf to;
    CLEANUP(buf_done) struct buf small;

    make();
    buf_init(&to, KIB);
    buf_init(&small, GOLDEN.n - 1);
    ck_assert_int_eq(spool_file_write(&file, &small), E_TOO_LARGE);
    ck_assert_uint_eq(small.len, 0);
    fault_arm(0);
    int r = spool_file_write(&file, &to);
    ck_assert(fault_disarm());
    ck_assert_int_eq(r, -ENOMEM);
    ck_assert_uint_eq(to.len, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pcc_spool_file");
    TCase *c = tcase_create("spool_file");

    tcase_add_test(c, file_is_written_as_the_format_says);
    tcase_add_test(c, file_is_read_as_the_format_says);
    tcase_add_test(c, header_alone_tells_the_labels);
    tcase_add_test(c, no_flipped_bit_goes_unnoticed);
    tcase_add_test(c, file_cut_short_anywhere_is_noticed);
    tcase_add_test(c, bytes_behind_the_end_are_noticed);
    tcase_add_test(c, file_of_most_parts_with_all_gaps_goes_both_ways);
    tcase_add_test(c, without_room_or_memory_nothing_is_written);
    suite_add_tcase(suite, c);
    return suite_run(suite);
}
