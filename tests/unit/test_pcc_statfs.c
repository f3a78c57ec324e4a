/* SPDX-License-Identifier: MIT */
#include "common/clock.h"
#include "common/units.h"
#include "pcc/mounts.h"
#include "pcc/statfs.h"
#include "tests/lib/suite.h"
#include "tests/unit/pcc_tree.h"

#include <errno.h>
#include <sys/statfs.h>
#include <sys/vfs.h>

#define FILESYSTEMS "nodev\tsysfs\nnodev\ttmpfs\n\text4\n\tsquashfs\n\tfuseblk\n\txfs\n"
#define WAIT_NS (10 * SEC)

/* The kernel's answer: sizes from the last two letters of the path, so that each differs;
 * none at all, for as long as a test says so, for paths that end in /hangs. */
static int hang_pipe[2];
static int told_pipe[2]; /* a byte for each that goes into it or comes out */

int __wrap_statfs64(const char *path, struct statfs *ret);

static void tell(void)
{
    ck_assert_int_eq((int)write(told_pipe[1], "x", 1), 1);
}

static void wait_for(int fd)
{
    char byte;

    ck_assert_int_eq((int)read(fd, &byte, 1), 1);
}

int __wrap_statfs64(const char *path, struct statfs *ret)
{
    size_t n = strlen(path);

    if (n > 6 && strcmp(path + n - 6, "/hangs") == 0) {
        tell();
        wait_for(hang_pipe[0]);
        tell();
    }
    if (n > 5 && strcmp(path + n - 5, "/gone") == 0) {
        errno = ENOENT;
        return -1;
    }
    *ret = (struct statfs){.f_bsize = 4096, .f_blocks = n, .f_bfree = 7, .f_bavail = 5};
    return 0;
}

static struct home home;
static struct buf text;

static void set_up(void)
{
    home_make(&home);
    buf_init(&text, 1 << 20);
    ck_assert_int_eq(pipe(hang_pipe), 0);
    ck_assert_int_eq(pipe(told_pipe), 0);
    tree_put(&home, "proc/filesystems", SPAN(FILESYSTEMS));
}

static void tear_down(void)
{
    (void)close(hang_pipe[0]);
    (void)close(hang_pipe[1]);
    (void)close(told_pipe[0]);
    (void)close(told_pipe[1]);
    buf_done(&text);
    home_remove(&home);
}

static struct statfs_source *open_source(const char *only)
{
    struct statfs_source *s = NULL;

    ck_assert_int_eq(statfs_new(home.path, only, &s), 0);
    return s;
}

static int ask(struct statfs_source *s, uint64_t wait_ns, size_t *ret_late)
{
    buf_reset(&text);
    statfs_ask(s);
    return statfs_append(s, clock_boot_ns() + wait_ns, &text, ret_late);
}

static void assert_lines(struct statfs_source *s, const char *want)
{
    size_t late = 0;

    ck_assert_int_eq(ask(s, WAIT_NS, &late), 0);
    ck_assert_uint_eq(late, 0);
    ck_assert_msg(span_equal_str(buf_span(&text), want), "%.*s", (int)text.len,
                  (const char *)text.data);
}

/* The line of a mount point, whose size is the length of the path that was asked. */
static const char *line(const char *json_point, const char *point)
{
    static char lines[4][512];
    static size_t next;
    char *to = lines[next++ % 4];

    (void)snprintf(to, sizeof *lines,
                   "{\"mount_point\":\"%s\",\"block_size\":4096,\"blocks_total\":%zu,"
                   "\"blocks_free\":7,\"blocks_available\":5}\n",
                   json_point, strlen(home.path) + strlen(point));
    return to;
}

static const char *joined(const char *a, const char *b)
{
    static char both[1024];

    (void)snprintf(both, sizeof both, "%s%s", a, b);
    return both;
}

START_TEST(block_filesystems_are_listed_each_device_once)
{
    tree_put(&home, "proc/1/mountinfo",
             SPAN("1 0 8:1 / / rw - ext4 /dev/sda1 rw\n"
                  "2 1 0:5 / /proc rw - proc proc rw\n"
                  "3 1 8:1 /x /again rw - ext4 /dev/sda1 rw\n"
                  "4 1 0:9 / /tmp rw,nosuid shared:3 master:1 - tmpfs tmpfs rw\n"
                  "5 1 7:0 / /snap rw - squashfs /dev/loop0 ro\n"
                  "6 1 8:2 / /data rw shared:7 - xfs /dev/sda2 rw\n"));
    struct statfs_source *s = open_source(NULL);
    assert_lines(s, joined(line("/", "/"), line("/data", "/data")));
    statfs_free(s);
}
END_TEST

