/* SPDX-License-Identifier: MIT */
#include "common/shape.h"
#include "common/shape_code.h"
#include "tests/lib/bytes.h"
#include "tests/lib/fault.h"
#include "tests/lib/suite.h"
#include "tests/unit/shape_texts.h"

#include <errno.h>

#define RANDOM_TEXTS 3000

/* The text that comes of a text's shape, written and built again, and its numbers. */
static void join(struct span text, struct buf *to)
{
    CLEANUP(shape_done) struct shape shape = {0};
    CLEANUP(shape_done) struct shape built = {0};
    CLEANUP(buf_done) struct buf code;
    CLEANUP(buf_done) struct buf plain;
    struct shape_size size;
    struct cursor c;
    size_t n;

    buf_init(&code, 16 * BYTES_ROOM);
    buf_init(&plain, 16 * BYTES_ROOM);
    ck_assert_int_eq(shape_cut(&shape, text), 0);
    ck_assert_int_eq(shape_code_append(&shape, text, &plain, &code), 0);
    uint64_t *values = calloc(shape.n + 1, sizeof *values);
    ck_assert_ptr_nonnull(values);
    for (size_t i = 0; i < shape.n; i++)
        values[i] = shape_value(&shape, text, i);

    cursor_init(&c, buf_span(&code));
    shape_code_measure(&c, LIMIT_TEXT_BYTES, &size);
    ck_assert_int_eq(c.r, 0);
    ck_assert_uint_eq(size.columns, shape.n);
    ck_assert_uint_le(size.least, text.n);
    ck_assert_uint_ge(size.most, text.n);
    buf_reset(to);
    ck_assert_int_eq(buf_reserve(to, size.most), 0);
    ck_assert_int_eq(
        shape_code_build(buf_span(&code), &size, values, &built, buf_tail(to), &n), 0);
    buf_commit(to, n);
    for (size_t i = 0; i < shape.n; i++)
        ck_assert_mem_eq(&built.columns[i], &shape.columns[i],
                         offsetof(struct shape_column, kind) + 1);
    free(values);
}

static void check_join(struct span text)
{
    CLEANUP(bytes_drop) struct span exact = suite_exact(text);
    CLEANUP(buf_done) struct buf joined;

    buf_init(&joined, 16 * BYTES_ROOM);
    join(exact, &joined);
    ck_assert_uint_eq(joined.len, text.n);
    ck_assert(span_equal(buf_span(&joined), text));
}

START_TEST(what_is_cut_and_joined_is_the_same)
{
    check_join(span_of_str(shape_texts[_i]));
}
END_TEST

START_TEST(what_is_cut_and_joined_is_the_same_for_every_byte)
{
    uint8_t bytes[256 * 3];

    for (size_t i = 0; i < 256; i++) {
        bytes[3 * i] = (uint8_t)i;
        bytes[3 * i + 1] = '1';
        bytes[3 * i + 2] = (uint8_t)(255 - i);
    }
    check_join(span_of(bytes, sizeof bytes));
}
END_TEST

START_TEST(what_is_cut_and_joined_is_the_same_for_a_megabyte_of_digits)
{
    size_t n = 1 << 20;
    uint8_t *digits = malloc(n);

    ck_assert_ptr_nonnull(digits);
    memset(digits, '7', n);
    check_join(span_of(digits, n));
    memset(digits, '0', n);
    check_join(span_of(digits, n));
    memset(digits, ' ', n / 2);
    check_join(span_of(digits, n));
    for (size_t i = 0; i < n; i += 2)
        digits[i] = ' ', digits[i + 1] = '9';
    check_join(span_of(digits, n));
    free(digits);
}
END_TEST

START_TEST(what_is_cut_and_joined_is_the_same_for_any_text)
{
    CLEANUP(buf_done) struct buf text;
    uint64_t state = 1;

    buf_init(&text, BYTES_ROOM);
    for (size_t i = 0; i < RANDOM_TEXTS; i++) {
        shape_random_text(&state, &text);
        check_join(buf_span(&text));
    }
}
END_TEST

