/* SPDX-License-Identifier: MIT */
#include "common/measurement.h"
#include "common/units.h"
#include "tests/lib/batches.h"
#include "tests/lib/bytes.h"
#include "tests/lib/fault.h"
#include "tests/lib/suite.h"

#include <errno.h>
#include <stdio.h>

#define N_ITEMS 5

static const struct batch_limits small = {
    .measurements = 3,
    .text_bytes = 4,
    .subsystem_bytes = 2,
    .bytes = 12,
};

static struct measurement make(uint64_t time_ns, const char *subsystem, const char *text)
{
    return (struct measurement){
        .time_ns = time_ns,
        .subsystem = span_of_str(subsystem),
        .text = span_of_str(text),
    };
}

static int append(struct batch *b, uint64_t time_ns, const char *subsystem,
                  const char *text)
{
    struct measurement m = make(time_ns, subsystem, text);

    return batch_append(b, &m);
}

static void assert_item(const struct batch *b, size_t i, uint64_t time_ns,
                        const char *subsystem, const char *text)
{
    struct measurement m = batch_get(b, i);

    ck_assert_uint_eq(m.time_ns, time_ns);
    ck_assert(span_equal_str(m.subsystem, subsystem));
    ck_assert(span_equal_str(m.text, text));
}

START_TEST(measurements_come_back_as_they_were_and_in_order)
{
    CLEANUP(batch_done) struct batch b;
    CLEANUP(bytes_drop) struct span text = suite_exact(SPAN("a\0\xff\n"));
    struct measurement m = {.time_ns = 3, .subsystem = SPAN("x"), .text = text};

    batch_init(&b, &batch_limits_default);
    ck_assert_int_eq(append(&b, 1, "/proc/stat", "cpu 1\n"), 0);
    ck_assert_int_eq(append(&b, 2, "", ""), 0);
    ck_assert_int_eq(batch_append(&b, &m), 0);
    ck_assert_uint_eq(b.n_items, 3);
    assert_item(&b, 0, 1, "/proc/stat", "cpu 1\n");
    assert_item(&b, 1, 2, "", "");
    ck_assert(span_equal(batch_get(&b, 2).text, text));
}
END_TEST

START_TEST(many_measurements_are_kept)
{
    CLEANUP(batch_done) struct batch b;
    char text[32];

    batch_init(&b, &batch_limits_default);
    for (unsigned i = 0; i < 10000; i++) {
        (void)snprintf(text, sizeof text, "text %u", i);
        ck_assert_int_eq(append(&b, i, "s", text), 0);
    }
    for (unsigned i = 0; i < 10000; i++) {
        (void)snprintf(text, sizeof text, "text %u", i);
        assert_item(&b, i, i, "s", text);
    }
}
END_TEST

static const struct {
    const char *subsystem;
    const char *text;
    int r;
} sizes[] = {
    {"s", "tex", 0},
    {"ss", "text", 0},
    {"sss", "", E_TOO_LARGE},
    {"", "texts", E_TOO_LARGE},
    {"sss", "texts", E_TOO_LARGE},
};

START_TEST(a_measurement_is_taken_up_to_its_limits)
{
    CLEANUP(batch_done) struct batch b;

    batch_init(&b, &small);
    ck_assert_int_eq(append(&b, 1, sizes[_i].subsystem, sizes[_i].text), sizes[_i].r);
    ck_assert_uint_eq(b.n_items, sizes[_i].r == 0);
    if (sizes[_i].r)
        ck_assert_uint_eq(b.bytes.len, 0);
}
END_TEST

START_TEST(a_batch_is_filled_up_to_its_number_of_measurements)
{
    CLEANUP(batch_done) struct batch b;

    batch_init(&b, &small);
    for (uint64_t i = 0; i < 3; i++)
        ck_assert_int_eq(append(&b, i, "s", "t"), 0);
    ck_assert_int_eq(append(&b, 3, "", ""), E_TOO_LARGE);
    ck_assert_int_eq(batch_open(&b, 3, SPAN("")), E_TOO_LARGE);
    ck_assert_uint_eq(b.n_items, 3);
    ck_assert_uint_eq(b.n_ticks, 3);
    ck_assert_uint_eq(b.bytes.len, 6);
}
END_TEST

