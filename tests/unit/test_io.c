/* SPDX-License-Identifier: MIT */
#include "common/io.h"
#include "tests/lib/bytes.h"
#include "tests/lib/fault.h"
#include "tests/lib/home.h"
#include "tests/lib/suite.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * The system calls of io.c as the linker wraps them here: short, interrupted or failing
 * when a test says so, and each noted by a letter.
 */
static struct {
    size_t at_most;  /* bytes that a call moves; 0: all */
    bool interrupts; /* every second call */
    bool was_interrupted;
    long fail_at; /* which call from now fails with EIO; -1: none */
    bool failed;
    bool is_beaten; /* somebody else makes each folder a moment earlier */
    int max_parts;  /* the most pieces that one call was given */
    char calls[64];
    size_t n_calls;
} sys = {.fail_at = -1};

static void sys_reset(void)
{
    memset(&sys, 0, sizeof sys);
    sys.fail_at = -1;
}

/* Notes a call. Return: does it go through? */
static bool sys_passes(char letter)
{
    if (sys.interrupts && !sys.was_interrupted) {
        sys.was_interrupted = true;
        errno = EINTR;
        return false;
    }
    sys.was_interrupted = false;
    if (sys.n_calls + 1 < sizeof sys.calls)
        sys.calls[sys.n_calls++] = letter;
    if (sys.fail_at >= 0 && sys.fail_at-- == 0) {
        sys.failed = true;
        errno = EIO;
        return false;
    }
    return true;
}

static size_t sys_part(size_t n)
{
    return sys.at_most > 0 && sys.at_most < n ? sys.at_most : n;
}

ssize_t __real_write(int fd, const void *bytes, size_t n);
ssize_t __wrap_write(int fd, const void *bytes, size_t n);
ssize_t __real_read(int fd, void *bytes, size_t n);
ssize_t __wrap_read(int fd, void *bytes, size_t n);
ssize_t __real_pread64(int fd, void *bytes, size_t n, off_t offset);
ssize_t __wrap_pread64(int fd, void *bytes, size_t n, off_t offset);
ssize_t __real_pwritev64(int fd, const struct iovec *parts, int n, off_t offset);
ssize_t __wrap_pwritev64(int fd, const struct iovec *parts, int n, off_t offset);
int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __real_renameat(int from_fd, const char *from, int to_fd, const char *to);
int __wrap_renameat(int from_fd, const char *from, int to_fd, const char *to);
int __real_mkdirat(int fd, const char *name, mode_t mode);
int __wrap_mkdirat(int fd, const char *name, mode_t mode);

ssize_t __wrap_write(int fd, const void *bytes, size_t n)
{
    return sys_passes('w') ? __real_write(fd, bytes, sys_part(n)) : -1;
}

ssize_t __wrap_read(int fd, void *bytes, size_t n)
{
    return sys_passes('r') ? __real_read(fd, bytes, sys_part(n)) : -1;
}

ssize_t __wrap_pread64(int fd, void *bytes, size_t n, off_t offset)
{
    return sys_passes('r') ? __real_pread64(fd, bytes, sys_part(n), offset) : -1;
}

/* A short write may end within any piece. */
ssize_t __wrap_pwritev64(int fd, const struct iovec *parts, int n, off_t offset)
{
    size_t left = sys.at_most;

    if (n > sys.max_parts)
        sys.max_parts = n;
    if (!sys_passes('w'))
        return -1;
    if (sys.at_most == 0)
        return __real_pwritev64(fd, parts, n, offset);
    for (int i = 0; i < n && left > 0; i++) {
        size_t part = left < parts[i].iov_len ? left : parts[i].iov_len;

        ck_assert_int_eq(pwrite(fd, parts[i].iov_base, part, offset), (ssize_t)part);
        offset += (off_t)part;
        left -= part;
    }
    return (ssize_t)(sys.at_most - left);
}

int __wrap_fsync(int fd)
{
    return sys_passes('s') ? __real_fsync(fd) : -1;
}

int __wrap_renameat(int from_fd, const char *from, int to_fd, const char *to)
{
    return sys_passes('m') ? __real_renameat(from_fd, from, to_fd, to) : -1;
}

