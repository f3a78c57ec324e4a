/* SPDX-License-Identifier: MIT */
#include "pcd/auth.h"

#include "common/buf.h"
#include "common/io.h"
#include "proto/limits.h"
#include "proto/wire.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>

#define AUTH_FILE_BYTES MIB

/* One key, padded with zeros so that a comparison may go beyond its end. */
struct auth_key {
    size_t n;
    uint8_t bytes[AUTH_KEY_BYTES];
};

struct key_set {
    size_t n;
    size_t cap;
    struct auth_key *keys;
};

struct auth {
    pthread_rwlock_t lock;
    struct key_set set; /* guarded by lock */
};

int auth_new(struct auth **ret)
{
    struct auth *a = calloc(1, sizeof *a);

    if (!a)
        return -ENOMEM;
    int r = pthread_rwlock_init(&a->lock, NULL);
    if (r) {
        free(a);
        return -r;
    }
    *ret = a;
    return 0;
}

void auth_free(struct auth *a)
{
    if (!a)
        return;
    (void)pthread_rwlock_destroy(&a->lock);
    free(a->set.keys);
    free(a);
}

static int set_add(struct key_set *set, struct span key)
{
    if (key.n > AUTH_KEY_BYTES)
        return E_MALFORMED;
    for (size_t i = 0; i < key.n; i++)
        if (key.data[i] <= ' ' || key.data[i] > '~')
            return E_MALFORMED;
    if (set->n == AUTH_KEYS_MAX)
        return E_TOO_LARGE;
    if (set->n == set->cap) {
        size_t cap = set->cap ? set->cap * 2 : 4;
        struct auth_key *keys = reallocarray(set->keys, cap, sizeof *keys);

        if (!keys)
            return -ENOMEM;
        set->keys = keys;
        set->cap = cap;
    }
    struct auth_key *to = &set->keys[set->n++];
    *to = (struct auth_key){.n = key.n};
    memcpy(to->bytes, key.data, key.n);
    return 0;
}

/* Cuts the first line off the text. */
static struct span take_line(struct span *text)
{
    const uint8_t *end = memchr(text->data, '\n', text->n);
    size_t n = end ? (size_t)(end - text->data) : text->n;
    struct span line = span_of(text->data, n);

    *text = span_from(*text, end ? n + 1 : n);
    if (line.n > 0 && line.data[line.n - 1] == '\r')
        line.n--;
    return span_trim(line);
}

static int set_parse(struct key_set *set, struct span text, struct auth_file *ret)
{
    for (size_t line = 1; text.n > 0; line++) {
        struct span key = take_line(&text);

        if (key.n == 0 || key.data[0] == '#')
            continue;
        int r = set_add(set, key);
        if (r == E_MALFORMED)
            ret->line = line;
        if (r)
            return r;
        ret->n_weak += key.n < AUTH_KEY_WEAK_BYTES;
    }
    ret->n_keys = set->n;
    return set->n > 0 ? 0 : E_GONE;
}

int auth_load(struct auth *a, const char *path, struct auth_file *ret)
{
    CLEANUP(buf_done) struct buf text;
    struct key_set set = {0};

    *ret = (struct auth_file){0};
    buf_init(&text, AUTH_FILE_BYTES);
    int r = io_read_file(AT_FDCWD, path, &text);
    if (r == 0)
        r = set_parse(&set, buf_span(&text), ret);
    if (r) {
        free(set.keys);
        return r;
    }
    (void)pthread_rwlock_wrlock(&a->lock);
    struct key_set old = a->set;
    a->set = set;
    (void)pthread_rwlock_unlock(&a->lock);
    free(old.keys);
    return 0;
}

bool auth_check(struct auth *a, struct span key)
{
    size_t found = 0;

    if (key.n == 0 || key.n > AUTH_KEY_BYTES)
        return false;
    (void)pthread_rwlock_rdlock(&a->lock);
    for (size_t i = 0; i < a->set.n; i++) {
        const struct auth_key *k = &a->set.keys[i];
        size_t differs = k->n ^ key.n;

        for (size_t j = 0; j < key.n; j++)
            differs |= (size_t)(k->bytes[j] ^ key.data[j]);
        found |= (size_t)(differs == 0);
    }
    (void)pthread_rwlock_unlock(&a->lock);
    return found != 0;
}

struct span auth_key_of(struct span apikey, struct span authorization)
{
    struct span scheme = SPAN(WIRE_BEARER);

    if (apikey.data)
        return apikey;
    if (authorization.n > scheme.n &&
        span_equal_nocase(span_of(authorization.data, scheme.n), scheme))
        return span_trim(span_from(authorization, scheme.n));
    return (struct span){NULL, 0};
}
