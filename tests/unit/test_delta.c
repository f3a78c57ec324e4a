/* SPDX-License-Identifier: MIT */
#include "common/decimal.h"
#include "common/units.h"
#include "tests/lib/fault.h"
#include "tests/unit/delta_chain.h"
#include "tests/unit/shape_texts.h"

#include <errno.h>
#include <stdio.h>

#define T0 (UINT64_C(1767813011) * SEC)
#define STAT SPAN("/proc/stat")
#define HOST SPAN("web-01")

static struct delta_chain chain;
static struct batch batch;

static void setup(void)
{
    delta_chain_init(&chain, 0);
    batch_init(&batch, &batch_limits_default);
    ck_assert_int_eq(batch_set_identifier(&batch, HOST), 0);
}

static void teardown(void)
{
    delta_chain_done(&chain);
    batch_done(&batch);
}

static void begin(void)
{
    batch_reset(&batch);
    ck_assert_int_eq(batch_set_identifier(&batch, HOST), 0);
}

static void add(uint64_t tick, struct span subsystem, const char *text)
{
    batches_add(&batch, T0 + tick * SEC, subsystem, span_of_str(text));
}

static void add_tick(uint64_t tick, const char *stat, const char *meminfo)
{
    batch_begin_tick(&batch);
    add(tick, STAT, stat);
    add(tick, SPAN("/proc/meminfo"), meminfo);
}

START_TEST(a_chain_begins_with_a_snapshot_and_goes_on)
{
    for (uint64_t i = 0; i < 5; i++) {
        char stat[64];
        (void)snprintf(stat, sizeof stat, "cpu  %d 0 %d\n", 95 + 3 * (int)i, 7 * (int)i);
        begin();
        add_tick(2 * i, stat, "MemFree:     100 kB\n");
        add_tick(2 * i + 1, stat, "MemFree:      99 kB\n");
        struct delta_place place = delta_chain_send(&chain, &batch, false);
        ck_assert_uint_eq(place.snapshot, 1);
        ck_assert_uint_eq(place.number, i);
    }
}
END_TEST

START_TEST(forgetting_makes_the_next_batch_a_snapshot_with_the_next_number)
{
    begin();
    add(0, STAT, "1");
    (void)delta_chain_send(&chain, &batch, false);
    delta_encoder_forget(chain.encoder);
    struct delta_place place = delta_chain_send(&chain, &batch, false);
    ck_assert_uint_eq(place.snapshot, 2);
    ck_assert_uint_eq(place.number, 0);
    place = delta_chain_send(&chain, &batch, false);
    ck_assert_uint_eq(place.number, 1);
}
END_TEST

START_TEST(a_batch_that_stands_alone_leaves_both_ends_as_they_are)
{
    begin();
    add(0, STAT, "1 2");
    (void)delta_chain_send(&chain, &batch, false);
    begin();
    add(1, STAT, "something else 5");
    (void)delta_chain_send(&chain, &batch, true);
    begin();
    add(2, STAT, "1 3");
    ck_assert_uint_eq(delta_chain_send(&chain, &batch, false).number, 1);
}
END_TEST

/* Two batches of a chain of three are encoded; the last one is decoded. */
START_TEST(a_batch_that_builds_on_another_state_is_a_conflict_and_changes_nothing)
{
    CLEANUP(buf_done) struct buf third;
    struct delta_place place;
    struct delta_head head;
    struct err_at at;

    buf_init(&third, BYTES_ROOM);
    begin();
    add(0, STAT, "1 2");
    (void)delta_chain_send(&chain, &batch, false);
    buf_reset(&chain.body);
    ck_assert_int_eq(delta_encode_chained(chain.encoder, &batch, 1, &chain.body, &place),
                     0);
    ck_assert_int_eq(delta_encode_chained(chain.encoder, &batch, 2, &third, &place), 0);

    ck_assert_int_eq(delta_chain_decode(&chain, buf_span(&third), &head, &at),
                     E_CONFLICT);
    ck_assert_uint_eq(chain.out.n_items, 0);
    ck_assert(!delta_state_fits(chain.state, &head.place));
    ck_assert_int_eq(delta_chain_decode(&chain, buf_span(&chain.body), &head, &at), 0);
    ck_assert_int_eq(delta_chain_decode(&chain, buf_span(&chain.body), &head, &at),
                     E_CONFLICT);
    ck_assert_int_eq(delta_chain_decode(&chain, buf_span(&third), &head, &at), 0);
    ck_assert_int_eq(delta_codec.decode_request(buf_span(&third), &chain.out, NULL),
                     E_CONFLICT);
}
END_TEST

