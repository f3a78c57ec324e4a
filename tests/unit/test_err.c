/* SPDX-License-Identifier: MIT */
#include "common/err.h"
#include "tests/lib/bytes.h"
#include "tests/lib/suite.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

START_TEST(every_verdict_has_a_text_of_its_own)
{
    for (int r = E_TRUNCATED; r <= E_CONFLICT; r++) {
        ck_assert_uint_gt(strlen(err_text(r)), 0);
        ck_assert_str_ne(err_text(r), "unknown verdict");
        for (int other = 0; other < r; other++)
            ck_assert_str_ne(err_text(r), err_text(other));
    }
}
END_TEST

START_TEST(a_fault_has_the_text_of_its_errno)
{
    ck_assert_str_eq(err_text(-ENOENT), "No such file or directory");
    ck_assert_str_eq(err_text(-ENOMEM), "Cannot allocate memory");
    ck_assert_str_eq(err_text(0), "done");
}
END_TEST

START_TEST(every_number_has_some_text)
{
    ck_assert_str_eq(err_text(E_CONFLICT + 1), "unknown verdict");
    ck_assert_str_eq(err_text(INT_MAX), "unknown verdict");
    ck_assert_str_eq(err_text(-99999), "Unknown error 99999");
    ck_assert_str_eq(err_text(-INT_MAX), "Unknown error 2147483647");
}
END_TEST

#define UNKNOWN ERR_AT_UNKNOWN

static const struct {
    struct err_at at;
    const char *text;
} places[] = {
    {{NULL, UNKNOWN, UNKNOWN}, "malformed"},
    {{"bad escape", UNKNOWN, UNKNOWN}, "bad escape"},
    {{"bad escape", 0, UNKNOWN}, "bad escape at byte 0"},
    {{"bad escape", 17, UNKNOWN}, "bad escape at byte 17"},
    {{"bad escape", UNKNOWN, 3}, "measurement 3: bad escape"},
    {{"bad escape", 17, 0}, "measurement 0: bad escape at byte 17"},
    {{NULL, 17, 3}, "measurement 3: malformed at byte 17"},
    {{"bad escape", 17, 0, true}, "group 0: bad escape at byte 17"},
    {{"bad escape", 17, UNKNOWN, true}, "bad escape at byte 17"},
};

START_TEST(a_description_says_what_where_and_in_which_measurement)
{
    char text[128];

    err_describe(E_MALFORMED, &places[_i].at, text, sizeof text);
    ck_assert_str_eq(text, places[_i].text);
}
END_TEST

START_TEST(a_description_needs_no_place)
{
    char text[128];

    err_describe(-EIO, NULL, text, sizeof text);
    ck_assert_str_eq(text, "Input/output error");
}
END_TEST

START_TEST(a_description_is_cut_where_there_is_no_room)
{
    const struct err_at at = {"bad escape", 17, 3};
    static const char whole[] = "measurement 3: bad escape at byte 17";

    for (size_t size = 1; size <= sizeof whole; size++) {
        char *text = malloc(size);

        ck_assert_ptr_nonnull(text);
        err_describe(E_MALFORMED, &at, text, size);
        ck_assert_uint_eq(strlen(text), size - 1);
        ck_assert_int_eq(strncmp(text, whole, size - 1), 0);
        free(text);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("err");
    TCase *c = tcase_create("err");

    tcase_add_test(c, every_verdict_has_a_text_of_its_own);
    tcase_add_test(c, a_fault_has_the_text_of_its_errno);
    tcase_add_test(c, every_number_has_some_text);
    tcase_add_loop_test(c, a_description_says_what_where_and_in_which_measurement, 0,
                        N_OF(places));
    tcase_add_test(c, a_description_needs_no_place);
    tcase_add_test(c, a_description_is_cut_where_there_is_no_room);
    suite_add_tcase(suite, c);
    return suite_run(suite);
}
