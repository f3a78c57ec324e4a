/* SPDX-License-Identifier: MIT */
#include "pcd/log_reader.h"

#include "common/cursor.h"
#include "common/hash.h"
#include "common/io.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define BODY_MAX (LOG_LINES_MAX + LIMIT_IDENTIFIER_BYTES)
#define SEARCH_BYTES (256 * KIB)

int log_reader_open(int dir_fd, struct log_position at, struct log_reader *ret)
{
    char name[LOG_NAME_BYTES];
    struct stat st;

    log_name(at.number, name);
    int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    if (fstat(fd, &st) != 0) {
        int r = -errno;
        io_close(&fd);
        return r;
    }
    *ret = (struct log_reader){
        .fd = fd, .number = at.number, .offset = at.offset, .end = (uint64_t)st.st_size};
    buf_init(&ret->body, (size_t)BODY_MAX);
    return 0;
}

void log_reader_done(struct log_reader *r)
{
    io_close(&r->fd);
    buf_done(&r->body);
}

struct header {
    struct log_record rec;
    uint32_t crc;
    uint32_t lines_crc;
    uint64_t identifier_n;
    uint64_t lines_n;
};

/* Reads the fixed part; E_MALFORMED unless it can be one of this log at this place. */
static int decode_header(const struct log_reader *r, const uint8_t *bytes,
                         struct header *ret)
{
    struct cursor c;
    struct header h = {0};

    cursor_init(&c, span_of(bytes, LOG_HEADER_BYTES));
    h.crc = (uint32_t)cursor_le(&c, 4);
    uint64_t magic = cursor_le(&c, 4);
    uint64_t number = cursor_le(&c, 8);
    h.rec.group = cursor_le(&c, 8);
    uint8_t type = cursor_u8(&c);
    h.rec.has_key = cursor_u8(&c) & LOG_FLAG_KEY;
    h.identifier_n = cursor_le(&c, 2);
    h.rec.day = (uint32_t)cursor_le(&c, 4);
    h.rec.arrival_ns = cursor_le(&c, 8);
    h.rec.file_offset = cursor_le(&c, 8);
    h.lines_n = cursor_le(&c, 8);
    h.rec.key.session = cursor_le(&c, 8);
    h.rec.key.seq = cursor_le(&c, 8);
    h.rec.key.floor = cursor_le(&c, 8);
    h.rec.n_measurements = (uint32_t)cursor_le(&c, 4);
    h.lines_crc = (uint32_t)cursor_le(&c, 4);

    if (c.r || magic != LOG_MAGIC || number != r->number ||
        h.identifier_n > LIMIT_IDENTIFIER_BYTES)
        return E_MALFORMED;
    if (type == LOG_BEGIN) {
        h.rec.before = (struct log_position){h.rec.file_offset, h.lines_n};
        h.rec.file_offset = h.lines_n = 0;
    } else if (type != LOG_BATCH && type != LOG_PADDING) {
        return E_MALFORMED;
    }
    h.rec.type = (enum log_type)type;
    if (h.lines_n > LOG_LINES_MAX || h.rec.group > r->offset)
        return E_MALFORMED;
    *ret = h;
    return 0;
}

int log_read(struct log_reader *r, struct log_record *ret)
{
    uint8_t bytes[LOG_HEADER_BYTES];
    struct header h;
    size_t got;

    if (r->offset >= r->end)
        return E_GONE;
    if (r->end - r->offset < sizeof bytes)
        return E_MALFORMED;
    int res = io_pread(r->fd, bytes, sizeof bytes, r->offset, &got);
    if (res)
        return res;
    if (got < sizeof bytes || decode_header(r, bytes, &h) != 0)
        return E_MALFORMED;

    uint64_t body_n = h.identifier_n + h.lines_n;
    if (body_n > r->end - r->offset - sizeof bytes)
        return E_MALFORMED;
    buf_reset(&r->body);
    res = buf_reserve(&r->body, (size_t)body_n);
    if (res)
        return res;
    res = io_pread(r->fd, buf_tail(&r->body), (size_t)body_n, r->offset + sizeof bytes,
                   &got);
    if (res)
        return res;
    if (got < body_n)
        return E_MALFORMED;
    buf_commit(&r->body, (size_t)body_n);

    h.rec.identifier = span_of(r->body.data, (size_t)h.identifier_n);
    h.rec.lines = span_from(buf_span(&r->body), (size_t)h.identifier_n);
    uint32_t crc = hash_crc32c(0, span_of(bytes + 4, sizeof bytes - 4));
    if (hash_crc32c(crc, h.rec.identifier) != h.crc ||
        hash_crc32c(0, h.rec.lines) != h.lines_crc)
        return E_MALFORMED;
    r->offset += sizeof bytes + body_n;
    h.rec.end = r->offset;
    *ret = h.rec;
    return 0;
}

/* Is there a whole record at this offset? As log_read(), the reader left before it. */
static int try_at(struct log_reader *r, uint64_t offset, struct log_record *ret)
{
    uint64_t before = r->offset;

    r->offset = offset;
    int res = log_read(r, ret);
    r->offset = res == 0 ? offset : before;
    return res;
}

