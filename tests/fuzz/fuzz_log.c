/* SPDX-License-Identifier: MIT */
#include "pcd/log_reader.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/home.h"

#include <errno.h>

/* input = how:u8 bytes; the bytes are log 1. how: 1: checksums are made right where a
 * header leaves room for its record, so that what they guard is reached */
#define HOW_REPAIRED 1u
#define NUMBER 1u
/* Every offset of a log of this size at the most is tried when one is looked for. */
#define SEARCHED_MAX 1024u
#define CRC_AT 0u
#define MAGIC_AT 4u
#define IDENTIFIER_N_AT 26u
#define LINES_N_AT 48u
#define LINES_CRC_AT 84u

/* CRC-32C (RFC 3720, B.4) bit by bit: what the header says, told independently. */
static uint32_t crc32c(const uint8_t *bytes, size_t n)
{
    uint32_t crc = UINT32_MAX;

    for (size_t i = 0; i < n; i++) {
        crc ^= bytes[i];
        for (unsigned bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? UINT32_C(0x82f63b78) : 0);
    }
    return ~crc;
}

static uint64_t get(const uint8_t *at, unsigned n)
{
    struct fuzz_input in = {span_of(at, n)};

    return fuzz_number(&in, n);
}

static void put32(uint8_t *at, uint32_t value)
{
    for (unsigned i = 0; i < 4; i++)
        at[i] = (uint8_t)(value >> 8 * i);
}

/* How long the record here says that it is; 0 where it doesn't fit. */
static size_t record_bytes(const uint8_t *at, size_t left)
{
    if (left < LOG_HEADER_BYTES)
        return 0;
    uint64_t identifier_n = get(at + IDENTIFIER_N_AT, 2);
    bool begins = at[24] == LOG_BEGIN;
    uint64_t lines_n = begins ? 0 : get(at + LINES_N_AT, 8);
    size_t room = left - LOG_HEADER_BYTES;
    if (identifier_n > room || lines_n > room - identifier_n)
        return 0;
    return (size_t)(LOG_HEADER_BYTES + identifier_n + lines_n);
}

static void repair(uint8_t *bytes, size_t n)
{
    size_t record;

    for (size_t at = 0; (record = record_bytes(bytes + at, n - at)); at += record) {
        uint8_t *head = bytes + at;
        size_t lines_at = LOG_HEADER_BYTES + (size_t)get(head + IDENTIFIER_N_AT, 2);

        put32(head + MAGIC_AT, LOG_MAGIC);
        put32(head + 8, NUMBER);
        put32(head + 12, 0);
        put32(head + LINES_CRC_AT, crc32c(head + lines_at, record - lines_at));
        put32(head + CRC_AT, crc32c(head + 4, lines_at - 4));
    }
}

static bool is_at(struct span file, struct span part, uint64_t offset)
{
    return span_equal(part, span_of(file.data + offset, part.n));
}

/* What the header promises of a record, by the bytes it was read from. */
static void check_record(struct span file, const struct log_record *rec, uint64_t from)
{
    const uint8_t *at = file.data + from;
    uint64_t lines_at = from + LOG_HEADER_BYTES + rec->identifier.n;

    FUZZ_CHECK(rec->end > from && rec->end <= file.n);
    FUZZ_CHECK(rec->end == lines_at + rec->lines.n);
    FUZZ_CHECK(rec->type >= LOG_BATCH && rec->type <= LOG_PADDING);
    FUZZ_CHECK(rec->identifier.n <= LIMIT_IDENTIFIER_BYTES && rec->group <= from);
    FUZZ_CHECK(is_at(file, rec->identifier, from + LOG_HEADER_BYTES));
    FUZZ_CHECK(is_at(file, rec->lines, lines_at));
    FUZZ_CHECK(get(at + MAGIC_AT, 4) == LOG_MAGIC && get(at + 8, 8) == NUMBER);
    FUZZ_CHECK(get(at + CRC_AT, 4) ==
               crc32c(at + 4, LOG_HEADER_BYTES - 4 + rec->identifier.n));
    FUZZ_CHECK(get(at + LINES_CRC_AT, 4) == crc32c(rec->lines.data, rec->lines.n));
}

/* log_find() finds the first whole record behind the reader's place: so does looking at
 * every offset. Leaves the reader before what it found. */
