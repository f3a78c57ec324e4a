/* SPDX-License-Identifier: MIT */
#include "pcd/ranges.h"
#include "tests/lib/fault.h"
#include "tests/lib/suite.h"

#include <errno.h>
#include <stdio.h>

#define SEQS 64u

static void add(struct ranges *r, uint64_t seq, uint64_t floor)
{
    ck_assert_int_eq(ranges_reserve(r, 1), 0);
    ranges_add(r, seq, floor);
}

/* The set as text: floor, then the ranges. */
static const char *text_of(const struct ranges *r)
{
    static char text[256];
    int n = snprintf(text, sizeof text, "<%llu", (unsigned long long)r->floor);

    for (size_t i = 0; i < r->n; i++)
        n += snprintf(text + n, sizeof text - (size_t)n, " %llu-%llu",
                      (unsigned long long)r->items[i].first,
                      (unsigned long long)r->items[i].last);
    return text;
}

START_TEST(an_empty_set_holds_nothing_and_needs_no_memory)
{
    struct ranges r;

    ranges_init(&r);
    ck_assert(!ranges_hold(&r, 1));
    ck_assert(!ranges_hold(&r, RANGES_SEQ_MAX));
    ck_assert_uint_eq(ranges_count(&r, 0), 0);
    ck_assert_uint_eq(ranges_count(&r, 1), 0);
    ck_assert_ptr_null(r.items);
    ranges_done(&r);
}
END_TEST

START_TEST(numbers_in_order_need_no_memory)
{
    struct ranges r;

    ranges_init(&r);
    for (uint64_t seq = 1; seq <= 100; seq++) {
        ck_assert(!ranges_opens(&r, seq, 0) || seq == 1);
        ranges_add(&r, seq, 0);
    }
    ck_assert_str_eq(text_of(&r), "<101");
    ck_assert_uint_eq(ranges_count(&r, 0), 1);
    ck_assert_ptr_null(r.items);
    ranges_done(&r);
}
END_TEST

struct row {
    uint64_t seqs[6];
    uint64_t floor; /* given with the last one */
    const char *text;
};

static const struct row rows[] = {
    {{5}, 0, "<1 5-5"},
    {{5, 6}, 0, "<1 5-6"},
    {{5, 4}, 0, "<1 4-5"},
    {{5, 7}, 0, "<1 5-5 7-7"},
    {{5, 7, 6}, 0, "<1 5-7"},
    {{9, 5, 7}, 0, "<1 5-5 7-7 9-9"},
    {{5, 5, 5}, 0, "<1 5-5"},
    {{2, 3, 1}, 0, "<4"},
    {{1, 2, 4, 3}, 0, "<5"},
    {{1, 3, 5, 2}, 0, "<4 5-5"},
    /* the floor */
    {{5, 9}, 1, "<1 5-5 9-9"},
    {{5, 9}, 3, "<3 5-5 9-9"},
    {{5, 9}, 5, "<6 9-9"},
    {{5, 9}, 6, "<6 9-9"},
    {{5, 9}, 8, "<8 9-9"},
    {{5, 9}, 9, "<10"},
    {{5, 6, 7, 9}, 6, "<8 9-9"},
    {{5, 6, 8, 7}, 7, "<9"},
    {{5, 20, 9}, 9, "<10 20-20"},
    {{2, 4, 6, 8, 20}, 7, "<7 8-8 20-20"},
    /* one that lies below it */
    {{5, 9, 3}, 12, "<12"},
    {{RANGES_SEQ_MAX}, 0, "<1 9223372036854775807-9223372036854775807"},
    {{RANGES_SEQ_MAX}, RANGES_SEQ_MAX, "<9223372036854775808"},
};

START_TEST(ranges_merge_over_nothing_but_their_own_numbers_and_the_floor)
{
    const struct row *row = &rows[_i];
    struct ranges r;

    ranges_init(&r);
    for (size_t i = 0; i < 6 && row->seqs[i]; i++) {
        bool is_last = i == 5 || !row->seqs[i + 1];
        add(&r, row->seqs[i], is_last ? row->floor : 0);
        ck_assert(ranges_hold(&r, row->seqs[i]));
    }
    ck_assert_msg(strcmp(text_of(&r), row->text) == 0, "row %d: %s, not %s", _i,
                  text_of(&r), row->text);
    ranges_done(&r);
}
END_TEST

