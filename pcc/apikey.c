/* SPDX-License-Identifier: MIT */
#include "pcc/apikey.h"

#include "common/buf.h"
#include "common/io.h"
#include "proto/keyfile.h"

#include <fcntl.h>
#include <string.h>

#define FILE_MAX 65536u

int apikey_check(struct span key)
{
    if (key.n == 0)
        return E_MALFORMED;
    if (key.n > APIKEY_MAX)
        return E_TOO_LARGE;
    for (size_t i = 0; i < key.n; i++) {
        if (key.data[i] <= ' ' || key.data[i] > '~')
            return E_MALFORMED;
    }
    return 0;
}

/* Return: as apikey_read(). */
static int take_first_line(struct span text, char ret_key[APIKEY_MAX + 1])
{
    const uint8_t *end = text.n > 0 ? memchr(text.data, '\n', text.n) : NULL;
    size_t n = end ? (size_t)(end - text.data) : text.n;

    if (n > 0 && text.data[n - 1] == '\r')
        n--;
    struct span key = span_trim(span_of(text.data, n));
    if (span_starts_with(key, SPAN(KEYFILE_DIGEST)))
        return E_UNSUPPORTED;
    int r = apikey_check(key);
    if (r)
        return r;
    memcpy(ret_key, key.data, key.n);
    ret_key[key.n] = '\0';
    return 0;
}

int apikey_read(const char *path, char ret_key[APIKEY_MAX + 1])
{
    CLEANUP(buf_done) struct buf text;

    buf_init(&text, FILE_MAX);
    /* All at once: a buffer that grows leaves copies behind. */
    int r = buf_reserve(&text, FILE_MAX);
    if (r == 0)
        r = io_read_file(AT_FDCWD, path, &text);
    if (r == 0)
        r = take_first_line(buf_span(&text), ret_key);
    if (text.data)
        explicit_bzero(text.data, text.cap);
    return r;
}

const char *apikey_text(int r)
{
    if (r == E_MALFORMED)
        return "the first line is no key: expected printable characters without blanks";
    if (r == E_UNSUPPORTED)
        return "the first line is what a server keeps of a key, not the key itself";
    return err_text(r);
}