START_TEST(batches_without_measurements_go_through)
{
    begin();
    (void)delta_chain_send(&chain, &batch, false);
    (void)delta_chain_send(&chain, &batch, false);
    (void)delta_chain_send(&chain, &batch, true);
    add(0, STAT, "5");
    (void)delta_chain_send(&chain, &batch, false);
    begin();
    (void)delta_chain_send(&chain, &batch, false);
}
END_TEST

START_TEST(shapes_change_in_mid_batch_without_a_snapshot)
{
    begin();
    add(0, STAT, "cpu  99999 5\n");
    add(1, STAT, "cpu  100000 6\n");
    add(2, STAT, "cpu  100001 7\n");
    add(3, STAT, "cpu  100002 8 and 9\n");
    add(4, STAT, "cpu  100003 9 and 9\n");
    (void)delta_chain_send(&chain, &batch, false);
    begin();
    add(5, STAT, "cpu  100003 9 and 9\n");
    add(6, STAT, "cpu  100004 10\n");
    add(7, STAT, "cpu  100005 11\n");
    ck_assert_uint_eq(delta_chain_send(&chain, &batch, false).number, 1);
}
END_TEST

START_TEST(sources_come_and_go_and_have_their_own_pace)
{
    begin();
    add_tick(0, "1", "1");
    add_tick(1, "2", "2");
    add(1, SPAN("container/docker/a1"), "x 1");
    batch_begin_tick(&batch);
    add(2, SPAN("container/docker/a1"), "x 2");
    add_tick(3, "3", "3");
    (void)delta_chain_send(&chain, &batch, false);
    begin();
    add(4, SPAN("container/docker/b2"), "x 7");
    add(4, STAT, "4");
    add_tick(5, "5", "5");
    add(5, SPAN("container/docker/a1"), "x 3");
    (void)delta_chain_send(&chain, &batch, false);
}
END_TEST

static const uint64_t many_ticks[] = {1, 7, 8, 9, 15, 16, 17, 24, 25, 40};

/* One source in each tick, the others in the first and the last, in every ninth, in the
 * second half, and in the last: bitmaps with whole bytes of nothing, and that end
 * anywhere. */
START_TEST(sources_may_leave_out_any_ticks)
{
    const uint64_t n = many_ticks[_i];

    begin();
    for (uint64_t t = 0; t < n; t++) {
        const char *text = t % 2 ? "x 1" : "x 2";
        batch_begin_tick(&batch);
        if (t == 0 || t == n - 1)
            add(t, SPAN("ends"), text);
        add(t, STAT, text);
        if (t % 9 == 0)
            add(t, SPAN("ninth"), text);
        if (t >= n / 2)
            add(t, SPAN("half"), text);
        if (t == n - 1)
            add(t, SPAN("last"), text);
    }
    (void)delta_chain_send(&chain, &batch, false);
    (void)delta_chain_send(&chain, &batch, true);
}
END_TEST

START_TEST(several_ticks_may_have_one_time_and_time_may_go_back)
{
    begin();
    add_tick(10, "1", "1");
    add_tick(10, "2", "2");
    add_tick(10, "3", "3");
    add_tick(4, "4", "4");
    add_tick(5, "5", "5");
    (void)delta_chain_send(&chain, &batch, false);
    begin();
    add_tick(1, "6", "6");
    add_tick(1, "7", "7");
    (void)delta_chain_send(&chain, &batch, false);
}
END_TEST

START_TEST(any_order_of_measurements_is_kept)
{
    begin();
    add(0, STAT, "1");
    add(0, STAT, "2");
    add(0, SPAN("b"), "1");
    batch_begin_tick(&batch);
    add(0, SPAN("b"), "2");
    add(0, STAT, "3");
    add(1, SPAN("pcc/gap"), "{\"kind\":\"x\"}\n");
    add(1, SPAN("pcc/gap"), "{\"kind\":\"y\"}\n");
    (void)delta_chain_send(&chain, &batch, false);
    (void)delta_chain_send(&chain, &batch, false);
    (void)delta_chain_send(&chain, &batch, true);
}
END_TEST

