/* SPDX-License-Identifier: MIT */
#include "common/units.h"
#include "pcc/spool.h"
#include "tests/lib/fault.h"
#include "tests/lib/home.h"
#include "tests/lib/suite.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define SESSION UINT64_C(0x1111)
#define OTHER UINT64_C(0x2222)
#define AT(t) (UINT64_C(1767813011) * SEC + (t)*SEC)

/* The disk, as a test wants it. */
static int fail_fsync; /* the nth from now on; 0: none */
static bool fail_rename;
static uint64_t free_bytes;

int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __real_renameat(int from_fd, const char *from, int to_fd, const char *to);
int __wrap_renameat(int from_fd, const char *from, int to_fd, const char *to);
int __wrap_fstatvfs64(int fd, struct statvfs *ret);

int __wrap_fsync(int fd)
{
    if (fail_fsync > 0 && --fail_fsync == 0) {
        errno = EIO;
        return -1;
    }
    return __real_fsync(fd);
}

int __wrap_renameat(int from_fd, const char *from, int to_fd, const char *to)
{
    if (fail_rename) {
        errno = EROFS;
        return -1;
    }
    return __real_renameat(from_fd, from, to_fd, to);
}

int __wrap_fstatvfs64(int fd, struct statvfs *ret)
{
    (void)fd;
    *ret = (struct statvfs){.f_frsize = 1, .f_bavail = free_bytes};
    return 0;
}

static struct home home;
static char path[PATH_MAX + 8];
static struct spool_conf conf;
static struct spool *spool;

static void open_spool(void)
{
    spool_free(spool);
    spool = NULL;
    ck_assert_int_eq(spool_open(&conf, &spool), 0);
}

static void set_up(void)
{
    home_make(&home);
    (void)snprintf(path, sizeof path, "%s/a/b", home.path);
    conf = (struct spool_conf){
        .path = path, .max_bytes = MIB, .reserve_bytes = MIB, .rejected_bytes = MIB};
    fail_fsync = 0;
    fail_rename = false;
    free_bytes = GIB;
    open_spool();
}

static void tear_down(void)
{
    spool_free(spool);
    spool = NULL;
    home_remove(&home);
}

static struct label label_of(uint64_t session, uint64_t seq)
{
    struct label label = {
        .session = session,
        .seq = seq,
        .form = {MEDIA_JSON, CODING_IDENTITY},
        .range = {AT(seq), AT(seq), 1, 5},
    };

    label.carried.notes[GAP_MISSED] = (struct gap_note){AT(0), AT(0), 2, 2};
    return label;
}

/* A batch of five measurements, whose body names its SEQ. Return: the file's number. */
static uint64_t put(uint64_t session, uint64_t seq, bool covered)
{
    char body[32];
    uint64_t number = 0;
    const struct label label = label_of(session, seq);

    (void)snprintf(body, sizeof body, "body %llu", (unsigned long long)seq);
    ck_assert_int_eq(
        spool_put(spool, SPAN("h"), &label, span_of_str(body), covered, &number), 0);
    return number;
}

/* The next one has this identity, and its body. */
static void assert_next(uint64_t session, uint64_t seq)
{
    struct spool_batch got;
    struct gap_set lost = {0};
    char body[32];

    (void)snprintf(body, sizeof body, "body %llu", (unsigned long long)seq);
    ck_assert_int_eq(spool_take(spool, &lost, &got), 0);
    ck_assert(gaps_empty(&lost));
    ck_assert_uint_eq(got.label->session, session);
    ck_assert_uint_eq(got.label->seq, seq);
    ck_assert(span_equal(got.body, span_of_str(body)));
}

static void assert_empty(void)
{
    struct spool_batch got;
    struct gap_set lost = {0};

    ck_assert(!spool_waiting(spool));
    ck_assert_int_eq(spool_take(spool, &lost, &got), E_GONE);
}

static struct spool_counts counts(void)
{
    struct spool_counts c;

    spool_count(spool, &c);
    return c;
}

