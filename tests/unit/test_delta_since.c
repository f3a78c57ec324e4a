/* SPDX-License-Identifier: MIT */
#include "common/delta_since.h"
#include "common/units.h"
#include "tests/lib/fault.h"
#include "tests/unit/delta_chain.h"

#include <errno.h>
#include <stdio.h>

#define T0 (UINT64_C(1767813011) * SEC)
#define STAT SPAN("/proc/stat")
#define MEMINFO SPAN("/proc/meminfo")
#define GAP SPAN("pcc/gap")
#define HOST SPAN("web-01")

static struct delta_chain chain;
static struct batch batch; /* what is sent next */
static struct batch out;
static struct delta_since *since;
static struct delta_base *ours;
static struct delta_base *theirs;
static struct buf sent;
static struct delta_parts parts;

static void add(uint64_t time_ns, struct span subsystem, const char *text)
{
    batches_add(&batch, time_ns, subsystem, span_of_str(text));
}

static void begin(void)
{
    batch_reset(&batch);
    ck_assert_int_eq(batch_set_identifier(&batch, HOST), 0);
}

/* Both ends make a base of what the chain has come to. */
static void make_bases(void)
{
    delta_base_free(ours);
    delta_base_free(theirs);
    ours = theirs = NULL;
    ck_assert_int_eq(delta_base_of_encoder(chain.encoder, &ours), 0);
    ck_assert_int_eq(delta_base_of_state(chain.state, &theirs), 0);
}

static void set_up(void)
{
    delta_chain_init(&chain, 0);
    batch_init(&batch, &batch_limits_default);
    batch_init(&out, &batch_limits_default);
    buf_init(&sent, BYTES_ROOM);
    ck_assert_int_eq(delta_since_new(&since), 0);
    begin();
    add(T0, STAT, "cpu 10 0 30 007\nintr 5 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 1\n");
    add(T0, MEMINFO, "MemFree:     100 kB\n");
    add(T0, SPAN("/proc/mine"), "1 2 3\n");
    (void)delta_chain_send(&chain, &batch, false);
    make_bases();
    begin();
}

static void tear_down(void)
{
    delta_base_free(ours);
    delta_base_free(theirs);
    delta_since_free(since);
    delta_chain_done(&chain);
    batch_done(&batch);
    batch_done(&out);
    buf_done(&sent);
}

static int encode(uint64_t number, size_t most)
{
    buf_reset(&sent);
    return delta_since_encode(since, ours, &(struct delta_tick){&batch, 0, number, most},
                              &sent, &parts);
}

static struct span part_at(size_t i)
{
    size_t from = i > 0 ? parts.ends[i - 1] : 0;

    return span_of(sent.data + from, parts.ends[i] - from);
}

static int decode(struct span part, struct delta_since_head *head, struct err_at *at)
{
    CLEANUP(bytes_drop) struct span exact = suite_exact(part);

    *at = ERR_AT_NOWHERE;
    return delta_since_decode(since, theirs, exact, &out, head, at);
}

/* All parts, one after the other, make what went in. */
static void assert_arrives(uint64_t number)
{
    struct delta_since_head head;
    struct err_at at;

    batch_reset(&out);
    ck_assert_int_eq(batch_set_identifier(&out, HOST), 0);
    for (size_t i = 0; i < parts.n; i++) {
        int r = decode(part_at(i), &head, &at);
        ck_assert_msg(r == 0, "%d: %s", r, at.what ? at.what : "?");
        ck_assert_uint_eq(head.number, number);
        ck_assert_uint_eq(head.part, i);
        ck_assert_uint_eq(head.n_parts, parts.n);
    }
    ck_assert_uint_eq(out.n_ticks, parts.n);
    batches_assert_same(&out, &batch);
}

static void assert_travels(uint64_t number)
{
    ck_assert_int_eq(encode(number, 1000), 0);
    ck_assert_uint_eq(parts.n, 1);
    assert_arrives(number);
}

