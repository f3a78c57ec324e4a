/* SPDX-License-Identifier: MIT */
#include "pcd/log.h"

#include "common/hash.h"
#include "common/io.h"
#include "common/le.h"
#include "common/units.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STAGE_BYTES MIB

void log_name(uint64_t number, char ret_name[LOG_NAME_BYTES])
{
    (void)snprintf(ret_name, LOG_NAME_BYTES, "%012" PRIu64 ".log", number);
}

/* Encodes a header; the identifier follows it at once. Return: bytes used. */
static size_t encode(const struct log_record *rec, uint64_t number, uint32_t lines_crc,
                     uint8_t ret[LOG_HEADER_BYTES + LIMIT_IDENTIFIER_BYTES])
{
    bool begins = rec->type == LOG_BEGIN;
    uint8_t *at = ret + 4;

    at = le_write(LOG_MAGIC, 4, at);
    at = le_write(number, 8, at);
    at = le_write(rec->group, 8, at);
    at = le_write((uint64_t)rec->type, 1, at);
    at = le_write(rec->has_key ? LOG_FLAG_KEY : 0, 1, at);
    at = le_write(rec->identifier.n, 2, at);
    at = le_write(rec->day, 4, at);
    at = le_write(rec->arrival_ns, 8, at);
    at = le_write(begins ? rec->before.number : rec->file_offset, 8, at);
    at = le_write(begins ? rec->before.offset : rec->lines.n, 8, at);
    at = le_write(rec->key.session, 8, at);
    at = le_write(rec->key.seq, 8, at);
    at = le_write(rec->key.floor, 8, at);
    at = le_write(rec->n_measurements, 4, at);
    at = le_write(lines_crc, 4, at);
    assert(at == ret + LOG_HEADER_BYTES);
    if (rec->identifier.n)
        memcpy(at, rec->identifier.data, rec->identifier.n);

    size_t n = LOG_HEADER_BYTES + rec->identifier.n;
    (void)le_write(hash_crc32c(0, span_of(ret + 4, n - 4)), 4, ret);
    return n;
}

/* Where the file system can't, or not so, the page cache takes what is written. */
static void write_directly(struct log *l, bool is_direct)
{
    int flags = fcntl(l->fd, F_GETFL);
    int wanted = is_direct ? flags | O_DIRECT : flags & ~O_DIRECT;

    l->is_direct = flags >= 0 && fcntl(l->fd, F_SETFL, wanted) == 0 && is_direct;
}

/* Writes what is staged. EINVAL: no direct writes here, or none from where the last one
 * ended; the page cache takes the rest. */
static int write_staged(struct log *l)
{
    uint64_t offset = l->length - l->n_staged;
    size_t done = 0;

    while (done < l->n_staged) {
        ssize_t n =
            pwrite(l->fd, l->stage + done, l->n_staged - done, (off_t)(offset + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EINVAL && l->is_direct) {
            write_directly(l, false);
            continue;
        }
        if (n < 0)
            return -errno;
        done += (size_t)n;
    }
    l->n_staged = 0;
    return 0;
}

static int stage(struct log *l, struct span bytes)
{
    while (bytes.n > 0) {
        size_t room = STAGE_BYTES - l->n_staged;
        size_t n = bytes.n < room ? bytes.n : room;

        memcpy(l->stage + l->n_staged, bytes.data, n);
        l->n_staged += n;
        l->length += n;
        bytes = span_from(bytes, n);
        if (l->n_staged == STAGE_BYTES) {
            int r = write_staged(l);
            if (r)
                return r;
        }
    }
    return 0;
}

static int append_record(struct log *l, const struct log_record *rec, uint32_t lines_crc)
{
    uint8_t header[LOG_HEADER_BYTES + LIMIT_IDENTIFIER_BYTES];
    size_t n = encode(rec, l->number, lines_crc, header);

    int r = stage(l, span_of(header, n));
    return r ? r : stage(l, rec->lines);
}

/* Fills the last block, and writes what is staged. */
static int finish_blocks(struct log *l)
{
    static const uint8_t zeros[LOG_ALIGN];
    size_t n = (LOG_ALIGN - l->length % LOG_ALIGN) % LOG_ALIGN;
    int r = 0;

    if (n > 0) {
        if (n < LOG_HEADER_BYTES)
            n += LOG_ALIGN;
        struct log_record rec = {.type = LOG_PADDING,
                                 .group = l->synced,
                                 .lines = span_of(zeros, n - LOG_HEADER_BYTES)};
        r = append_record(l, &rec, hash_crc32c(0, rec.lines));
    }
    return r ? r : write_staged(l);
}

/* Writes and syncs the first record of a log whose file is open, and its name. */
static int begin(struct log *l, int dir_fd, struct log_position before)
{
    const struct log_record rec = {.type = LOG_BEGIN, .before = before};

    l->stage = aligned_alloc(LOG_ALIGN, STAGE_BYTES);
    if (!l->stage)
        return -ENOMEM;
    write_directly(l, true);
    int r = append_record(l, &rec, 0);
    if (r == 0)
        r = finish_blocks(l);
    if (r == 0)
        r = log_sync(l);
    return r ? r : io_sync_dir(dir_fd);
}

int log_begin(int dir_fd, uint64_t number, struct log_position before, struct log *ret)
{
    struct log l = {.number = number};
    char name[LOG_NAME_BYTES];

    log_name(number, name);
    l.fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (l.fd < 0)
        return -errno;
    int r = begin(&l, dir_fd, before);
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
    free(l->stage);
    l->stage = NULL;
}

int log_append(struct log *l, struct job *jobs)
{
    for (struct job *j = jobs; j; j = j->next) {
        const struct log_record rec = {
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
        int r = append_record(l, &rec, j->lines_crc);
        if (r)
            return r;
        j->end = (struct log_position){l->number, l->length};
    }
    return finish_blocks(l);
}

int log_sync(struct log *l)
{
    if (fdatasync(l->fd) != 0)
        return -errno;
    l->synced = l->length;
    return 0;
}