START_TEST(times_in_nanoseconds_are_kept)
{
    begin();
    for (uint64_t i = 0; i < 20; i++)
        batches_add(&batch, T0 + i * 10 * MSEC, STAT, SPAN("1"));
    (void)delta_chain_send(&chain, &batch, false);
    begin();
    batches_add(&batch, T0 + SEC, STAT, SPAN("1")); /* whole, behind one that isn't */
    (void)delta_chain_send(&chain, &batch, false);
    (void)delta_chain_send(&chain, &batch, false);
}
END_TEST

START_TEST(counters_wrap)
{
    begin();
    add(0, STAT, "18446744073709551615 0 9223372036854775808");
    add(1, STAT, "0 18446744073709551615 0");
    add(2, STAT, "18446744073709551615 1 9223372036854775807");
    add(3, STAT, "5 9223372036854775809 1");
    (void)delta_chain_send(&chain, &batch, false);
    (void)delta_chain_send(&chain, &batch, false);
}
END_TEST

START_TEST(a_text_whose_shape_does_not_hold_goes_raw)
{
    char text[32];

    for (unsigned round = 0; round < 3; round++) {
        begin();
        for (unsigned i = 0; i < 10; i++) {
            (void)snprintf(text, sizeof text, "%.*s %u", (int)(i % 5 + round), "abcdefgh",
                           i);
            add(i, STAT, text);
        }
        (void)delta_chain_send(&chain, &batch, false);
        /* The texts themselves stand in the message. */
        ck_assert_ptr_nonnull(
            memmem(chain.body.data, chain.body.len, text, strlen(text)));
    }
}
END_TEST

/* Twenty ticks of what one processor says: two lines that are the same. */
static void add_cpu_ticks(uint64_t first)
{
    uint64_t state = first + 1;
    static uint64_t value;

    begin();
    for (uint64_t i = first; i < first + 20; i++) {
        char text[128];
        value += bytes_random(&state) % 5000;
        (void)snprintf(text, sizeof text, "cpu %llu\ncpu0 %llu\nidle %llu\n",
                       (unsigned long long)value, (unsigned long long)value,
                       (unsigned long long)(i * 100));
        add(i, STAT, text);
    }
}

START_TEST(a_column_that_another_predicts_takes_no_bytes)
{
    add_cpu_ticks(0);
    (void)delta_chain_send(&chain, &batch, false);
    add_cpu_ticks(20);
    (void)delta_chain_send(&chain, &batch, false);
    /* Two bytes at most for each value of the first column, and none for the others. */
    ck_assert_uint_lt(chain.body.len, 20 * 2 + 90);
}
END_TEST

/* One column goes by fours, one keeps a pace in eights: predictors say so. Then they go
 * by less, and by one. */
START_TEST(a_factor_that_no_longer_holds_is_given_up)
{
    static const unsigned steps[] = {8, 8, 2, 8, 1, 8};
    uint64_t state = 9;
    uint64_t a = 0;
    uint64_t b = 0;
    size_t sizes[N_OF(steps)];

    for (size_t round = 0; round < N_OF(steps); round++) {
        begin();
        for (uint64_t i = 0; i < 20; i++) {
            char text[64];
            a += bytes_random(&state) % 40 * (steps[round] / 2 ? steps[round] / 2 : 1);
            b += 100000 + bytes_random(&state) % 8 * steps[round];
            (void)snprintf(text, sizeof text, "%llu %llu\n", (unsigned long long)a,
                           (unsigned long long)b);
            add(20 * round + i, STAT, text);
        }
        (void)delta_chain_send(&chain, &batch, false);
        sizes[round] = chain.body.len;
    }
    /* What is given up stays so: steps of eight are no longer as short. */
    ck_assert_uint_gt(sizes[5], sizes[1]);
}
END_TEST