static void add_tick(uint64_t time_ns, uint64_t n)
{
    char text[256];

    (void)snprintf(text, sizeof text,
                   "cpu %d 0 %d 007\nintr %d 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 %d 1\n",
                   (int)(10 + n), (int)(30 + 100 * n), (int)(5 + n / 2), (int)n);
    add(time_ns, STAT, text);
    (void)snprintf(text, sizeof text, "MemFree:%8d kB\n", (int)(100 - n % 7));
    add(time_ns, MEMINFO, text);
    add(time_ns, SPAN("/proc/mine"), "1 2 3\n");
}

START_TEST(ticks_arrive_in_any_order_and_some_not_at_all)
{
    static const uint64_t order[] = {5, 2, 900, 1, 2, 17};

    for (size_t i = 0; i < N_OF(order); i++) {
        begin();
        add_tick(T0 + order[i] * SEC, order[i]);
        assert_travels(order[i]);
    }
}
END_TEST

START_TEST(base_stays_where_the_chain_goes_on)
{
    for (uint64_t i = 1; i < 4; i++) {
        begin();
        add_tick(T0 + i * SEC, i);
        (void)delta_chain_send(&chain, &batch, false);
        ck_assert_uint_eq(delta_base_snapshot(ours), 1);
        assert_travels(i);
    }
    make_bases();
    begin();
    add_tick(T0 + 9 * SEC, 9);
    assert_travels(9);
}
END_TEST

START_TEST(unchanged_tick_is_a_few_bytes)
{
    add(T0, STAT, "cpu 10 0 30 007\nintr 5 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 1\n");
    add(T0, MEMINFO, "MemFree:     100 kB\n");
    assert_travels(1);
    ck_assert_uint_eq(sent.len, 3 + 2 + 2); /* head; a number and an empty bitmap each */
}
END_TEST

START_TEST(tick_may_lack_sources_and_have_them_in_another_order)
{
    add(T0 + SEC, SPAN("/proc/mine"), "18446744073709551615 0 1\n");
    add(T0 + SEC, STAT,
        "cpu 9 0 30 1007\nintr 5 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 1\n");
    assert_travels(7);
}
END_TEST

static const uint64_t times[] = {
    T0,
    T0 + 1,
    T0 - SEC,
    T0 - 1,
    T0 + 40 * DAY,
    LIMIT_TIMESTAMP_MIN *SEC,
    LIMIT_TIMESTAMP_MAX *SEC + SEC - 1,
};

START_TEST(any_time_arrives)
{
    add_tick(times[_i], 3);
    assert_travels(INT64_MAX);
}
END_TEST

START_TEST(time_of_a_base_within_a_second_arrives)
{
    add_tick(T0 + SEC / 2, 1);
    (void)delta_chain_send(&chain, &batch, false);
    make_bases();
    for (uint64_t i = 0; i < 3; i++) {
        begin();
        add_tick(T0 + i * SEC / 2, 2);
        assert_travels(2);
    }
}
END_TEST

START_TEST(gap_goes_as_it_is)
{
    add(T0 + SEC, STAT,
        "cpu 10 0 31 007\nintr 5 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 1\n");
    add(T0 + SEC, GAP, "{\"kind\":\"missed\"}");
    add(T0 + SEC, GAP, "{\"kind\":\"mount\"}");
    add(T0 + SEC, GAP, "");
    assert_travels(1);
}
END_TEST

START_TEST(subsystem_may_come_twice)
{
    add(T0 + SEC, SPAN("/proc/mine"), "1 2 4\n");
    add(T0 + SEC, SPAN("/proc/mine"), "something else\n");
    add(T0 + SEC, SPAN("/proc/mine"), "1 2 5\n");
    assert_travels(1);
}
END_TEST

