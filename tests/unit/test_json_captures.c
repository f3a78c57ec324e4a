/* SPDX-License-Identifier: MIT */
#include "common/io.h"
#include "common/json.h"
#include "tests/lib/batches.h"
#include "tests/lib/bytes.h"
#include "tests/lib/captures.h"
#include "tests/lib/suite.h"

#include <fcntl.h>

/* What the system before this one recorded. */
static glob_t captures;

static void read_lines(struct span lines, struct batch *ret)
{
    while (lines.n > 0) {
        const uint8_t *end = memchr(lines.data, '\n', lines.n);
        ck_assert_ptr_nonnull(end);
        size_t n = (size_t)(end - lines.data) + 1;
        ck_assert_int_eq(json_decode_line(span_of(lines.data, n), ret, NULL), 0);
        lines = span_from(lines, n);
    }
}

static void assert_lines(const struct batch *b, struct span want)
{
    CLEANUP(buf_done) struct buf out;

    buf_init(&out, want.n);
    for (size_t i = 0; i < b->n_items; i++) {
        struct measurement m = batch_get(b, i);
        ck_assert_int_eq(json_append_line(&m, &out), 0);
    }
    ck_assert(span_equal(buf_span(&out), want));
}

START_TEST(capture_is_written_again_byte_for_byte)
{
    CLEANUP(buf_done) struct buf file;
    CLEANUP(buf_done) struct buf request;
    CLEANUP(batch_done) struct batch b;
    CLEANUP(batch_done) struct batch again;

    buf_init(&file, LIMIT_DECODED_BYTES);
    buf_init(&request, LIMIT_DECODED_BYTES);
    batch_init(&b, &batch_limits_default);
    batch_init(&again, &batch_limits_default);
    ck_assert_int_eq(io_read_file(AT_FDCWD, captures.gl_pathv[_i], &file), 0);
    ck_assert_uint_gt(file.len, 0);
    read_lines(buf_span(&file), &b);
    assert_lines(&b, buf_span(&file));

    ck_assert_int_eq(batch_set_identifier(&b, SPAN("h")), 0);
    ck_assert_int_eq(json_codec.encode_request(&b, &request), 0);
    ck_assert_int_eq(json_codec.decode_request(buf_span(&request), &again, NULL), 0);
    batches_assert_same(&again, &b);
    assert_lines(&again, buf_span(&file));
}
END_TEST

int main(void)
{
    size_t n = captures_find(&captures);
    if (n == 0)
        return fputs(CAPTURES_SKIP, stdout) < 0;

    Suite *suite = suite_create("json_captures");
    TCase *c = tcase_create("json_captures");
    tcase_add_loop_test(c, capture_is_written_again_byte_for_byte, 0, (int)n);
    suite_add_tcase(suite, c);
    int failed = suite_run(suite);
    globfree(&captures);
    return failed;
}
