/* SPDX-License-Identifier: MIT */
#include "common/msgpack.h"
#include "tests/lib/bytes.h"
#include "tests/lib/suite.h"

#include <msgpack.h>

static void assert_says(const struct err_at *at, const char *word)
{
    ck_assert_ptr_nonnull(at->what);
    ck_assert_msg(strstr(at->what, word), "\"%s\" does not say \"%s\"", at->what, word);
}

/* One object of every form. */
static const char *const every_form[] = {
    "00",
    "7f",
    "80",
    "81c0c0",
    "90",
    "9300a0c2",
    "a0",
    "a3616263",
    "c0",
    "c2",
    "c3",
    "c400",
    "c402ffff",
    "c50002ffff",
    "c600000002ffff",
    "c70001",
    "c702010000",
    "c80002010000",
    "c900000002010000",
    "ca00000000",
    "cb0000000000000000",
    "cc00",
    "cd0000",
    "ce00000000",
    "cf0000000000000000",
    "d000",
    "d10000",
    "d200000000",
    "d30000000000000000",
    "d40100",
    "d5010000",
    "d60100000000",
    "d7010000000000000000",
    "d80100000000000000000000000000000000",
    "d90161",
    "da000161",
    "db0000000161",
    "dc0001c0",
    "dd00000002c0c0",
    "de0001c0c0",
    "df00000001c0c0",
    "e0",
    "ff",
    "8191c081c09202a161",
};

START_TEST(walk_takes_every_form)
{
    CLEANUP(bytes_drop) struct span in = bytes_of_hex(every_form[_i]);

    ck_assert_int_eq(msgpack_walk(in, 100, LIMIT_NESTING, NULL), 0);
}
END_TEST

START_TEST(walk_wants_every_byte_and_no_more)
{
    CLEANUP(bytes_drop) struct span in = bytes_of_hex(every_form[_i]);
    CLEANUP(buf_done) struct buf more;

    for (size_t n = 0; n < in.n; n++) {
        CLEANUP(bytes_drop) struct span part = suite_exact(span_of(in.data, n));
        ck_assert_int_eq(msgpack_walk(part, 100, LIMIT_NESTING, NULL), E_TRUNCATED);
    }
    buf_init(&more, BYTES_ROOM);
    bytes_put(&more, in);
    bytes_put_one(&more, 0);
    struct err_at at;
    ck_assert_int_eq(msgpack_walk(buf_span(&more), 100, LIMIT_NESTING, &at), E_MALFORMED);
    ck_assert_uint_eq(at.offset, in.n);
}
END_TEST

static const char *const lies[] = {
    "dd05f5e100",
    "ddffffffff",
    "ddffffffffc0c0c0c0",
    "dc0004c0c0c0",
    "dfffffffff",
    "df80000000",
    "df00000002c0c0c0",
    "deffffc0",
    "9fc0",
    "8fc0c0",
    "dbffffffff",
    "db0000000261",
    "c6ffffffff",
    "c60000000261",
    "c9ffffffff01",
    "c90000000201ff",
    "d905",
    "c405",
    "bf61",
    "d801",
    /* An object may be owed to each of two levels, and one byte be left. */
    "9292c0c0",
};

START_TEST(walk_refuses_sizes_that_lie)
{
    CLEANUP(bytes_drop) struct span in = bytes_of_hex(lies[_i]);
    struct err_at at = {NULL, 0, 0};

    ck_assert_int_eq(msgpack_walk(in, SIZE_MAX, LIMIT_NESTING, &at), E_TRUNCATED);
    ck_assert_ptr_nonnull(at.what);
    ck_assert_uint_le(at.offset, in.n);
}
END_TEST

/* Each level announces as much as there are bytes; msgpack-c would make room for all. */
START_TEST(walk_bounds_what_nested_headers_announce_together)
{
    CLEANUP(buf_done) struct buf in;
    struct err_at at;

    buf_init(&in, BYTES_ROOM);
    for (int level = 0; level < 3; level++)
        bytes_put(&in, SPAN("\xdc\x01\x00"));
    while (in.len < 3 + 256 + 12)
        bytes_put_one(&in, 0xc0);
    ck_assert_int_eq(msgpack_walk(buf_span(&in), SIZE_MAX, LIMIT_NESTING, &at),
                     E_TRUNCATED);
    ck_assert_uint_eq(at.offset, 6);
}
END_TEST

START_TEST(walk_counts_every_object)
{
    /* A map of two pairs; values an array of two maps, the first with a pair; and nil. */
    CLEANUP(bytes_drop) struct span in = bytes_of_hex("82a1619281c0c080a162c0");
    struct err_at at;

    ck_assert_int_eq(msgpack_walk(in, 9, LIMIT_NESTING, &at), 0);
    for (size_t max = 0; max < 9; max++)
        ck_assert_int_eq(msgpack_walk(in, max, LIMIT_NESTING, &at), E_TOO_LARGE);
    assert_says(&at, "objects");
}
END_TEST

