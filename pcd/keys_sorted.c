/* SPDX-License-Identifier: MIT */
#include "pcd/keys_sorted.h"

#include "common/hash.h"
#include "common/io.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAGIC UINT32_C(0x31534350) /* "PCS1" */
#define NAME_BYTES 24u
#define CRC_BYTES 4u
#define INDEX_ENTRY_BYTES 24u
#define TRAILER_BYTES 32u
/* Of a whole index: some seven billion sessions. */
#define INDEX_MAX_BYTES (size_t) GIB

struct block {
    struct keys_order first;
    uint64_t offset;
};

struct keys_sorted {
    _Atomic unsigned holders;
    int fd;
    uint64_t number;
    uint64_t n_sessions;
    uint64_t size;
    size_t n_blocks;
    struct block blocks[]; /* one more, which says where the last one ends */
};

int keys_order_compare(struct keys_order a, struct span identifier_a, struct keys_order b,
                       struct span identifier_b)
{
    if (a.hash != b.hash)
        return a.hash < b.hash ? -1 : 1;
    if (a.session != b.session)
        return a.session < b.session ? -1 : 1;

    size_t n = identifier_a.n < identifier_b.n ? identifier_a.n : identifier_b.n;
    int order = memcmp(identifier_a.data, identifier_b.data, n);
    if (order != 0)
        return order;
    return (identifier_a.n > identifier_b.n) - (identifier_a.n < identifier_b.n);
}

uint64_t keys_sorted_bound(uint64_t bytes)
{
    /* All blocks but the last are full. */
    uint64_t n_blocks = bytes / (KEYS_BLOCK_BYTES - CRC_BYTES) + 1;

    return bytes + n_blocks * (CRC_BYTES + INDEX_ENTRY_BYTES) + TRAILER_BYTES;
}

static void name_of(uint64_t number, char ret_name[NAME_BYTES])
{
    (void)snprintf(ret_name, NAME_BYTES, "%" PRIu64, number);
}

static int as_fault(int r)
{
    return r == E_TOO_LARGE ? -EFBIG : r;
}

int keys_sorted_create(int dir_fd, uint64_t number, struct keys_sorted_writer *ret)
{
    struct keys_sorted_writer w = {.dir_fd = dir_fd, .number = number};
    char name[NAME_BYTES];

    name_of(number, name);
    w.fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (w.fd < 0)
        return -errno;
    buf_init(&w.block, KEYS_BLOCK_MAX_BYTES);
    buf_init(&w.index, INDEX_MAX_BYTES);
    *ret = w;
    return 0;
}

static void end_writer(struct keys_sorted_writer *w)
{
    io_close(&w->fd);
    buf_done(&w->block);
    buf_done(&w->index);
}

/* Writes what a buffer holds and empties it. */
static int flush(struct keys_sorted_writer *w, struct buf *b)
{
    int r = io_write(w->fd, buf_span(b));
    if (r)
        return r;
    w->offset += b->len;
    buf_reset(b);
    return 0;
}

static int end_block(struct keys_sorted_writer *w)
{
    if (w->block.len == 0)
        return 0;
    (void)keys_put(w->block.data,
                   hash_crc32c(0, span_from(buf_span(&w->block), CRC_BYTES)), CRC_BYTES);
    return flush(w, &w->block);
}

static int begin_block(struct keys_sorted_writer *w, struct keys_order first)
{
    uint8_t entry[INDEX_ENTRY_BYTES];
    uint8_t *at = entry;

    at = keys_put(at, first.hash, 8);
    at = keys_put(at, first.session, 8);
    (void)keys_put(at, w->offset, 8);
    int r = buf_append(&w->index, span_of(entry, sizeof entry));
    if (r == 0) /* the CRC's place */
        r = buf_append(&w->block, SPAN("\0\0\0\0"));
    return as_fault(r);
}

int keys_sorted_append(struct keys_sorted_writer *w, struct keys_order order,
                       struct span record)
{
    int r = w->block.len == 0 ? begin_block(w, order) : 0;

    if (r == 0)
        r = as_fault(buf_append(&w->block, record));
    if (r)
        return r;
    w->n_sessions++;
    return w->block.len >= KEYS_BLOCK_BYTES ? end_block(w) : 0;
}

static int write_index(struct keys_sorted_writer *w)
{
    uint8_t trailer[TRAILER_BYTES];
    uint8_t *at = trailer + CRC_BYTES;

    at = keys_put(at, MAGIC, 4);
    at = keys_put(at, w->number, 8);
    at = keys_put(at, w->n_sessions, 8);
    at = keys_put(at, w->offset, 8);
    assert(at == trailer + TRAILER_BYTES);
    uint32_t crc = hash_crc32c(0, buf_span(&w->index));
    crc = hash_crc32c(crc, span_of(trailer + CRC_BYTES, TRAILER_BYTES - CRC_BYTES));
    (void)keys_put(trailer, crc, CRC_BYTES);

    int r = as_fault(buf_append(&w->index, span_of(trailer, TRAILER_BYTES)));
    return r ? r : flush(w, &w->index);
}