/* The kinds of a text's columns, p, r and z, with their widths. */
static const struct {
    const char *text;
    const char *columns;
} cuts[] = {
    {"", ""},
    {"5", "p"},
    {" 5", "p"},
    {"  5", "r3"},
    {"   5", "r4"},
    {"  007", "z3"},
    {"   00", "z2"},
    {"0", "p"},
    {"00", "z2"},
    {"0.05", "p z2"},
    {"2899.012", "p z3"},
    {"1  2", "p r3"},
    {"eth0:    12", "p r6"},
    {"18446744073709551615", "p"},
    {"18446744073709551616", ""},
    {"018446744073709551615", "z21"},
    {"-5", "p"},
    {"1\n  2", "p r3"},
};

START_TEST(a_text_is_cut_by_the_rule)
{
    CLEANUP(shape_done) struct shape shape = {0};
    CLEANUP(buf_done) struct buf said;
    struct span text = span_of_str(cuts[_i].text);

    buf_init(&said, BYTES_ROOM);
    ck_assert_int_eq(shape_cut(&shape, text), 0);
    for (size_t i = 0; i < shape.n; i++) {
        const struct shape_column *c = &shape.columns[i];
        ck_assert_int_eq(buf_printf(&said, "%s%c", i ? " " : "", "prz"[c->kind]), 0);
        if (c->kind != SHAPE_PLAIN)
            ck_assert_int_eq(buf_append_u64(&said, c->width), 0);
    }
    ck_assert_msg(span_equal_str(buf_span(&said), cuts[_i].columns), "%s: %.*s",
                  cuts[_i].text, (int)said.len, (const char *)said.data);
}
END_TEST

START_TEST(blanks_and_zeros_beyond_the_greatest_width_are_literal)
{
    char text[400];

    memset(text, ' ', sizeof text);
    text[254] = '5'; /* 254 blanks and a digit */
    CLEANUP(shape_done) struct shape shape = {0};
    ck_assert_int_eq(shape_cut(&shape, span_of(text, 255)), 0);
    ck_assert_uint_eq(shape.columns[0].kind, SHAPE_RIGHT);
    ck_assert_uint_eq(shape.columns[0].width, 255);
    text[254] = ' ';
    text[255] = '5';
    ck_assert_int_eq(shape_cut(&shape, span_of(text, 256)), 0);
    ck_assert_uint_eq(shape.columns[0].kind, SHAPE_PLAIN);
    memset(text, '0', sizeof text);
    ck_assert_int_eq(shape_cut(&shape, span_of(text, 255)), 0);
    ck_assert_uint_eq(shape.n, 1);
    ck_assert_int_eq(shape_cut(&shape, span_of(text, 256)), 0);
    ck_assert_uint_eq(shape.n, 0);
}
END_TEST

/* Is the second text read by the shape of the first? */
static const struct {
    const char *text;
    const char *next;
    bool fits;
} reads[] = {
    {"  0", " 10", true},
    {" 10", "  9", false}, /* cut as plain: one blank */
    {"   9", "  10", true},
    {"   9", "1234", false}, /* a blank at least */
    {"   9", " 12345", true},
    {"   9", "  12345", false},
    {"   9", " 9", false},
    {"a 9", "a 10", true},
    {"a 9", "a  9", false},
    {"a 9", "a -9", false},
    {"a -9", "a 9", false},
    {"a 9", "a", false},
    {"a 9", "a 9 ", false},
    {"a 9", "a 9 1", false},
    {"a 9", "b 9", false},
    {"a 9", "a 09", false},
    {"9.05", "9.10", true},
    {"9.99", "10.00", true},
    {"9.99", "9.100", true},
    {"9.99", "9.1", false},
    {"9.99", "9.0100", false},
    {"9 9", "18446744073709551615 9", true},
    {"9 9", "18446744073709551616 9", false},
    {"18446744073709551616 9", "18446744073709551616 10", true},
    {"18446744073709551616 9", "18446744073709551617 9", false},
    {"9", "", false},
    {"", "9", false},
    {"", "", true},
    {"1 2 3", "1 2 3", true},
    {"1 2 3", "11 22 33", true},
    {"11 22 33", "1 2 3", true},
    {"x1y2", "x12y", false},
    {"1\n", "1\r\n", false},
};