START_TEST(walk_takes_nesting_up_to_its_limit)
{
    static const char *const openers[] = {"\x91", "\x81\xc0", "\xdc\x00\x01",
                                          "\xdf\x00\x00\x00\x01\xc0"};
    static const size_t sizes[] = {1, 2, 3, 6};

    for (size_t kind = 0; kind < N_OF(openers); kind++) {
        for (unsigned depth = LIMIT_NESTING - 1; depth <= LIMIT_NESTING + 1; depth++) {
            CLEANUP(buf_done) struct buf in;
            struct err_at at;
            buf_init(&in, BYTES_ROOM);
            for (unsigned i = 0; i < depth; i++)
                bytes_put(&in, span_of(openers[kind], sizes[kind]));
            bytes_put_one(&in, 0xc0);
            int r = msgpack_walk(buf_span(&in), 1000, LIMIT_NESTING, &at);
            ck_assert_int_eq(r, depth > LIMIT_NESTING ? E_TOO_LARGE : 0);
            if (r)
                assert_says(&at, "nested");
            ck_assert_int_eq(msgpack_walk(buf_span(&in), 1000, depth - 1, &at),
                             E_TOO_LARGE);
        }
    }
}
END_TEST

START_TEST(walk_leaves_a_level_behind_it)
{
    /* Many containers beside each other are not nested. */
    CLEANUP(buf_done) struct buf in;

    buf_init(&in, BYTES_ROOM);
    bytes_put(&in, SPAN("\xdc\x01\x00"));
    for (int i = 0; i < 256; i++)
        bytes_put(&in, i % 2 ? SPAN("\x91\x90") : SPAN("\x81\xc0\x80"));
    ck_assert_int_eq(msgpack_walk(buf_span(&in), 1000, LIMIT_NESTING, NULL), 0);
}
END_TEST

START_TEST(walk_refuses_the_byte_that_is_never_used)
{
    CLEANUP(bytes_drop) struct span in = bytes_of_hex("93c0c1c0");
    struct err_at at;

    ck_assert_int_eq(msgpack_walk(in, 100, LIMIT_NESTING, &at), E_MALFORMED);
    ck_assert_uint_eq(at.offset, 2);
}
END_TEST

static bool announces_many(struct span in)
{
    for (size_t i = 0; i < in.n; i++) {
        if (in.data[i] >= 0xdc && in.data[i] <= 0xdf)
            return true;
    }
    return false;
}

/* What the walk lets through msgpack-c can unpack, and what msgpack-c can unpack the walk
 * lets through (asked only where no large count tempts it to allocate). */
START_TEST(walk_agrees_with_msgpack_c)
{
    uint64_t state = 1;
    unsigned n_good = 0;

    for (int round = 0; round < 200000; round++) {
        uint8_t bytes[24];
        size_t n = bytes_random(&state) % sizeof bytes + 1;
        for (size_t i = 0; i < n; i++) {
            uint64_t x = bytes_random(&state);
            /* Small containers, strings and numbers more often than chance has them. */
            bytes[i] = (uint8_t)(x & 0x100 ? x : 0x80 | (x & 0x33));
        }
        CLEANUP(bytes_drop) struct span in = suite_exact(span_of(bytes, n));
        int walked = msgpack_walk(in, 1000, LIMIT_NESTING, NULL);
        if (walked != 0 && announces_many(in))
            continue;
        msgpack_unpacked message;
        size_t at = 0;
        msgpack_unpacked_init(&message);
        bool unpacked = msgpack_unpack_next(&message, (const char *)in.data, in.n, &at) ==
                            MSGPACK_UNPACK_SUCCESS &&
                        at == in.n;
        msgpack_unpacked_destroy(&message);
        n_good += unpacked;
        if (walked != E_TOO_LARGE)
            ck_assert_int_eq(unpacked, walked == 0);
    }
    ck_assert_uint_gt(n_good, 1000);
}
END_TEST

static void add_walk_tests(Suite *suite)
{
    TCase *c = tcase_create("walk");

    tcase_add_loop_test(c, walk_takes_every_form, 0, N_OF(every_form));
    tcase_add_loop_test(c, walk_wants_every_byte_and_no_more, 0, N_OF(every_form));
    tcase_add_loop_test(c, walk_refuses_sizes_that_lie, 0, N_OF(lies));
    tcase_add_test(c, walk_bounds_what_nested_headers_announce_together);
    tcase_add_test(c, walk_counts_every_object);
    tcase_add_test(c, walk_takes_nesting_up_to_its_limit);
    tcase_add_test(c, walk_leaves_a_level_behind_it);
    tcase_add_test(c, walk_refuses_the_byte_that_is_never_used);
    tcase_add_test(c, walk_agrees_with_msgpack_c);
    tcase_set_timeout(c, 60);
    suite_add_tcase(suite, c);
}

int main(void)
{
    Suite *suite = suite_create("msgpack_walk");

    add_walk_tests(suite);
    return suite_run(suite);
}