START_TEST(what_the_base_does_not_have_is_a_conflict)
{
    add(T0 + SEC, STAT, "another shape\n");
    ck_assert_int_eq(encode(1, 1000), E_CONFLICT);
    begin();
    add(T0 + SEC, SPAN("/proc/new"), "1\n");
    ck_assert_int_eq(encode(1, 1000), E_CONFLICT);
    begin();
    add(T0 + SEC, SPAN("/proc/vmstat"), "1\n"); /* well known, but without a shape */
    ck_assert_int_eq(encode(1, 1000), E_CONFLICT);
    ck_assert_uint_eq(sent.len, 0);
}
END_TEST

START_TEST(tick_that_is_too_long_is_cut_between_measurements)
{
    add_tick(T0 + SEC, 3);
    ck_assert_int_eq(encode(1, 1000), 0);
    const size_t whole = sent.len;

    for (size_t most = 0; most <= whole; most++) {
        ck_assert_int_eq(encode(4, most), 0);
        ck_assert_uint_le(parts.n, 3);
        ck_assert_int_eq(parts.n == 1, most == whole);
        assert_arrives(4);
    }
    ck_assert_int_eq(encode(4, 0), 0);
    ck_assert_uint_eq(parts.n, 3);
}
END_TEST

START_TEST(more_parts_than_there_are_numbers_for_are_too_large)
{
    for (size_t i = 0; i < DELTA_SINCE_PARTS; i++)
        add(T0 + SEC, GAP, "text");
    ck_assert_int_eq(encode(4, 0), 0);
    ck_assert_uint_eq(parts.n, DELTA_SINCE_PARTS);
    assert_arrives(4);
    add(T0 + SEC, GAP, "text");
    ck_assert_int_eq(encode(4, 0), E_TOO_LARGE);
    ck_assert_uint_eq(sent.len, 0);
    assert_travels(4);
}
END_TEST

START_TEST(tick_is_what_follows_the_first_item)
{
    struct delta_since_head head;
    struct err_at at;

    add_tick(T0 + SEC, 1);
    add_tick(T0 + 2 * SEC, 2);
    buf_reset(&sent);
    bytes_put(&sent, SPAN("before"));
    ck_assert_int_eq(delta_since_encode(since, ours,
                                        &(struct delta_tick){&batch, 3, 2, 1000}, &sent,
                                        &parts),
                     0);
    ck_assert_int_eq(decode(span_from(buf_span(&sent), 6), &head, &at), 0);
    ck_assert_uint_eq(out.n_items, 3);
    ck_assert_uint_eq(out.items[0].time_ns, T0 + 2 * SEC);
}
END_TEST

START_TEST(room_is_minded)
{
    CLEANUP(buf_done) struct buf small;

    add_tick(T0 + SEC, 1);
    ck_assert_int_eq(encode(1, 1000), 0);
    buf_init(&small, sent.len - 1);
    ck_assert_int_eq(delta_since_encode(since, ours,
                                        &(struct delta_tick){&batch, 0, 1, 1000}, &small,
                                        &parts),
                     E_TOO_LARGE);
    ck_assert_uint_eq(small.len, 0);
    ck_assert_int_eq(delta_since_encode(since, ours,
                                        &(struct delta_tick){&batch, 0, 1, 0}, &small,
                                        &parts),
                     E_TOO_LARGE);
    ck_assert_uint_eq(small.len, 0);
}
END_TEST

START_TEST(batch_limits_hold)
{
    struct delta_since_head head;
    struct batch_limits limits = batch_limits_default;
    CLEANUP(batch_done) struct batch small;

    add_tick(T0 + SEC, 1);
    ck_assert_int_eq(encode(1, 1000), 0);
    limits.measurements = 2;
    batch_init(&small, &limits);
    ck_assert_int_eq(
        delta_since_decode(since, theirs, buf_span(&sent), &small, &head, NULL),
        E_TOO_LARGE);
    ck_assert_uint_eq(small.n_items, 0);
    ck_assert_uint_eq(small.bytes.len, 0);
    ck_assert_uint_eq(small.n_ticks, 0);
}
END_TEST

