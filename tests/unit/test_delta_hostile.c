/* SPDX-License-Identifier: MIT */
#include "common/msgpack_pack.h"
#include "common/varint.h"
#include "tests/unit/delta_chain.h"

/*
 * Messages that no encoder of ours writes: what a few of their bytes cost is bounded, and
 * so is what a state keeps of them.
 */

enum { SH, BV, PR, CB, CH, RW, STREAMS };

static const char *const keys[STREAMS] = {"sh", "bv", "pr", "cb", "ch", "rw"};

static struct delta_chain chain;
static struct buf streams[STREAMS];
static struct buf groups;
static uint32_t n_groups;
static struct buf message;
static uint64_t number; /* of the batch */

static void begin(void)
{
    for (size_t i = 0; i < STREAMS; i++)
        buf_reset(&streams[i]);
    buf_reset(&groups);
    n_groups = 0;
}

static void setup(void)
{
    delta_chain_init(&chain, 0);
    for (size_t i = 0; i < STREAMS; i++)
        buf_init(&streams[i], LIMIT_DECODED_BYTES);
    buf_init(&groups, LIMIT_DECODED_BYTES);
    buf_init(&message, LIMIT_DECODED_BYTES);
    number = 0;
    begin();
}

static void teardown(void)
{
    delta_chain_done(&chain);
    for (size_t i = 0; i < STREAMS; i++)
        buf_done(&streams[i]);
    buf_done(&groups);
    buf_done(&message);
}

static void put_varint(struct buf *to, uint64_t value)
{
    ck_assert_int_eq(varint_append(value, to), 0);
}

/* All at once: each assertion of Check costs a system call. */
static void put_times(struct buf *to, struct span pattern, size_t n)
{
    ck_assert_int_eq(buf_reserve(to, n * pattern.n), 0);
    for (size_t i = 0; i < n; i++)
        memcpy(buf_tail(to) + i * pattern.n, pattern.data, pattern.n);
    buf_commit(to, n * pattern.n);
}

static void put_zeros(struct buf *to, size_t n)
{
    put_times(to, SPAN("\0"), n);
}

/* A group of one of the well-known subsystems, in the ticks of the bitmap. */
static void add_group(uint32_t source, unsigned flags, uint8_t ticks)
{
    struct packing p;

    packing_begin(&p, &groups);
    msgpack_pack_array(&p.packer, 3);
    msgpack_pack_uint32(&p.packer, source);
    msgpack_pack_unsigned_int(&p.packer, flags);
    packing_bin(&p, span_of(&ticks, 1));
    ck_assert_int_eq(packing_end(&p), 0);
    n_groups++;
}

/* Its first text is @n_columns zeros. */
static void add_shape(uint32_t source, unsigned flags, uint8_t ticks, size_t n_columns)
{
    add_group(source, 1 | flags, ticks);
    put_varint(&streams[SH], n_columns);
    put_zeros(&streams[SH], n_columns);
    put_zeros(&streams[BV], n_columns);
}

/* Predictors of @n columns from @first on; each keeps a pace. */
static void add_predictors(size_t first, size_t n)
{
    put_varint(&streams[PR], n);
    put_varint(&streams[PR], first);
    bytes_put_one(&streams[PR], 1);
    put_times(&streams[PR], SPAN("\0\1"), n - 1);
}

static void add_raw(uint32_t source, uint8_t ticks)
{
    add_group(source, 4, ticks);
    bytes_put_one(&streams[RW], 0);
}