START_TEST(a_batch_is_filled_up_to_its_bytes)
{
    CLEANUP(batch_done) struct batch b;

    batch_init(&b, &small);
    ck_assert_int_eq(append(&b, 1, "ss", "text"), 0);
    ck_assert_int_eq(append(&b, 1, "ss", "tex"), 0);
    ck_assert_int_eq(append(&b, 2, "", "tt"), E_TOO_LARGE);
    ck_assert_int_eq(batch_open(&b, 2, SPAN("ss")), E_TOO_LARGE);
    ck_assert_uint_eq(b.n_items, 2);
    ck_assert_uint_eq(b.n_ticks, 1);
    ck_assert_uint_eq(b.bytes.len, 11);
    ck_assert_int_eq(append(&b, 2, "", "t"), 0);
    ck_assert_uint_eq(b.bytes.len, 12);
}
END_TEST

START_TEST(reserve_makes_room_within_the_limits)
{
    CLEANUP(batch_done) struct batch b;

    batch_init(&b, &small);
    ck_assert_int_eq(batch_reserve(&b, 4, 0), E_TOO_LARGE);
    ck_assert_int_eq(batch_reserve(&b, 0, 13), E_TOO_LARGE);
    ck_assert_int_eq(batch_reserve(&b, SIZE_MAX, SIZE_MAX), E_TOO_LARGE);
    ck_assert_int_eq(batch_reserve(&b, 3, 12), 0);
    fault_arm(0);
    int r = 0;
    for (uint64_t i = 0; i < 3 && r == 0; i++)
        r = append(&b, i, "s", "tex");
    bool fired = fault_disarm();
    ck_assert(!fired); /* nothing was allocated any more */
    ck_assert_int_eq(r, 0);
}
END_TEST

START_TEST(a_tick_starts_with_a_new_time_or_when_told)
{
    CLEANUP(batch_done) struct batch b;
    static const bool starts[] = {true, false, true, true, false, true};

    batch_init(&b, &batch_limits_default);
    ck_assert_int_eq(append(&b, 10, "a", ""), 0);
    ck_assert_int_eq(append(&b, 10, "b", ""), 0);
    ck_assert_int_eq(append(&b, 11, "a", ""), 0);
    batch_begin_tick(&b);
    ck_assert_int_eq(append(&b, 11, "a", ""), 0);
    ck_assert_int_eq(append(&b, 11, "b", ""), 0);
    ck_assert_int_eq(append(&b, 5, "a", ""), 0); /* a clock that was set back */
    for (size_t i = 0; i < N_OF(starts); i++)
        ck_assert_int_eq(b.items[i].starts_tick, starts[i]);
    ck_assert_uint_eq(b.n_ticks, 4);
}
END_TEST

START_TEST(a_tick_begun_twice_or_before_the_first_is_one)
{
    CLEANUP(batch_done) struct batch b;

    batch_init(&b, &batch_limits_default);
    batch_begin_tick(&b);
    batch_begin_tick(&b);
    ck_assert_int_eq(append(&b, 10, "a", ""), 0);
    ck_assert_int_eq(append(&b, 10, "b", ""), 0);
    ck_assert_uint_eq(b.n_ticks, 1);
}
END_TEST

/* The mark waits for the measurement that is taken. */
START_TEST(a_tick_begun_outlives_a_measurement_that_is_refused_or_cancelled)
{
    CLEANUP(batch_done) struct batch b;

    batch_init(&b, &small);
    ck_assert_int_eq(append(&b, 10, "a", ""), 0);
    batch_begin_tick(&b);
    ck_assert_int_eq(append(&b, 10, "sss", ""), E_TOO_LARGE);
    ck_assert_int_eq(batch_open(&b, 10, SPAN("s")), 0);
    batch_cancel(&b);
    ck_assert_int_eq(append(&b, 10, "b", ""), 0);
    ck_assert(b.items[1].starts_tick);
    ck_assert_uint_eq(b.n_ticks, 2);
}
END_TEST

START_TEST(a_text_is_built_in_place)
{
    CLEANUP(batch_done) struct batch b;

    batch_init(&b, &batch_limits_default);
    ck_assert_int_eq(append(&b, 1, "a", "one"), 0);
    ck_assert_int_eq(batch_open(&b, 2, SPAN("b")), 0);
    ck_assert(b.is_open);
    ck_assert_uint_eq(b.n_items, 1);
    bytes_put(&b.bytes, SPAN("tw"));
    bytes_put(&b.bytes, SPAN("o"));
    ck_assert_int_eq(batch_close(&b), 0);
    ck_assert(!b.is_open);
    ck_assert_int_eq(batch_open(&b, 2, SPAN("")), 0);
    ck_assert_int_eq(batch_close(&b), 0);
    ck_assert_int_eq(append(&b, 3, "c", "three"), 0);
    ck_assert_uint_eq(b.n_items, 4);
    ck_assert_uint_eq(b.n_ticks, 3);
    assert_item(&b, 0, 1, "a", "one");
    assert_item(&b, 1, 2, "b", "two");
    assert_item(&b, 2, 2, "", "");
    assert_item(&b, 3, 3, "c", "three");
}
END_TEST