/* A file's path in the spool or under it. */
static const char *file(const char *folder, uint64_t number)
{
    static char name[PATH_MAX + 64];

    (void)snprintf(name, sizeof name, "%s/%s%016llx.batch", path, folder,
                   (unsigned long long)number);
    return name;
}

static void flip(const char *name, off_t at)
{
    uint8_t byte;
    int fd = open(name, O_RDWR);

    ck_assert_int_ge(fd, 0);
    if (at < 0)
        at += lseek(fd, 0, SEEK_END);
    ck_assert_int_eq(pread(fd, &byte, 1, at), 1);
    byte ^= 4;
    ck_assert_int_eq(pwrite(fd, &byte, 1, at), 1);
    (void)close(fd);
}

START_TEST(batches_leave_in_the_order_they_came_also_after_a_restart)
{
    for (uint64_t seq = 1; seq <= 3; seq++)
        (void)put(SESSION, seq, false);
    assert_next(SESSION, 1);
    assert_next(SESSION, 1); /* as long as it isn't stored */
    spool_stored(spool);
    open_spool();
    assert_next(SESSION, 2);
    spool_stored(spool);
    (void)put(OTHER, 1, false);
    assert_next(SESSION, 3);
    spool_stored(spool);
    assert_next(OTHER, 1);
    spool_stored(spool);
    assert_empty();
    open_spool();
    assert_empty();
}
END_TEST

START_TEST(number_is_never_given_again)
{
    uint64_t first = put(SESSION, 1, false);

    assert_next(SESSION, 1);
    spool_refused(spool); /* the file is in rejected/ now */
    open_spool();
    ck_assert_uint_gt(put(SESSION, 2, false), first);
    ck_assert_int_eq(access(file("rejected/", first), F_OK), 0);
}
END_TEST

START_TEST(covered_batch_is_not_taken_before_it_is_uncovered)
{
    uint64_t first = put(SESSION, 1, true);
    uint64_t second = put(SESSION, 2, true);

    assert_empty();
    ck_assert_uint_eq(counts().measurements, 10);
    ck_assert_uint_eq(counts().uncovered, 0);
    spool_uncover(spool, second);
    assert_next(SESSION, 2);
    spool_uncover(spool, first);
    assert_next(SESSION, 1);
    spool_stored(spool);
    spool_remove(spool, second); /* it was sent from memory */
    assert_empty();
    ck_assert_uint_eq(counts().bytes, 0);
    ck_assert_int_ne(access(file("", second), F_OK), 0);
}
END_TEST

START_TEST(covered_batch_is_there_after_a_kill)
{
    (void)put(SESSION, 1, true);
    open_spool();
    assert_next(SESSION, 1);
}
END_TEST

START_TEST(floor_is_the_lowest_number_of_the_session_that_is_still_here)
{
    ck_assert_uint_eq(spool_floor(spool, SESSION), UINT64_MAX);
    (void)put(SESSION, 4, false);
    (void)put(SESSION, 6, true);
    (void)put(OTHER, 1, false);
    (void)put(OTHER, 2, false);
    for (int i = 0; i < 2; i++) {
        ck_assert_uint_eq(spool_floor(spool, SESSION), 4);
        ck_assert_uint_eq(spool_floor(spool, OTHER), 1);
        ck_assert_uint_eq(spool_floor(spool, 0x3333), UINT64_MAX);
        open_spool();
    }
    assert_next(SESSION, 4);
    spool_stored(spool);
    ck_assert_uint_eq(spool_floor(spool, SESSION), 6);
    ck_assert_uint_eq(spool_floor(spool, OTHER), 1);
}
END_TEST

