/* SPDX-License-Identifier: MIT */
#include "common/clock.h"
#include "common/log.h"
#include "common/units.h"
#include "pcc/source.h"
#include "tests/lib/bytes.h"
#include "tests/lib/fault.h"
#include "tests/lib/suite.h"
#include "tests/unit/pcc_tree.h"

#include <errno.h>
#include <sys/vfs.h>

#define FILESYSTEMS "nodev\ttmpfs\n\text4\n\tfuseblk\n"
#define NO_BLOCKS "1 0 0:5 / /proc rw - proc proc rw\n"
#define ROOT_MOUNT "2 0 8:1 / / rw - ext4 a rw\n"
#define LINE(point)                                                                      \
    "{\"mount_point\":\"" point "\",\"block_size\":512,\"blocks_total\":3,"              \
    "\"blocks_free\":2,\"blocks_available\":1}\n"

static struct home home;
static struct batch batch;
static struct gap_set gaps;

/* The kernel's answers: none behind the first bytes of a file that is broken, and none
 * for mounts whose paths end in /hangs before the pipe's other end is closed. */
static ino_t broken;
static int hang_pipe[2];

ssize_t __real_pread64(int fd, void *to, size_t n, off_t at);
ssize_t __wrap_pread64(int fd, void *to, size_t n, off_t at);
int __wrap_statfs64(const char *path, struct statfs *ret);

ssize_t __wrap_pread64(int fd, void *to, size_t n, off_t at)
{
    struct stat st;

    if (at > 0 && fstat(fd, &st) == 0 && st.st_ino == broken) {
        errno = EIO;
        return -1;
    }
    return __real_pread64(fd, to, n, at);
}

int __wrap_statfs64(const char *path, struct statfs *ret)
{
    size_t n = strlen(path);
    char byte;

    if (n > 6 && strcmp(path + n - 6, "/hangs") == 0)
        ck_assert_int_eq((int)read(hang_pipe[0], &byte, 1), 0);
    *ret = (struct statfs){.f_bsize = 512, .f_blocks = 3, .f_bfree = 2, .f_bavail = 1};
    return 0;
}

static void set_up(void)
{
    home_make(&home);
    batch_init(&batch, &batch_limits_default);
    gaps = (struct gap_set){0};
    broken = 0;
    ck_assert_int_eq(pipe(hang_pipe), 0);
    log_init(LOG_INFO);
}

static void tear_down(void)
{
    io_close(&hang_pipe[0]);
    io_close(&hang_pipe[1]);
    batch_done(&batch);
    home_remove(&home);
}

static const struct {
    const char *name;
    int r;
    enum source_kind kind;
} names[] = {
    {"/proc/stat", 0, SOURCE_FILE},          {"/", 0, SOURCE_FILE},
    {"statfs[*]", 0, SOURCE_STATFS_ALL},     {"statfs[/]", 0, SOURCE_STATFS},
    {"statfs[/mnt/a]", 0, SOURCE_STATFS},    {"container/docker/*", 0, SOURCE_DOCKER},
    {"", E_MALFORMED, SOURCE_FILE},          {"statfs", E_MALFORMED, SOURCE_FILE},
    {"statfs[]", E_MALFORMED, SOURCE_FILE},  {"statfs[/", E_MALFORMED, SOURCE_FILE},
    {"proc/stat", E_MALFORMED, SOURCE_FILE},
};

START_TEST(name_says_the_kind)
{
    struct span name = suite_exact(span_of_str(names[_i].name));
    enum source_kind kind = SOURCE_FILE;

    ck_assert_msg(source_parse(name, &kind) == names[_i].r, "row %d", _i);
    ck_assert_msg(kind == names[_i].kind, "row %d", _i);
    free((void *)(uintptr_t)name.data);
}
END_TEST