START_TEST(a_text_built_in_place_is_taken_up_to_its_limit)
{
    CLEANUP(batch_done) struct batch b;

    batch_init(&b, &small);
    ck_assert_int_eq(batch_open(&b, 1, SPAN("sss")), E_TOO_LARGE);
    ck_assert_int_eq(batch_open(&b, 1, SPAN("ss")), 0);
    bytes_put(&b.bytes, SPAN("text"));
    ck_assert_int_eq(batch_close(&b), 0);
    ck_assert_int_eq(batch_open(&b, 1, SPAN("s")), 0);
    bytes_put(&b.bytes, SPAN("texts"));
    ck_assert_int_eq(batch_close(&b), E_TOO_LARGE);
    ck_assert(!b.is_open);
    ck_assert_uint_eq(b.n_items, 1);
    ck_assert_uint_eq(b.bytes.len, 6);
    ck_assert_int_eq(append(&b, 1, "s", "t"), 0);
    assert_item(&b, 1, 1, "s", "t");
}
END_TEST

START_TEST(a_cancelled_measurement_leaves_no_trace)
{
    CLEANUP(batch_done) struct batch b;

    batch_init(&b, &batch_limits_default);
    ck_assert_int_eq(append(&b, 1, "a", "one"), 0);
    ck_assert_int_eq(batch_open(&b, 2, SPAN("b")), 0);
    bytes_put(&b.bytes, SPAN("half a te"));
    batch_cancel(&b);
    ck_assert(!b.is_open);
    ck_assert_uint_eq(b.n_items, 1);
    ck_assert_uint_eq(b.n_ticks, 1);
    ck_assert_uint_eq(b.bytes.len, 4);
    ck_assert_int_eq(append(&b, 1, "c", "next"), 0);
    ck_assert_uint_eq(b.n_ticks, 1);
    assert_item(&b, 1, 1, "c", "next");
}
END_TEST

START_TEST(reset_empties_and_keeps_the_memory)
{
    CLEANUP(batch_done) struct batch b;

    batch_init(&b, &batch_limits_default);
    ck_assert_int_eq(batch_set_identifier(&b, SPAN("web-01")), 0);
    ck_assert_int_eq(append(&b, 1, "a", "one"), 0);
    batch_begin_tick(&b);
    const uint8_t *bytes = b.bytes.data;
    const struct batch_item *items = b.items;
    batch_reset(&b);
    batches_assert_reset(&b);
    ck_assert(!b.tick_begins);
    ck_assert_ptr_eq(b.bytes.data, bytes);
    ck_assert_ptr_eq(b.items, items);
    ck_assert_int_eq(append(&b, 1, "b", "two"), 0);
    ck_assert_uint_eq(b.n_ticks, 1);
    assert_item(&b, 0, 1, "b", "two");
}
END_TEST

START_TEST(done_takes_a_zeroed_batch_and_one_that_is_done)
{
    struct batch zeroed = {0};
    struct batch b;

    batch_done(&zeroed);
    batch_init(&b, &batch_limits_default);
    ck_assert_int_eq(append(&b, 1, "a", "one"), 0);
    batch_done(&b);
    ck_assert_ptr_null(b.items);
    ck_assert_ptr_null(b.bytes.data);
    ck_assert_uint_eq(b.n_items, 0);
    batch_done(&b);
}
END_TEST

/* Ticks a a | b b | c, where b has the time of a. */
static void fill(struct batch *b)
{
    batch_init(b, &batch_limits_default);
    ck_assert_int_eq(append(b, 10, "s0", "t0"), 0);
    ck_assert_int_eq(append(b, 10, "s1", "t1"), 0);
    batch_begin_tick(b);
    ck_assert_int_eq(append(b, 10, "s2", "t2"), 0);
    ck_assert_int_eq(append(b, 10, "s3", "t3"), 0);
    ck_assert_int_eq(append(b, 11, "s4", "t4"), 0);
    ck_assert_uint_eq(b->n_ticks, 3);
}

