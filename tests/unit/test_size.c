/* SPDX-License-Identifier: MIT */
#include "common/size.h"
#include "tests/lib/bytes.h"
#include "tests/lib/suite.h"

#define UNTOUCHED ((size_t)4711)
#define HALF (SIZE_MAX / 2)

static const struct {
    size_t a;
    size_t b;
    int r;
    size_t result; /* if r is 0 */
} sums[] = {
    {0, 0, 0, 0},
    {1, 2, 0, 3},
    {SIZE_MAX, 0, 0, SIZE_MAX},
    {SIZE_MAX - 1, 1, 0, SIZE_MAX},
    {HALF, HALF, 0, SIZE_MAX - 1},
    {HALF + 1, HALF, 0, SIZE_MAX},
    {HALF + 1, HALF + 1, E_TOO_LARGE, 0},
    {SIZE_MAX, 1, E_TOO_LARGE, 0},
    {SIZE_MAX, SIZE_MAX, E_TOO_LARGE, 0},
};

START_TEST(sums_are_right_or_refused)
{
    size_t sum = UNTOUCHED;

    ck_assert_int_eq(size_add(sums[_i].a, sums[_i].b, &sum), sums[_i].r);
    ck_assert_uint_eq(sum, sums[_i].r ? UNTOUCHED : sums[_i].result);
    sum = UNTOUCHED;
    ck_assert_int_eq(size_add(sums[_i].b, sums[_i].a, &sum), sums[_i].r);
    ck_assert_uint_eq(sum, sums[_i].r ? UNTOUCHED : sums[_i].result);
}
END_TEST

static const struct {
    size_t a;
    size_t b;
    int r;
    size_t result; /* if r is 0 */
} products[] = {
    {0, 0, 0, 0},
    {0, SIZE_MAX, 0, 0},
    {3, 7, 0, 21},
    {SIZE_MAX, 1, 0, SIZE_MAX},
    {HALF, 2, 0, SIZE_MAX - 1},
    {HALF + 1, 2, E_TOO_LARGE, 0},
    {SIZE_MAX, 2, E_TOO_LARGE, 0},
    {SIZE_MAX, SIZE_MAX, E_TOO_LARGE, 0},
};

START_TEST(products_are_right_or_refused)
{
    size_t product = UNTOUCHED;

    ck_assert_int_eq(size_mul(products[_i].a, products[_i].b, &product), products[_i].r);
    ck_assert_uint_eq(product, products[_i].r ? UNTOUCHED : products[_i].result);
    product = UNTOUCHED;
    ck_assert_int_eq(size_mul(products[_i].b, products[_i].a, &product), products[_i].r);
    ck_assert_uint_eq(product, products[_i].r ? UNTOUCHED : products[_i].result);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("size");
    TCase *c = tcase_create("size");

    tcase_add_loop_test(c, sums_are_right_or_refused, 0, N_OF(sums));
    tcase_add_loop_test(c, products_are_right_or_refused, 0, N_OF(products));
    suite_add_tcase(suite, c);
    return suite_run(suite);
}