START_TEST(name_has_the_length_of_a_subsystem_at_most)
{
    char name[LIMIT_SUBSYSTEM_BYTES + 1];
    enum source_kind kind;

    memset(name, '/', sizeof name);
    ck_assert_int_eq(source_parse(span_of(name, LIMIT_SUBSYSTEM_BYTES), &kind), 0);
    ck_assert_int_eq(source_parse(span_of(name, sizeof name), &kind), E_MALFORMED);
}
END_TEST

static bool append(struct sources *s, uint64_t seconds)
{
    batch_begin_tick(&batch);
    return sources_append(s, &batch, seconds * SEC, 0, &gaps);
}

static void assert_item(size_t i, const char *subsystem, const char *text)
{
    struct measurement m = batch_get(&batch, i);

    ck_assert(span_equal_str(m.subsystem, subsystem));
    ck_assert(span_equal_str(m.text, text));
}

START_TEST(sources_appear_in_order_with_the_text_of_their_files)
{
    struct sources *s = NULL;

    tree_put(&home, "proc/stat", SPAN("cpu 1\n"));
    tree_put(&home, "etc/any", SPAN(""));
    tree_put(&home, "statfs", SPAN("{\"mount_point\":\"/\"}\n"));
    ck_assert_int_eq(sources_new("statfs[*], /etc/any,/proc/stat", home.path, &s), 0);
    ck_assert_uint_eq(sources_count(s), 3);
    ck_assert(!append(s, 1));
    ck_assert_uint_eq(batch.n_items, 3);
    assert_item(0, "statfs[*]", "{\"mount_point\":\"/\"}\n");
    assert_item(1, "/etc/any", "");
    assert_item(2, "/proc/stat", "cpu 1\n");
    sources_free(s);
}
END_TEST

START_TEST(source_that_vanishes_is_left_out_and_comes_back)
{
    struct sources *s = NULL;

    tree_put(&home, "a", SPAN("1"));
    tree_put(&home, "b", SPAN("2"));
    ck_assert_int_eq(sources_new("/a,/b", home.path, &s), 0);
    ck_assert(!append(s, 1));
    tree_remove(&home, "a");
    ck_assert(append(s, 2));
    ck_assert(!append(s, 3));
    tree_put(&home, "a", SPAN("3"));
    ck_assert(append(s, 4));
    ck_assert_uint_eq(batch.n_items, 6);
    assert_item(2, "/b", "2");
    assert_item(3, "/b", "2");
    assert_item(4, "/a", "3");
    ck_assert_uint_eq(batch.n_ticks, 4);
    ck_assert(gaps_empty(&gaps));
    sources_free(s);
}
END_TEST

