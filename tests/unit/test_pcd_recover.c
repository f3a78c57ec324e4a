/* SPDX-License-Identifier: MIT */
#include "common/hash.h"
#include "common/io.h"
#include "common/log.h"
#include "common/units.h"
#include "pcd/dayfile.h"
#include "pcd/log_reader.h"
#include "pcd/recover.h"
#include "tests/lib/fault.h"
#include "tests/lib/home.h"
#include "tests/lib/suite.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* A start behind a crash, while memory runs out: it fails and leaves the log, so that the
 * next one finds all that was answered, once. */

#define TODAY 20779u
#define ARRIVAL_NS ((uint64_t)TODAY * DAY)
#define LINE "{\"timestamp\":1800000000,\"subsystem\":\"a\",\"measurement\":\"x\"}\n"
#define LINE_N (sizeof LINE - 1)
#define JOBS 6u
#define NTH_MAX 1000

static struct home home;
static struct admit admit;
static struct store_conf conf;

static void begin(void)
{
    log_init((enum log_level)(LOG_ERROR + 1));
    home_make(&home);
    admit = (struct admit){.max_bytes = MIB};
    conf = (struct store_conf){
        .home = home.path,
        .log_max = 16 * MIB,
        .keys_keep_ns = 30 * DAY,
        .checkpoint_ns = HOUR,
        .files_max = 8,
        .admit = &admit,
    };
}