START_TEST(no_base_of_an_empty_chain_nor_of_one_with_a_threshold)
{
    struct delta_chain other;
    struct delta_base *none = NULL;

    delta_chain_init(&other, 0);
    ck_assert_int_eq(delta_base_of_encoder(other.encoder, &none), E_GONE);
    ck_assert_int_eq(delta_base_of_state(other.state, &none), E_GONE);
    delta_chain_done(&other);
    delta_chain_init(&other, 1000);
    begin();
    add_tick(T0, 1);
    (void)delta_chain_send(&other, &batch, false);
    ck_assert_int_eq(delta_base_of_encoder(other.encoder, &none), E_UNSUPPORTED);
    delta_chain_done(&other);
    delta_encoder_forget(chain.encoder);
    ck_assert_int_eq(delta_base_of_encoder(chain.encoder, &none), E_GONE);
    ck_assert_ptr_null(none);
}
END_TEST

/* On the base of set_up(): /proc/stat, number 0, has 25 columns; the name that it spelled
 * out is 16. */
static const struct {
    const char *part;
    int r;
    const char *what; /* part of it */
} bad[] = {
    {"", E_TRUNCATED, "ends"},
    {"01", E_TRUNCATED, "ends"},
    {"0100", E_TRUNCATED, "ends"},
    {"010000", E_MALFORMED, "without measurements"},
    {"011000"
     "0000",
     E_MALFORMED, "a part that there is not"},
    {"01f100"
     "0000",
     E_MALFORMED, "a part that there is not"},
    {"0200ffffffffffff0f"
     "0000",
     E_MALFORMED, "2000 to 2200"},
    {"010000"
     "00",
     E_TRUNCATED, "ends"},
    {"010000"
     "0001",
     E_TRUNCATED, "ends"},
    {"010000"
     "000101",
     E_TRUNCATED, "ends"},
    {"010000"
     "0010",
     E_MALFORMED, "bits beyond"},
    {"010000"
     "00088000",
     E_MALFORMED, "bits beyond"},
    {"010000"
     "000101ffffffffffffffffff01",
     E_MALFORMED, "a difference that there is not"},
    {"010000"
     "000101ffffffffffffffffff02",
     E_MALFORMED, "more than 64 bits"},
    {"010000"
     "0000"
     "0000",
     E_MALFORMED, "a subsystem twice"},
    {"010000"
     "0400",
     E_MALFORMED, "the base doesn't have"},
    {"010000"
     "2200",
     E_MALFORMED, "the base doesn't have"},
    {"010000"
     "2300",
     E_MALFORMED, "the base doesn't have"},
    {"010000"
     "0b02"
     "61",
     E_TRUNCATED, "ends"},
    {"010000"
     "0bffffffffff03"
     "61",
     E_TRUNCATED, "ends"},
};

START_TEST(bad_parts_are_refused)
{
    CLEANUP(bytes_drop) struct span part = bytes_of_hex(bad[_i].part);
    struct delta_since_head head;
    struct err_at at;

    batches_add(&out, T0, GAP, SPAN("kept"));
    ck_assert_int_eq(decode(part, &head, &at), bad[_i].r);
    ck_assert_msg(at.what && strstr(at.what, bad[_i].what), "%s", at.what);
    ck_assert_uint_eq(out.n_items, 1);
    ck_assert_uint_eq(out.n_ticks, 1);
    ck_assert_uint_eq(out.bytes.len, 7 + 4);
}
END_TEST