/* What sources_log_changes() says, in a static buffer. */
static const char *logged(struct sources *s)
{
    static char text[4096];
    int saved = dup(STDERR_FILENO);
    int fd = openat(home.fd, "log", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    ck_assert_int_eq(dup2(fd, STDERR_FILENO), STDERR_FILENO);
    sources_log_changes(s);
    ck_assert_int_eq(dup2(saved, STDERR_FILENO), STDERR_FILENO);
    ssize_t n = pread(fd, text, sizeof text - 1, 0);
    ck_assert_int_ge(n, 0);
    text[n] = 0;
    (void)close(saved);
    (void)close(fd);
    return text;
}

static void assert_logged(struct sources *s, const char *want)
{
    const char *text = logged(s);

    ck_assert_msg(strstr(text, want) != NULL, "%s", text);
    ck_assert_ptr_eq(strchr(text, '\n'), text + strlen(text) - 1); /* one line */
}

static ino_t inode_of(const char *path)
{
    struct stat st;

    ck_assert_int_eq(fstatat(home.fd, path, &st, 0), 0);
    return st.st_ino;
}

static const char *const three[] = {"/a", "/b", "/c"};

/* Whichever of three it is. */
START_TEST(read_that_fails_for_a_tick_costs_that_source_that_tick)
{
    struct sources *s = NULL;
    char want[128];

    for (size_t i = 0; i < N_OF(three); i++)
        tree_put(&home, three[i] + 1, span_of_str(three[i]));
    ck_assert_int_eq(sources_new("/a,/b,/c", home.path, &s), 0);
    ck_assert(!append(s, 1));
    ck_assert_str_eq(logged(s), "");
    broken = inode_of(three[_i] + 1);
    ck_assert(append(s, 2));
    (void)snprintf(want, sizeof want, "event=source_unreadable subsystem=%s error=\"%s\"",
                   three[_i], err_text(-EIO));
    assert_logged(s, want);
    broken = 0;
    ck_assert(append(s, 3));
    (void)snprintf(want, sizeof want, "event=source_readable subsystem=%s", three[_i]);
    assert_logged(s, want);
    ck_assert(!append(s, 4));
    ck_assert_str_eq(logged(s), "");

    size_t n = 0;
    for (uint64_t tick = 1; tick <= 4; tick++) {
        for (int i = 0; i < (int)N_OF(three); i++) {
            if (tick == 2 && i == _i)
                continue;
            ck_assert_uint_lt(n, batch.n_items);
            ck_assert_uint_eq(batch_get(&batch, n).time_ns, tick * SEC);
            assert_item(n++, three[i], three[i]);
        }
    }
    ck_assert_uint_eq(n, batch.n_items);
    ck_assert_uint_eq(batch.bytes.len, n * 4); /* nothing of what was read in vain */
    ck_assert_uint_eq(batch.n_ticks, 4);
    ck_assert(gaps_empty(&gaps));
    sources_free(s);
}
END_TEST

/* /a, all filesystems and /b; the table of mounts says what is given. */
static struct sources *mounts_between_files(const char *table)
{
    struct sources *s = NULL;

    tree_put(&home, "a", SPAN("1"));
    tree_put(&home, "b", SPAN("2"));
    tree_put(&home, "proc/filesystems", SPAN(FILESYSTEMS));
    tree_put(&home, "proc/1/mountinfo", span_of_str(table));
    ck_assert_int_eq(sources_new("/a,statfs[*],/b", home.path, &s), 0);
    return s;
}

static void assert_last_tick(const char *lines)
{
    const size_t n = lines ? 3 : 2;

    ck_assert_uint_ge(batch.n_items, n);
    ck_assert(batch.items[batch.n_items - n].starts_tick);
    assert_item(batch.n_items - n, "/a", "1");
    if (lines)
        assert_item(batch.n_items - 2, "statfs[*]", lines);
    assert_item(batch.n_items - 1, "/b", "2");
}

START_TEST(first_mount_may_come_after_the_start)
{
    struct sources *s = mounts_between_files(NO_BLOCKS);

    ck_assert(append(s, 1));
    assert_logged(s, "event=source_unreadable subsystem=statfs[*]");
    assert_last_tick(NULL);
    ck_assert(!append(s, 2));
    assert_last_tick(NULL);
    tree_put(&home, "proc/1/mountinfo", SPAN(NO_BLOCKS ROOT_MOUNT));
    ck_assert(append(s, 3));
    assert_logged(s, "event=source_readable subsystem=statfs[*]");
    assert_last_tick(LINE("/"));
    ck_assert(!append(s, 4));
    assert_last_tick(LINE("/"));
    ck_assert_uint_eq(batch.n_ticks, 4);
    ck_assert_uint_eq(batch.n_items, 10);
    ck_assert(gaps_empty(&gaps)); /* it was never asked in vain */
    sources_free(s);
}
END_TEST

START_TEST(mounts_that_do_not_answer_are_a_gap_in_each_tick_until_they_do)
{
    struct sources *s = mounts_between_files(ROOT_MOUNT);
    const struct gap_note *note = &gaps.notes[GAP_MOUNT];

    ck_assert(!append(s, 1));
    ck_assert(gaps_empty(&gaps));
    tree_put(&home, "proc/1/mountinfo",
             SPAN(ROOT_MOUNT "3 2 8:2 / /hangs rw - fuseblk b rw\n"
                             "4 2 8:3 / /mnt/hangs rw - fuseblk c rw\n"));
    for (uint64_t tick = 2; tick <= 4; tick++) {
        ck_assert(!append(s, tick)); /* the source has something to say */
        assert_last_tick(LINE("/"));
        ck_assert_uint_eq(note->from_ns, 2 * SEC);
        ck_assert_uint_eq(note->to_ns, tick * SEC);
        ck_assert_uint_eq(note->ticks, tick - 1);
        ck_assert_uint_eq(note->measurements, 2 * (tick - 1));
    }
    ck_assert_uint_eq(batch.n_ticks, 4);
    ck_assert_uint_eq(batch.n_items, 12);
    io_close(&hang_pipe[1]);
    do { /* however slow the machine */
        gaps = (struct gap_set){0};
        batch_reset(&batch);
        ck_assert(!sources_append(s, &batch, 5 * SEC, clock_boot_ns() + SEC, &gaps));
    } while (!gaps_empty(&gaps));
    assert_last_tick(LINE("/") LINE("/hangs") LINE("/mnt/hangs"));
    sources_free(s);
}
END_TEST

START_TEST(containers_are_many_measurements_of_one_source)
{
    struct sources *s = NULL;
    char path[256];

    for (unsigned i = 1; i <= 2; i++) {
        (void)snprintf(path, sizeof path, "sys/fs/cgroup/docker/%064x/cpu.stat", i);
        tree_put(&home, path, SPAN("usage_usec 1\n"));
    }
    tree_put(&home, "b", SPAN("2"));
    ck_assert_int_eq(sources_new("container/docker/*,/b", home.path, &s), 0);
    ck_assert(!append(s, 1));
    ck_assert_uint_eq(batch.n_items, 3);
    ck_assert_uint_eq(batch.n_ticks, 1);
    sources_free(s);
}
END_TEST

START_TEST(ticks_allocate_nothing_after_warm_up)
{
    struct sources *s = NULL;

    ck_assert_int_eq(batch_reserve(&batch, 100, 1 << 20), 0);
    ck_assert_int_eq(
        sources_new(
            "/proc/stat,/proc/meminfo,/proc/net/dev,/proc/diskstats,statfs[/proc],"
            "container/docker/*,/gone",
            "", &s),
        0);
    for (uint64_t i = 0; i < 2; i++)
        (void)append(s, i);
    fault_arm(0);
    for (uint64_t i = 2; i < 10; i++)
        (void)append(s, i);
    bool fired = fault_disarm();
    ck_assert(!fired);
    sources_free(s);
}
END_TEST

START_TEST(new_survives_any_failed_allocation)
{
    bool fired = true;

    for (long nth = 0; fired; nth++) {
        struct sources *s = NULL;
        fault_arm(nth);
        int r = sources_new("/a,statfs[*],statfs[/x],container/docker/*", home.path, &s);
        fired = fault_disarm();
        ck_assert_int_eq(r, fired ? -ENOMEM : 0);
        sources_free(s);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pcc_source");
    TCase *c = tcase_create("source");

    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_add_loop_test(c, name_says_the_kind, 0, (int)N_OF(names));
    tcase_add_test(c, name_has_the_length_of_a_subsystem_at_most);
    tcase_add_test(c, sources_appear_in_order_with_the_text_of_their_files);
    tcase_add_test(c, source_that_vanishes_is_left_out_and_comes_back);
    tcase_add_loop_test(c, read_that_fails_for_a_tick_costs_that_source_that_tick, 0,
                        (int)N_OF(three));
    tcase_add_test(c, first_mount_may_come_after_the_start);
    tcase_add_test(c, mounts_that_do_not_answer_are_a_gap_in_each_tick_until_they_do);
    tcase_add_test(c, containers_are_many_measurements_of_one_source);
    tcase_add_test(c, ticks_allocate_nothing_after_warm_up);
    tcase_add_test(c, new_survives_any_failed_allocation);
    suite_add_tcase(suite, c);
    return suite_run(suite);
}