/* Reads @next by the shape of @text and makes it again from the changes. */
static bool read_and_step(struct span text, struct span next, struct buf *to)
{
    CLEANUP(shape_done) struct shape reader = {0};
    CLEANUP(shape_done) struct shape writer = {0};
    size_t n = 0;

    ck_assert_int_eq(shape_cut(&reader, text), 0);
    ck_assert_int_eq(shape_cut(&writer, text), 0);
    struct shape_change *changes = calloc(reader.n + 1, sizeof *changes);
    struct shape_edit *edits = calloc(reader.n + 1, sizeof *edits);
    ck_assert(changes && edits);
    bool fits = shape_read(&reader, text, next, changes, &n);
    for (size_t i = 0; i < n; i++) {
        ck_assert_uint_eq(changes[i].before,
                          shape_value(&writer, text, changes[i].column));
        edits[i] =
            (struct shape_edit){changes[i].column, changes[i].after - changes[i].before};
    }
    if (fits) {
        buf_reset(to);
        ck_assert_int_eq(buf_reserve(to, shape_step_room(text.n, n)), 0);
        buf_commit(to, shape_step(&writer, text, edits, n, buf_tail(to)));
    }
    /* Both are the shape of the same text now. */
    ck_assert_uint_eq(reader.n, writer.n);
    for (size_t i = 0; i < reader.n; i++)
        ck_assert_mem_eq(&reader.columns[i], &writer.columns[i],
                         offsetof(struct shape_column, kind) + 1);
    free(changes);
    free(edits);
    return fits;
}

START_TEST(a_text_is_read_by_a_shape_if_it_could_have_been_written_by_it)
{
    CLEANUP(bytes_drop) struct span text = suite_exact(span_of_str(reads[_i].text));
    CLEANUP(bytes_drop) struct span next = suite_exact(span_of_str(reads[_i].next));
    CLEANUP(buf_done) struct buf made;

    buf_init(&made, BYTES_ROOM);
    bool fits = read_and_step(text, next, &made);
    ck_assert_msg(fits == reads[_i].fits, "\"%s\" by \"%s\"", reads[_i].next,
                  reads[_i].text);
    if (fits)
        ck_assert(span_equal(buf_span(&made), next));
}
END_TEST

START_TEST(what_is_read_by_a_shape_is_written_by_it_for_any_texts)
{
    CLEANUP(buf_done) struct buf text;
    CLEANUP(buf_done) struct buf next;
    CLEANUP(buf_done) struct buf made;
    uint64_t state = 2;
    size_t n_fits = 0;

    buf_init(&text, BYTES_ROOM);
    buf_init(&next, BYTES_ROOM);
    buf_init(&made, BYTES_ROOM);
    for (size_t i = 0; i < RANDOM_TEXTS; i++) {
        shape_random_text(&state, &text);
        shape_change_text(&state, buf_span(&text), &next);
        CLEANUP(bytes_drop) struct span a = suite_exact(buf_span(&text));
        CLEANUP(bytes_drop) struct span b = suite_exact(buf_span(&next));
        if (!read_and_step(a, b, &made))
            continue;
        n_fits++;
        ck_assert(span_equal(buf_span(&made), b));
    }
    /* Enough of both to prove something. */
    ck_assert_uint_gt(n_fits, RANDOM_TEXTS / 20);
    ck_assert_uint_lt(n_fits, RANDOM_TEXTS - RANDOM_TEXTS / 20);
}
END_TEST

static const struct {
    const char *hex;
    int r;
} codes[] = {
    {"", 0},
    {"00", 0},
    {"61ff62", 0},
    {"0105", 0},
    {"0305", 0},
    {"040001", 0},
    {"0100", E_MALFORMED},   /* no width */
    {"0200", E_MALFORMED},   /* likewise */
    {"01", E_TRUNCATED},     /* the width is missing */
    {"03", E_TRUNCATED},     /* the byte is missing */
    {"04", E_TRUNCATED},     /* the number is missing */
    {"0400", E_TRUNCATED},   /* the count is missing */
    {"040000", E_MALFORMED}, /* none */
    {"044e02", E_MALFORMED}, /* the last one and one more */
    {"047f01", E_MALFORMED}, /* not there */
    {"0400ffffffffffffffffff01", E_MALFORMED},
    {"05", E_MALFORMED},
    {"06", E_MALFORMED},
    {"07", E_MALFORMED},
};