/* Decodes what was added as the next of the chain. Return: what the decoder says. */
static int decode(size_t n_ticks)
{
    struct packing p;
    struct delta_head head;
    struct err_at at;
    uint8_t times[8] = {0, 2};
    bool alone = number == 0;

    buf_reset(&message);
    packing_begin(&p, &message);
    msgpack_pack_map(&p.packer, 7u + alone + STREAMS);
    packing_key(&p, "v");
    msgpack_pack_int(&p.packer, 1);
    packing_key(&p, "i");
    packing_str(&p, SPAN("web-01"));
    packing_key(&p, "ss");
    msgpack_pack_int(&p.packer, 1);
    packing_key(&p, "q");
    msgpack_pack_uint64(&p.packer, number++);
    packing_key(&p, "k");
    msgpack_pack_int(&p.packer, 0);
    if (alone) {
        packing_key(&p, "h");
        msgpack_pack_map(&p.packer, 1);
        packing_key(&p, "bt");
        msgpack_pack_int(&p.packer, 1767813011);
    }
    packing_key(&p, "to");
    packing_bin(&p, span_of(times, n_ticks));
    packing_key(&p, "m");
    msgpack_pack_array(&p.packer, n_groups);
    ck_assert_int_eq(packing_end(&p), 0);
    bytes_put(&message, buf_span(&groups));
    packing_begin(&p, &message);
    for (size_t i = 0; i < STREAMS; i++) {
        packing_key(&p, keys[i]);
        packing_bin(&p, buf_span(&streams[i]));
    }
    ck_assert_int_eq(packing_end(&p), 0);
    int r = delta_chain_decode(&chain, buf_span(&message), &head, &at);
    begin();
    return r;
}

/* It would take minutes, were each put in its place behind all that are there. */
START_TEST(predictors_cost_no_more_than_they_are_many)
{
    size_t n = 460000;

    add_shape(0, 2, 1, n);
    add_predictors(n / 2, n / 2);
    add_group(0, 2, 2);
    add_predictors(0, n / 2);
    put_zeros(&streams[CB], n / 8);
    ck_assert_int_eq(decode(2), 0);
    ck_assert_uint_eq(chain.out.n_items, 2);
    ck_assert(span_equal(batch_get(&chain.out, 1).text, batch_get(&chain.out, 0).text));
}
END_TEST

/* The predictor of column 2 is replaced, those of 1 and 3 stay or come. */
START_TEST(predictors_replace_those_of_their_columns_and_leave_the_others)
{
    add_shape(0, 2, 1, 4); /* 0 0 0 0 */
    put_varint(&streams[PR], 2);
    bytes_put(&streams[PR], SPAN("\1\2\1")); /* 1: as column 0 */
    bytes_put(&streams[PR], SPAN("\0\1"));   /* 2: its pace */
    add_group(0, 2, 2);
    put_varint(&streams[PR], 2);
    bytes_put(&streams[PR], SPAN("\2\2\2")); /* 2: as column 0 */
    bytes_put(&streams[PR], SPAN("\0\1"));   /* 3: its pace */
    bytes_put(&streams[CB], SPAN("\x09\1\1"));
    bytes_put(&streams[CH], SPAN("\3\5")); /* 2 and 3 */
    add_group(0, 0, 4);
    bytes_put(&streams[CB], SPAN("\0"));
    ck_assert_int_eq(decode(3), 0);
    ck_assert(span_equal(batch_get(&chain.out, 1).text, SPAN("2223")));
    ck_assert(span_equal(batch_get(&chain.out, 2).text, SPAN("2226")));
}
END_TEST

/* A text of the batch is @n times this digit. */
static void assert_all(size_t item, size_t n, size_t digit)
{
    struct span text = batch_get(&chain.out, item).text;

    ck_assert_uint_eq(text.n, n);
    ck_assert_uint_eq(text.data[0], digit);
    ck_assert_mem_eq(text.data, text.data + 1, n - 1);
}

/* More than a million columns change in the groups taken together. */
START_TEST(groups_may_have_more_columns_that_change_than_are_kept_listed)
{
    size_t n = 280000;
    size_t kept = 180000;

    add_shape(1, 0, 0xff, kept); /* under way all the time */
    put_times(&streams[CB], SPAN("\xff"), kept / 8);
    put_times(&streams[CB], SPAN("\x7f"), kept);
    put_times(&streams[CH], SPAN("\1"), 7 * kept); /* by 1 */
    for (unsigned i = 0; i < 4; i++) {
        add_shape(0, 0, (uint8_t)(3u << 2 * i), n);
        put_times(&streams[CB], SPAN("\xff"), n / 8);
        put_times(&streams[CB], SPAN("\1"), n);
        put_times(&streams[CH], SPAN("\1"), n);
    }
    ck_assert_int_eq(decode(8), 0);
    ck_assert_uint_eq(chain.out.n_items, 16);
    for (size_t i = 0; i < 8; i++) {
        assert_all(2 * i, kept, '0' + i);
        assert_all(2 * i + 1, n, '0' + (i + 1) / 2); /* a base value adds to what was */
    }
}
END_TEST