/* What opens and count foretell is what add then does, and what is held is what was
 * added or lies below a floor: against a plain array, in thousands of random steps. */
START_TEST(a_set_equals_its_model)
{
    uint64_t random = (uint64_t)_i * UINT64_C(0x9e3779b97f4a7c15) + 1;
    bool model[SEQS + 2] = {false};
    uint64_t added = 0;
    struct ranges r;

    ranges_init(&r);
    for (int step = 0; step < 2000; step++) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        uint64_t seq = random % SEQS + 1;
        uint64_t floor = random >> 32 & 63 ? 0 : random >> 40 & 15;
        bool opens = ranges_opens(&r, seq, floor);
        size_t count = ranges_count(&r, floor);
        uint16_t cap = r.cap;

        if (opens)
            ck_assert_int_eq(ranges_reserve(&r, 1), 0);
        ranges_add(&r, seq, floor);
        model[seq] = true;
        for (uint64_t i = 1; i < floor; i++)
            model[i] = true;

        ck_assert(opens || r.cap == cap);
        ck_assert_uint_le(ranges_count(&r, 0), count + 1);
        if (opens && seq > 1)
            ck_assert_uint_eq(ranges_count(&r, 0), count + 1);
        size_t n_model = 0;
        uint64_t wrong = 0; /* the first that differs; an assertion for each is slow */
        for (uint64_t i = SEQS + 1; i >= 1; i--) {
            if (ranges_hold(&r, i) != model[i])
                wrong = i;
            n_model += model[i] && !model[i - 1];
        }
        ck_assert_uint_eq(wrong, 0);
        ck_assert_uint_eq(ranges_count(&r, 0), n_model);
        if (++added % SEQS == 0) {
            ranges_done(&r);
            memset(model, 0, sizeof model);
        }
    }
    ranges_done(&r);
}
END_TEST

START_TEST(reserve_without_memory_changes_nothing)
{
    struct ranges r;

    ranges_init(&r);
    for (uint64_t seq = 2; seq <= 8; seq += 2)
        add(&r, seq, 0);
    struct ranges before = r;
    fault_arm(0);
    int result = ranges_reserve(&r, 100);
    bool fired = fault_disarm();
    ck_assert(fired);
    ck_assert_int_eq(result, -ENOMEM);
    ck_assert_mem_eq(&r, &before, sizeof r);
    ck_assert_str_eq(text_of(&r), "<1 2-2 4-4 6-6 8-8");
    ranges_done(&r);
}
END_TEST

START_TEST(trim_frees_only_what_is_empty)
{
    struct ranges r;

    ranges_init(&r);
    add(&r, 5, 0);
    ranges_trim(&r);
    ck_assert_str_eq(text_of(&r), "<1 5-5");
    add(&r, 6, 6);
    ck_assert_ptr_nonnull(r.items);
    ranges_trim(&r);
    ck_assert_ptr_null(r.items);
    ck_assert_str_eq(text_of(&r), "<7");
    add(&r, 9, 0);
    ck_assert_str_eq(text_of(&r), "<7 9-9");
    ranges_done(&r);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pcd_ranges");
    TCase *c = tcase_create("ranges");

    tcase_add_test(c, an_empty_set_holds_nothing_and_needs_no_memory);
    tcase_add_test(c, numbers_in_order_need_no_memory);
    tcase_add_loop_test(c, ranges_merge_over_nothing_but_their_own_numbers_and_the_floor,
                        0, (int)(sizeof rows / sizeof rows[0]));
    tcase_add_loop_test(c, a_set_equals_its_model, 0, 10);
    tcase_add_test(c, reserve_without_memory_changes_nothing);
    tcase_add_test(c, trim_frees_only_what_is_empty);
    suite_add_tcase(suite, c);
    return suite_run(suite);
}
