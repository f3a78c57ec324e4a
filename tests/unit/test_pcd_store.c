/* SPDX-License-Identifier: MIT */
#include "common/io.h"
#include "common/units.h"
#include "pcd/log_reader.h"
#include "pcd/store.h"
#include "tests/lib/home.h"
#include "tests/lib/suite.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define TODAY 20779u

static struct home home;
static struct admit admit;
static struct store_conf conf;

static void setup(void)
{
    home_make(&home);
    admit = (struct admit){.max_bytes = 64 * MIB};
    conf = (struct store_conf){
        .home = home.path,
        .log_max = 16 * MIB,
        .disk_reserve = MIB,
        .keys_keep_ns = 30 * DAY,
        .checkpoint_ns = HOUR,
        .files_max = 8,
        .admit = &admit,
    };
}

static void teardown(void)
{
    home_remove(&home);
}

static struct store *open_store(void)
{
    struct store *s;
    const char *what = "";

    int r = store_open(&conf, NULL, &s, &what);
    ck_assert_msg(r == 0, "%s: %s", what, err_text(r));
    return s;
}

/* A push that waits for its result. */
struct pushed {
    sem_t done;
    int r;
};

static void on_settled(void *arg, int r)
{
    struct pushed *p = arg;

    p->r = r;
    (void)sem_post(&p->done);
}

static struct job *make_job(const char *host, uint64_t seq, const char *lines)
{
    struct job *j = job_new(MIB);

    ck_assert_ptr_nonnull(j);
    j->identifier_n = strlen(host);
    memcpy(j->identifier, host, j->identifier_n);
    j->has_key = seq != 0;
    j->key = (struct key){.session = 7, .seq = seq};
    j->arrival_ns = (uint64_t)TODAY * DAY;
    j->day = TODAY;
    j->n_measurements = 1;
    ck_assert_int_eq(buf_append(&j->lines, span_of_str(lines)), 0);
    j->charged = j->lines.len;
    ck_assert_int_eq(admit_charge(&admit, j->charged), 0);
    return j;
}

static int push(struct store *s, const char *host, uint64_t seq, const char *lines)
{
    struct pushed p = {0};
    struct job *j = make_job(host, seq, lines);

    if (j->has_key)
        ck_assert_int_eq(
            keys_reserve(store_keys(s), job_identifier(j), &j->key, NULL, j->arrival_ns),
            0);
    j->settled = on_settled;
    j->arg = &p;
    (void)sem_init(&p.done, 0, 0);
    store_push(s, j);
    (void)sem_wait(&p.done);
    (void)sem_destroy(&p.done);
    return p.r;
}

static bool is_stored(struct store *s, const char *host, uint64_t seq)
{
    struct key key = {.session = 7, .seq = seq};
    struct span identifier = span_of_str(host);
    uint64_t now = (uint64_t)TODAY * DAY;

    int r = keys_reserve(store_keys(s), identifier, &key, NULL, now);
    if (r == 0)
        keys_settle(store_keys(s), identifier, &key, E_GONE, now);
    else
        ck_assert_int_eq(r, E_REPLAY);
    return r == E_REPLAY;
}

static void expect_file(const char *host, const char *text)
{
    CLEANUP(buf_done) struct buf b;
    char path[256];

    buf_init(&b, MIB);
    (void)snprintf(path, sizeof path, "data/%s/2026-11-22.jsonl", host);
    ck_assert_int_eq(io_read_file(home.fd, path, &b), 0);
    ck_assert_int_eq(buf_append_byte(&b, 0), 0);
    ck_assert_str_eq((const char *)b.data, text);
}