static int open_folder(const char *name)
{
    ck_assert(mkdirat(home.fd, name, 0700) == 0 || errno == EEXIST);
    int fd = openat(home.fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    return fd;
}

static struct key key_of(uint64_t seq)
{
    return (struct key){.session = 7, .seq = seq};
}

/* A checkpoint before the first log, with sessions in the sorted file and beside it. */
static void make_keys(void)
{
    struct keys_conf keys = {.home_fd = home.fd, .keep_ns = 30 * DAY, .merge_at = 1};
    struct log_position at;
    struct keys *k;

    ck_assert_int_eq(keys_open(&keys, &k, &at), 0);
    for (uint64_t session = 1; session <= 3; session++) {
        struct key key = {.session = session, .seq = 5};
        ck_assert_int_eq(keys_store(k, SPAN("old"), &key, ARRIVAL_NS), 0);
    }
    at = (struct log_position){1, 0};
    ck_assert_int_eq(keys_checkpoint(k, at, ARRIVAL_NS), 0);
    struct key key = {.session = 2, .seq = 9};
    ck_assert_int_eq(keys_store(k, SPAN("old"), &key, ARRIVAL_NS), 0);
    ck_assert_int_eq(keys_checkpoint(k, at, ARRIVAL_NS), 0);
    keys_free(k);
}

/* The nth batch of two hosts, a group of its own. */
static void append(struct log *l, unsigned nth)
{
    struct job *j = job_new(MIB);

    ck_assert_ptr_nonnull(j);
    j->identifier_n = 2;
    j->identifier[0] = 'h';
    j->identifier[1] = (uint8_t)('0' + nth % 2);
    j->has_key = true;
    j->key = key_of(nth + 1);
    j->arrival_ns = ARRIVAL_NS + nth;
    j->day = TODAY;
    j->n_measurements = 1;
    j->file_offset = nth / 2 * LINE_N;
    ck_assert_int_eq(buf_append(&j->lines, SPAN(LINE)), 0);
    j->lines_crc = hash_crc32c(0, buf_span(&j->lines));
    ck_assert_int_eq(log_append(l, j), 0);
    ck_assert_int_eq(log_sync(l), 0);
    job_free(j);
}

static void damage(int log_fd, uint64_t offset)
{
    char name[LOG_NAME_BYTES];

    log_name(1, name);
    CLEANUP(io_close) int fd = openat(log_fd, name, O_WRONLY | O_CLOEXEC);
    ck_assert_int_eq(pwrite(fd, "#", 1, (off_t)offset), 1);
}

/* What a crash leaves: two logs, of which the first may be damaged in the middle. */
static void make_logs(bool damaged)
{
    CLEANUP(io_close) int log_fd = open_folder("log");
    struct log_position before = {0};
    struct log l;

    for (uint64_t number = 1; number <= 2; number++) {
        ck_assert_int_eq(log_begin(log_fd, number, before, &l), 0);
        for (unsigned i = 0; i < JOBS / 2; i++)
            append(&l, (unsigned)(number - 1) * (JOBS / 2) + i);
        before = (struct log_position){number, l.length};
        log_end(&l);
    }
    if (damaged)
        damage(log_fd, LOG_ALIGN + LOG_HEADER_BYTES + 40);
}

static void read_day(const char *identifier, struct buf *ret)
{
    char path[DAYFILE_PATH_BYTES];
    char full[DAYFILE_PATH_BYTES + 8];

    dayfile_path(span_of_str(identifier), TODAY, path);
    (void)snprintf(full, sizeof full, "data/%s", path);
    int r = io_read_file(home.fd, full, ret);
    ck_assert(r == 0 || r == -ENOENT);
}

/* All that a store holds in the end, as one text. */
static void read_all(struct buf *ret)
{
    static const char *const identifiers[] = {"h0", "h1", RECOVER_IDENTIFIER};

    buf_init(ret, MIB);
    for (size_t i = 0; i < sizeof identifiers / sizeof *identifiers; i++)
        read_day(identifiers[i], ret);
}

static bool has_key(struct store *s, const char *identifier, struct key key)
{
    struct keys_waiter waiter = {0};

    return keys_reserve(store_keys(s), span_of_str(identifier), &key, &waiter,
                        ARRIVAL_NS) == E_REPLAY;
}

/* Opens the store, which must go, and looks for the keys that it had. */
static void check_store(bool damaged)
{
    struct store *s;
    const char *what;

    ck_assert_int_eq(store_open(&conf, NULL, &s, &what), 0);
    for (unsigned i = damaged ? 1 : 0; i < JOBS; i++)
        ck_assert(has_key(s, i % 2 ? "h1" : "h0", key_of(i + 1)));
    ck_assert(has_key(s, "old", (struct key){.session = 1, .seq = 5}));
    ck_assert(has_key(s, "old", (struct key){.session = 2, .seq = 9}));
    ck_assert_int_eq(store_close(s), 0);
}

/* What a start without any fault makes of it. */
static void make_expected(bool damaged, struct buf *ret)
{
    begin();
    make_keys();
    make_logs(damaged);
    check_store(damaged);
    read_all(ret);
    ck_assert_uint_ge(ret->len, JOBS * LINE_N);
    home_remove(&home);
}

/* One start without the nth allocation. Return: did it fail? */
static bool start(long nth, bool damaged, const struct buf *expected)
{
    CLEANUP(buf_done) struct buf all;
    struct store *s = NULL;
    const char *what;

    begin();
    make_keys();
    make_logs(damaged);
    fault_arm(nth);
    int r = store_open(&conf, NULL, &s, &what);
    bool fired = fault_disarm();
    /* What may wait, a checkpoint say, does, and is no reason not to start. */
    ck_assert_msg(r == 0 || (fired && (r == -ENOMEM || r == -EAGAIN)),
                  "allocation %ld: %s: %d", nth, what, r);
    if (r == 0)
        ck_assert_int_eq(store_close(s), 0);
    check_store(damaged);
    read_all(&all);
    ck_assert(span_equal(buf_span(&all), buf_span(expected)));
    home_remove(&home);
    return fired;
}

START_TEST(a_start_survives_any_failed_allocation)
{
    CLEANUP(buf_done) struct buf expected;
    bool damaged = _i;
    bool fired = true;

    make_expected(damaged, &expected);
    for (long nth = 0; fired; nth++) {
        fired = start(nth, damaged, &expected);
        ck_assert_int_lt(nth, NTH_MAX);
    }
}
END_TEST

static uint64_t log_bytes(int log_fd, uint64_t number)
{
    char name[LOG_NAME_BYTES];
    struct stat st;

    log_name(number, name);
    ck_assert_int_eq(fstatat(log_fd, name, &st, 0), 0);
    return (uint64_t)st.st_size;
}

static int count_batch(void *arg, const struct log_record *rec)
{
    unsigned *n = arg;

    ck_assert(span_equal(rec->lines, SPAN(LINE)));
    ck_assert_uint_eq(rec->key.seq, ++*n);
    return 0;
}

static int stop_at_once(void *arg, const struct log_record *rec)
{
    (void)arg;
    (void)rec;
    return E_GONE;
}

START_TEST(a_replay_reads_what_was_acknowledged_of_each_log)
{
    unsigned n = 0;

    begin();
    make_logs(false);
    CLEANUP(io_close) int log_fd = open_folder("log");
    const struct log_position from = {1, 0};
    const struct log_position to = {2, log_bytes(log_fd, 2)};
    /* What stands behind the length that log 2 names was promised to nobody. */
    CLEANUP(io_close)
    int fd = openat(log_fd, "000000000001.log", O_WRONLY | O_APPEND | O_CLOEXEC);
    ck_assert_int_eq(io_write(fd, SPAN("half a record")), 0);
    ck_assert_int_eq(log_replay(log_fd, from, to, count_batch, &n), 0);
    ck_assert_uint_eq(n, JOBS);
    ck_assert_int_eq(log_replay(log_fd, from, to, stop_at_once, NULL), E_GONE);
    home_remove(&home);
}
END_TEST

/* Over more than is read at once. */
START_TEST(a_record_is_found_far_behind_a_damaged_place)
{
    struct log_reader r;
    struct log_record rec;
    struct log l;

    begin();
    CLEANUP(io_close) int log_fd = open_folder("log");
    ck_assert_int_eq(log_begin(log_fd, 1, (struct log_position){0}, &l), 0);
    CLEANUP(io_close)
    int junk_fd = openat(log_fd, "000000000001.log", O_WRONLY | O_APPEND | O_CLOEXEC);
    for (unsigned far = 300000; far < 300010; far++) {
        uint64_t bad = l.length;
        char *junk = calloc(1, far);

        ck_assert_int_eq(io_write(junk_fd, span_of(junk, far)), 0);
        free(junk);
        l.length += far;
        append(&l, 0);
        ck_assert_int_eq(log_reader_open(log_fd, (struct log_position){1, bad}, &r), 0);
        ck_assert_int_eq(log_read(&r, &rec), E_MALFORMED);
        ck_assert_int_eq(log_find(&r, &rec), 0);
        ck_assert_uint_eq(r.offset, bad + far);
        ck_assert(span_equal(rec.lines, SPAN(LINE)));
        log_reader_done(&r);
    }
    log_end(&l);
    home_remove(&home);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pcd_recover");
    TCase *c = tcase_create("memory");

    tcase_set_timeout(c, 120);
    tcase_add_loop_test(c, a_start_survives_any_failed_allocation, 0, 2);
    tcase_add_test(c, a_replay_reads_what_was_acknowledged_of_each_log);
    tcase_add_test(c, a_record_is_found_far_behind_a_damaged_place);
    suite_add_tcase(suite, c);
    return suite_run(suite);
}