/* One that waited for room while the next one found some has a later file. */
START_TEST(floor_of_files_that_are_not_in_order_is_the_lowest_of_all)
{
    (void)put(SESSION, 5, false);
    (void)put(OTHER, 1, false);
    (void)put(SESSION, 4, false);
    (void)put(SESSION, 6, false);
    for (int i = 0; i < 2; i++) {
        ck_assert_uint_eq(spool_floor(spool, SESSION), 4);
        ck_assert_uint_eq(spool_floor(spool, OTHER), 1);
        open_spool();
    }
    assert_next(SESSION, 5);
    spool_stored(spool);
    ck_assert_uint_eq(spool_floor(spool, SESSION), 4);
    assert_next(OTHER, 1);
    spool_stored(spool);
    assert_next(SESSION, 4);
    spool_stored(spool);
    ck_assert_uint_eq(spool_floor(spool, SESSION), 6);
}
END_TEST

/* Cuts the one taken in two with these SEQs of a session. */
static int split(uint64_t session, uint64_t first, uint64_t second)
{
    struct spool_part halves[2] = {{.label = label_of(session, first)},
                                   {.label = label_of(session, second)}};
    char bodies[2][32];

    (void)snprintf(bodies[0], sizeof *bodies, "body %llu", (unsigned long long)first);
    (void)snprintf(bodies[1], sizeof *bodies, "body %llu", (unsigned long long)second);
    for (size_t i = 0; i < 2; i++) {
        halves[i].label.is_half = true;
        halves[i].body = span_of_str(bodies[i]);
    }
    return spool_split(spool, halves);
}

/* Their SEQs are newer than their place, in memory and read back. */
START_TEST(halves_take_the_place_of_the_whole_and_count_for_the_floor)
{
    (void)put(SESSION, 1, false);
    (void)put(SESSION, 2, false);
    assert_next(SESSION, 1);
    ck_assert_int_eq(split(SESSION, 3, 4), 0);
    for (int i = 0; i < 2; i++) {
        ck_assert_uint_eq(spool_floor(spool, SESSION), 2);
        ck_assert_uint_eq(counts().measurements, 15);
        assert_next(SESSION, 3);
        open_spool();
    }
    assert_next(SESSION, 3);
    spool_stored(spool);
    assert_next(SESSION, 4);
    ck_assert_int_eq(split(SESSION, 5, 6), 0); /* what is stored stays behind */
    assert_next(SESSION, 5);
    spool_stored(spool);
    assert_next(SESSION, 6);
    spool_stored(spool);
    assert_next(SESSION, 2);
    spool_stored(spool);
    assert_empty();
}
END_TEST

/* A half that was stored is sent again: the server knows it. */
START_TEST(halves_after_a_restart_begin_with_the_first)
{
    (void)put(SESSION, 1, false);
    assert_next(SESSION, 1);
    ck_assert_int_eq(split(SESSION, 2, 3), 0);
    assert_next(SESSION, 2);
    spool_stored(spool);
    assert_next(SESSION, 3);
    open_spool();
    assert_next(SESSION, 2);
}
END_TEST

START_TEST(file_of_two_sessions_promises_no_floor)
{
    (void)put(SESSION, 1, false);
    (void)put(OTHER, 5, false);
    assert_next(SESSION, 1);
    ck_assert_int_eq(split(SESSION, 2, 3), 0);
    assert_next(SESSION, 2);
    ck_assert_int_eq(split(OTHER, 6, 7), 0);
    for (int i = 0; i < 2; i++) {
        ck_assert_uint_eq(spool_floor(spool, OTHER), 1);
        open_spool();
    }
    assert_next(OTHER, 6);
    spool_stored(spool);
    assert_next(OTHER, 7);
    spool_stored(spool);
    assert_next(SESSION, 3);
    ck_assert_uint_eq(spool_floor(spool, SESSION), 3);
    ck_assert_uint_eq(spool_floor(spool, OTHER), 5);
}
END_TEST

START_TEST(batch_is_cut_only_so_often)
{
    uint64_t seq = 1;
    int r = 0;

    (void)put(SESSION, seq, false);
    for (size_t n = 1; n < SPOOL_PARTS_MAX; n++) {
        assert_next(SESSION, seq);
        r = split(SESSION, seq + 1, seq + 2);
        ck_assert_int_eq(r, 0);
        seq++;
    }
    assert_next(SESSION, seq);
    ck_assert_int_eq(split(SESSION, seq + 1, seq + 2), E_TOO_LARGE);
    assert_next(SESSION, seq);
}
END_TEST