int keys_sorted_finish(struct keys_sorted_writer *w)
{
    int r = end_block(w);

    if (r == 0)
        r = write_index(w);
    if (r == 0 && fsync(w->fd) != 0)
        r = -errno;
    if (r == 0)
        r = io_sync_dir(w->dir_fd);
    if (r)
        keys_sorted_abandon(w);
    else
        end_writer(w);
    return r;
}

void keys_sorted_abandon(struct keys_sorted_writer *w)
{
    char name[NAME_BYTES];

    name_of(w->number, name);
    (void)unlinkat(w->dir_fd, name, 0); /* if it stays, no checkpoint names it */
    end_writer(w);
}

static int read_exactly(int fd, uint8_t *ret_data, size_t n, uint64_t offset)
{
    size_t got = 0;
    int r = io_pread(fd, ret_data, n, offset, &got);

    if (r)
        return r;
    return got == n ? 0 : -EIO;
}

static bool is_sound(const struct keys_sorted *f)
{
    for (size_t i = 0; i < f->n_blocks; i++) {
        uint64_t begin = f->blocks[i].offset;
        uint64_t end = f->blocks[i + 1].offset;
        if (end < begin || end - begin <= CRC_BYTES || end - begin > KEYS_BLOCK_MAX_BYTES)
            return false;
    }
    return f->blocks[0].offset == 0;
}

/* Index and trailer, which stand at the end of the file, to what they say. */
static int decode_index(struct span bytes, uint64_t index_offset,
                        struct keys_sorted **ret)
{
    size_t n_blocks = (bytes.n - TRAILER_BYTES) / INDEX_ENTRY_BYTES;
    struct span index = span_of(bytes.data, bytes.n - TRAILER_BYTES);
    struct cursor c;

    cursor_init(&c, span_from(bytes, index.n));
    uint64_t crc = cursor_le(&c, 4);
    if (crc != hash_crc32c(hash_crc32c(0, index), span_of(c.at, cursor_left(&c))))
        return E_MALFORMED;

    struct keys_sorted *f = calloc(1, sizeof *f + (n_blocks + 1) * sizeof f->blocks[0]);
    if (!f)
        return -ENOMEM;
    (void)cursor_le(&c, 4); /* the magic, which was looked at first */
    f->number = cursor_le(&c, 8);
    f->n_sessions = cursor_le(&c, 8);
    f->n_blocks = n_blocks;
    cursor_init(&c, index);
    for (size_t i = 0; i < n_blocks; i++) {
        f->blocks[i].first.hash = cursor_le(&c, 8);
        f->blocks[i].first.session = cursor_le(&c, 8);
        f->blocks[i].offset = cursor_le(&c, 8);
    }
    f->blocks[n_blocks].offset = index_offset;
    if (!is_sound(f)) {
        free(f);
        return E_MALFORMED;
    }
    *ret = f;
    return 0;
}

static int read_index(int fd, uint64_t size, struct buf *tail, struct keys_sorted **ret)
{
    uint8_t trailer[TRAILER_BYTES];
    struct cursor c;

    if (size < TRAILER_BYTES)
        return E_MALFORMED;
    int r = read_exactly(fd, trailer, TRAILER_BYTES, size - TRAILER_BYTES);
    if (r)
        return r;
    cursor_init(&c, span_of(trailer, TRAILER_BYTES));
    (void)cursor_le(&c, 4);
    uint64_t magic = cursor_le(&c, 4);
    (void)cursor_bytes(&c, 16);
    uint64_t index_offset = cursor_le(&c, 8);
    if (magic != MAGIC || index_offset > size - TRAILER_BYTES ||
        (size - TRAILER_BYTES - index_offset) % INDEX_ENTRY_BYTES != 0)
        return E_MALFORMED;

    r = as_fault(buf_reserve(tail, (size_t)(size - index_offset)));
    if (r == 0)
        r = read_exactly(fd, tail->data, (size_t)(size - index_offset), index_offset);
    if (r)
        return r;
    buf_commit(tail, (size_t)(size - index_offset));
    return decode_index(buf_span(tail), index_offset, ret);
}