START_TEST(mount_may_come_and_go)
{
    struct statfs_source *s = open_source(NULL);

    tree_put(&home, "proc/1/mountinfo", SPAN("1 0 8:1 / / rw - ext4 a rw\n"));
    assert_lines(s, line("/", "/"));
    tree_put(&home, "proc/1/mountinfo",
             SPAN("1 0 8:1 / / rw - ext4 a rw\n2 1 8:2 / /mnt rw - xfs b rw\n"));
    assert_lines(s, joined(line("/", "/"), line("/mnt", "/mnt")));
    tree_put(&home, "proc/1/mountinfo", SPAN("2 1 8:2 / /mnt rw - xfs b rw\n"));
    assert_lines(s, line("/mnt", "/mnt"));
    statfs_free(s);
}
END_TEST

START_TEST(escapes_in_a_mount_point_are_decoded_and_quoted_as_json)
{
    tree_put(&home, "proc/1/mountinfo",
             SPAN("1 0 8:1 / /a\\040b\\134c\\011\\x rw - ext4 a rw\n"));
    struct statfs_source *s = open_source(NULL);
    assert_lines(s, line("/a b\\\\c\\t\\\\x", "/a b\\c\t\\x"));
    statfs_free(s);
}
END_TEST

START_TEST(mount_that_cannot_be_asked_is_left_out)
{
    size_t late = 0;

    tree_put(&home, "proc/1/mountinfo",
             SPAN("1 0 8:1 / /gone rw - ext4 a rw\n2 1 8:2 / /mnt rw - xfs b rw\n"));
    struct statfs_source *s = open_source(NULL);
    assert_lines(s, line("/mnt", "/mnt"));
    tree_put(&home, "proc/1/mountinfo", SPAN("1 0 8:1 / /gone rw - ext4 a rw\n"));
    ck_assert_int_eq(ask(s, WAIT_NS, &late), -ENOENT);
    tree_put(&home, "proc/1/mountinfo", SPAN("2 1 0:5 / /proc rw - proc proc rw\n"));
    ck_assert_int_eq(ask(s, WAIT_NS, &late), E_GONE);
    tree_remove(&home, "proc/1/mountinfo");
    ck_assert_int_eq(ask(s, WAIT_NS, &late), -ENOENT);
    ck_assert_uint_eq(text.len, 0);
    statfs_free(s);
}
END_TEST

START_TEST(named_mount_may_have_any_type)
{
    size_t late = 0;

    tree_put(&home, "proc/1/mountinfo",
             SPAN("1 0 8:1 / / rw - ext4 a rw\n2 1 0:7 / /nfs rw - nfs4 srv:/x rw\n"
                  "3 1 0:8 / /tmp rw - tmpfs t rw\n"));
    struct statfs_source *s = open_source("/nfs");
    assert_lines(s, line("/nfs", "/nfs"));
    tree_put(&home, "proc/1/mountinfo", SPAN("1 0 8:1 / / rw - ext4 a rw\n"));
    ck_assert_int_eq(ask(s, WAIT_NS, &late), E_GONE);
    statfs_free(s);
}
END_TEST

START_TEST(named_mount_is_the_topmost_of_its_point)
{
    tree_put(&home, "proc/1/mountinfo",
             SPAN("1 0 0:7 / /hangs rw - nfs4 srv:/x rw\n2 1 8:1 / /mnt rw - ext4 a rw\n"
                  "3 1 0:9 / /mnt rw - nfs4 srv:/y rw\n"));
    struct statfs_source *s = open_source("/mnt");
    assert_lines(s, line("/mnt", "/mnt"));
    statfs_free(s);
}
END_TEST

/* Waits until the mount has answered, however slow the machine. */
static void ask_until(struct statfs_source *s, size_t want_late)
{
    size_t late = want_late + 1;
    int r = 0;

    while (late != want_late)
        r = ask(s, WAIT_NS, &late);
    ck_assert_int_eq(r, 0);
}

START_TEST(mount_that_hangs_is_left_out_until_it_answers)
{
    size_t late = 0;

    tree_put(&home, "proc/1/mountinfo",
             SPAN("1 0 8:1 / / rw - ext4 a rw\n"
                  "2 1 8:2 / /hangs rw - fuseblk.ntfs b rw\n"));
    struct statfs_source *s = open_source(NULL);
    /* However often it is asked: it is late at once but for the first time. */
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(ask(s, i == 0 ? MSEC : HOUR, &late), 0);
        ck_assert_uint_eq(late, 1);
        ck_assert(span_equal_str(buf_span(&text), line("/", "/")));
    }
    ck_assert_int_eq((int)write(hang_pipe[1], "xxxx", 4), 4);
    ask_until(s, 0);
    ck_assert(span_equal_str(buf_span(&text),
                             joined(line("/", "/"), line("/hangs", "/hangs"))));
    statfs_free(s);
}
END_TEST

START_TEST(source_is_freed_while_a_mount_hangs)
{
    size_t late = 0;

    tree_put(&home, "proc/1/mountinfo", SPAN("2 1 0:3 / /hangs rw - fuse.x b rw\n"));
    struct statfs_source *s = open_source("/hangs");
    ck_assert_int_eq(ask(s, MSEC, &late), E_GONE);
    ck_assert_uint_eq(late, 1);
    wait_for(told_pipe[0]);
    statfs_free(s); /* doesn't wait; what the thread holds it frees itself */
    ck_assert_int_eq((int)write(hang_pipe[1], "x", 1), 1);
    wait_for(told_pipe[0]);
}
END_TEST