START_TEST(split_that_fails_leaves_the_whole)
{
    (void)put(SESSION, 1, false);
    assert_next(SESSION, 1);
    fail_rename = true;
    ck_assert_int_eq(split(SESSION, 2, 3), -EROFS);
    fail_rename = false;
    assert_next(SESSION, 1);
    open_spool();
    assert_next(SESSION, 1);
}
END_TEST

START_TEST(refused_batches_are_kept_beside_under_a_limit)
{
    uint64_t numbers[8];

    conf.rejected_bytes = 1000; /* a few of 160 bytes */
    open_spool();
    for (uint64_t i = 0; i < 8; i++) {
        numbers[i] = put(SESSION, i + 1, false);
        assert_next(SESSION, i + 1);
        spool_refused(spool);
    }
    assert_empty();
    ck_assert_int_ne(access(file("rejected/", numbers[0]), F_OK), 0);
    ck_assert_int_eq(access(file("rejected/", numbers[7]), F_OK), 0);
    ck_assert_int_eq(access(file("rejected/", numbers[5]), F_OK), 0);
}
END_TEST

/* The other parts of the file are still to be sent. */
START_TEST(refused_half_leaves_the_other)
{
    (void)put(SESSION, 1, false);
    assert_next(SESSION, 1);
    ck_assert_int_eq(split(SESSION, 2, 3), 0);
    assert_next(SESSION, 2);
    spool_refused(spool);
    assert_next(SESSION, 3);
    spool_stored(spool);
    assert_empty();
    ck_assert_int_eq(access(file("rejected/", 2), F_OK), 0);
}
END_TEST

START_TEST(full_spool_takes_nothing_until_the_oldest_is_dropped)
{
    struct gap_set lost = {0};
    const struct label label = label_of(SESSION, 99);
    uint64_t number;

    conf.max_bytes = 3 * 4096;
    open_spool();
    (void)put(SESSION, 1, false);
    (void)put(SESSION, 2, false);
    (void)put(SESSION, 3, true);
    ck_assert_int_eq(spool_put(spool, SPAN("h"), &label, SPAN("x"), false, &number),
                     E_FULL);
    assert_next(SESSION, 1);
    spool_in_flight(spool, true);
    ck_assert_uint_eq(spool_weigh_oldest(spool, &lost), 5); /* the second */
    spool_drop_oldest(spool);
    ck_assert_uint_eq(lost.notes[GAP_SPOOL_FULL].from_ns, AT(2));
    ck_assert_uint_eq(lost.notes[GAP_SPOOL_FULL].measurements, 5);
    ck_assert_uint_eq(lost.notes[GAP_MISSED].ticks, 2); /* that it told of */
    ck_assert_uint_eq(spool_weigh_oldest(spool, &lost), 0);
    spool_in_flight(spool, false);
    ck_assert_uint_eq(spool_weigh_oldest(spool, &lost), 5);
    spool_drop_oldest(spool);
    ck_assert_uint_eq(spool_weigh_oldest(spool, &lost), 0); /* the last is covered */
    (void)put(SESSION, 4, false);
    assert_next(SESSION, 4);
}
END_TEST

START_TEST(disk_keeps_its_reserve)
{
    const struct label label = label_of(SESSION, 1);
    uint64_t number;

    free_bytes = MIB + 4095;
    ck_assert_int_eq(spool_put(spool, SPAN("h"), &label, SPAN("x"), false, &number),
                     E_NO_ROOM);
    free_bytes++;
    ck_assert_int_eq(spool_put(spool, SPAN("h"), &label, SPAN("x"), false, &number), 0);
}
END_TEST