/* Does the end of @to hold these measurements of @from, with their ticks? */
static void assert_range(const struct batch *to, const struct batch *from, size_t first,
                         size_t n)
{
    for (size_t i = 0; i < n; i++) {
        size_t at = to->n_items - n + i;
        struct measurement m = batch_get(from, first + i);

        ck_assert_int_eq(to->items[at].starts_tick, from->items[first + i].starts_tick);
        ck_assert_uint_eq(to->items[at].time_ns, m.time_ns);
        ck_assert(span_equal(batch_get(to, at).subsystem, m.subsystem));
        ck_assert(span_equal(batch_get(to, at).text, m.text));
    }
}

static size_t count_ticks(const struct batch *b)
{
    size_t ticks = 0;

    for (size_t i = 0; i < b->n_items; i++)
        ticks += b->items[i].starts_tick;
    return ticks;
}

/* Every part of a batch, behind what the other already has. */
START_TEST(a_range_is_appended_with_its_ticks)
{
    CLEANUP(batch_done) struct batch from;
    size_t first = (size_t)_i;

    fill(&from);
    for (size_t n = 0; n <= N_ITEMS - first; n++) {
        CLEANUP(batch_done) struct batch to;

        batch_init(&to, &batch_limits_default);
        ck_assert_int_eq(append(&to, 10, "own", "own"), 0);
        ck_assert_int_eq(batch_append_range(&to, &from, first, n), 0);
        ck_assert_uint_eq(to.n_items, 1 + n);
        assert_range(&to, &from, first, n);
        ck_assert_uint_eq(to.n_ticks, count_ticks(&to));
    }
}
END_TEST

START_TEST(a_range_that_does_not_fit_leaves_the_batch_as_it_was)
{
    CLEANUP(batch_done) struct batch from;
    struct batch_limits limits = batch_limits_default;

    fill(&from);
    for (limits.measurements = 1; limits.measurements <= N_ITEMS + 1;
         limits.measurements++) {
        CLEANUP(batch_done) struct batch to;

        batch_init(&to, &limits);
        ck_assert_int_eq(append(&to, 10, "own", "own"), 0);
        batch_begin_tick(&to);
        int r = batch_append_range(&to, &from, 0, N_ITEMS);
        bool fits = limits.measurements == N_ITEMS + 1;
        ck_assert_int_eq(r, fits ? 0 : E_TOO_LARGE);
        ck_assert_uint_eq(to.n_items, fits ? 1 + N_ITEMS : 1);
        ck_assert_uint_eq(to.n_ticks, fits ? 4 : 1);
        ck_assert_uint_eq(to.bytes.len, fits ? 6 + 4 * N_ITEMS : 6);
        ck_assert_int_eq(to.tick_begins, !fits);
        assert_item(&to, 0, 10, "own", "own");
    }
}
END_TEST

/* A character a measurement: a capital one starts a tick. */
static const struct {
    const char *ticks;
    size_t middle;
} middles[] = {
    {"", 0},    {"A", 0},      {"Aaa", 0},  {"AB", 1},      {"AaB", 2},   {"ABb", 1},
    {"ABC", 1}, {"AaBbCc", 2}, {"ABCD", 2}, {"AaaaBCD", 5}, {"ABCDE", 2}, {"AABB", 2},
};

START_TEST(the_middle_is_where_the_second_half_of_the_ticks_begins)
{
    CLEANUP(batch_done) struct batch b;

    batch_init(&b, &batch_limits_default);
    for (const char *c = middles[_i].ticks; *c; c++) {
        if (*c >= 'A' && *c <= 'Z')
            batch_begin_tick(&b);
        ck_assert_int_eq(append(&b, 10, "s", "t"), 0);
    }
    ck_assert_uint_eq(batch_middle_tick(&b), middles[_i].middle);
}
END_TEST

START_TEST(a_cut_batch_is_as_it_was_before)
{
    CLEANUP(batch_done) struct batch b;
    CLEANUP(batch_done) struct batch whole;

    batch_init(&whole, &batch_limits_default);
    for (uint64_t i = 0; i < 6; i++)
        ck_assert_int_eq(append(&whole, 10 + i / 2, "sub", "text"), 0);
    for (size_t n = 0; n <= 6; n++) {
        batch_init(&b, &batch_limits_default);
        ck_assert_int_eq(batch_append_range(&b, &whole, 0, 6), 0);
        batch_truncate(&b, n);
        ck_assert_uint_eq(b.n_items, n);
        ck_assert_uint_eq(b.n_ticks, (n + 1) / 2);
        ck_assert_uint_eq(b.bytes.len, n * 7);
        ck_assert_int_eq(append(&b, 99, "more", "text"), 0);
        assert_item(&b, n, 99, "more", "text");
        batch_done(&b);
    }
}
END_TEST