START_TEST(stand_in_file_is_the_text)
{
    size_t late = 0;
    const char *lines = "{\"mount_point\":\"/\",\"block_size\":1}\n"
                        "{\"mount_point\":\"/mnt\",\"block_size\":2}\n";

    tree_put(&home, "statfs", span_of_str(lines));
    struct statfs_source *all = open_source(NULL);
    struct statfs_source *one = open_source("/mnt");
    struct statfs_source *other = open_source("/mn");
    assert_lines(all, lines);
    assert_lines(one, "{\"mount_point\":\"/mnt\",\"block_size\":2}\n");
    ck_assert_int_eq(ask(other, WAIT_NS, &late), E_GONE);
    statfs_free(all);
    statfs_free(one);
    statfs_free(other);
}
END_TEST

START_TEST(own_mounts_are_read_without_a_root)
{
    struct statfs_source *s = NULL;
    size_t late = 0;

    ck_assert_int_eq(statfs_new("", "/proc", &s), 0);
    ck_assert_int_eq(ask(s, WAIT_NS, &late), 0);
    ck_assert_int_eq(ask(s, WAIT_NS, &late), 0); /* the table was not read again */
    ck_assert(span_starts_with(buf_span(&text), SPAN("{\"mount_point\":\"/proc\",")));
    statfs_free(s);
}
END_TEST

/* Lines of any length and shape are read or passed over, never read beyond. */
START_TEST(every_prefix_of_a_table_is_read_safely)
{
    const char *table =
        "1 0 8:1 / / rw shared:1 - ext4 a rw\n2 1 8:2 / /m\\040x rw - xfs b r\n";

    for (size_t n = 0; n <= strlen(table); n++) {
        struct span exact = suite_exact(span_of(table, n));
        struct span left = exact;
        struct mount_line m;
        size_t lines = 0;
        while (mounts_next(&left, &m)) {
            char point[64];
            mounts_decode(m.point, point);
            ck_assert_int_eq(point[0], '/');
            lines++;
        }
        ck_assert_uint_le(lines, 2);
        if (n == strlen(table))
            ck_assert_uint_eq(lines, 2);
        free((void *)(uintptr_t)exact.data);
    }
}
END_TEST

START_TEST(escape_that_is_cut_short_stays_as_it_is)
{
    static const char *const points[] = {"/\\", "/\\0", "/\\04", "/\\049", "/\\x40"};
    char decoded[16];

    for (size_t i = 0; i < sizeof points / sizeof *points; i++) {
        struct span exact = suite_exact(span_of_str(points[i]));
        mounts_decode(exact, decoded);
        ck_assert_str_eq(decoded, points[i]);
        free((void *)(uintptr_t)exact.data);
    }
}
END_TEST

START_TEST(block_types_are_those_without_nodev)
{
    struct span types = SPAN(FILESYSTEMS);

    ck_assert(mounts_is_block(types, SPAN("ext4")));
    ck_assert(mounts_is_block(types, SPAN("fuseblk.ntfs")));
    ck_assert(!mounts_is_block(types, SPAN("tmpfs")));
    ck_assert(!mounts_is_block(types, SPAN("squashfs")));
    ck_assert(!mounts_is_block(types, SPAN("ext")));
    ck_assert(!mounts_is_block(types, SPAN("")));
    ck_assert(mounts_is_fuse(SPAN("fuseblk")));
    ck_assert(mounts_is_fuse(SPAN("fuse.sshfs")));
    ck_assert(!mounts_is_fuse(SPAN("fusectl")));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pcc_statfs");
    TCase *c = tcase_create("statfs");

    tcase_set_timeout(c, 60);
    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_add_test(c, block_filesystems_are_listed_each_device_once);
    tcase_add_test(c, mount_may_come_and_go);
    tcase_add_test(c, escapes_in_a_mount_point_are_decoded_and_quoted_as_json);
    tcase_add_test(c, mount_that_cannot_be_asked_is_left_out);
    tcase_add_test(c, named_mount_may_have_any_type);
    tcase_add_test(c, named_mount_is_the_topmost_of_its_point);
    tcase_add_test(c, mount_that_hangs_is_left_out_until_it_answers);
    tcase_add_test(c, source_is_freed_while_a_mount_hangs);
    tcase_add_test(c, stand_in_file_is_the_text);
    tcase_add_test(c, own_mounts_are_read_without_a_root);
    tcase_add_test(c, every_prefix_of_a_table_is_read_safely);
    tcase_add_test(c, escape_that_is_cut_short_stays_as_it_is);
    tcase_add_test(c, block_types_are_those_without_nodev);
    suite_add_tcase(suite, c);
    return suite_run(suite);
}
