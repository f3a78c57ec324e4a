/* SPDX-License-Identifier: MIT */

/*
 * Runs a fuzz target on every file of a folder, its corpus: a test that needs no fuzzer.
 * Results go to stdout as TAP; what is wrong ends the program.
 *
 *     fuzz_X FOLDER
 */

#include "common/io.h"
#include "tests/fuzz/fuzz.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>

#define INPUT_MAX MIB

static int no_hidden(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static int replay(int dir_fd, const char *name)
{
    CLEANUP(buf_done) struct buf file;

    buf_init(&file, INPUT_MAX);
    int r = io_read_file(dir_fd, name, &file);
    if (r)
        return r;
    CLEANUP(fuzz_drop) struct span exact = fuzz_exact(buf_span(&file));
    LLVMFuzzerTestOneInput(exact.data, exact.n);
    return 0;
}

int main(int argc, char **argv)
{
    struct dirent **entries = NULL;
    int dir_fd = argc == 2 ? open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    int n = dir_fd < 0 ? -1 : scandir(argv[1], &entries, no_hidden, alphasort);
    int failed = n < 1;

    if (failed)
        fprintf(stderr, "usage: %s FOLDER, with at least one file in it\n", argv[0]);
    else
        printf("1..%d\n", n);
    for (int i = 0; i < n; i++) {
        /* Said before, for the one that ends the program. */
        printf("# %s\n", entries[i]->d_name);
        fflush(stdout);
        int r = replay(dir_fd, entries[i]->d_name);
        printf("%s %d - %s%s%s\n", r ? "not ok" : "ok", i + 1, entries[i]->d_name,
               r ? ": " : "", r ? err_text(r) : "");
        failed |= r != 0;
        free(entries[i]);
    }
    free((void *)entries);
    io_close(&dir_fd);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