int keys_sorted_open(int dir_fd, uint64_t number, struct keys_sorted **ret)
{
    CLEANUP(buf_done) struct buf tail;
    struct keys_sorted *f = NULL;
    struct stat st;
    char name[NAME_BYTES];

    buf_init(&tail, INDEX_MAX_BYTES + TRAILER_BYTES);
    name_of(number, name);
    int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? E_MALFORMED : -errno;
    int r = fstat(fd, &st) == 0 ? 0 : -errno;
    if (r == 0)
        r = read_index(fd, (uint64_t)st.st_size, &tail, &f);
    if (r == 0 && f->number != number)
        r = E_MALFORMED;
    if (r) {
        io_close(&fd);
        free(f);
        return r;
    }
    f->holders = 1;
    f->fd = fd;
    f->size = (uint64_t)st.st_size;
    *ret = f;
    return 0;
}

struct keys_sorted *keys_sorted_hold(struct keys_sorted *f)
{
    f->holders++;
    return f;
}

void keys_sorted_release(struct keys_sorted *f)
{
    if (!f || --f->holders > 0)
        return;
    io_close(&f->fd);
    free(f);
}

uint64_t keys_sorted_number(const struct keys_sorted *f)
{
    return f ? f->number : 0;
}

uint64_t keys_sorted_count(const struct keys_sorted *f)
{
    return f ? f->n_sessions : 0;
}

uint64_t keys_sorted_size(const struct keys_sorted *f)
{
    return f ? f->size : 0;
}

/* Reads a block, checks it, and sets a cursor to its sessions. */
static int read_block(const struct keys_sorted *f, size_t i, struct buf *block,
                      struct cursor *ret)
{
    size_t n = (size_t)(f->blocks[i + 1].offset - f->blocks[i].offset);

    buf_reset(block);
    int r = as_fault(buf_reserve(block, n));
    if (r == 0)
        r = read_exactly(f->fd, block->data, n, f->blocks[i].offset);
    if (r)
        return r;
    buf_commit(block, n);
    cursor_init(ret, buf_span(block));
    uint64_t crc = cursor_le(ret, CRC_BYTES);
    return crc == hash_crc32c(0, span_of(ret->at, cursor_left(ret))) ? 0 : E_MALFORMED;
}

/* The next session of a block. Return: 0; E_GONE at its end; E_MALFORMED. */
static int read_session(struct cursor *c, struct keys_record *ret)
{
    if (cursor_left(c) == 0)
        return E_GONE;
    return keys_record_read(c, ret) ? E_MALFORMED : 0;
}

/* How many blocks begin before a place. */
static size_t count_before(const struct keys_sorted *f, struct keys_order order)
{
    struct span none = SPAN("");
    size_t low = 0;
    size_t high = f->n_blocks;

    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (keys_order_compare(f->blocks[mid].first, none, order, none) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

/* Looks through one block. Return: as keys_sorted_find(). */
static int find_in_block(const struct keys_sorted *f, size_t i, uint64_t session,
                         struct span identifier, struct buf *block,
                         struct keys_record *ret)
{
    struct keys_record rec;
    struct cursor c;
    int r = read_block(f, i, block, &c);

    while (r == 0 && (r = read_session(&c, &rec)) == 0) {
        if (rec.session == session && span_equal(rec.identifier, identifier)) {
            *ret = rec;
            return 0;
        }
    }
    return r;
}

int keys_sorted_find(const struct keys_sorted *f, struct keys_order order,
                     struct span identifier, struct buf *block, struct keys_record *ret)
{
    struct span none = SPAN("");
    size_t i = count_before(f, order);
    bool is_damaged = false;
    int r = E_GONE;

    /* It stands at the end of the block before, or where a block begins with its equal.
     */
    if (i > 0)
        i--;
    for (; r == E_GONE && i < f->n_blocks &&
           keys_order_compare(f->blocks[i].first, none, order, none) <= 0;
         i++) {
        r = find_in_block(f, i, order.session, identifier, block, ret);
        is_damaged |= r == E_MALFORMED;
        if (r == E_MALFORMED)
            r = E_GONE; /* of this block */
    }
    return r == E_GONE && is_damaged ? E_MALFORMED : r;
}

void keys_sorted_reader_init(struct keys_sorted_reader *r, const struct keys_sorted *f)
{
    *r = (struct keys_sorted_reader){.file = f};
    buf_init(&r->block, KEYS_BLOCK_MAX_BYTES);
    cursor_init(&r->at, SPAN(""));
}

void keys_sorted_reader_done(struct keys_sorted_reader *r)
{
    buf_done(&r->block);
}

int keys_sorted_read(struct keys_sorted_reader *r, struct keys_record *ret)
{
    for (;;) {
        int result = read_session(&r->at, ret);

        if (result == E_GONE) {
            if (!r->file || r->next_block == r->file->n_blocks)
                return E_GONE;
            result = read_block(r->file, r->next_block++, &r->block, &r->at);
            if (result == 0)
                continue;
        }
        if (result != E_MALFORMED)
            return result;
        r->n_damaged++;
        cursor_init(&r->at, SPAN(""));
    }
}