static const struct {
    const char *text;
    size_t n;
    int r;
} identifiers[] = {
    {"", 0, E_MALFORMED},
    {"h", 1, 0},
    {"web-01.example.org", 18, 0},
    {" ", 1, 0},
    {"a b", 3, 0},
    {"../../etc/passwd", 16, 0},
    {"Z\xc3\xbcrich", 7, 0},
    {"\xe6\x97\xa5\xe6\x9c\xac", 6, 0},
    {"\xf0\x9f\x93\x88", 4, 0},
    {"\xc2\xa0", 2, 0},     /* U+00A0, the first behind C1 */
    {"\xe2\x80\xa8", 3, 0}, /* U+2028 */
    {"\xc3\x80\x20", 3, 0},
    {"\0", 1, E_MALFORMED},
    {"a\0b", 3, E_MALFORMED},
    {"\x01", 1, E_MALFORMED},
    {"a\tb", 3, E_MALFORMED},
    {"host\n", 5, E_MALFORMED},
    {"a\x1f", 2, E_MALFORMED},
    {"a\x7f", 2, E_MALFORMED},    /* DEL */
    {"\xc2\x80", 2, E_MALFORMED}, /* U+0080, the first of C1 */
    {"a\xc2\x85z", 4, E_MALFORMED},
    {"\xc2\x9f", 2, E_MALFORMED}, /* U+009F, the last of C1 */
    {"\xff", 1, E_MALFORMED},
    {"a\xc2", 2, E_MALFORMED}, /* cut */
    {"\xe6\x97", 2, E_MALFORMED},
    {"\xc0\xaf", 2, E_MALFORMED},         /* overlong */
    {"\xed\xa0\x80", 3, E_MALFORMED},     /* a surrogate */
    {"\xf4\x90\x80\x80", 4, E_MALFORMED}, /* above U+10FFFF */
};

START_TEST(an_identifier_is_utf8_without_control_characters)
{
    CLEANUP(bytes_drop)
    struct span in = suite_exact(span_of(identifiers[_i].text, identifiers[_i].n));
    struct batch b = {0};

    ck_assert_int_eq(identifier_check(in), identifiers[_i].r);
    ck_assert_int_eq(batch_set_identifier(&b, SPAN("before")), 0);
    ck_assert_int_eq(batch_set_identifier(&b, in), identifiers[_i].r);
    ck_assert(span_equal(batch_identifier(&b), identifiers[_i].r ? SPAN("before") : in));
}
END_TEST

START_TEST(an_identifier_has_up_to_128_bytes)
{
    CLEANUP(buf_done) struct buf name;
    struct batch b = {0};

    buf_init(&name, BYTES_ROOM);
    while (name.len < LIMIT_IDENTIFIER_BYTES - 2)
        bytes_put(&name, SPAN("a"));
    bytes_put(&name, SPAN("\xc3\xbc"));
    ck_assert_int_eq(batch_set_identifier(&b, buf_span(&name)), 0);
    ck_assert(span_equal(batch_identifier(&b), buf_span(&name)));
    bytes_put(&name, SPAN("a"));
    ck_assert_int_eq(batch_set_identifier(&b, buf_span(&name)), E_MALFORMED);
    ck_assert_uint_eq(batch_identifier(&b).n, LIMIT_IDENTIFIER_BYTES);
    bytes_put(&name, SPAN("a"));
    ck_assert_int_eq(identifier_check(buf_span(&name)), E_MALFORMED);
}
END_TEST

static const struct {
    int64_t seconds;
    int r;
} times[] = {
    {INT64_MIN, E_MALFORMED},  {-1, E_MALFORMED},        {0, E_MALFORMED},
    {946684799, E_MALFORMED},  {946684800, 0},  /* 2000-01-01T00:00:00Z */
    {1767812783, 0},           {7289654399, 0}, /* 2200-12-31T23:59:59Z */
    {7289654400, E_MALFORMED}, {INT64_MAX, E_MALFORMED},
};

START_TEST(times_lie_in_the_years_2000_to_2200)
{
    ck_assert_int_eq(measurement_check_time(times[_i].seconds), times[_i].r);
}
END_TEST