START_TEST(a_shape_with_other_columns_has_no_predictors_of_the_one_before)
{
    add_cpu_ticks(0);
    (void)delta_chain_send(&chain, &batch, false);
    begin();
    for (uint64_t i = 20; i < 24; i++) {
        char text[64];
        (void)snprintf(text, sizeof text, "cpu %llu\ncpu0 7\nidle 8\nmore %llu\n",
                       (unsigned long long)i, (unsigned long long)(i * i));
        add(i, STAT, text);
    }
    (void)delta_chain_send(&chain, &batch, false);
    (void)delta_chain_send(&chain, &batch, false);
}
END_TEST

START_TEST(a_state_is_about_as_large_as_its_texts)
{
    add_cpu_ticks(0);
    (void)delta_chain_send(&chain, &batch, false);
    ck_assert_uint_lt(delta_state_bytes(chain.state), 2000);
}
END_TEST

/* Texts of random length under random names, some of which follow from those before. */
static void random_batch(uint64_t *state, struct buf texts[8])
{
    static const char *const names[] = {"/proc/stat", "/proc/meminfo", "pcc/gap", "a",
                                        "b",          "statfs[*]",     "é",       ""};
    CLEANUP(buf_done) struct buf next;
    size_t n = bytes_random(state) % 30;

    buf_init(&next, BYTES_ROOM);
    begin();
    uint64_t time = T0 + bytes_random(state) % 1000 * SEC;
    for (size_t i = 0; i < n; i++) {
        uint64_t dice = bytes_random(state);
        size_t which = dice % N_OF(names);
        if (dice / 8 % 4 == 0)
            shape_random_text(state, &texts[which]);
        shape_change_text(state, buf_span(&texts[which]), &next);
        if (dice / 32 % 8)
            time += dice / 256 % 3 * SEC;
        else
            time -= dice / 256 % 100 * MSEC;
        if (dice % 11 == 0)
            batch_begin_tick(&batch);
        batches_add(&batch, time, span_of_str(names[which]), buf_span(&next));
        if (dice % 3) {
            buf_reset(&texts[which]);
            bytes_put(&texts[which], buf_span(&next));
        }
    }
}

START_TEST(any_batches_come_out_as_they_went_in)
{
    struct buf texts[8];
    uint64_t state = 1000 + (uint64_t)_i;

    for (size_t i = 0; i < N_OF(texts); i++)
        buf_init(&texts[i], BYTES_ROOM);
    for (size_t i = 0; i < 60; i++) {
        random_batch(&state, texts);
        (void)delta_chain_send(&chain, &batch, i % 7 == 0);
        if (i % 37 == 0)
            delta_encoder_forget(chain.encoder);
    }
    for (size_t i = 0; i < N_OF(texts); i++)
        buf_done(&texts[i]);
}
END_TEST

START_TEST(more_subsystems_than_a_state_holds_begin_a_new_one)
{
    char name[32];

    for (unsigned round = 0; round < 8; round++) {
        begin();
        for (unsigned i = 0; i < 300; i++) {
            (void)snprintf(name, sizeof name, "container/docker/%u-%u", round, i);
            add(round, span_of_str(name), "x 1");
        }
        struct delta_place place = delta_chain_send(&chain, &batch, false);
        ck_assert_uint_eq(place.snapshot, 1 + round / 3);
        ck_assert_uint_eq(place.number, round % 3);
    }
    begin();
    for (unsigned i = 0; i < 2000; i++) {
        (void)snprintf(name, sizeof name, "n%u", i);
        add(0, span_of_str(name), "x 1");
    }
    struct delta_place place;
    buf_reset(&chain.body);
    ck_assert_int_eq(delta_encode_chained(chain.encoder, &batch, 0, &chain.body, &place),
                     E_TOO_LARGE);
    ck_assert_uint_eq(chain.body.len, 0);
}
END_TEST

START_TEST(texts_too_large_for_a_state_go_raw)
{
    size_t n = 3 << 20;
    char *text = malloc(n + 1);

    ck_assert_ptr_nonnull(text);
    for (unsigned round = 0; round < 3; round++) {
        memset(text, 'x', n);
        text[n] = '\0';
        text[5] = (char)('1' + round);
        begin();
        add(0, SPAN("one"), text);
        add(0, SPAN("two"), text);
        add(0, SPAN("three"), "12");
        (void)delta_chain_send(&chain, &batch, false);
        ck_assert_uint_lt(delta_state_bytes(chain.state), LIMIT_DELTA_STATE_BYTES + 8192);
    }
    free(text);
}
END_TEST