/* The only log there is, or ends the test. */
static void log_path(char ret_path[64])
{
    uint64_t *numbers;
    uint64_t max;
    size_t n;
    char name[LOG_NAME_BYTES];
    int fd = openat(home.fd, "log", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    ck_assert_int_eq(log_list(fd, &numbers, &n, &max), 0);
    ck_assert_uint_eq(n, 1);
    log_name(numbers[0], name);
    free(numbers);
    io_close(&fd);
    (void)snprintf(ret_path, 64, "log/%s", name);
}

/* A crash: what the process has in memory is gone, what it wrote stays. A child does the
 * work and ends without a word. */
static void crash_after(void (*work)(struct store *s))
{
    pid_t child = fork();
    int status;

    ck_assert_int_ge(child, 0);
    if (child == 0) {
        work(open_store());
        _exit(0);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
}

/* Puts the data folder back to nothing, as if no day file had reached the disk. */
static void forget_day_files(void)
{
    char command[PATH_MAX + 32];

    (void)snprintf(command, sizeof command, "%s/data/h/2026-11-22.jsonl", home.path);
    (void)unlink(command);
}

START_TEST(what_is_answered_is_filed_at_close)
{
    struct store *s = open_store();

    ck_assert_int_eq(push(s, "h", 1, "one\n"), 0);
    ck_assert_int_eq(push(s, "g", 1, "uno\n"), 0);
    ck_assert_int_eq(push(s, "h", 2, "two\n"), 0);
    ck_assert(is_stored(s, "h", 2));
    ck_assert_int_eq(store_close(s), 0);
    expect_file("h", "one\ntwo\n");
    expect_file("g", "uno\n");
    ck_assert_uint_eq(admit.bytes, 0);
}
END_TEST

START_TEST(a_second_store_has_no_access_to_the_same_home)
{
    struct store *s = open_store();
    struct store *other;
    const char *what;

    ck_assert_int_eq(store_open(&conf, NULL, &other, &what), E_PENDING);
    ck_assert_int_eq(store_close(s), 0);
}
END_TEST

static void push_three(struct store *s)
{
    if (push(s, "h", 1, "one\n") || push(s, "h", 2, "two\n") ||
        push(s, "h", 3, "three\n"))
        _exit(1);
}

START_TEST(after_a_crash_all_answered_is_there_once_keys_too)
{
    crash_after(push_three);
    forget_day_files();
    for (int again = 0; again < 2; again++) {
        struct store *s = open_store();

        ck_assert(is_stored(s, "h", 1));
        ck_assert(is_stored(s, "h", 3));
        ck_assert_int_eq(store_close(s), 0);
        expect_file("h", "one\ntwo\nthree\n");
    }
}
END_TEST

START_TEST(a_log_cut_anywhere_keeps_the_whole_records_before_the_cut)
{
    static const char *const kept[] = {"", "one\n", "one\ntwo\n", "one\ntwo\nthree\n"};
    const size_t size = (size_t)4 * LOG_ALIGN; /* a group each, and the first record */
    const size_t ends[] = {LOG_ALIGN + LOG_HEADER_BYTES + 5,
                           2 * LOG_ALIGN + LOG_HEADER_BYTES + 5,
                           3 * LOG_ALIGN + LOG_HEADER_BYTES + 7};
    char path[64];
    struct stat st;

    /* Padding is cut less often than what is before and behind it. */
    for (size_t cut = 0; cut <= size;
         cut += cut % LOG_ALIGN < (size_t)2 * LOG_HEADER_BYTES ? 7 : 560) {
        size_t whole = 0;
        while (whole < 3 && cut >= ends[whole])
            whole++;

        teardown();
        setup();
        crash_after(push_three);
        forget_day_files();
        log_path(path);
        ck_assert_int_eq(fstatat(home.fd, path, &st, 0), 0);
        ck_assert_uint_eq((size_t)st.st_size, size);
        int fd = openat(home.fd, path, O_WRONLY | O_CLOEXEC);
        ck_assert_int_eq(ftruncate(fd, (off_t)cut), 0);
        io_close(&fd);

        struct store *s = open_store();
        struct store_counts counts;
        store_count(s, &counts);
        ck_assert_uint_eq(counts.recovery.records, whole);
        ck_assert_uint_eq(counts.recovery.damaged, 0);
        ck_assert_int_eq(is_stored(s, "h", 3), whole == 3);
        ck_assert_int_eq(store_close(s), 0);
        if (whole)
            expect_file("h", kept[whole]);
    }
}
END_TEST

static void push_far_apart(struct store *s)
{
    char lines[2002];

    memset(lines, 'x', sizeof lines);
    lines[2000] = '\n';
    lines[2001] = 0;
    if (push(s, "h", 1, "one\n") || push(s, "h", 2, lines) || push(s, "h", 3, "three\n"))
        _exit(1);
}

START_TEST(a_bit_flipped_in_mid_log_loses_one_record_and_says_so)
{
    char path[64];
    uint8_t byte;

    crash_after(push_far_apart);
    forget_day_files();
    log_path(path);
    int fd = openat(home.fd, path, O_RDWR | O_CLOEXEC);
    ck_assert_int_eq(pread(fd, &byte, 1, 2 * LOG_ALIGN + 700), 1);
    byte ^= 4;
    ck_assert_int_eq(pwrite(fd, &byte, 1, 2 * LOG_ALIGN + 700), 1);
    io_close(&fd);

    struct store *s = open_store();
    struct store_counts counts;
    store_count(s, &counts);
    ck_assert_uint_eq(counts.recovery.records, 2);
    ck_assert_uint_gt(counts.recovery.damaged, 2000);
    ck_assert(is_stored(s, "h", 3));
    ck_assert(!is_stored(s, "h", 2));
    ck_assert_int_eq(store_close(s), 0);

    CLEANUP(buf_done) struct buf b;
    buf_init(&b, MIB);
    ck_assert_int_eq(io_read_file(home.fd, "data/h/2026-11-22.jsonl", &b), 0);
    ck_assert_uint_eq(b.len, 4 + 2001 + 6);
    ck_assert_ptr_nonnull(memmem(b.data, b.len, "pcd/gap", 7));
    ck_assert_int_eq(b.data[4 + 2000], '\n');
    ck_assert_int_eq(memcmp(b.data + 4 + 2001, "three\n", 6), 0);
    (void)snprintf(path + strlen(path), 8, ".bad");
    ck_assert_int_eq(faccessat(home.fd, path, F_OK, 0), 0);
}
END_TEST

static void push_hundred(struct store *s, uint64_t first)
{
    char lines[64 * 1024];

    memset(lines, 'y', sizeof lines);
    lines[sizeof lines - 2] = '\n';
    lines[sizeof lines - 1] = 0;
    for (uint64_t i = first; i < first + 100; i++) {
        if (push(s, "h", i, lines))
            _exit(1);
    }
}

static void push_many(struct store *s)
{
    push_hundred(s, 1);
}

START_TEST(logs_roll_and_recovery_reads_them_all)
{
    struct stat st;

    conf.log_max = 16 * MIB; /* logs of 2 MiB */
    crash_after(push_many);
    forget_day_files();
    struct store *s = open_store();
    struct store_counts counts;
    store_count(s, &counts);
    ck_assert_uint_eq(counts.recovery.records, 100);
    ck_assert_int_eq(store_close(s), 0);
    ck_assert_int_eq(fstatat(home.fd, "data/h/2026-11-22.jsonl", &st, 0), 0);
    ck_assert_int_eq(st.st_size, 100 * (64 * 1024 - 1));
}
END_TEST

START_TEST(a_full_log_makes_a_checkpoint_and_old_logs_go)
{
    struct store_counts counts;
    uint64_t *numbers;
    uint64_t max;
    size_t n;

    conf.log_max = 8 * MIB;
    struct store *s = open_store();
    push_hundred(s, 1);
    push_hundred(s, 101);
    ck_assert_int_eq(store_close(s), 0);
    int fd = openat(home.fd, "log", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    ck_assert_int_eq(log_list(fd, &numbers, &n, &max), 0);
    ck_assert_uint_eq(n, 1);
    ck_assert_uint_ge(max, 10);
    free(numbers);
    io_close(&fd);

    s = open_store();
    store_count(s, &counts);
    ck_assert_uint_eq(counts.recovery.records, 0);
    ck_assert_int_eq(store_close(s), 0);
}
END_TEST

START_TEST(interval_sync_answers_early_and_loses_nothing_at_close)
{
    conf.sync = STORE_SYNC_INTERVAL;
    struct store *s = open_store();
    ck_assert_int_eq(push(s, "h", 1, "one\n"), 0);
    ck_assert_int_eq(push(s, "h", 2, "two\n"), 0);
    ck_assert_int_eq(store_close(s), 0);
    expect_file("h", "one\ntwo\n");
}
END_TEST

START_TEST(no_batch_is_taken_below_the_reserve_or_while_draining)
{
    conf.disk_reserve = UINT64_C(1) << 60;
    struct store *s = open_store();
    ck_assert_int_eq(store_room(s, 100), E_NO_ROOM);
    store_drain(s);
    ck_assert_int_eq(store_room(s, 100), E_STOPPED);
    ck_assert_int_eq(push(s, "h", 1, "one\n"), E_STOPPED);
    ck_assert_int_eq(store_close(s), 0);
    ck_assert_uint_eq(admit.bytes, 0);
}
END_TEST

static void push_until_it_fails(struct store *s)
{
    const struct rlimit small = {.rlim_cur = 4 * LOG_ALIGN, .rlim_max = 4 * LOG_ALIGN};
    char lines[1001];
    int failed = 0;

    memset(lines, 'z', sizeof lines);
    lines[999] = '\n';
    lines[1000] = 0;
    (void)sigaction(SIGXFSZ, &(struct sigaction){.sa_handler = SIG_IGN}, NULL);
    if (setrlimit(RLIMIT_FSIZE, &small))
        _exit(1);
    /* Each host's file stays small; every log takes three of these. */
    for (uint64_t i = 1; i <= 10; i++) {
        char host[8];
        (void)snprintf(host, sizeof host, "h%u", (unsigned)i);
        failed += push(s, host, 1, lines) != 0;
    }
    if (failed != 2 || is_stored(s, "h4", 1) || !is_stored(s, "h5", 1))
        _exit(2);
}

START_TEST(a_failed_write_refuses_its_batches_and_a_new_log_goes_on)
{
    struct stat st;
    char path[64];

    crash_after(push_until_it_fails);
    struct store *s = open_store();
    for (unsigned i = 1; i <= 10; i++) {
        bool lost = i == 4 || i == 8;
        char host[8];

        (void)snprintf(host, sizeof host, "h%u", i);
        ck_assert_msg(is_stored(s, host, 1) == !lost, "%s", host);
        (void)snprintf(path, sizeof path, "data/%s/2026-11-22.jsonl", host);
        ck_assert_int_eq(fstatat(home.fd, path, &st, 0) == 0, !lost);
    }
    ck_assert_int_eq(store_close(s), 0);
}
END_TEST

/* The next so many syncs fail, as those of a disk that fills late do. */
static _Atomic int failing_syncs;

int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd);

int __wrap_fdatasync(int fd)
{
    if (failing_syncs > 0) {
        failing_syncs--;
        errno = ENOSPC;
        return -1;
    }
    return __real_fdatasync(fd);
}

START_TEST(what_a_failed_sync_refused_is_not_found_at_the_next_start)
{
    struct store *s = open_store();

    ck_assert_int_eq(push(s, "h", 1, "one\n"), 0);
    failing_syncs = 2; /* the group's, and that of the log that should follow */
    ck_assert_int_eq(push(s, "h", 2, "two\n"), E_NO_ROOM);
    failing_syncs = 0;
    ck_assert(!is_stored(s, "h", 2));
    ck_assert_int_eq(store_close(s), 0);

    s = open_store();
    ck_assert(is_stored(s, "h", 1));
    ck_assert(!is_stored(s, "h", 2));
    ck_assert_int_eq(push(s, "h", 3, "three\n"), 0);
    ck_assert_int_eq(store_close(s), 0);
    expect_file("h", "one\nthree\n");
}
END_TEST

START_TEST(refused_batches_leave_the_log_its_room)
{
    static char lines[MIB];

    conf.log_max = 16 * MIB;
    memset(lines, 'x', sizeof lines - 2);
    lines[sizeof lines - 2] = '\n';
    struct store *s = open_store();
    for (uint64_t i = 1; i <= 20; i++) {
        failing_syncs = 1;
        ck_assert_int_eq(push(s, "h", i, lines), E_NO_ROOM);
    }
    ck_assert_int_eq(store_room(s, MIB), 0);
    ck_assert_int_eq(push(s, "h", 21, "one\n"), 0);
    ck_assert_int_eq(store_close(s), 0);
    expect_file("h", "one\n");
}
END_TEST

START_TEST(interval_sync_writes_again_what_a_failed_sync_covered)
{
    conf.sync = STORE_SYNC_INTERVAL;
    struct store *s = open_store();
    ck_assert_int_eq(push(s, "h", 1, "one\n"), 0);
    failing_syncs = 1000;
    store_drain(s);
    failing_syncs = 0;
    ck_assert_int_eq(store_close(s), -EIO); /* and the log says how many were lost */

    s = open_store();
    ck_assert_int_eq(push(s, "h", 2, "two\n"), 0);
    failing_syncs = 1;
    for (struct store_counts c = {0}; c.sync_failures == 0;)
        store_count(s, &c);
    ck_assert_int_eq(push(s, "h", 3, "three\n"), 0);
    ck_assert_int_eq(store_close(s), 0);
    s = open_store();
    ck_assert(is_stored(s, "h", 2));
    ck_assert(is_stored(s, "h", 3));
    ck_assert_int_eq(store_close(s), 0);
}
END_TEST

START_TEST(interval_sync_takes_no_more_while_it_owes_a_sync)
{
    conf.sync = STORE_SYNC_INTERVAL;
    struct store *s = open_store();
    ck_assert_int_eq(push(s, "h", 1, "one\n"), 0);
    failing_syncs = 1000;
    for (struct store_counts c = {0}; c.sync_failures == 0;)
        store_count(s, &c);
    ck_assert_int_eq(push(s, "h", 2, "two\n"), E_NO_ROOM);
    failing_syncs = 0;
    ck_assert_int_eq(store_close(s), 0); /* now it can be made good */
    expect_file("h", "one\n");
}
END_TEST

START_TEST(a_log_that_is_gone_is_noted)
{
    struct store_counts counts;
    uint64_t *numbers;
    uint64_t max;
    size_t n;
    char name[LOG_NAME_BYTES];

    crash_after(push_many);
    int fd = openat(home.fd, "log", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    ck_assert_int_eq(log_list(fd, &numbers, &n, &max), 0);
    ck_assert_uint_ge(n, 3);
    log_name(numbers[1], name);
    ck_assert_int_eq(unlinkat(fd, name, 0), 0);
    free(numbers);
    io_close(&fd);
    struct store *s = open_store();
    store_count(s, &counts);
    ck_assert_uint_gt(counts.recovery.damaged, 2 * 1000 * 1000);
    ck_assert_uint_lt(counts.recovery.records, 100);
    ck_assert_int_eq(store_close(s), 0);
}
END_TEST

struct pusher {
    struct store *s;
    char host[8];
};

static void *push_from_a_thread(void *arg)
{
    struct pusher *p = arg;
    char line[32];
    long failed = 0;

    for (uint64_t i = 1; i <= 200; i++) {
        (void)snprintf(line, sizeof line, "%s %03u\n", p->host, (unsigned)i);
        failed += push(p->s, p->host, i, line) != 0;
    }
    return (void *)failed;
}

START_TEST(many_threads_push_and_all_is_stored_in_order)
{
    pthread_t threads[6];
    struct pusher pushers[6];
    struct store *s = open_store();

    for (size_t i = 0; i < 6; i++) {
        pushers[i].s = s;
        (void)snprintf(pushers[i].host, sizeof pushers[i].host, "t%zu", i);
        ck_assert_int_eq(
            pthread_create(&threads[i], NULL, push_from_a_thread, &pushers[i]), 0);
    }
    for (size_t i = 0; i < 6; i++) {
        void *failed;
        ck_assert_int_eq(pthread_join(threads[i], &failed), 0);
        ck_assert_ptr_null(failed);
    }
    ck_assert_int_eq(store_close(s), 0);
    for (size_t i = 0; i < 6; i++) {
        char want[200 * 7 + 1];
        for (size_t k = 0; k < 200; k++)
            (void)snprintf(want + k * 7, 8, "%s %03u\n", pushers[i].host,
                           (unsigned)k + 1);
        expect_file(pushers[i].host, want);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pcd store");
    TCase *c = tcase_create("store");

    tcase_add_checked_fixture(c, setup, teardown);
    tcase_set_timeout(c, 60);
    tcase_add_test(c, what_is_answered_is_filed_at_close);
    tcase_add_test(c, a_second_store_has_no_access_to_the_same_home);
    tcase_add_test(c, after_a_crash_all_answered_is_there_once_keys_too);
    tcase_add_test(c, a_log_cut_anywhere_keeps_the_whole_records_before_the_cut);
    tcase_add_test(c, a_bit_flipped_in_mid_log_loses_one_record_and_says_so);
    tcase_add_test(c, logs_roll_and_recovery_reads_them_all);
    tcase_add_test(c, a_full_log_makes_a_checkpoint_and_old_logs_go);
    tcase_add_test(c, interval_sync_answers_early_and_loses_nothing_at_close);
    tcase_add_test(c, no_batch_is_taken_below_the_reserve_or_while_draining);
    tcase_add_test(c, a_failed_write_refuses_its_batches_and_a_new_log_goes_on);
    tcase_add_test(c, what_a_failed_sync_refused_is_not_found_at_the_next_start);
    tcase_add_test(c, refused_batches_leave_the_log_its_room);
    tcase_add_test(c, interval_sync_writes_again_what_a_failed_sync_covered);
    tcase_add_test(c, interval_sync_takes_no_more_while_it_owes_a_sync);
    tcase_add_test(c, a_log_that_is_gone_is_noted);
    tcase_add_test(c, many_threads_push_and_all_is_stored_in_order);
    suite_add_tcase(suite, c);
    return suite_run(suite);
}
