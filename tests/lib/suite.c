/* SPDX-License-Identifier: MIT */
#include "tests/lib/suite.h"

#include <stdlib.h>

int suite_run(Suite *suite)
{
    SRunner *runner = srunner_create(suite);

    srunner_set_tap(runner, "-");
    srunner_run_all(runner, CK_SILENT);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

struct span suite_exact(struct span bytes)
{
    uint8_t *copy = malloc(bytes.n);

    ck_assert_ptr_nonnull(copy);
    if (bytes.n)
        memcpy(copy, bytes.data, bytes.n);
    return span_of(copy, bytes.n);
}