START_TEST(cut_and_damaged_parts_do_no_harm)
{
    struct delta_since_head head;
    struct err_at at;
    uint64_t dice = 1;

    add_tick(T0 + SEC, 3);
    add(T0 + SEC, GAP, "a gap");
    ck_assert_int_eq(encode(1, 1000), 0);
    for (size_t n = 0; n < sent.len; n++) {
        batch_reset(&out);
        int r = decode(span_of(sent.data, n), &head, &at);
        ck_assert(r > 0 || out.n_items < 4);
    }
    for (int i = 0; i < 20000; i++) {
        size_t bit = bytes_random(&dice) % (8 * sent.len);
        batch_reset(&out);
        sent.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        int r = decode(buf_span(&sent), &head, &at);
        ck_assert(r == 0 || (r > 0 && out.n_items == 0));
        if (i % 3 > 0) /* else it stays */
            sent.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}
END_TEST

START_TEST(memory_may_run_out_at_any_time)
{
    bool fired = true;

    add_tick(T0 + SEC, 3);
    for (long nth = 0; fired; nth++) {
        struct delta_since_head head;
        struct delta_base *base = NULL;
        struct delta_since *w = NULL;
        CLEANUP(batch_done) struct batch to;
        CLEANUP(buf_done) struct buf body;
        batch_init(&to, &batch_limits_default);
        buf_init(&body, BYTES_ROOM);
        fault_arm(nth);
        int r = delta_base_of_encoder(chain.encoder, &base);
        if (r == 0)
            r = delta_since_new(&w);
        if (r == 0)
            r = delta_since_encode(w, base, &(struct delta_tick){&batch, 0, 1, 1000},
                                   &body, &parts);
        if (r == 0)
            r = delta_since_decode(w, base, buf_span(&body), &to, &head, NULL);
        fired = fault_disarm();
        ck_assert_int_eq(r, fired ? -ENOMEM : 0);
        ck_assert_uint_eq(to.n_items, fired ? 0 : 3);
        delta_base_free(base);
        delta_since_free(w);
    }
}
END_TEST

START_TEST(nothing_is_allocated_once_it_is_warm)
{
    uint64_t before = 0;

    for (uint64_t i = 1; i < 10; i++) {
        struct delta_since_head head;
        begin();
        add_tick(T0 + i * SEC, i);
        if (i == 3)
            before = fault_allocations();
        uint64_t outside = fault_allocations();
        buf_reset(&sent);
        batch_reset(&out);
        int r = delta_since_encode(since, ours, &(struct delta_tick){&batch, 0, i, 20},
                                   &sent, &parts);
        int n = r ? r : delta_since_decode(since, theirs, part_at(0), &out, &head, NULL);
        uint64_t made = fault_allocations() - outside;
        ck_assert_int_eq(r, 0);
        ck_assert_int_eq(n, 0);
        if (before)
            ck_assert_uint_eq(made, 0);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("delta_since");
    TCase *t = tcase_create("delta_since");

    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, ticks_arrive_in_any_order_and_some_not_at_all);
    tcase_add_test(t, base_stays_where_the_chain_goes_on);
    tcase_add_test(t, unchanged_tick_is_a_few_bytes);
    tcase_add_test(t, tick_may_lack_sources_and_have_them_in_another_order);
    tcase_add_loop_test(t, any_time_arrives, 0, N_OF(times));
    tcase_add_test(t, time_of_a_base_within_a_second_arrives);
    tcase_add_test(t, gap_goes_as_it_is);
    tcase_add_test(t, subsystem_may_come_twice);
    tcase_add_test(t, what_the_base_does_not_have_is_a_conflict);
    tcase_add_test(t, tick_that_is_too_long_is_cut_between_measurements);
    tcase_add_test(t, more_parts_than_there_are_numbers_for_are_too_large);
    tcase_add_test(t, tick_is_what_follows_the_first_item);
    tcase_add_test(t, room_is_minded);
    tcase_add_test(t, batch_limits_hold);
    tcase_add_test(t, no_base_of_an_empty_chain_nor_of_one_with_a_threshold);
    tcase_add_loop_test(t, bad_parts_are_refused, 0, N_OF(bad));
    tcase_add_test(t, cut_and_damaged_parts_do_no_harm);
    tcase_add_test(t, memory_may_run_out_at_any_time);
    tcase_add_test(t, nothing_is_allocated_once_it_is_warm);
    suite_add_tcase(suite, t);
    return suite_run(suite);
}
