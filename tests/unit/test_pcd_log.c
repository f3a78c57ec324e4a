/* SPDX-License-Identifier: MIT */
#include "common/hash.h"
#include "common/units.h"
#include "pcd/log_reader.h"
#include "tests/lib/home.h"
#include "tests/lib/suite.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

/* What is appended to the log is read again the same, however the file system takes it.
 */

#define PIECE 77u

static struct home home;

/* What the file system makes of writes. */
static enum { TAKES, REFUSES_DIRECT, TAKES_PIECES } takes;
static uint64_t synced; /* nothing below may be written */
static unsigned direct_writes, buffered_writes;

ssize_t __real_pwrite64(int fd, const void *data, size_t n, off_t offset);
ssize_t __wrap_pwrite64(int fd, const void *data, size_t n, off_t offset);

ssize_t __wrap_pwrite64(int fd, const void *data, size_t n, off_t offset)
{
    int flags = fcntl(fd, F_GETFL);

    ck_assert_uint_ge((uint64_t)offset, synced);
    if (flags & O_DIRECT)
        direct_writes++;
    else
        buffered_writes++;
    if (takes == REFUSES_DIRECT && (flags & O_DIRECT)) {
        errno = EINVAL;
        return -1;
    }
    if (takes != TAKES_PIECES || n <= PIECE)
        return __real_pwrite64(fd, data, n, offset);
    ck_assert_int_eq(fcntl(fd, F_SETFL, flags & ~O_DIRECT), 0);
    ssize_t done = __real_pwrite64(fd, data, PIECE, offset);
    ck_assert_int_eq(fcntl(fd, F_SETFL, flags), 0);
    return done;
}

static void setup(void)
{
    home_make(&home);
    takes = TAKES;
    synced = 0;
    direct_writes = buffered_writes = 0;
}

static void teardown(void)
{
    home_remove(&home);
}

static struct job *make_job(size_t n_lines)
{
    struct job *j = job_new(n_lines + 1);

    ck_assert_ptr_nonnull(j);
    j->identifier[j->identifier_n++] = 'h';
    ck_assert_int_eq(buf_reserve(&j->lines, n_lines), 0);
    for (size_t i = 0; i < n_lines; i++)
        buf_tail(&j->lines)[i] = (uint8_t)(i * 7 + n_lines);
    buf_commit(&j->lines, n_lines);
    j->lines_crc = hash_crc32c(0, buf_span(&j->lines));
    return j;
}

static void append(struct log *l, struct job *jobs)
{
    ck_assert_int_eq(log_append(l, jobs), 0);
    ck_assert_uint_eq(l->length % LOG_ALIGN, 0);
    ck_assert_int_eq(log_sync(l), 0);
    synced = l->synced;
    ck_assert_uint_eq(synced, l->length);
}

/* Reads on to the next batch, past padding; it must be this one. */
static void expect(struct log_reader *r, const struct job *j)
{
    struct log_record rec;

    do {
        ck_assert_int_eq(log_read(r, &rec), 0);
        for (size_t i = 0; rec.type == LOG_PADDING && i < rec.lines.n; i++)
            ck_assert_uint_eq(rec.lines.data[i], 0);
    } while (rec.type != LOG_BATCH);
    ck_assert(span_equal(rec.identifier, job_identifier(j)));
    ck_assert(span_equal(rec.lines, buf_span(&j->lines)));
    ck_assert_uint_eq(rec.end, j->end.offset);
}

static void expect_end(struct log_reader *r)
{
    struct log_record rec;
    int res;

    while ((res = log_read(r, &rec)) == 0)
        ck_assert_int_eq(rec.type, LOG_PADDING);
    ck_assert_int_eq(res, E_GONE);
}

/* Appends groups of jobs with lines of these lengths, 0 between them, and reads them. */
static void check(const size_t *lengths, size_t n)
{
    struct job **jobs = calloc(n, sizeof(struct job *));
    struct log_reader r;
    struct log l;

    ck_assert_ptr_nonnull(jobs);
    ck_assert_int_eq(log_begin(home.fd, 1, (struct log_position){0}, &l), 0);
    synced = l.synced;
    for (size_t i = 0; i < n;) {
        struct job *first = NULL, **next = &first;

        for (; i < n && lengths[i]; i++) {
            jobs[i] = make_job(lengths[i]);
            *next = jobs[i];
            next = &jobs[i]->next;
        }
        append(&l, first);
        i += i < n;
    }
    log_end(&l);
    ck_assert_int_eq(log_reader_open(home.fd, (struct log_position){1, 0}, &r), 0);
    struct log_record rec;
    ck_assert_int_eq(log_read(&r, &rec), 0);
    ck_assert_int_eq(rec.type, LOG_BEGIN);
    for (size_t i = 0; i < n; i++)
        if (jobs[i])
            expect(&r, jobs[i]);
    expect_end(&r);
    log_reader_done(&r);
    for (size_t i = 0; i < n; i++)
        job_free(jobs[i]);
    free(jobs);
}

#define CHECK(...)                                                                       \
    check((const size_t[]){__VA_ARGS__}, sizeof((size_t[]){__VA_ARGS__}) / sizeof(size_t))

/* Also where a header's length, or a byte less, is left in the block. */
START_TEST(groups_of_any_length_are_made_up_to_whole_blocks)
{
    const size_t head = LOG_HEADER_BYTES + 1;

    for (size_t left = 0; left <= LOG_HEADER_BYTES + 1; left++) {
        teardown();
        setup();
        CHECK(1, 2, 0, LOG_ALIGN - head - left, 0, LOG_ALIGN, 5);
        ck_assert_uint_eq(buffered_writes == 0 || direct_writes == 0, true);
    }
}
END_TEST

START_TEST(groups_longer_than_what_is_written_at_once_are_whole)
{
    CHECK(3 * MIB + 5, 1, 0, MIB - 2 * (LOG_HEADER_BYTES + 1), 0, 2 * MIB, MIB);
}
END_TEST

START_TEST(a_file_system_without_direct_writes_gets_others)
{
    takes = REFUSES_DIRECT;
    CHECK(1, 2, 0, LOG_ALIGN, 3 * MIB);
    ck_assert_uint_le(direct_writes, 1);
    ck_assert_uint_ge(buffered_writes, 2);
}
END_TEST

START_TEST(a_write_that_ends_within_a_block_is_gone_on_with)
{
    takes = TAKES_PIECES;
    CHECK(1, 2, 0, 10 * LOG_ALIGN, 0, 300);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pcd_log");
    TCase *c = tcase_create("log");

    tcase_add_checked_fixture(c, setup, teardown);
    tcase_set_timeout(c, 60);
    tcase_add_test(c, groups_of_any_length_are_made_up_to_whole_blocks);
    tcase_add_test(c, groups_longer_than_what_is_written_at_once_are_whole);
    tcase_add_test(c, a_file_system_without_direct_writes_gets_others);
    tcase_add_test(c, a_write_that_ends_within_a_block_is_gone_on_with);
    suite_add_tcase(suite, c);
    return suite_run(suite);
}
