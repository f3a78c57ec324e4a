/* SPDX-License-Identifier: MIT */
#include "common/units.h"
#include "pcc/source.h"
#include "tests/lib/bytes.h"
#include "tests/lib/fault.h"
#include "tests/lib/suite.h"
#include "tests/unit/pcc_tree.h"

#include <errno.h>

static struct home home;
static struct batch batch;
static struct gap_set gaps;

static void set_up(void)
{
    home_make(&home);
    batch_init(&batch, &batch_limits_default);
    gaps = (struct gap_set){0};
}

static void tear_down(void)
{
    batch_done(&batch);
    home_remove(&home);
}

static const struct {
    const char *name;
    int r;
    enum source_kind kind;
} names[] = {
    {"/proc/stat", 0, SOURCE_FILE},          {"/", 0, SOURCE_FILE},
    {"statfs[*]", 0, SOURCE_STATFS_ALL},     {"statfs[/]", 0, SOURCE_STATFS},
    {"statfs[/mnt/a]", 0, SOURCE_STATFS},    {"container/docker/*", 0, SOURCE_DOCKER},
    {"", E_MALFORMED, SOURCE_FILE},          {"statfs", E_MALFORMED, SOURCE_FILE},
    {"statfs[]", E_MALFORMED, SOURCE_FILE},  {"statfs[/", E_MALFORMED, SOURCE_FILE},
    {"proc/stat", E_MALFORMED, SOURCE_FILE},
};

START_TEST(name_says_the_kind)
{
    struct span name = suite_exact(span_of_str(names[_i].name));
    enum source_kind kind = SOURCE_FILE;

    ck_assert_msg(source_parse(name, &kind) == names[_i].r, "row %d", _i);
    ck_assert_msg(kind == names[_i].kind, "row %d", _i);
    free((void *)(uintptr_t)name.data);
}
END_TEST

START_TEST(name_has_the_length_of_a_subsystem_at_most)
{
    char name[LIMIT_SUBSYSTEM_BYTES + 1];
    enum source_kind kind;

    memset(name, '/', sizeof name);
    ck_assert_int_eq(source_parse(span_of(name, LIMIT_SUBSYSTEM_BYTES), &kind), 0);
    ck_assert_int_eq(source_parse(span_of(name, sizeof name), &kind), E_MALFORMED);
}
END_TEST

static bool append(struct sources *s, uint64_t seconds)
{
    batch_begin_tick(&batch);
    return sources_append(s, &batch, seconds * SEC, 0, &gaps);
}

static void assert_item(size_t i, const char *subsystem, const char *text)
{
    struct measurement m = batch_get(&batch, i);

    ck_assert(span_equal_str(m.subsystem, subsystem));
    ck_assert(span_equal_str(m.text, text));
}

START_TEST(sources_appear_in_order_with_the_text_of_their_files)
{
    struct sources *s = NULL;

    tree_put(&home, "proc/stat", SPAN("cpu 1\n"));
    tree_put(&home, "etc/any", SPAN(""));
    tree_put(&home, "statfs", SPAN("{\"mount_point\":\"/\"}\n"));
    ck_assert_int_eq(sources_new("statfs[*], /etc/any,/proc/stat", home.path, &s), 0);
    ck_assert_uint_eq(sources_count(s), 3);
    ck_assert(!append(s, 1));
    ck_assert_uint_eq(batch.n_items, 3);
    assert_item(0, "statfs[*]", "{\"mount_point\":\"/\"}\n");
    assert_item(1, "/etc/any", "");
    assert_item(2, "/proc/stat", "cpu 1\n");
    sources_free(s);
}
END_TEST

START_TEST(source_that_vanishes_is_left_out_and_comes_back)
{
    struct sources *s = NULL;

    tree_put(&home, "a", SPAN("1"));
    tree_put(&home, "b", SPAN("2"));
    ck_assert_int_eq(sources_new("/a,/b", home.path, &s), 0);
    ck_assert(!append(s, 1));
    tree_remove(&home, "a");
    ck_assert(append(s, 2));
    ck_assert(!append(s, 3));
    tree_put(&home, "a", SPAN("3"));
    ck_assert(append(s, 4));
    ck_assert_uint_eq(batch.n_items, 6);
    assert_item(2, "/b", "2");
    assert_item(3, "/b", "2");
    assert_item(4, "/a", "3");
    ck_assert_uint_eq(batch.n_ticks, 4);
    ck_assert(gaps_empty(&gaps));
    sources_free(s);
}
END_TEST

START_TEST(containers_are_many_measurements_of_one_source)
{
    struct sources *s = NULL;
    char path[256];

    for (unsigned i = 1; i <= 2; i++) {
        (void)snprintf(path, sizeof path, "sys/fs/cgroup/docker/%064x/cpu.stat", i);
        tree_put(&home, path, SPAN("usage_usec 1\n"));
    }
    tree_put(&home, "b", SPAN("2"));
    ck_assert_int_eq(sources_new("container/docker/*,/b", home.path, &s), 0);
    ck_assert(!append(s, 1));
    ck_assert_uint_eq(batch.n_items, 3);
    ck_assert_uint_eq(batch.n_ticks, 1);
    sources_free(s);
}
END_TEST

START_TEST(ticks_allocate_nothing_after_warm_up)
{
    struct sources *s = NULL;

    ck_assert_int_eq(batch_reserve(&batch, 100, 1 << 20), 0);
    ck_assert_int_eq(
        sources_new(
            "/proc/stat,/proc/meminfo,/proc/net/dev,/proc/diskstats,statfs[/proc],"
            "container/docker/*,/gone",
            "", &s),
        0);
    for (uint64_t i = 0; i < 2; i++)
        (void)append(s, i);
    fault_arm(0);
    for (uint64_t i = 2; i < 10; i++)
        (void)append(s, i);
    bool fired = fault_disarm();
    ck_assert(!fired);
    sources_free(s);
}
END_TEST

START_TEST(new_survives_any_failed_allocation)
{
    bool fired = true;

    for (long nth = 0; fired; nth++) {
        struct sources *s = NULL;
        fault_arm(nth);
        int r = sources_new("/a,statfs[*],statfs[/x],container/docker/*", home.path, &s);
        fired = fault_disarm();
        ck_assert_int_eq(r, fired ? -ENOMEM : 0);
        sources_free(s);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pcc_source");
    TCase *c = tcase_create("source");

    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_add_loop_test(c, name_says_the_kind, 0, (int)N_OF(names));
    tcase_add_test(c, name_has_the_length_of_a_subsystem_at_most);
    tcase_add_test(c, sources_appear_in_order_with_the_text_of_their_files);
    tcase_add_test(c, source_that_vanishes_is_left_out_and_comes_back);
    tcase_add_test(c, containers_are_many_measurements_of_one_source);
    tcase_add_test(c, ticks_allocate_nothing_after_warm_up);
    tcase_add_test(c, new_survives_any_failed_allocation);
    suite_add_tcase(suite, c);
    return suite_run(suite);
}