/* Columns 1 to 5 are as column 0. Then 3 has none in tick 1, and is the sum of 0 and 2 in
 * tick 2; the others have theirs all the time. */
START_TEST(predictors_on_both_sides_of_a_new_one_stay)
{
    add_shape(0, 2, 1, 6);
    put_varint(&streams[PR], 5);
    bytes_put(&streams[PR], SPAN("\1\2\1\0\2\2\0\2\3\0\2\4\0\2\5"));
    add_group(0, 2, 2);
    put_varint(&streams[PR], 1);
    bytes_put(&streams[PR], SPAN("\3\x20"));
    add_group(0, 2, 4);
    put_varint(&streams[PR], 1);
    bytes_put(&streams[PR], SPAN("\3\4\3\1"));
    for (int i = 0; i < 2; i++) {
        bytes_put(&streams[CB], SPAN("\1\1"));
        bytes_put(&streams[CH], SPAN("\3")); /* column 0: 2 more */
    }
    ck_assert_int_eq(decode(3), 0);
    ck_assert(span_equal(batch_get(&chain.out, 1).text, SPAN("222022")));
    ck_assert(span_equal(batch_get(&chain.out, 2).text, SPAN("444444")));
}
END_TEST

/* In tick 1 the first goes raw and the second comes: in order of time they fit. */
START_TEST(columns_may_not_pass_the_limit_in_mid_batch_either)
{
    add_shape(0, 0, 1, 300000);
    add_raw(0, 2);
    add_shape(1, 0, 2, 300000);
    add_raw(1, 4);
    ck_assert_int_eq(decode(3), 0);
    number = 0;
    add_shape(0, 0, 1, 300000);
    add_raw(0, 2);
    add_shape(1, 0, 1, 300000);
    add_raw(1, 2);
    ck_assert_int_eq(decode(2), E_MALFORMED);
}
END_TEST

/* One subsystem after the other has a large text once, then none any more. */
START_TEST(a_state_does_not_grow_with_what_was_in_it_once)
{
    size_t n = 100000;

    for (uint32_t i = 0; i < 12; i++) {
        if (i > 0)
            add_raw(i - 1, 1);
        add_shape(i, 2, 1, n);
        add_predictors(0, n);
        ck_assert_int_eq(decode(1), 0);
    }
    /* A text, columns and predictors; and a little. */
    ck_assert_uint_lt(delta_state_bytes(chain.state), n * (1 + 8 + 24) * 5 / 4);
    add_shape(11, 0, 1, 10);
    ck_assert_int_eq(decode(1), 0);
    ck_assert_uint_lt(delta_state_bytes(chain.state), 8192);
    number = 0;
    add_raw(0, 1);
    ck_assert_int_eq(decode(1), 0);
    ck_assert_uint_lt(delta_state_bytes(chain.state), 8192);
}
END_TEST

/* Numbers with bytes that say nothing are taken, but make no room for more of them. */
START_TEST(predictors_that_are_written_long_take_no_more_memory)
{
    size_t n = 100000;

    add_shape(0, 2, 1, n);
    put_varint(&streams[PR], n);
    put_times(&streams[PR], SPAN("\x80\x80\x80\x80\0\1"), n);
    ck_assert_int_eq(decode(1), 0);
    ck_assert_uint_lt(delta_state_bytes(chain.state), n * (1 + 8 + 24) * 5 / 4);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("delta_hostile");
    TCase *c = tcase_create("messages");

    tcase_add_checked_fixture(c, setup, teardown);
    tcase_set_timeout(c, 60);
    tcase_add_test(c, predictors_cost_no_more_than_they_are_many);
    tcase_add_test(c, predictors_replace_those_of_their_columns_and_leave_the_others);
    tcase_add_test(c, groups_may_have_more_columns_that_change_than_are_kept_listed);
    tcase_add_test(c, predictors_on_both_sides_of_a_new_one_stay);
    tcase_add_test(c, columns_may_not_pass_the_limit_in_mid_batch_either);
    tcase_add_test(c, a_state_does_not_grow_with_what_was_in_it_once);
    tcase_add_test(c, predictors_that_are_written_long_take_no_more_memory);
    suite_add_tcase(suite, c);
    return suite_run(suite);
}
