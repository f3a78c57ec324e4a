/* SPDX-License-Identifier: MIT */
#include "pcc/apikey.h"

#include "common/buf.h"
#include "common/io.h"

#include <fcntl.h>

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

int apikey_read(const char *path, char ret_key[APIKEY_MAX + 1])
{
    CLEANUP(buf_done) struct buf text;

    buf_init(&text, FILE_MAX);
    int r = io_read_file(AT_FDCWD, path, &text);
    if (r)
        return r;
    const uint8_t *end = text.len > 0 ? memchr(text.data, '\n', text.len) : NULL;
    size_t n = end ? (size_t)(end - text.data) : text.len;
    if (n > 0 && text.data[n - 1] == '\r')
        n--;
    struct span key = span_trim(span_of(text.data, n));
    r = apikey_check(key);
    if (r)
        return r;
    memcpy(ret_key, key.data, key.n);
    ret_key[key.n] = '\0';
    return 0;
}