int __wrap_mkdirat(int fd, const char *name, mode_t mode)
{
    if (!sys_passes('d'))
        return -1;
    int r = __real_mkdirat(fd, name, mode);
    if (r == 0 && sys.is_beaten) {
        errno = EEXIST;
        return -1;
    }
    return r;
}

static struct home home;

static void set_up(void)
{
    sys_reset();
    home_make(&home);
}

static void tear_down(void)
{
    sys_reset();
    home_remove(&home);
}

static int make_file(const char *name)
{
    int fd = openat(home.fd, name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    ck_assert_int_ge(fd, 0);
    return fd;
}

static void put_file(const char *name, struct span bytes)
{
    CLEANUP(io_close) int fd = make_file(name);

    ck_assert_int_eq(io_write(fd, bytes), 0);
}

static void assert_holds(const char *name, struct span bytes)
{
    CLEANUP(buf_done) struct buf b;

    buf_init(&b, BYTES_ROOM);
    ck_assert_int_eq(io_read_file(home.fd, name, &b), 0);
    ck_assert(span_equal(buf_span(&b), bytes));
}

static bool is_there(const char *name)
{
    return faccessat(home.fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static unsigned mode_of(const char *name)
{
    struct stat st;

    ck_assert_int_eq(fstatat(home.fd, name, &st, AT_SYMLINK_NOFOLLOW), 0);
    return st.st_mode & 07777;
}

START_TEST(close_forgets_the_descriptor)
{
    int fd = make_file("a");
    int was = fd;

    io_close(&fd);
    ck_assert_int_eq(fd, -1);
    ck_assert_int_eq(fcntl(was, F_GETFD), -1);
    io_close(&fd);
    ck_assert_int_eq(fd, -1);
}
END_TEST

START_TEST(write_goes_on_after_short_counts_and_signals)
{
    CLEANUP(io_close) int fd = make_file("a");

    sys.at_most = 3;
    sys.interrupts = true;
    ck_assert_int_eq(io_write(fd, SPAN("0123456789")), 0);
    ck_assert_str_eq(sys.calls, "wwww");
    sys_reset();
    ck_assert_int_eq(io_write(fd, SPAN("")), 0);
    ck_assert_str_eq(sys.calls, "");
    assert_holds("a", SPAN("0123456789"));
}
END_TEST

START_TEST(write_gives_back_what_the_kernel_says)
{
    CLEANUP(io_close) int full = open("/dev/full", O_WRONLY | O_CLOEXEC);

    ck_assert_int_ge(full, 0);
    ck_assert_int_eq(io_write(full, SPAN("x")), -ENOSPC);
    ck_assert_int_eq(io_write(-1, SPAN("x")), -EBADF);
    CLEANUP(io_close) int fd = make_file("a");
    sys.at_most = 3;
    sys.fail_at = 1;
    ck_assert_int_eq(io_write(fd, SPAN("0123456789")), -EIO);
    sys_reset();
    assert_holds("a", SPAN("012"));
}
END_TEST

START_TEST(pwritev_goes_on_wherever_a_write_ends)
{
    for (size_t at_most = 1; at_most < 12; at_most++) {
        CLEANUP(io_close) int fd = make_file("a");
        char texts[] = "abcdefghi";
        struct iovec parts[] = {
            {NULL, 0}, {texts, 1}, {texts + 1, 5}, {NULL, 0}, {texts + 6, 3}, {NULL, 0},
        };

        sys.at_most = at_most;
        sys.interrupts = true;
        ck_assert_int_eq(io_pwritev(fd, parts, N_OF(parts), 2), 0);
        sys_reset();
        assert_holds("a", SPAN("\0\0abcdefghi"));
    }
}
END_TEST

/* More than the kernel takes at once, many of them empty. */
START_TEST(pwritev_takes_any_number_of_pieces)
{
    static struct iovec parts[3 * IOV_MAX + 7];
    CLEANUP(io_close) int fd = make_file("a");
    CLEANUP(buf_done) struct buf expected;
    static char byte[] = "0123456789";

    buf_init(&expected, BYTES_ROOM);
    for (size_t i = 0; i < N_OF(parts); i++) {
        parts[i] = (struct iovec){byte + i % 7, i % 3};
        bytes_put(&expected, span_of(byte + i % 7, i % 3));
    }
    ck_assert_int_eq(io_pwritev(fd, parts, N_OF(parts), 0), 0);
    ck_assert_int_eq(sys.max_parts, IOV_MAX);
    assert_holds("a", buf_span(&expected));
}
END_TEST

START_TEST(pwritev_of_nothing_asks_the_kernel_nothing)
{
    struct iovec parts[] = {{NULL, 0}, {NULL, 0}};

    ck_assert_int_eq(io_pwritev(-1, parts, 2, 0), 0);
    ck_assert_int_eq(io_pwritev(-1, NULL, 0, 0), 0);
}
END_TEST

/* The kernel's own short write: up to the limit first, then EFBIG. */
START_TEST(pwritev_gives_back_what_the_kernel_says_after_a_part)
{
    const struct sigaction ignore = {.sa_handler = SIG_IGN};
    struct rlimit limit;
    struct iovec parts[] = {{(char[]){"01234567"}, 8}, {(char[]){"89abcdef"}, 8}};
    CLEANUP(io_close) int fd = make_file("a");

    ck_assert_int_eq(sigaction(SIGXFSZ, &ignore, NULL), 0);
    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &limit), 0);
    rlim_t before = limit.rlim_cur;
    limit.rlim_cur = 12;
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    int r = io_pwritev(fd, parts, 2, 0);
    limit.rlim_cur = before;
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    ck_assert_int_eq(r, -EFBIG);
    assert_holds("a", SPAN("0123456789ab"));
}
END_TEST

START_TEST(pwritev_refuses_an_offset_that_no_file_has)
{
    struct iovec part = {(char[]){"x"}, 1};
    CLEANUP(io_close) int fd = make_file("a");

    ck_assert_int_eq(io_pwritev(fd, &part, 1, UINT64_MAX), -EINVAL);
    assert_holds("a", SPAN(""));
}
END_TEST

START_TEST(pread_reads_what_is_there)
{
    static const struct {
        size_t n;
        uint64_t offset;
        const char *text;
    } rows[] = {
        {10, 0, "0123456789"}, {4, 0, "0123"}, {4, 3, "3456"}, {4, 6, "6789"},
        {4, 7, "789"},         {4, 10, ""},    {4, 99, ""},    {0, 0, ""},
    };

    for (size_t at_most = 0; at_most < 5; at_most++) {
        put_file("a", SPAN("0123456789"));
        CLEANUP(io_close) int fd = openat(home.fd, "a", O_RDONLY | O_CLOEXEC);
        uint8_t *room = malloc(rows[_i].n);
        size_t n = 77;

        sys.at_most = at_most;
        sys.interrupts = true;
        ck_assert_int_eq(io_pread(fd, room, rows[_i].n, rows[_i].offset, &n), 0);
        sys_reset();
        ck_assert(span_equal_str(span_of(room, n), rows[_i].text));
        free(room);
    }
}
END_TEST

START_TEST(pread_gives_back_what_the_kernel_says)
{
    uint8_t room[4];
    size_t n = 77;

    ck_assert_int_eq(io_pread(home.fd, room, sizeof room, 0, &n), -EISDIR);
    ck_assert_int_eq(io_pread(-1, room, sizeof room, 0, &n), -EBADF);
    put_file("a", SPAN("0123456789"));
    CLEANUP(io_close) int fd = openat(home.fd, "a", O_RDONLY | O_CLOEXEC);
    sys.at_most = 1;
    sys.fail_at = 2;
    ck_assert_int_eq(io_pread(fd, room, sizeof room, 0, &n), -EIO);
    ck_assert_uint_eq(n, 77);
}
END_TEST

/* Whatever the file's size is beside the pieces it is read in. */
START_TEST(read_file_appends_all_of_it)
{
    static const size_t sizes[] = {0, 1, 4095, 4096, 4097, 100000};
    CLEANUP(buf_done) struct buf content;
    CLEANUP(buf_done) struct buf b;
    uint64_t state = 5;

    buf_init(&content, BYTES_ROOM);
    buf_init(&b, BYTES_ROOM);
    bytes_put(&b, SPAN("before"));
    while (content.len < sizes[_i])
        bytes_put_one(&content, (uint8_t)bytes_random(&state));
    put_file("a", buf_span(&content));
    sys.interrupts = true;
    ck_assert_int_eq(io_read_file(home.fd, "a", &b), 0);
    ck_assert(span_starts_with(buf_span(&b), SPAN("before")));
    ck_assert(span_equal(span_from(buf_span(&b), 6), buf_span(&content)));
}
END_TEST

/* Files under /proc have a size of 0. */
START_TEST(read_file_does_not_ask_for_the_size)
{
    CLEANUP(buf_done) struct buf b;

    buf_init(&b, BYTES_ROOM);
    ck_assert_int_eq(io_read_file(AT_FDCWD, "/proc/self/stat", &b), 0);
    ck_assert_uint_gt(b.len, 0);
}
END_TEST

START_TEST(read_file_fills_a_buffer_to_its_maximum_and_not_beyond)
{
    put_file("a", SPAN("0123456789"));
    for (size_t max = 0; max < 14; max++) {
        CLEANUP(buf_done) struct buf b;

        buf_init(&b, 2 + max);
        bytes_put(&b, SPAN("ab"));
        int r = io_read_file(home.fd, "a", &b);
        ck_assert_int_eq(r, max < 10 ? E_TOO_LARGE : 0);
        ck_assert(span_equal_str(buf_span(&b), r ? "ab" : "ab0123456789"));
    }
}
END_TEST

START_TEST(read_file_that_fails_leaves_the_buffer_as_it_was)
{
    CLEANUP(buf_done) struct buf b;

    buf_init(&b, BYTES_ROOM);
    bytes_put(&b, SPAN("ab"));
    ck_assert_int_eq(io_read_file(home.fd, "missing", &b), -ENOENT);
    ck_assert_int_eq(io_read_file(AT_FDCWD, home.path, &b), -EISDIR);
    put_file("a", SPAN("0123456789"));
    sys.at_most = 4;
    sys.fail_at = 1;
    ck_assert_int_eq(io_read_file(home.fd, "a", &b), -EIO);
    ck_assert(span_equal(buf_span(&b), SPAN("ab")));
}
END_TEST

START_TEST(read_file_survives_any_failed_allocation)
{
    bool fired = true;
    static const char content[20000] = {1};

    put_file("a", span_of(content, sizeof content));
    for (long nth = 0; fired; nth++) {
        CLEANUP(buf_done) struct buf b;

        buf_init(&b, BYTES_ROOM);
        fault_arm(nth);
        int r = io_read_file(home.fd, "a", &b);
        fired = fault_disarm();
        ck_assert_int_eq(r, fired ? -ENOMEM : 0);
        ck_assert_uint_eq(b.len, fired ? 0 : sizeof content);
    }
}
END_TEST

START_TEST(sync_dir_gives_back_what_the_kernel_says)
{
    ck_assert_int_eq(io_sync_dir(home.fd), 0);
    ck_assert_int_eq(io_sync_dir(-1), -EBADF);
    sys_reset();
    sys.fail_at = 0;
    ck_assert_int_eq(io_sync_dir(home.fd), -EIO);
    ck_assert_str_eq(sys.calls, "s"); /* a failed sync is not tried again */
}
END_TEST

/* write, sync, move, sync of the folder. */
START_TEST(replace_file_syncs_before_it_renames_and_once_more_after)
{
    sys.at_most = 5;
    ck_assert_int_eq(io_replace_file(home.fd, "a", SPAN("0123456789"), 0600), 0);
    ck_assert_str_eq(sys.calls, "wwsms");
    sys_reset();
    ck_assert_int_eq(io_replace_file(home.fd, "a", SPAN("new"), 0600), 0);
    sys_reset();
    assert_holds("a", SPAN("new"));
    ck_assert(!is_there("a.new"));
}
END_TEST

START_TEST(replace_file_that_fails_leaves_the_old_file_in_place)
{
    bool failed = true;

    for (long nth = 0; failed; nth++) {
        put_file("a", SPAN("old"));
        sys_reset();
        sys.at_most = 2;
        sys.fail_at = nth;
        int r = io_replace_file(home.fd, "a", SPAN("new!"), 0600);
        failed = sys.failed;
        /* Whether the last sync failed: then the new one is in place. */
        bool is_new = strcmp(sys.calls, "wwsms") == 0;
        sys_reset();
        ck_assert_int_eq(r, failed ? -EIO : 0);
        assert_holds("a", is_new ? SPAN("new!") : SPAN("old"));
        ck_assert(!is_there("a.new"));
    }
}
END_TEST

START_TEST(replace_file_sets_the_mode_whatever_the_umask_or_the_old_file)
{
    mode_t before = umask(077);

    ck_assert_int_eq(io_replace_file(home.fd, "a", SPAN("x"), 0644), 0);
    ck_assert_uint_eq(mode_of("a"), 0644);
    (void)umask(0);
    ck_assert_int_eq(io_replace_file(home.fd, "a", SPAN("x"), 0600), 0);
    ck_assert_uint_eq(mode_of("a"), 0600);
    (void)umask(before);
}
END_TEST

/* Nobody who held it open, or whom a link led elsewhere, gets at what is written. */
START_TEST(replace_file_does_not_write_into_a_left_over)
{
    put_file("a.new", SPAN("left over"));
    CLEANUP(io_close) int held = openat(home.fd, "a.new", O_RDONLY | O_CLOEXEC);
    uint8_t room[16];
    size_t n;

    ck_assert_int_eq(io_replace_file(home.fd, "a", SPAN("secret"), 0600), 0);
    ck_assert_int_eq(io_pread(held, room, sizeof room, 0, &n), 0);
    ck_assert(span_equal(span_of(room, n), SPAN("left over")));

    put_file("other", SPAN("other"));
    ck_assert_int_eq(symlinkat("other", home.fd, "a.new"), 0);
    ck_assert_int_eq(io_replace_file(home.fd, "a", SPAN("secret"), 0600), 0);
    assert_holds("other", SPAN("other"));
    assert_holds("a", SPAN("secret"));
}
END_TEST

START_TEST(replace_file_takes_names_of_200_bytes)
{
    char name[NAME_MAX + 1];

    memset(name, 'n', sizeof name);
    name[200] = 0;
    ck_assert_int_eq(io_replace_file(home.fd, name, SPAN("x"), 0600), 0);
    assert_holds(name, SPAN("x"));
    name[200] = 'n';
    name[NAME_MAX] = 0;
    ck_assert_int_eq(io_replace_file(home.fd, name, SPAN("x"), 0600), -ENAMETOOLONG);
    ck_assert_int_eq(io_replace_file(home.fd, "no/such", SPAN("x"), 0600), -ENOENT);
}
END_TEST

/* Each new entry is synced into its folder before the next is made in it. */
START_TEST(make_dirs_makes_and_syncs_what_is_missing)
{
    static const struct {
        const char *path;
        const char *calls;
    } rows[] = {
        {"a", "ds"},         {"a/b/c", "dsdsds"}, {"a/b/c/", "dsdsds"},
        {"a//b///", "dsds"}, {"a/../b", "dsds"},  {"./a/.", "ds"},
        {"there", ""},       {"there/", ""},      {"there/a", "ds"},
    };
    char path[PATH_MAX + 32];

    ck_assert_int_eq(mkdirat(home.fd, "there", 0755), 0);
    (void)snprintf(path, sizeof path, "%s/%s", home.path, rows[_i].path);
    sys_reset();
    ck_assert_int_eq(io_make_dirs(path), 0);
    ck_assert_str_eq(sys.calls, rows[_i].calls);
    ck_assert(is_there(rows[_i].path));
    ck_assert_uint_eq(mode_of(rows[_i].path), strncmp(rows[_i].path, "there", 5) == 0 &&
                                                      !strstr(rows[_i].path, "/a")
                                                  ? 0755
                                                  : 0700);
    sys_reset();
    ck_assert_int_eq(io_make_dirs(path), 0);
    ck_assert_str_eq(sys.calls, "");
}
END_TEST

START_TEST(make_dirs_takes_paths_from_the_working_folder)
{
    ck_assert_int_eq(fchdir(home.fd), 0);
    ck_assert_int_eq(io_make_dirs("a/b"), 0);
    ck_assert_int_eq(io_make_dirs("./c"), 0);
    ck_assert_int_eq(io_make_dirs("."), 0);
    ck_assert_int_eq(io_make_dirs("/"), 0);
    ck_assert(is_there("a/b"));
    ck_assert(is_there("c"));
    ck_assert_int_eq(chdir("/"), 0);
}
END_TEST

START_TEST(make_dirs_refuses_what_can_not_be_a_folder)
{
    char path[2 * PATH_MAX];
    size_t n;

    ck_assert_int_eq(io_make_dirs(""), -ENOENT);
    put_file("file", SPAN(""));
    (void)snprintf(path, sizeof path, "%s/file", home.path);
    ck_assert_int_eq(io_make_dirs(path), -ENOTDIR);
    (void)snprintf(path, sizeof path, "%s/file/below", home.path);
    ck_assert_int_eq(io_make_dirs(path), -ENOTDIR);
    n = (size_t)snprintf(path, sizeof path, "%s/", home.path);
    memset(path + n, 'x', NAME_MAX + 1);
    path[n + NAME_MAX + 1] = 0;
    ck_assert_int_eq(io_make_dirs(path), -ENAMETOOLONG);
    path[n + NAME_MAX] = 0;
    ck_assert_int_eq(io_make_dirs(path), 0);
}
END_TEST

/* What the other has not synced yet is synced all the same. */
START_TEST(make_dirs_may_be_beaten_by_another)
{
    char path[PATH_MAX + 8];

    (void)snprintf(path, sizeof path, "%s/a/b", home.path);
    sys.is_beaten = true;
    ck_assert_int_eq(io_make_dirs(path), 0);
    ck_assert_str_eq(sys.calls, "dsds");
    ck_assert(is_there("a/b"));
}
END_TEST

START_TEST(make_dirs_gives_back_what_fails)
{
    char path[PATH_MAX + 8];
    bool failed = true;

    (void)snprintf(path, sizeof path, "%s/a/b", home.path);
    for (long nth = 0; failed; nth++) {
        sys_reset();
        sys.fail_at = nth;
        int r = io_make_dirs(path);
        failed = sys.failed;
        sys_reset();
        ck_assert_int_eq(r, failed ? -EIO : 0);
        ck_assert_int_eq(is_there("a/b"), nth > 2);
        (void)unlinkat(home.fd, "a/b", AT_REMOVEDIR);
        (void)unlinkat(home.fd, "a", AT_REMOVEDIR);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("io");
    TCase *c = tcase_create("io");

    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_add_test(c, close_forgets_the_descriptor);
    tcase_add_test(c, write_goes_on_after_short_counts_and_signals);
    tcase_add_test(c, write_gives_back_what_the_kernel_says);
    tcase_add_test(c, pwritev_goes_on_wherever_a_write_ends);
    tcase_add_test(c, pwritev_takes_any_number_of_pieces);
    tcase_add_test(c, pwritev_of_nothing_asks_the_kernel_nothing);
    tcase_add_test(c, pwritev_gives_back_what_the_kernel_says_after_a_part);
    tcase_add_test(c, pwritev_refuses_an_offset_that_no_file_has);
    tcase_add_loop_test(c, pread_reads_what_is_there, 0, 8);
    tcase_add_test(c, pread_gives_back_what_the_kernel_says);
    tcase_add_loop_test(c, read_file_appends_all_of_it, 0, 6);
    tcase_add_test(c, read_file_does_not_ask_for_the_size);
    tcase_add_test(c, read_file_fills_a_buffer_to_its_maximum_and_not_beyond);
    tcase_add_test(c, read_file_that_fails_leaves_the_buffer_as_it_was);
    tcase_add_test(c, read_file_survives_any_failed_allocation);
    tcase_add_test(c, sync_dir_gives_back_what_the_kernel_says);
    tcase_add_test(c, replace_file_syncs_before_it_renames_and_once_more_after);
    tcase_add_test(c, replace_file_that_fails_leaves_the_old_file_in_place);
    tcase_add_test(c, replace_file_sets_the_mode_whatever_the_umask_or_the_old_file);
    tcase_add_test(c, replace_file_does_not_write_into_a_left_over);
    tcase_add_test(c, replace_file_takes_names_of_200_bytes);
    tcase_add_loop_test(c, make_dirs_makes_and_syncs_what_is_missing, 0, 9);
    tcase_add_test(c, make_dirs_takes_paths_from_the_working_folder);
    tcase_add_test(c, make_dirs_refuses_what_can_not_be_a_folder);
    tcase_add_test(c, make_dirs_may_be_beaten_by_another);
    tcase_add_test(c, make_dirs_gives_back_what_fails);
    suite_add_tcase(suite, c);
    return suite_run(suite);
}