/* A text of @n numbers, each of one digit. */
static char *many_numbers(size_t n)
{
    char *text = malloc(2 * n + 1);

    ck_assert_ptr_nonnull(text);
    for (size_t i = 0; i < n; i++)
        memcpy(text + 2 * i, "1 ", 2);
    text[2 * n] = '\0';
    return text;
}

START_TEST(more_columns_in_mid_batch_than_a_state_holds_go_raw)
{
    char *text = many_numbers(LIMIT_DELTA_STATE_BYTES / LIMIT_DELTA_COLUMN_BYTES + 1);

    for (unsigned round = 0; round < 2; round++) {
        begin();
        add(0, STAT, text);
        add(1, STAT, "1");
        (void)delta_chain_send(&chain, &batch, round);
        begin(); /* two at a time */
        add_tick(0, text + LIMIT_DELTA_STATE_BYTES / LIMIT_DELTA_COLUMN_BYTES,
                 text + 400000);
        add_tick(1, "1", "2");
        (void)delta_chain_send(&chain, &batch, round);
    }
    free(text);
}
END_TEST

static void add_names(unsigned n, unsigned tick)
{
    for (unsigned i = 0; i < n; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "small-%u", i);
        add(tick, span_of_str(name), "some text 1");
    }
}

/* The numbers of subsystems change where a batch becomes a snapshot. */
START_TEST(only_the_texts_that_are_too_large_go_raw)
{
    size_t n = 3 << 20;
    char *text = malloc(n + 1);

    ck_assert_ptr_nonnull(text);
    memset(text, 'x', n);
    text[n] = '\0';
    begin();
    add_names(10, 0);
    (void)delta_chain_send(&chain, &batch, false);
    begin();
    add(1, SPAN("large"), text);
    add(1, SPAN("larger"), text);
    ck_assert_uint_eq(delta_chain_send(&chain, &batch, false).number, 0);
    for (unsigned i = 2; i < 4; i++) {
        begin();
        add_names(10, i);
        ck_assert_uint_eq(delta_chain_send(&chain, &batch, false).number, i - 1);
    }
    ck_assert_ptr_null(memmem(chain.body.data, chain.body.len, "some text", 9));
    free(text);
}
END_TEST

/* The next number in a text. */
static uint64_t next_number(const uint8_t **at, const uint8_t *end)
{
    uint64_t value = 0;
    const uint8_t *digits;

    while (*at < end && (**at < '0' || **at > '9'))
        ++*at;
    for (digits = *at; *at < end && **at >= '0' && **at <= '9'; ++*at)
        ;
    ck_assert(digits < *at);
    ck_assert_int_eq(decimal_read(digits, (size_t)(*at - digits), &value), 0);
    return value;
}

/* The value that the other end has is never further away than the threshold. */
static void check_bound(uint64_t told, uint64_t truth, uint64_t millionths)
{
    uint64_t larger = told > truth ? told : truth;
    uint64_t apart = told > truth ? told - truth : truth - told;

    ck_assert_msg(
        (unsigned __int128)apart * 1000000 <= (unsigned __int128)larger * millionths,
        "%llu instead of %llu", (unsigned long long)told, (unsigned long long)truth);
}