static int check_find(struct log_reader *r, struct span file)
{
    struct log_record rec;
    uint64_t from = r->offset;
    uint64_t first = from + 1;

    int found = log_find(r, &rec);
    FUZZ_CHECK(found == 0 || found == E_GONE);
    FUZZ_CHECK(found == 0 ? r->offset > from : r->offset == from);
    if (found == 0)
        check_record(file, &rec, r->offset);
    if (file.n > SEARCHED_MAX)
        return found;
    uint64_t until = found == 0 ? r->offset : file.n;
    for (uint64_t back = r->offset; first < until; first++, r->offset = back) {
        r->offset = first;
        FUZZ_CHECK(log_read(r, &rec) == E_MALFORMED);
    }
    return found;
}

static void check_log(int dir_fd, struct span file)
{
    struct log_reader r;
    struct log_record rec;
    int res = 0;

    FUZZ_CHECK(log_reader_open(dir_fd, (struct log_position){NUMBER, 0}, &r) == 0);
    while (res == 0) {
        uint64_t from = r.offset;

        res = log_read(&r, &rec);
        FUZZ_CHECK(res == 0 || res == E_GONE || res == E_MALFORMED);
        FUZZ_CHECK(r.offset == (res == 0 ? rec.end : from));
        FUZZ_CHECK(res != E_GONE || from == file.n);
        if (res == 0)
            check_record(file, &rec, from);
        if (res == E_MALFORMED)
            res = check_find(&r, file);
    }
    log_reader_done(&r);
}

/* A record is written and read again the same, elsewhere in a log. */
static void write_again(struct log *l, const struct log_record *rec)
{
    struct job *job = job_new(rec->lines.n + 1);

    FUZZ_CHECK(job);
    if (rec->identifier.n)
        memcpy(job->identifier, rec->identifier.data, rec->identifier.n);
    job->identifier_n = rec->identifier.n;
    job->has_key = rec->has_key;
    job->key = rec->key;
    job->arrival_ns = rec->arrival_ns;
    job->day = rec->day;
    job->n_measurements = rec->n_measurements;
    job->file_offset = rec->file_offset;
    FUZZ_CHECK(buf_append(&job->lines, rec->lines) == 0);
    job->lines_crc = crc32c(rec->lines.data, rec->lines.n);
    FUZZ_CHECK(log_append(l, job) == 0);
    job_free(job);
}

static bool same_record(const struct log_record *a, const struct log_record *b)
{
    return a->type == b->type && span_equal(a->identifier, b->identifier) &&
           a->has_key == b->has_key && a->key.session == b->key.session &&
           a->key.seq == b->key.seq && a->key.floor == b->key.floor &&
           a->arrival_ns == b->arrival_ns && a->day == b->day &&
           a->n_measurements == b->n_measurements && a->file_offset == b->file_offset &&
           span_equal(a->lines, b->lines);
}

struct again {
    struct log log;
    struct log_reader reader;
};

static int check_again(void *arg, const struct log_record *rec)
{
    struct again *again = arg;
    struct log_record other;

    write_again(&again->log, rec);
    again->reader.end = again->log.length;
    do
        FUZZ_CHECK(log_read(&again->reader, &other) == 0);
    while (other.type == LOG_PADDING);
    FUZZ_CHECK(same_record(rec, &other));
    return 0;
}

static void check_replay(int dir_fd, struct span file)
{
    const struct log_position from = {NUMBER, 0};
    const struct log_position to = {NUMBER, file.n};
    struct again again;
    struct log_record rec;

    FUZZ_CHECK(log_begin(dir_fd, NUMBER + 1, to, &again.log) == 0);
    FUZZ_CHECK(log_reader_open(dir_fd, (struct log_position){NUMBER + 1, 0},
                               &again.reader) == 0);
    FUZZ_CHECK(log_read(&again.reader, &rec) == 0 && rec.type == LOG_BEGIN);
    FUZZ_CHECK(rec.before.number == to.number && rec.before.offset == to.offset);
    int r = log_replay(dir_fd, from, to, check_again, &again);
    FUZZ_CHECK(r == 0 || r == -EIO);
    log_reader_done(&again.reader);
    log_end(&again.log);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    const struct fuzz_home *home = fuzz_home_empty();
    char name[LOG_NAME_BYTES];
    struct fuzz_input in = {span_of(data, n)};
    uint8_t how = fuzz_byte(&in);

    CLEANUP(fuzz_drop) struct span file = fuzz_exact(in.left);
    if (how & HOW_REPAIRED)
        repair((uint8_t *)(uintptr_t)file.data, file.n);
    log_name(NUMBER, name);
    fuzz_home_put(home, name, file);
    check_log(home->fd, file);
    check_replay(home->fd, file);
    return 0;
}
