/* SPDX-License-Identifier: MIT */
#include "common/media.h"
#include "tests/lib/batches.h"
#include "tests/lib/fault.h"
#include "tests/lib/suite.h"

#include <errno.h>
#include <stdlib.h>

/* Wherever memory runs out while a codec reads or writes, that is what it says, and
 * nothing is left of what it began. */

#define MAX_BYTES MIB
#define NTH_MAX 1000

static const struct codec *codec;
static struct buf message; /* a whole one of the kind that a test reads */

static const enum media_form forms[] = {MEDIA_JSON, MEDIA_MSGPACK, MEDIA_DELTA};
#define N_FORMS ((int)(sizeof forms / sizeof *forms))

static void setup(void)
{
    buf_init(&message, MAX_BYTES);
}

static void teardown(void)
{
    buf_done(&message);
}

static void make_batch(struct batch *b)
{
    struct span binary = SPAN("\xff\x00 bytes that are no UTF-8");

    batch_init(b, &batch_limits_default);
    ck_assert_int_eq(batch_set_identifier(b, SPAN("web-1")), 0);
    for (uint64_t i = 0; i < 50; i++) {
        batches_add(b, UINT64_C(1800000000000000007) + i, SPAN("/proc/stat"),
                    SPAN("cpu  1 2 3\n\"quoted\\\"\n"));
        batches_add(b, UINT64_C(1800000000000000007) + i, SPAN("/proc/b"), binary);
    }
}

static void check_written(int r, bool fired, const struct buf *to)
{
    ck_assert_int_eq(r, fired ? -ENOMEM : 0);
    /* What stood there before stands there alone after a failure. */
    ck_assert(span_starts_with(buf_span(to), SPAN("before")));
    ck_assert(fired == (to->len == 6));
}

enum writes { REQUEST, ANSWER, ERROR, PING, PONG, WRITES };

static int write_one(enum writes what, const struct batch *b, struct buf *to)
{
    const struct ping ping = {1800000000};
    const struct pong pong = {1, 1800000000};

    switch (what) {
    case REQUEST:
        return codec->encode_request(b, to);
    case ANSWER:
        return codec->encode_answer(NULL, to);
    case ERROR:
        return codec->encode_answer("not\xff now", to);
    case PING:
        return codec->encode_ping(&ping, to);
    case PONG:
        return codec->encode_pong(&pong, to);
    case WRITES:
        break;
    }
    return E_MALFORMED;
}

START_TEST(writing_survives_any_failed_allocation)
{
    CLEANUP(batch_done) struct batch b;

    codec = media_codec(forms[_i / WRITES]);
    make_batch(&b);
    bool fired = true;
    for (long nth = 0; fired; nth++) {
        CLEANUP(buf_done) struct buf to;

        buf_init(&to, MAX_BYTES);
        ck_assert_int_eq(buf_append(&to, SPAN("before")), 0);
        fault_arm(nth);
        int r = write_one((enum writes)(_i % WRITES), &b, &to);
        fired = fault_disarm();
        check_written(r, fired, &to);
        ck_assert_int_lt(nth, NTH_MAX);
    }
}
END_TEST

/* Reads the message as the kind that it is. */
static int read_one(enum writes what, struct span in, struct batch *b)
{
    struct answer answer;
    struct ping ping;
    struct pong pong;
    struct err_at at;

    switch (what) {
    case REQUEST:
        return codec->decode_request(in, b, &at);
    case ANSWER:
    case ERROR:
        return codec->decode_answer(in, &answer, &at);
    case PING:
        return codec->decode_ping(in, &ping, &at);
    case PONG:
        return codec->decode_pong(in, &pong, &at);
    case WRITES:
        break;
    }
    return E_MALFORMED;
}

START_TEST(reading_survives_any_failed_allocation)
{
    CLEANUP(batch_done) struct batch sent;
    enum writes what = (enum writes)(_i % WRITES);

    codec = media_codec(forms[_i / WRITES]);
    make_batch(&sent);
    ck_assert_int_eq(write_one(what, &sent, &message), 0);
    struct span in = suite_exact(buf_span(&message));
    bool fired = true;
    for (long nth = 0; fired; nth++) {
        CLEANUP(batch_done) struct batch b;

        batch_init(&b, &batch_limits_default);
        fault_arm(nth);
        int r = read_one(what, in, &b);
        fired = fault_disarm();
        ck_assert_int_eq(r, fired ? -ENOMEM : 0);
        if (fired)
            batches_assert_reset(&b);
        else if (what == REQUEST)
            batches_assert_same(&b, &sent);
        ck_assert_int_lt(nth, NTH_MAX);
    }
    free((void *)(uintptr_t)in.data);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("codec_memory");
    TCase *c = tcase_create("memory");

    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_loop_test(c, writing_survives_any_failed_allocation, 0, N_FORMS * WRITES);
    tcase_add_loop_test(c, reading_survives_any_failed_allocation, 0, N_FORMS * WRITES);
    suite_add_tcase(suite, c);
    return suite_run(suite);
}
