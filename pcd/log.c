/* SPDX-License-Identifier: MIT */
#include "pcd/log.h"

#include "common/hash.h"
#include "common/io.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

/* Records handed to the kernel in one call. */
#define APPEND_AT_ONCE 256u

void log_name(uint64_t number, char ret_name[LOG_NAME_BYTES])
{
    (void)snprintf(ret_name, LOG_NAME_BYTES, "%012" PRIu64 ".log", number);
}

static uint8_t *put(uint8_t *at, uint64_t value, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        *at++ = (uint8_t)(value >> 8 * i);
    return at;
}

/* Encodes a header; the identifier follows it at once. Return: bytes used. */
static size_t encode(const struct log_record *rec, uint64_t number, uint32_t lines_crc,
                     uint8_t ret[LOG_HEADER_BYTES + LIMIT_IDENTIFIER_BYTES])
{
    bool begins = rec->type == LOG_BEGIN;
    uint8_t *at = ret + 4;

    at = put(at, LOG_MAGIC, 4);
    at = put(at, number, 8);
    at = put(at, rec->group, 8);
    at = put(at, (uint64_t)rec->type, 1);
    at = put(at, rec->has_key ? LOG_FLAG_KEY : 0, 1);
    at = put(at, rec->identifier.n, 2);
    at = put(at, rec->day, 4);
    at = put(at, rec->arrival_ns, 8);
    at = put(at, begins ? rec->before.number : rec->file_offset, 8);
    at = put(at, begins ? rec->before.offset : rec->lines.n, 8);
    at = put(at, rec->key.session, 8);
    at = put(at, rec->key.seq, 8);
    at = put(at, rec->key.floor, 8);
    at = put(at, rec->n_measurements, 4);
    at = put(at, lines_crc, 4);
    assert(at == ret + LOG_HEADER_BYTES);
    if (rec->identifier.n)
        memcpy(at, rec->identifier.data, rec->identifier.n);

    size_t n = LOG_HEADER_BYTES + rec->identifier.n;
    (void)put(ret, hash_crc32c(0, span_of(ret + 4, n - 4)), 4);
    return n;
}

int log_begin(int dir_fd, uint64_t number, struct log_position before, struct log *ret)
{
    struct log l = {.number = number};
    struct log_record rec = {.type = LOG_BEGIN, .before = before};
    uint8_t header[LOG_HEADER_BYTES + LIMIT_IDENTIFIER_BYTES];
    char name[LOG_NAME_BYTES];

    log_name(number, name);
    l.fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (l.fd < 0)
        return -errno;
    l.length = encode(&rec, number, 0, header);
    int r = io_write(l.fd, span_of(header, (size_t)l.length));
    if (r == 0)
        r = log_sync(&l);
    if (r == 0)
        r = io_sync_dir(dir_fd);
    if (r) {
        log_end(&l);
        (void)unlinkat(dir_fd, name,
                       0); /* if it stays, it holds nothing anybody relies on */
        return r;
    }
    *ret = l;
    return 0;
}

void log_end(struct log *l)
{
    io_close(&l->fd);
}

static struct job *append_some(struct log *l, struct job *jobs, int *ret_r)
{
    uint8_t headers[APPEND_AT_ONCE][LOG_HEADER_BYTES + LIMIT_IDENTIFIER_BYTES];
    struct iovec parts[APPEND_AT_ONCE * 2];
    uint64_t from = l->length;
    size_t n = 0;
    struct job *j = jobs;

    for (; j && n < APPEND_AT_ONCE; j = j->next, n++) {
        struct log_record rec = {
            .type = LOG_BATCH,
            .group = l->synced,
            .identifier = job_identifier(j),
            .has_key = j->has_key,
            .key = j->key,
            .arrival_ns = j->arrival_ns,
            .day = j->day,
            .n_measurements = j->n_measurements,
            .file_offset = j->file_offset,
            .lines = buf_span(&j->lines),
        };
        size_t head = encode(&rec, l->number, j->lines_crc, headers[n]);
        parts[2 * n] = (struct iovec){headers[n], head};
        parts[2 * n + 1] = (struct iovec){j->lines.data, j->lines.len};
        l->length += head + j->lines.len;
        j->end = (struct log_position){l->number, l->length};
    }
    *ret_r = io_pwritev(l->fd, parts, 2 * n, from);
    return j;
}

int log_append(struct log *l, struct job *jobs)
{
    int r = 0;

    while (jobs && r == 0)
        jobs = append_some(l, jobs, &r);
    return r;
}

int log_sync(struct log *l)
{
    if (fdatasync(l->fd) != 0)
        return -errno;
    l->synced = l->length;
    return 0;
}