START_TEST(with_a_threshold_no_value_is_further_off_than_that)
{
    static const uint64_t thresholds[] = {1, 1000, 100000, 999999};
    uint64_t millionths = thresholds[_i];
    uint64_t state = 77;
    uint64_t values[6] = {0, 100, 1000000, 5, UINT64_MAX, 1};
    uint64_t n_off = 0;

    delta_chain_done(&chain);
    delta_chain_init(&chain, millionths);
    for (size_t round = 0; round < 500; round++) {
        char text[256];
        struct delta_place place;
        struct delta_head head;
        struct err_at at;
        unsigned long long v[6];

        for (size_t i = 0; i < 6; i++) {
            uint64_t dice = bytes_random(&state);
            uint64_t step = values[i] >> (dice % 24);
            values[i] += dice / 32 % 2 ? step : 0 - step;
            if (dice / 64 % 50 == 0)
                values[i] = bytes_random(&state) >> (dice / 4096 % 64);
            v[i] = values[i];
        }
        /* Between blanks: the first four. A name, a fraction, and a number with a unit.
         */
        (void)snprintf(text, sizeof text,
                       "%llu\t%llu %20llu\n%llu if%llu %llu.%02llu %llukB\n", v[0], v[1],
                       v[2], v[3], v[4], v[5], v[5] % 100, v[5]);
        begin();
        add(round, STAT, text);
        buf_reset(&chain.body);
        ck_assert_int_eq(
            delta_encode_chained(chain.encoder, &batch, round, &chain.body, &place), 0);
        ck_assert_int_eq(delta_chain_decode(&chain, buf_span(&chain.body), &head, &at),
                         0);
        struct measurement m = batch_get(&chain.out, 0);
        uint64_t t[8];
        const uint8_t *text_at = m.text.data;
        for (size_t i = 0; i < N_OF(t); i++)
            t[i] = next_number(&text_at, m.text.data + m.text.n);
        for (size_t i = 0; i < 4; i++) {
            check_bound(t[i], values[i], millionths);
            n_off += t[i] != values[i];
        }
        ck_assert_uint_eq(t[4], values[4]);
        ck_assert_uint_eq(t[5], values[5]);
        ck_assert_uint_eq(t[6], values[5] % 100);
        ck_assert_uint_eq(t[7], values[5]);
    }
    if (millionths > 1)
        ck_assert_uint_gt(n_off, 0);
}
END_TEST

START_TEST(a_message_cut_short_or_changed_never_crashes_and_leaves_no_batch)
{
    struct delta_head head;
    struct err_at at;
    uint64_t state = 5;

    add_cpu_ticks(0);
    buf_reset(&chain.body);
    struct delta_place place;
    ck_assert_int_eq(delta_encode_chained(chain.encoder, &batch, 0, &chain.body, &place),
                     0);
    for (size_t n = 0; n < chain.body.len; n++) {
        int r = delta_chain_decode(&chain, span_of(chain.body.data, n), &head, &at);
        ck_assert_int_gt(r, 0);
        batches_assert_reset(&chain.out);
    }
    for (size_t i = 0; i < 2000; i++) {
        size_t where = bytes_random(&state) % (chain.body.len + !chain.body.len);
        uint8_t was = chain.body.data[where];
        chain.body.data[where] = (uint8_t)bytes_random(&state);
        int r = delta_chain_decode(&chain, buf_span(&chain.body), &head, &at);
        ck_assert_int_ge(r, 0);
        if (r)
            batches_assert_reset(&chain.out);
        chain.body.data[where] = was;
    }
}
END_TEST

START_TEST(without_memory_nothing_comes_out_and_what_follows_is_a_snapshot)
{
    bool fired = true;
    struct delta_place place;

    for (long nth = 0; fired; nth++) {
        teardown();
        setup();
        add_cpu_ticks(0);
        buf_reset(&chain.body);
        fault_arm(nth);
        int r = delta_encode_chained(chain.encoder, &batch, 0, &chain.body, &place);
        fired = fault_disarm();
        ck_assert_int_eq(r, fired ? -ENOMEM : 0);
        if (fired)
            ck_assert_uint_eq(chain.body.len, 0);
        add_cpu_ticks(20);
        place = delta_chain_send(&chain, &batch, !fired);
        ck_assert_uint_eq(place.number, 0);
    }
}
END_TEST

START_TEST(decoding_without_memory_leaves_no_batch)
{
    bool fired = true;
    struct delta_place place;
    struct delta_head head;

    add_cpu_ticks(0);
    buf_reset(&chain.body);
    ck_assert_int_eq(delta_encode_chained(chain.encoder, &batch, 0, &chain.body, &place),
                     0);
    for (long nth = 0; fired; nth++) {
        struct delta_decoder *d;
        struct delta_state *s;
        CLEANUP(batch_done) struct batch out;

        batch_init(&out, &batch_limits_default);
        ck_assert_int_eq(delta_decoder_new(&d), 0);
        ck_assert_int_eq(delta_state_new(&s), 0);
        fault_arm(nth);
        int r = delta_decoder_open(d, buf_span(&chain.body), &out.limits, &head, NULL);
        if (r == 0)
            r = delta_decoder_run(d, s, &out, NULL);
        fired = fault_disarm();
        delta_decoder_free(d);
        delta_state_free(s);
        ck_assert_int_eq(r, fired ? -ENOMEM : 0);
        if (fired)
            batches_assert_reset(&out);
    }
}
END_TEST