/* Fills by each way in turn. Return: as batch_append(). */
static int fill_every_way(struct batch *b, const struct batch *other, size_t *reached)
{
    int r = batch_reserve(b, 1, 10);

    *reached = b->n_items;
    for (uint64_t i = 0; i < 40 && r == 0; i++) {
        r = append(b, i, "subsystem", "a text of some length");
        *reached = b->n_items;
    }
    if (r)
        return r;
    r = batch_append_range(b, other, 0, other->n_items);
    *reached = b->n_items;
    if (r)
        return r;
    return batch_open(b, 99, SPAN("a subsystem with a long name"));
}

/* Wherever memory runs out, the batch holds what it held before that call. */
START_TEST(a_batch_survives_any_failed_allocation)
{
    CLEANUP(batch_done) struct batch other;
    bool fired = true;

    batch_init(&other, &batch_limits_default);
    for (uint64_t i = 0; i < 100; i++)
        ck_assert_int_eq(append(&other, i / 2, "other", "what the other has"), 0);
    for (long nth = 0; fired; nth++) {
        CLEANUP(batch_done) struct batch b;
        size_t reached = 0;

        batch_init(&b, &batch_limits_default);
        fault_arm(nth);
        int r = fill_every_way(&b, &other, &reached);
        fired = fault_disarm();

        ck_assert_int_eq(r, fired ? -ENOMEM : 0);
        ck_assert_int_eq(b.is_open, !fired);
        if (!fired)
            batch_cancel(&b);
        size_t bytes = 0;
        for (size_t i = 0; i < b.n_items; i++) {
            struct measurement m = batch_get(&b, i);
            ck_assert(
                span_equal(m.subsystem, i < 40 ? SPAN("subsystem") : SPAN("other")));
            bytes += m.subsystem.n + m.text.n;
        }
        ck_assert_uint_eq(b.n_items, reached);
        ck_assert(b.n_items <= 40 || b.n_items == 140); /* a range whole or not at all */
        ck_assert_uint_eq(b.bytes.len, bytes);
        ck_assert_uint_eq(b.n_ticks, count_ticks(&b));
    }
}
END_TEST

static TCase *filling(void)
{
    TCase *c = tcase_create("filling");

    tcase_add_test(c, measurements_come_back_as_they_were_and_in_order);
    tcase_add_test(c, many_measurements_are_kept);
    tcase_add_loop_test(c, a_measurement_is_taken_up_to_its_limits, 0, N_OF(sizes));
    tcase_add_test(c, a_batch_is_filled_up_to_its_number_of_measurements);
    tcase_add_test(c, a_batch_is_filled_up_to_its_bytes);
    tcase_add_test(c, reserve_makes_room_within_the_limits);
    tcase_add_test(c, a_text_is_built_in_place);
    tcase_add_test(c, a_text_built_in_place_is_taken_up_to_its_limit);
    tcase_add_test(c, a_cancelled_measurement_leaves_no_trace);
    tcase_add_test(c, reset_empties_and_keeps_the_memory);
    tcase_add_test(c, done_takes_a_zeroed_batch_and_one_that_is_done);
    tcase_add_test(c, a_batch_survives_any_failed_allocation);
    return c;
}

static TCase *ticks(void)
{
    TCase *c = tcase_create("ticks");

    tcase_add_test(c, a_tick_starts_with_a_new_time_or_when_told);
    tcase_add_test(c, a_tick_begun_twice_or_before_the_first_is_one);
    tcase_add_test(c, a_tick_begun_outlives_a_measurement_that_is_refused_or_cancelled);
    tcase_add_loop_test(c, a_range_is_appended_with_its_ticks, 0, N_ITEMS + 1);
    tcase_add_test(c, a_range_that_does_not_fit_leaves_the_batch_as_it_was);
    tcase_add_test(c, a_cut_batch_is_as_it_was_before);
    tcase_add_loop_test(c, the_middle_is_where_the_second_half_of_the_ticks_begins, 0,
                        N_OF(middles));
    return c;
}

static TCase *checks(void)
{
    TCase *c = tcase_create("checks");

    tcase_add_loop_test(c, an_identifier_is_utf8_without_control_characters, 0,
                        N_OF(identifiers));
    tcase_add_test(c, an_identifier_has_up_to_128_bytes);
    tcase_add_loop_test(c, times_lie_in_the_years_2000_to_2200, 0, N_OF(times));
    return c;
}

int main(void)
{
    Suite *suite = suite_create("measurement");

    suite_add_tcase(suite, filling());
    suite_add_tcase(suite, ticks());
    suite_add_tcase(suite, checks());
    return suite_run(suite);
}