/* The file's own sync, the rename, the folder's sync. */
START_TEST(batch_that_is_not_durable_is_not_there)
{
    const struct label label = label_of(SESSION, 1);
    uint64_t number;

    if (_i < 2)
        fail_fsync = _i + 1;
    else
        fail_rename = true;
    int r = spool_put(spool, SPAN("h"), &label, SPAN("x"), false, &number);
    fail_rename = false;
    ck_assert_int_eq(r, _i < 2 ? -EIO : -EROFS);
    assert_empty();
    ck_assert_uint_eq(counts().bytes, 0);
    open_spool();
    assert_empty();
    (void)put(SESSION, 1, false);
    assert_next(SESSION, 1);
}
END_TEST

/* A header that can't be read any more tells of no gaps, but the loss is known. */
START_TEST(dropped_file_that_is_damaged_is_a_loss_of_the_same_size)
{
    struct gap_set lost = {0};
    uint64_t number = put(SESSION, 1, false);

    flip(file("", number), 20);
    ck_assert_uint_eq(spool_weigh_oldest(spool, &lost), 5);
    ck_assert_uint_eq(lost.notes[GAP_SPOOL_FULL].from_ns, AT(1));
    ck_assert_uint_eq(lost.notes[GAP_SPOOL_FULL].measurements, 5);
    ck_assert_uint_eq(lost.notes[GAP_MISSED].ticks, 0);
    spool_drop_oldest(spool);
    assert_empty();
}
END_TEST

/* What is next is damaged, or gone. */
static void assert_damaged(uint64_t seq, bool readable)
{
    struct gap_set lost = {0};
    struct spool_batch got;

    ck_assert_int_eq(spool_take(spool, &lost, &got), E_MALFORMED);
    ck_assert_uint_eq(lost.notes[GAP_DAMAGED].from_ns, AT(seq));
    ck_assert_uint_eq(lost.notes[GAP_DAMAGED].measurements, 5);
    ck_assert_uint_eq(lost.notes[GAP_MISSED].ticks, readable ? 2 : 0);
    spool_give_up(spool);
}

/* In the header, and only noticed when it is its turn; in the body, in which case the
 * gaps are known that it told of. */
START_TEST(damaged_file_is_set_aside_and_the_next_one_taken)
{
    uint64_t number = put(SESSION, 1, false);

    (void)put(SESSION, 2, false);
    flip(file("", number), _i == 0 ? 20 : -1);
    assert_damaged(1, _i == 1);
    assert_next(SESSION, 2);
    ck_assert_uint_eq(counts().damaged, 1);
    ck_assert_uint_eq(counts().files, 1);
    ck_assert_int_eq(access(file("rejected/", number), F_OK), 0);
}
END_TEST

/* Of the file in rejected/. Return: how many parts it has. */
static size_t read_rejected(uint64_t number, struct spool_file *ret)
{
    static uint8_t bytes[4096];
    struct err_at why;
    int fd = open(file("rejected/", number), O_RDONLY);
    ssize_t n = read(fd, bytes, sizeof bytes);

    ck_assert_int_gt(n, 0);
    (void)close(fd);
    ck_assert_int_eq(spool_file_read(span_of(bytes, (size_t)n), ret, &why), E_MALFORMED);
    return ret->n_parts;
}

/* One of three batches in one file: the others are sent, and the one is kept as it is, so
 * that nobody takes it for whole; also where the file is cut once more meanwhile. */
START_TEST(damaged_part_leaves_the_others)
{
    static struct spool_file kept;

    (void)put(SESSION, 1, false);
    assert_next(SESSION, 1);
    ck_assert_int_eq(split(SESSION, 2, 3), 0);
    flip(file("", 1), -1);
    open_spool();
    assert_next(SESSION, 2);
    ck_assert_int_eq(split(SESSION, 4, 5), 0);
    open_spool();
    assert_next(SESSION, 4);
    spool_stored(spool);
    assert_next(SESSION, 5);
    spool_stored(spool);
    assert_damaged(3, true);
    assert_empty();
    ck_assert_uint_eq(counts().damaged, 1);
    ck_assert_uint_eq(read_rejected(2, &kept), 1);
    ck_assert_uint_eq(kept.parts[0].label.seq, 3);
    ck_assert(kept.parts[0].damaged);
}
END_TEST