START_TEST(a_shape_that_breaks_a_rule_is_refused)
{
    CLEANUP(bytes_drop) struct span code = bytes_of_hex(codes[_i].hex);
    struct shape_size size;
    struct cursor c;

    cursor_init(&c, code);
    shape_code_measure(&c, LIMIT_TEXT_BYTES, &size);
    ck_assert_msg(c.r == codes[_i].r, "%s: %d", codes[_i].hex, c.r);
    ck_assert(c.r == 0 || c.why.what);
}
END_TEST

START_TEST(a_shape_whose_text_would_be_too_large_is_refused)
{
    CLEANUP(bytes_drop) struct span code = bytes_of_hex("01ff01ff040009");
    struct shape_size size;
    struct cursor c;

    cursor_init(&c, code);
    shape_code_measure(&c, 1000, &size);
    ck_assert_int_eq(c.r, 0);
    cursor_init(&c, code);
    shape_code_measure(&c, 511, &size);
    ck_assert_int_eq(c.r, E_TOO_LARGE);
}
END_TEST

START_TEST(fragments_shorten_the_shapes_of_well_known_sources)
{
    static const struct span text =
        SPAN("MemTotal:       16303428 kB\nMemFree:          123456 kB\n"
             "MemAvailable:     123456 kB\n");
    CLEANUP(shape_done) struct shape shape = {0};
    CLEANUP(buf_done) struct buf code;
    CLEANUP(buf_done) struct buf plain;

    buf_init(&code, BYTES_ROOM);
    buf_init(&plain, BYTES_ROOM);
    ck_assert_int_eq(shape_cut(&shape, text), 0);
    ck_assert_int_eq(shape_code_append(&shape, text, &plain, &code), 0);
    ck_assert(span_equal(buf_span(&code), SPAN("\x04\x00\x03")));
}
END_TEST

START_TEST(cutting_without_memory_leaves_the_shape_as_it_was)
{
    static const struct span text = SPAN("1 2 3");
    bool fired = true;

    for (long nth = 0; fired; nth++) {
        CLEANUP(shape_done) struct shape shape = {0};
        fault_arm(nth);
        int r = shape_cut(&shape, text);
        fired = fault_disarm();
        ck_assert_int_eq(r, fired ? -ENOMEM : 0);
        ck_assert_uint_eq(shape.n, fired ? 0 : 3);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("shape");
    TCase *c = tcase_create("cut");

    tcase_set_timeout(c, 60);
    tcase_add_loop_test(c, what_is_cut_and_joined_is_the_same, 0, N_OF(shape_texts));
    tcase_add_test(c, what_is_cut_and_joined_is_the_same_for_every_byte);
    tcase_add_test(c, what_is_cut_and_joined_is_the_same_for_a_megabyte_of_digits);
    tcase_add_test(c, what_is_cut_and_joined_is_the_same_for_any_text);
    tcase_add_loop_test(c, a_text_is_cut_by_the_rule, 0, N_OF(cuts));
    tcase_add_test(c, blanks_and_zeros_beyond_the_greatest_width_are_literal);
    tcase_add_test(c, cutting_without_memory_leaves_the_shape_as_it_was);
    suite_add_tcase(suite, c);

    c = tcase_create("read");
    tcase_set_timeout(c, 60);
    tcase_add_loop_test(c, a_text_is_read_by_a_shape_if_it_could_have_been_written_by_it,
                        0, N_OF(reads));
    tcase_add_test(c, what_is_read_by_a_shape_is_written_by_it_for_any_texts);
    suite_add_tcase(suite, c);

    c = tcase_create("code");
    tcase_add_loop_test(c, a_shape_that_breaks_a_rule_is_refused, 0, N_OF(codes));
    tcase_add_test(c, a_shape_whose_text_would_be_too_large_is_refused);
    tcase_add_test(c, fragments_shorten_the_shapes_of_well_known_sources);
    suite_add_tcase(suite, c);
    return suite_run(suite);
}
