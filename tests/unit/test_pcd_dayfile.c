/* SPDX-License-Identifier: MIT */
#include "common/io.h"
#include "pcd/dayfile.h"
#include "tests/lib/home.h"
#include "tests/lib/suite.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct {
    struct span identifier;
    const char *folder;
} names[] = {
    {{(const uint8_t *)"web-01.example_A", 16}, "web-01.example_A"},
    {{(const uint8_t *)"..", 2}, "%2E."},
    {{(const uint8_t *)".hidden", 7}, "%2Ehidden"},
    {{(const uint8_t *)"a/b\\c", 5}, "a%2Fb%5Cc"},
    {{(const uint8_t *)"../../etc", 9}, "%2E.%2F..%2Fetc"},
    {{(const uint8_t *)"50%", 3}, "50%25"},
    {{(const uint8_t *)"\xc3\xa4 b", 4}, "%C3%A4%20b"},
};

START_TEST(identifiers_become_folder_names_that_stay_in_place)
{
    char name[DAYFILE_HOST_BYTES + 1];

    dayfile_host_name(names[_i].identifier, name);
    ck_assert_str_eq(name, names[_i].folder);
    ck_assert_ptr_null(strchr(name, '/'));
}
END_TEST

START_TEST(long_names_are_cut_and_told_apart_by_a_hash)
{
    char a[DAYFILE_HOST_BYTES + 1];
    char b[DAYFILE_HOST_BYTES + 1];
    uint8_t identifier[LIMIT_IDENTIFIER_BYTES];

    memset(identifier, ' ', sizeof identifier);
    dayfile_host_name(span_of(identifier, sizeof identifier), a);
    identifier[sizeof identifier - 1] = '!';
    dayfile_host_name(span_of(identifier, sizeof identifier), b);
    ck_assert_uint_eq(strlen(a), DAYFILE_HOST_BYTES);
    ck_assert_int_eq(a[DAYFILE_HOST_BYTES - 17], '~');
    ck_assert_str_ne(a, b);
}
END_TEST

START_TEST(a_path_names_host_and_day)
{
    char path[DAYFILE_PATH_BYTES];

    dayfile_path(SPAN("h"), 20779, path);
    ck_assert_str_eq(path, "h/2026-11-22.jsonl");
}
END_TEST

START_TEST(a_name_is_read_only_as_it_is_made)
{
    static const char *const others[] = {"2026-11-22.json",   "2026-11-22.jsonl.bad",
                                         "2026-11-22",        "2026-11-32.jsonl",
                                         "2026-1-22.jsonl",   "1969-12-31.jsonl",
                                         " 2026-11-22.jsonl", ""};
    uint32_t day = 7;

    ck_assert_int_eq(dayfile_read_name("2026-11-22.jsonl", &day), 0);
    ck_assert_uint_eq(day, 20779);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        ck_assert_msg(dayfile_read_name(others[i], &day) == E_MALFORMED, "%s", others[i]);
    ck_assert_uint_eq(day, 20779);
}
END_TEST

START_TEST(a_day_in_use_is_not_removed_and_one_being_removed_comes_not_into_use)
{
    struct home home;
    struct dayfiles *d;
    struct dayfile *f;

    home_make(&home);
    ck_assert_int_eq(dayfiles_new(home.fd, 2, &d), 0);
    ck_assert_int_eq(dayfile_get(d, SPAN("h"), 100, &f), 0);
    ck_assert(!dayfiles_begin_removal(d, 100));
    ck_assert(dayfiles_begin_removal(d, 99));
    ck_assert_int_eq(dayfile_get(d, SPAN("i"), 99, &f), -EBUSY);
    ck_assert_int_eq(dayfile_get(d, SPAN("i"), 100, &f), 0);
    dayfile_put(f);
    dayfiles_end_removal(d);
    ck_assert_int_eq(dayfile_get(d, SPAN("i"), 99, &f), 0);
    dayfile_put(f);
    dayfiles_free(d);
    home_remove(&home);
}
END_TEST

START_TEST(writes_land_at_their_offsets_with_few_files_open)
{
    struct home home;
    struct dayfiles *d;
    struct dayfile *f[5];
    char text[64];

    home_make(&home);
    ck_assert_int_eq(dayfiles_new(home.fd, 2, &d), 0);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 5; i++) {
            struct span host = span_of(&"abcde"[i], 1);
            ck_assert_int_eq(dayfile_get(d, host, 20779, &f[i]), 0);
            (void)snprintf(text, sizeof text, "%d-%d\n", i, round);
            struct iovec part = {text, strlen(text)};
            ck_assert_int_eq(dayfile_write(d, f[i], &part, 1, f[i]->next_offset), 0);
            f[i]->next_offset += strlen(text);
            ck_assert_uint_le(dayfiles_open_count(d), 2);
        }
        ck_assert_int_eq(dayfiles_sync(d), 0);
        for (int i = 0; i < 5; i++)
            dayfile_put(f[i]);
        dayfiles_trim(d); /* keeps what was used since the last trim */
        if (round == 1)
            dayfiles_trim(d); /* forgets all: looked up on the disk again */
    }
    dayfiles_free(d);

    CLEANUP(buf_done) struct buf b;
    buf_init(&b, 64 * KIB);
    ck_assert_int_eq(io_read_file(home.fd, "c/2026-11-22.jsonl", &b), 0);
    ck_assert(span_equal(buf_span(&b), SPAN("2-0\n2-1\n2-2\n")));
    home_remove(&home);
}
END_TEST

START_TEST(a_failed_write_leaves_the_file_behind_until_caught_up)
{
    struct home home;
    struct dayfiles *d;
    struct dayfile *f;
    char text[] = "x\n";
    struct iovec part = {text, 2};

    home_make(&home);
    ck_assert_int_eq(dayfiles_new(home.fd, 2, &d), 0);
    /* A file where the host's folder should be. */
    int fd = openat(home.fd, "h", O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    io_close(&fd);
    ck_assert_int_lt(dayfile_get(d, SPAN("h"), 1, &f), 0);
    ck_assert_int_eq(unlinkat(home.fd, "h", 0), 0);
    ck_assert_int_eq(dayfile_get(d, SPAN("h"), 1, &f), 0);
    fd = openat(home.fd, "h", O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    io_close(&fd);
    ck_assert_int_lt(dayfile_write(d, f, &part, 1, 0), 0);
    ck_assert(dayfiles_behind(d));
    ck_assert_int_eq(unlinkat(home.fd, "h", 0), 0);
    ck_assert_int_eq(dayfile_write(d, f, &part, 1, 0), 0);
    ck_assert(dayfiles_behind(d));
    dayfiles_caught_up(d);
    ck_assert(!dayfiles_behind(d));
    ck_assert_int_eq(dayfiles_sync(d), 0);
    dayfiles_free(d);
    home_remove(&home);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pcd dayfile");
    TCase *c = tcase_create("dayfile");

    tcase_add_loop_test(c, identifiers_become_folder_names_that_stay_in_place, 0,
                        sizeof names / sizeof names[0]);
    tcase_add_test(c, long_names_are_cut_and_told_apart_by_a_hash);
    tcase_add_test(c, a_path_names_host_and_day);
    tcase_add_test(c, a_name_is_read_only_as_it_is_made);
    tcase_add_test(c,
                   a_day_in_use_is_not_removed_and_one_being_removed_comes_not_into_use);
    tcase_add_test(c, writes_land_at_their_offsets_with_few_files_open);
    tcase_add_test(c, a_failed_write_leaves_the_file_behind_until_caught_up);
    suite_add_tcase(suite, c);
    return suite_run(suite);
}