/* A batch of the chain, a snapshot, and one that stands alone. */
START_TEST(encoding_allocates_nothing_after_warm_up)
{
    struct delta_place place;

    for (uint64_t i = 0; i < 10; i++) {
        add_cpu_ticks(20 * i);
        if (i % 3 == 0)
            delta_encoder_forget(chain.encoder);
        (void)delta_chain_send(&chain, &batch, i % 4 == 2);
    }
    add_cpu_ticks(200);
    buf_reset(&chain.body);
    if (_i == 1)
        delta_encoder_forget(chain.encoder);
    fault_arm(0);
    int r = _i == 2
                ? delta_encode_alone(chain.encoder, &batch, 200, &chain.body)
                : delta_encode_chained(chain.encoder, &batch, 200, &chain.body, &place);
    bool allocated = fault_disarm();
    ck_assert(!allocated);
    ck_assert_int_eq(r, 0);
}
END_TEST

/* What a few bytes may make of themselves is bounded by the limits of the batch. */
START_TEST(a_message_may_not_build_more_than_a_batch_may_hold)
{
    struct delta_place place;
    struct delta_head head;
    struct err_at at;
    size_t n = 1 << 20;
    char *text = malloc(n + 1);

    ck_assert_ptr_nonnull(text);
    memset(text, 'x', n);
    text[n] = '\0';
    begin();
    for (unsigned i = 0; i < 8; i++)
        add(i, STAT, text);
    buf_reset(&chain.body);
    ck_assert_int_eq(delta_encode_chained(chain.encoder, &batch, 0, &chain.body, &place),
                     0);
    chain.out.limits.bytes = 8 * (n + 10);
    buf_done(&chain.out.bytes);
    buf_init(&chain.out.bytes, chain.out.limits.bytes);
    ck_assert_int_eq(delta_chain_decode(&chain, buf_span(&chain.body), &head, &at), 0);
    buf_done(&chain.out.bytes);
    buf_init(&chain.out.bytes, 8 * (n + 10) - 1);
    ck_assert_int_eq(delta_chain_decode(&chain, buf_span(&chain.body), &head, &at),
                     E_TOO_LARGE);
    free(text);
}
END_TEST

/* Decodes the body with other limits. Return: what the decoder says. */
static int decode_within(const struct batch_limits *limits)
{
    struct delta_head head;
    struct err_at at;

    batch_done(&chain.out);
    batch_init(&chain.out, limits);
    return delta_chain_decode(&chain, buf_span(&chain.body), &head, &at);
}

START_TEST(a_batch_over_any_limit_is_too_large_whole)
{
    struct batch_limits limits = batch_limits_default;

    for (unsigned tick = 0; tick < 3; tick++) {
        add_tick(tick, "cpu  1 2 3\n", "MemFree:  99 kB\n");
        add(tick, SPAN("raw"), tick % 2 ? "one" : "another");
        add(tick, SPAN("more"), tick % 2 ? "" : "7 8");
    }
    ck_assert_int_eq(delta_encode_alone(chain.encoder, &batch, 0, &chain.body), 0);
    for (limits.measurements = 0; limits.measurements < batch.n_items;
         limits.measurements++)
        ck_assert_int_eq(decode_within(&limits), E_TOO_LARGE);
    ck_assert_int_eq(decode_within(&limits), 0);
    for (limits.bytes = 0; limits.bytes < batch.bytes.len; limits.bytes++) {
        ck_assert_int_eq(decode_within(&limits), E_TOO_LARGE);
        batches_assert_reset(&chain.out);
    }
    ck_assert_int_eq(decode_within(&limits), 0);
    batches_assert_same(&chain.out, &batch);
}
END_TEST

/* A decoder gives back what a large message needed; where that fails, what follows is
 * read all the same. */
