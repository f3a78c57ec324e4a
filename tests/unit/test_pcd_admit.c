/* SPDX-License-Identifier: MIT */
#include "pcd/admit.h"
#include "tests/lib/suite.h"

#include <pthread.h>

#define THREADS 4u
#define ROUNDS 20000u

START_TEST(bytes_are_charged_up_to_the_limit_and_no_further)
{
    struct admit a = {.max_bytes = 10};

    ck_assert_int_eq(admit_charge(&a, 0), 0);
    ck_assert_int_eq(admit_charge(&a, 7), 0);
    ck_assert_int_eq(admit_charge(&a, 4), E_FULL);
    ck_assert_uint_eq(a.bytes, 7);
    ck_assert_int_eq(admit_charge(&a, 3), 0);
    ck_assert_int_eq(admit_charge(&a, 1), E_FULL);
    ck_assert_int_eq(admit_charge(&a, UINT64_MAX), E_FULL);
    admit_release(&a, 10);
    ck_assert_uint_eq(a.bytes, 0);
    ck_assert_int_eq(admit_charge(&a, 11), E_FULL);
}
END_TEST

static void *charge_and_release(void *arg)
{
    struct admit *a = arg;
    size_t over = 0;

    for (size_t i = 0; i < ROUNDS; i++) {
        if (admit_charge(a, 2))
            continue;
        over += a->bytes > a->max_bytes;
        admit_release(a, 2);
    }
    return over ? a : NULL;
}

START_TEST(threads_never_pass_the_limit_together)
{
    struct admit a = {.max_bytes = 5};
    pthread_t threads[THREADS];

    for (size_t i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, charge_and_release, &a), 0);
    for (size_t i = 0; i < THREADS; i++) {
        void *over;

        ck_assert_int_eq(pthread_join(threads[i], &over), 0);
        ck_assert_ptr_null(over);
    }
    ck_assert_uint_eq(a.bytes, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pcd admit");
    TCase *c = tcase_create("admit");

    tcase_add_test(c, bytes_are_charged_up_to_the_limit_and_no_further);
    tcase_add_test(c, threads_never_pass_the_limit_together);
    suite_add_tcase(suite, c);
    return suite_run(suite);
}