START_TEST(part_that_is_cut_off_leaves_those_before)
{
    struct stat st;

    (void)put(SESSION, 1, false);
    assert_next(SESSION, 1);
    ck_assert_int_eq(split(SESSION, 2, 3), 0);
    ck_assert_int_eq(stat(file("", 1), &st), 0);
    ck_assert_int_eq(truncate(file("", 1), st.st_size - 1), 0);
    open_spool();
    assert_next(SESSION, 2);
    spool_stored(spool);
    assert_damaged(3, true);
    assert_empty();
}
END_TEST

START_TEST(what_is_damaged_at_the_start_is_set_aside_then)
{
    uint64_t numbers[4];

    for (uint64_t i = 0; i < 4; i++)
        numbers[i] = put(SESSION, i + 1, false);
    flip(file("", numbers[0]), 10);
    ck_assert_int_eq(truncate(file("", numbers[1]), 100), 0);
    ck_assert_int_eq(truncate(file("", numbers[2]), 0), 0);
    open_spool();
    ck_assert_uint_eq(counts().damaged, 3);
    assert_next(SESSION, 4);
    for (size_t i = 0; i < 3; i++)
        ck_assert_int_eq(access(file("rejected/", numbers[i]), F_OK), 0);
}
END_TEST

START_TEST(file_that_somebody_removed_is_passed_over)
{
    uint64_t number = put(SESSION, 1, false);

    (void)put(SESSION, 2, false);
    ck_assert_int_eq(unlink(file("", number)), 0);
    assert_damaged(1, false);
    assert_next(SESSION, 2);
    ck_assert_uint_eq(counts().files, 1);
}
END_TEST

START_TEST(other_files_are_let_be_but_for_half_written_ones)
{
    char name[PATH_MAX + 128];
    static const char *const kept[] = {"note.txt", "0000000000000007", "1.batch",
                                       "000000000000000G.batch",
                                       "0000000000000000.batch"};
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++) {
        (void)snprintf(name, sizeof name, "%s/%s", path, kept[i]);
        ck_assert_int_eq(mknod(name, S_IFREG | 0600, 0), 0);
    }
    (void)snprintf(name, sizeof name, "%s.new", file("", 7));
    ck_assert_int_eq(mknod(name, S_IFREG | 0600, 0), 0);
    open_spool();
    assert_empty();
    ck_assert_uint_eq(counts().damaged, 0);
    ck_assert_int_ne(access(name, F_OK), 0);
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++) {
        (void)snprintf(name, sizeof name, "%s/%s", path, kept[i]);
        ck_assert_int_eq(access(name, F_OK), 0);
    }
}
END_TEST

START_TEST(folder_has_one_owner)
{
    struct spool *second = NULL;

    ck_assert_int_eq(spool_open(&conf, &second), E_PENDING);
    ck_assert_ptr_null(second);
    spool_free(spool);
    spool = NULL;
    ck_assert_int_eq(spool_open(&conf, &second), 0);
    spool_free(second);
}
END_TEST

START_TEST(hundreds_of_files_are_found_again)
{
    for (uint64_t seq = 1; seq <= 200; seq++)
        (void)put(SESSION, seq, seq % 3 == 0);
    open_spool();
    for (uint64_t seq = 1; seq <= 200; seq++) {
        assert_next(SESSION, seq);
        ck_assert_uint_eq(spool_floor(spool, SESSION), seq);
        spool_stored(spool);
    }
    assert_empty();
}
END_TEST