int log_find(struct log_reader *r, struct log_record *ret)
{
    CLEANUP(buf_done) struct buf window;
    static const uint8_t magic[] = {LOG_MAGIC & 0xff, LOG_MAGIC >> 8 & 0xff,
                                    LOG_MAGIC >> 16 & 0xff, LOG_MAGIC >> 24};

    buf_init(&window, SEARCH_BYTES);
    int res = buf_reserve(&window, SEARCH_BYTES);
    if (res)
        return res;

    /* Windows overlap by less than a magic, so that none is missed or seen twice. */
    for (uint64_t from = r->offset + 1; from < r->end;) {
        size_t got;

        res = io_pread(r->fd, window.data, SEARCH_BYTES, from + 4, &got);
        if (res)
            return res;
        const uint8_t *at = window.data;
        size_t left = got;
        for (const uint8_t *hit; (hit = memmem(at, left, magic, 4)); at = hit + 1) {
            res = try_at(r, from + (uint64_t)(hit - window.data), ret);
            if (res == 0 || res < 0)
                return res;
            left = got - (size_t)(hit + 1 - window.data);
        }
        if (got < SEARCH_BYTES)
            break;
        from += got - 3;
    }
    return E_GONE;
}

static int compare(const void *a, const void *b)
{
    const uint64_t *x = a;
    const uint64_t *y = b;

    return (*x > *y) - (*x < *y);
}

/* NUMBER.log or NUMBER.log.bad. */
static bool parse_name(const char *name, uint64_t *ret_number, bool *ret_bad)
{
    char *end;

    if (name[0] < '0' || name[0] > '9')
        return false;
    errno = 0;
    *ret_number = strtoull(name, &end, 10);
    *ret_bad = strcmp(end, ".log.bad") == 0;
    return errno == 0 && (*ret_bad || strcmp(end, ".log") == 0);
}

static int add_number(uint64_t **numbers, size_t *n, uint64_t number)
{
    /* Grown a power of two at a time. */
    if ((*n & (*n - 1)) == 0) {
        uint64_t *more = reallocarray(*numbers, *n ? *n * 2 : 1, sizeof *more);
        if (!more)
            return -ENOMEM;
        *numbers = more;
    }
    (*numbers)[(*n)++] = number;
    return 0;
}

int log_list(int dir_fd, uint64_t **ret, size_t *ret_n, uint64_t *ret_max)
{
    uint64_t *numbers = NULL;
    uint64_t max = 0;
    size_t n = 0;
    int r = 0;

    int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir) {
        r = -errno;
        io_close(&fd);
        return r;
    }
    while (r == 0) {
        uint64_t number;
        bool bad;

        errno = 0;
        const struct dirent *entry = readdir(dir);
        if (!entry) {
            r = -errno;
            break;
        }
        if (!parse_name(entry->d_name, &number, &bad))
            continue;
        max = number > max ? number : max;
        if (!bad)
            r = add_number(&numbers, &n, number);
    }
    (void)closedir(dir); /* read only */
    if (r) {
        free(numbers);
        return r;
    }
    if (n)
        qsort(numbers, n, sizeof *numbers, compare);
    *ret = numbers;
    *ret_n = n;
    *ret_max = max;
    return 0;
}

int log_before(int dir_fd, uint64_t number, struct log_position *ret_before)
{
    struct log_reader r = {.fd = -1};
    struct log_record rec;

    int res = log_reader_open(dir_fd, (struct log_position){number, 0}, &r);
    if (res)
        return res;
    res = log_read(&r, &rec);
    if (res == 0 && rec.type == LOG_BEGIN)
        *ret_before = rec.before;
    else if (res >= 0)
        res = E_GONE;
    log_reader_done(&r);
    return res;
}

int log_acknowledged(int dir_fd, const uint64_t *numbers, size_t n, uint64_t *ret_length)
{
    for (size_t i = 1; i < n; i++) {
        struct log_position before;
        int res = log_before(dir_fd, numbers[i], &before);

        if (res < 0)
            return res;
        if (res == 0 && before.number == numbers[0]) {
            *ret_length = before.offset;
            return 0;
        }
    }
    return E_GONE;
}

/* Replays one log up to an end, or, where nothing says where that is, to the first record
 * that isn't whole. */
static int replay_one(struct log_reader *r, bool is_open,
                      int (*each)(void *arg, const struct log_record *rec), void *arg)
{
    struct log_record rec;
    int res;

    while ((res = log_read(r, &rec)) == 0) {
        if (rec.type != LOG_BATCH)
            continue;
        res = each(arg, &rec);
        if (res)
            return res;
    }
    if (res == E_GONE || (res == E_MALFORMED && is_open))
        return 0;
    return res == E_MALFORMED ? -EIO : res;
}

int log_replay(int dir_fd, struct log_position from, struct log_position to,
               int (*each)(void *arg, const struct log_record *rec), void *arg)
{
    uint64_t *numbers = NULL;
    uint64_t max;
    size_t n = 0;
    int res = log_list(dir_fd, &numbers, &n, &max);

    if (res)
        return res;
    for (size_t i = 0; i < n && res == 0; i++) {
        struct log_reader r = {.fd = -1};
        uint64_t acknowledged = 0;
        bool is_open = false;

        if (numbers[i] < from.number || numbers[i] > to.number)
            continue;
        uint64_t offset = numbers[i] == from.number ? from.offset : 0;
        res = log_reader_open(dir_fd, (struct log_position){numbers[i], offset}, &r);
        if (res)
            break;
        if (numbers[i] == to.number) {
            r.end = to.offset;
        } else {
            res = log_acknowledged(dir_fd, numbers + i, n - i, &acknowledged);
            is_open = res == E_GONE;
            if (res == 0)
                r.end = acknowledged;
        }
        if (res == 0 || is_open)
            res = replay_one(&r, is_open, each, arg);
        log_reader_done(&r);
    }
    free(numbers);
    return res;
}