START_TEST(after_a_large_message_another_is_read)
{
    CLEANUP(buf_done) struct buf small;
    char *numbers = many_numbers(200);
    struct delta_head head;
    struct err_at at;
    bool fired = true;

    buf_init(&small, LIMIT_DECODED_BYTES);
    add(0, STAT, "cpu  1 2 3\n");
    ck_assert_int_eq(delta_encode_alone(chain.encoder, &batch, 0, &small), 0);
    begin();
    for (unsigned i = 0; i < 1000; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "large-%u", i);
        add(0, span_of_str(name), numbers);
    }
    ck_assert_int_eq(delta_encode_alone(chain.encoder, &batch, 0, &chain.body), 0);
    for (long nth = 0; fired; nth++) {
        ck_assert_int_eq(delta_decoder_open(chain.decoder, buf_span(&chain.body),
                                            &chain.out.limits, &head, &at),
                         0);
        batch_reset(&chain.out);
        ck_assert_int_eq(delta_decoder_run(chain.decoder, NULL, &chain.out, &at), 0);
        fault_arm(nth);
        delta_decoder_reset(chain.decoder);
        fired = fault_disarm();
        ck_assert_int_eq(delta_chain_decode(&chain, buf_span(&small), &head, &at), 0);
        ck_assert_uint_eq(chain.out.n_items, 1);
    }
    free(numbers);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("delta");
    TCase *c = tcase_create("chain");

    tcase_add_checked_fixture(c, setup, teardown);
    tcase_set_timeout(c, 120);
    tcase_add_test(c, a_chain_begins_with_a_snapshot_and_goes_on);
    tcase_add_test(c, forgetting_makes_the_next_batch_a_snapshot_with_the_next_number);
    tcase_add_test(c, a_batch_that_stands_alone_leaves_both_ends_as_they_are);
    tcase_add_test(
        c, a_batch_that_builds_on_another_state_is_a_conflict_and_changes_nothing);
    tcase_add_test(c, batches_without_measurements_go_through);
    tcase_add_test(c, shapes_change_in_mid_batch_without_a_snapshot);
    tcase_add_test(c, sources_come_and_go_and_have_their_own_pace);
    tcase_add_loop_test(c, sources_may_leave_out_any_ticks, 0, (int)N_OF(many_ticks));
    tcase_add_test(c, several_ticks_may_have_one_time_and_time_may_go_back);
    tcase_add_test(c, any_order_of_measurements_is_kept);
    tcase_add_test(c, times_in_nanoseconds_are_kept);
    tcase_add_test(c, counters_wrap);
    tcase_add_test(c, a_text_whose_shape_does_not_hold_goes_raw);
    tcase_add_test(c, a_column_that_another_predicts_takes_no_bytes);
    tcase_add_test(c, a_factor_that_no_longer_holds_is_given_up);
    tcase_add_test(c, a_shape_with_other_columns_has_no_predictors_of_the_one_before);
    tcase_add_test(c, a_state_is_about_as_large_as_its_texts);
    tcase_add_loop_test(c, any_batches_come_out_as_they_went_in, 0, 10);
    suite_add_tcase(suite, c);

    c = tcase_create("limits");
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_set_timeout(c, 120);
    tcase_add_test(c, more_subsystems_than_a_state_holds_begin_a_new_one);
    tcase_add_test(c, texts_too_large_for_a_state_go_raw);
    tcase_add_test(c, only_the_texts_that_are_too_large_go_raw);
    tcase_add_test(c, more_columns_in_mid_batch_than_a_state_holds_go_raw);
    tcase_add_test(c, a_message_may_not_build_more_than_a_batch_may_hold);
    tcase_add_loop_test(c, with_a_threshold_no_value_is_further_off_than_that, 0, 4);
    tcase_add_test(c, a_message_cut_short_or_changed_never_crashes_and_leaves_no_batch);
    tcase_add_test(c, without_memory_nothing_comes_out_and_what_follows_is_a_snapshot);
    tcase_add_test(c, decoding_without_memory_leaves_no_batch);
    tcase_add_test(c, a_batch_over_any_limit_is_too_large_whole);
    tcase_add_test(c, after_a_large_message_another_is_read);
    tcase_add_loop_test(c, encoding_allocates_nothing_after_warm_up, 0, 3);
    suite_add_tcase(suite, c);
    return suite_run(suite);
}