/* Wherever memory runs out: an error, and all is as it was. */
START_TEST(spool_stays_as_it_is_wherever_memory_runs_out)
{
    const struct label label = label_of(SESSION, 9);
    struct gap_set lost = {0};
    struct spool_batch got;
    uint64_t number;
    bool fired = true;

    (void)put(SESSION, 1, false);
    for (long nth = 0; fired; nth++) {
        spool_free(spool);
        spool = NULL;
        fault_arm(nth);
        int r = spool_open(&conf, &spool);
        fired = fault_disarm();
        ck_assert_int_eq(r, fired ? -ENOMEM : 0);
    }
    fired = true;
    for (long nth = 0; fired; nth++) {
        open_spool();
        fault_arm(nth);
        int r = spool_take(spool, &lost, &got);
        fired = fault_disarm();
        ck_assert_int_eq(r, fired ? -ENOMEM : 0);
        ck_assert_uint_eq(counts().files, 1);
    }
    fired = true;
    for (long nth = 0; fired; nth++) {
        open_spool();
        assert_next(SESSION, 1);
        struct spool_part halves[2] = {{.label = label_of(SESSION, 2)},
                                       {.label = label_of(SESSION, 3)}};
        fault_arm(nth);
        int r = spool_split(spool, halves);
        fired = fault_disarm();
        ck_assert_int_eq(r, fired ? -ENOMEM : 0);
        ck_assert_uint_eq(counts().measurements, fired ? 5 : 10);
    }
    fired = true;
    for (long nth = 0; fired; nth++) {
        open_spool();
        fault_arm(nth);
        int r = spool_put(spool, SPAN("h"), &label, SPAN("x"), false, &number);
        fired = fault_disarm();
        ck_assert_int_eq(r, fired ? -ENOMEM : 0);
        ck_assert_uint_eq(counts().files, fired ? 1 : 2);
    }
    ck_assert(gaps_empty(&lost));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pcc_spool");
    TCase *c = tcase_create("spool");

    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_add_test(c, batches_leave_in_the_order_they_came_also_after_a_restart);
    tcase_add_test(c, number_is_never_given_again);
    tcase_add_test(c, covered_batch_is_not_taken_before_it_is_uncovered);
    tcase_add_test(c, covered_batch_is_there_after_a_kill);
    tcase_add_test(c, floor_is_the_lowest_number_of_the_session_that_is_still_here);
    tcase_add_test(c, floor_of_files_that_are_not_in_order_is_the_lowest_of_all);
    tcase_add_test(c, halves_take_the_place_of_the_whole_and_count_for_the_floor);
    tcase_add_test(c, halves_after_a_restart_begin_with_the_first);
    tcase_add_test(c, file_of_two_sessions_promises_no_floor);
    tcase_add_test(c, batch_is_cut_only_so_often);
    tcase_add_test(c, split_that_fails_leaves_the_whole);
    tcase_add_test(c, refused_batches_are_kept_beside_under_a_limit);
    tcase_add_test(c, refused_half_leaves_the_other);
    tcase_add_test(c, full_spool_takes_nothing_until_the_oldest_is_dropped);
    tcase_add_test(c, disk_keeps_its_reserve);
    tcase_add_loop_test(c, batch_that_is_not_durable_is_not_there, 0, 3);
    tcase_add_loop_test(c, damaged_file_is_set_aside_and_the_next_one_taken, 0, 2);
    tcase_add_test(c, dropped_file_that_is_damaged_is_a_loss_of_the_same_size);
    tcase_add_test(c, damaged_part_leaves_the_others);
    tcase_add_test(c, part_that_is_cut_off_leaves_those_before);
    tcase_add_test(c, what_is_damaged_at_the_start_is_set_aside_then);
    tcase_add_test(c, file_that_somebody_removed_is_passed_over);
    tcase_add_test(c, other_files_are_let_be_but_for_half_written_ones);
    tcase_add_test(c, folder_has_one_owner);
    tcase_add_test(c, hundreds_of_files_are_found_again);
    tcase_add_test(c, spool_stays_as_it_is_wherever_memory_runs_out);
    suite_add_tcase(suite, c);
    return suite_run(suite);
}
