/* SPDX-License-Identifier: MIT */
#include "tests/lib/fault.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include <msgpack.h>

static atomic_long countdown = -1;
static atomic_bool fired;
static _Atomic uint64_t allocations;

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void *__real_reallocarray(void *p, size_t n, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t n);
char *__real_strdup(const char *text);
int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attr,
                          void *(*start)(void *), void *arg);
int __real_inflateInit2_(z_stream *z, int bits, const char *version, int size);
int __real_deflateInit2_(z_stream *z, int level, int method, int bits, int memory,
                         int strategy, const char *version, int size);
msgpack_unpack_return __real_msgpack_unpack_next(msgpack_unpacked *ret, const char *bytes,
                                                 size_t n, size_t *at);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);
void *__wrap_reallocarray(void *p, size_t n, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t n);
char *__wrap_strdup(const char *text);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr,
                          void *(*start)(void *), void *arg);
int __wrap_inflateInit2_(z_stream *z, int bits, const char *version, int size);
int __wrap_deflateInit2_(z_stream *z, int level, int method, int bits, int memory,
                         int strategy, const char *version, int size);
msgpack_unpack_return __wrap_msgpack_unpack_next(msgpack_unpacked *ret, const char *bytes,
                                                 size_t n, size_t *at);

void fault_arm(long nth)
{
    fired = false;
    countdown = nth;
}

bool fault_disarm(void)
{
    countdown = -1;
    return fired;
}

uint64_t fault_allocations(void)
{
    return atomic_load_explicit(&allocations, memory_order_relaxed);
}

static bool fails_now(void)
{
    atomic_fetch_add_explicit(&allocations, 1, memory_order_relaxed);
    /* Of several threads that count at once, one comes to the end. */
    if (countdown < 0 || atomic_fetch_sub(&countdown, 1) != 0)
        return false;
    fired = true;
    return true;
}

void *__wrap_malloc(size_t n)
{
    return fails_now() ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return fails_now() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t n)
{
    return fails_now() ? NULL : __real_realloc(p, n);
}

void *__wrap_reallocarray(void *p, size_t n, size_t size)
{
    return fails_now() ? NULL : __real_reallocarray(p, n, size);
}

void *__wrap_aligned_alloc(size_t alignment, size_t n)
{
    return fails_now() ? NULL : __real_aligned_alloc(alignment, n);
}

char *__wrap_strdup(const char *text)
{
    return fails_now() ? NULL : __real_strdup(text);
}

/* It needs memory for a stack. */
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr,
                          void *(*start)(void *), void *arg)
{
    return fails_now() ? EAGAIN : __real_pthread_create(thread, attr, start, arg);
}

/* zlib takes what it needs from an allocator that it is given. */

static void *allocate(void *arg, unsigned n, unsigned size)
{
    (void)arg;
    return __wrap_malloc((size_t)n * size);
}

static void release(void *arg, void *p)
{
    (void)arg;
    free(p);
}

int __wrap_inflateInit2_(z_stream *z, int bits, const char *version, int size)
{
    z->zalloc = allocate;
    z->zfree = release;
    return __real_inflateInit2_(z, bits, version, size);
}

/* NOLINTNEXTLINE(readability-function-size): zlib's eight parameters. */
int __wrap_deflateInit2_(z_stream *z, int level, int method, int bits, int memory,
                         int strategy, const char *version, int size)
{
    z->zalloc = allocate;
    z->zfree = release;
    return __real_deflateInit2_(z, level, method, bits, memory, strategy, version, size);
}

/* msgpack-c allocates in a library of its own: it fails as a whole. */
msgpack_unpack_return __wrap_msgpack_unpack_next(msgpack_unpacked *ret, const char *bytes,
                                                 size_t n, size_t *at)
{
    return fails_now() ? MSGPACK_UNPACK_NOMEM_ERROR
                       : __real_msgpack_unpack_next(ret, bytes, n, at);
}
