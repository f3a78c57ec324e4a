/* SPDX-License-Identifier: MIT */
#include "pcd/keygen.h"

#include "common/buf.h"
#include "common/clock.h"
#include "pcd/glob.h"
#include "pcd/key_set.h"
#include "proto/keyfile.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define EXIT_USAGE 2
#define KEY_DIGITS 64u

static const char help[] =
    "Usage: pcd keygen [PATTERN...]\n\n"
    "Prints two lines: a new key of 256 random bits, for the client, and the line to "
    "add\n"
    "to pcd's file of keys, which holds its SHA-256 only. As pcc reads the first line "
    "of\n"
    "its key file, both may stay in one:\n\n"
    "  (umask 077; pcd keygen 'web-*' > web.key; tail -n 1 web.key >> ~/.pcd/apikeys)\n"
    "  PCC_APIKEY_FILE=web.key pcc\n\n"
    "With patterns the key may write only as identifiers that fit one of them: * stands\n"
    "for any run of characters, ? for one. Without, as any. pcd takes a changed file by\n"
    "itself.\n";

static void make_key(char ret[KEY_DIGITS + 1])
{
    for (size_t i = 0; i < KEY_DIGITS; i += 16)
        (void)snprintf(ret + i, 17, "%016" PRIx64, clock_random_u64());
}

static int append_stored(struct buf *to, const char *key, char *const *patterns)
{
    struct key_digest digest;
    int r = key_digest(span_of_str(key), &digest);

    if (r == 0)
        r = buf_append(to, SPAN(KEYFILE_DIGEST));
    for (size_t i = 0; i < KEY_DIGEST_BYTES && r == 0; i++)
        r = buf_printf(to, "%02x", digest.bytes[i]);
    for (size_t i = 0; patterns[i] && r == 0; i++)
        r = buf_printf(to, " %s", patterns[i]);
    return r;
}

/* Return: NULL; else what is wrong with the first that is no pattern, *ret_which. */
static const char *check_args(char *const *args, const char **ret_which)
{
    const char *what = NULL;

    for (size_t i = 0; args[i] && !what; i++) {
        *ret_which = args[i];
        what = strncmp(args[i], "--", 2) == 0 ? "no such flag"
                                              : glob_check(span_of_str(args[i]));
    }
    return what;
}

int keygen_run(char *const *args, FILE *out, FILE *err)
{
    CLEANUP(buf_done) struct buf line;
    char key[KEY_DIGITS + 1];
    const char *which;

    buf_init(&line, KEY_LINE_BYTES);
    if (args[0] && strcmp(args[0], "--help") == 0)
        return fputs(help, out) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
    const char *what = check_args(args, &which);
    if (what) {
        (void)fprintf(err, "pcd keygen: %s: %s; see pcd keygen --help\n", which, what);
        return EXIT_USAGE;
    }
    make_key(key);
    int r = append_stored(&line, key, args);
    if (r == E_TOO_LARGE) {
        (void)fprintf(err, "pcd keygen: too many patterns for one line of %u bytes\n",
                      KEY_LINE_BYTES);
        return EXIT_USAGE;
    }
    if (r == 0 && (fprintf(out, "%s\n%.*s\n", key, (int)line.len, line.data) < 0 ||
                   fflush(out) != 0))
        r = -errno;
    if (r)
        (void)fprintf(err, "pcd keygen: %s\n", err_text(r));
    explicit_bzero(key, sizeof key);
    return r ? EXIT_FAILURE : EXIT_SUCCESS;
}
