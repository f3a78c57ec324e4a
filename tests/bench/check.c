/* SPDX-License-Identifier: MIT */
#include "tests/bench/check.h"

#include "common/clock.h"
#include "common/io.h"
#include "common/units.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>

#define POLL_NS (20 * MSEC)
#define PATH_BYTES 512

/* data/HOST/2026-11-22.jsonl; the identifiers of a fleet need no escaping. */
static void file_path(const struct fleet *f, const char *home, const char *identifier,
                      char ret[PATH_BYTES])
{
    time_t seconds = (time_t)(f->payload->conf.time_ns / SEC);
    struct tm day;
    char name[sizeof("2026-11-22.jsonl")];

    gmtime_r(&seconds, &day);
    strftime(name, sizeof(name), "%Y-%m-%d.jsonl", &day);
    snprintf(ret, PATH_BYTES, "%s/data/%s/%s", home, identifier, name);
}

/* Waits until the file is as long as it must be. Return: its length, 0 where there is
 * none: too short is found out by comparing. */
static uint64_t wait_length(const char *path, uint64_t expected, uint64_t end_ns)
{
    const struct timespec pause = {.tv_nsec = POLL_NS};
    struct stat s = {0};

    while (stat(path, &s) || (uint64_t)s.st_size < expected) {
        if (clock_monotonic_ns() >= end_ns)
            break;
        clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, NULL);
    }
    return (uint64_t)s.st_size;
}

/* Counts the batches 1, 2, 3 … that @file consists of. Return: 0; E_MALFORMED at the
 * first byte that isn't theirs, *ret_n then says how many came before; -ENOMEM. */
static int count_batches(const struct payload *p, uint64_t session, struct span file,
                         uint64_t *ret_n)
{
    CLEANUP(buf_done) struct buf marker;
    struct span tail = buf_span(&p->json_tail);

    buf_init(&marker, KIB);
    for (*ret_n = 0; file.n; (*ret_n)++) {
        buf_reset(&marker);
        int r = payload_marker_line(p, session, *ret_n + 1, &marker);
        if (r)
            return r;
        size_t n = marker.len + tail.n;

        if (file.n < n ||
            !span_equal(span_of(file.data, marker.len), buf_span(&marker)) ||
            !span_equal(span_of(file.data + marker.len, tail.n), tail))
            return E_MALFORMED;
        file = span_from(file, n);
    }
    return 0;
}

static int count_in_file(const struct payload *p, uint64_t session, const char *path,
                         uint64_t length, uint64_t *ret_n)
{
    CLEANUP(io_close) int fd = open(path, O_RDONLY | O_CLOEXEC);

    *ret_n = 0;
    if (fd < 0)
        return errno == ENOENT ? 0 : -errno;
    if (length == 0)
        return 0;
    void *data = mmap(NULL, length, PROT_READ, MAP_PRIVATE, fd, 0);
    if (data == MAP_FAILED)
        return -errno;
    int r = count_batches(p, session, span_of(data, length), ret_n);
    munmap(data, length);
    return r;
}

static int check_client(const struct fleet *f, const char *home,
                        const struct fleet_client *c, uint64_t end_ns, char *ret_why,
                        size_t size)
{
    char path[PATH_BYTES];
    uint64_t n;

    file_path(f, home, c->identifier, path);
    uint64_t length = wait_length(path, c->stored * f->payload->stored_n, end_ns);
    int r = count_in_file(f->payload, c->session, path, length, &n);
    if (r == 0 && n >= c->stored && n <= c->stored + 1)
        return 0;
    snprintf(ret_why, size,
             "%s: %" PRIu64 " batches were answered as stored; the file's first %" PRIu64
             " are right, then comes %s",
             path, c->stored, n, r ? err_text(r) : "the end");
    return r < 0 ? r : E_MALFORMED;
}

int check_store(const struct fleet *f, const char *home, uint64_t patience_ns,
                char *ret_why, size_t size)
{
    uint64_t end_ns = clock_monotonic_ns() + patience_ns;
    struct fleet_client c;
    int r = 0;

    for (size_t i = 0; r == 0 && i < f->conf.n_hosts; i++) {
        fleet_client(f, i, &c);
        r = check_client(f, home, &c, end_ns, ret_why, size);
    }
    return r;
}
