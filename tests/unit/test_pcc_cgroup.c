/* SPDX-License-Identifier: MIT */
#include "common/json.h"
#include "common/units.h"
#include "pcc/cgroup.h"
#include "tests/lib/captures.h"
#include "tests/lib/suite.h"
#include "tests/unit/pcc_tree.h"

#include <errno.h>

#define ID_A "7892fa5ced3d519c03dd549df61bf62d084d6a13aa185493b05259d75ce8b13d"
#define ID_B "915c4f073051af76f9547d5bd56f5943063a9b0928e23c3dff44458f3eb12751"
#define SCOPE_A "sys/fs/cgroup/system.slice/docker-" ID_A ".scope/"
#define PLAIN_B "sys/fs/cgroup/docker/" ID_B "/"

static struct home home;
static struct batch batch;

static void set_up(void)
{
    home_make(&home);
    batch_init(&batch, &batch_limits_default);
}

static void tear_down(void)
{
    batch_done(&batch);
    home_remove(&home);
}

static void put_container(const char *folder)
{
    static const struct {
        const char *name;
        const char *text;
    } files[] = {
        {"cpu.max", "50000 100000\n"},
        {"cpu.stat", "usage_usec 60\nuser_usec 40\nsystem_usec 20\nnr_periods 5\n"
                     "nr_throttled 3\nthrottled_usec 99\nnr_bursts 0\nburst_usec 0\n"},
        {"io.stat", "8:0 rbytes=100 wbytes=200 rios=1 wios=2 dbytes=9 dios=9\n"
                    "253:0 rbytes=1000 wbytes=2000 rios=10 wios=20 dbytes=0 dios=0\n"},
        {"memory.current", "4096\n"},
        {"memory.max", "2147483648\n"},
        {"memory.stat", "anon 11\nfile 12\nkernel 13\nkernel_stack 77\nfile_mapped 78\n"
                        "slab_reclaimable 79\nslab 14\n"},
        {"pids.current", "7\n"},
        {"pids.max", "19108\n"},
    };
    char path[512];

    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        (void)snprintf(path, sizeof path, "%s%s", folder, files[i].name);
        tree_put(&home, path, span_of_str(files[i].text));
    }
}

static const char text_of_a[] =
    "{\"container_id\":\"" ID_A "\",\"container_name\":\"\",\"cpu_period\":100000,"
    "\"cpu_periods\":5,\"cpu_quota\":50000,\"cpu_system_usec\":20,\"cpu_throttled\":3,"
    "\"cpu_throttled_usec\":99,\"cpu_usage_usec\":60,\"cpu_user_usec\":40,"
    "\"io_read_bytes\":1100,\"io_read_ops\":11,\"io_write_bytes\":2200,\"io_write_ops\":"
    "22,"
    "\"memory_anon\":11,\"memory_current\":4096,\"memory_file\":12,\"memory_kernel\":13,"
    "\"memory_max\":2147483648,\"memory_slab\":14,\"pids_current\":7,\"pids_max\":19108,"
    "\"runtime\":\"docker\"}";

START_TEST(container_is_one_object_of_its_files)
{
    put_container(SCOPE_A);
    ck_assert_int_eq(cgroup_append(home.path, 5 * SEC, &batch), 0);
    ck_assert_uint_eq(batch.n_items, 1);
    struct measurement m = batch_get(&batch, 0);
    ck_assert_uint_eq(m.time_ns, 5 * SEC);
    ck_assert(span_equal(m.subsystem, SPAN("container/docker/7892fa5ced3d")));
    ck_assert_msg(span_equal_str(m.text, text_of_a), "%.*s", (int)m.text.n,
                  (const char *)m.text.data);
}
END_TEST

START_TEST(both_layouts_are_found_and_nothing_else)
{
    put_container(SCOPE_A);
    put_container(PLAIN_B);
    put_container("sys/fs/cgroup/system.slice/ssh.service/");
    put_container("sys/fs/cgroup/system.slice/docker-" ID_A "0.scope/");
    put_container("sys/fs/cgroup/system.slice/docker-" ID_A ".scop/");
    put_container("sys/fs/cgroup/docker/buildkit/");
    put_container("sys/fs/cgroup/docker/Z" /* no hex digit */
                  "15c4f073051af76f9547d5bd56f5943063a9b0928e23c3dff44458f3eb12751/");
    ck_assert_int_eq(cgroup_append(home.path, SEC, &batch), 0);
    ck_assert_uint_eq(batch.n_items, 2);
    ck_assert(span_equal(batch_get(&batch, 0).subsystem,
                         SPAN("container/docker/7892fa5ced3d")));
    ck_assert(span_equal(batch_get(&batch, 1).subsystem,
                         SPAN("container/docker/915c4f073051")));
}
END_TEST

START_TEST(no_limit_and_no_controller_are_zero)
{
    put_container(SCOPE_A);
    tree_put(&home, SCOPE_A "cpu.max", SPAN("max 100000\n"));
    tree_put(&home, SCOPE_A "memory.max", SPAN("max\n"));
    tree_put(&home, SCOPE_A "pids.max", SPAN("max\n"));
    tree_remove(&home, SCOPE_A "io.stat");
    ck_assert_int_eq(cgroup_append(home.path, SEC, &batch), 0);
    struct span text = batch_get(&batch, 0).text;
    static const char *const parts[] = {
        "\"cpu_period\":100000,", "\"cpu_quota\":0,",     "\"memory_max\":0,",
        "\"pids_max\":0,",        "\"io_read_bytes\":0,", "\"io_write_ops\":0,",
    };
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        ck_assert_msg(memmem(text.data, text.n, parts[i], strlen(parts[i])) != NULL, "%s",
                      parts[i]);
}
END_TEST

START_TEST(container_without_cpu_stat_is_gone)
{
    put_container(SCOPE_A);
    put_container(PLAIN_B);
    tree_remove(&home, SCOPE_A "cpu.stat");
    ck_assert_int_eq(cgroup_append(home.path, SEC, &batch), 0);
    ck_assert_uint_eq(batch.n_items, 1);
}
END_TEST

START_TEST(host_without_containers_has_no_measurements)
{
    ck_assert_int_eq(cgroup_append(home.path, SEC, &batch), -ENOENT);
    tree_put(&home, "sys/fs/cgroup/cgroup.procs", SPAN(""));
    ck_assert_int_eq(cgroup_append(home.path, SEC, &batch), 0);
    ck_assert_uint_eq(batch.n_items, 0);
}
END_TEST

START_TEST(containers_past_the_bound_are_left_out)
{
    char path[512];

    for (unsigned i = 0; i < CGROUP_CONTAINERS_MAX + 20; i++) {
        (void)snprintf(path, sizeof path, "sys/fs/cgroup/docker/%064x/cpu.stat", i);
        tree_put(&home, path, SPAN("usage_usec 1\n"));
    }
    ck_assert_int_eq(cgroup_append(home.path, SEC, &batch), 0);
    ck_assert_uint_eq(batch.n_items, CGROUP_CONTAINERS_MAX);
}
END_TEST

/* The names of an object's members in order; numbers and texts are left out. */
static void names_of(struct span object, struct buf *ret)
{
    bool inside = false;
    size_t from = 0;

    for (size_t i = 0; i < object.n; i++) {
        if (object.data[i] != '"')
            continue;
        if (inside && i + 1 < object.n && object.data[i + 1] == ':')
            ck_assert_int_eq(buf_append(ret, span_of(object.data + from, i + 1 - from)),
                             0);
        inside = !inside;
        from = i;
    }
}

START_TEST(members_are_those_of_the_captures)
{
    CLEANUP(buf_done) struct buf file;
    CLEANUP(buf_done) struct buf ours;
    CLEANUP(buf_done) struct buf theirs;
    glob_t found;
    bool compared = false;

    buf_init(&file, LIMIT_DECODED_BYTES);
    buf_init(&ours, 4096);
    buf_init(&theirs, 4096);
    names_of(span_of_str(text_of_a), &ours);
    (void)captures_find(&found);
    for (size_t i = 0; i < found.gl_pathc; i++) {
        if (!strstr(found.gl_pathv[i], "/containers.jsonl"))
            continue;
        ck_assert_int_eq(io_read_file(AT_FDCWD, found.gl_pathv[i], &file), 0);
        const uint8_t *end = memchr(file.data, '\n', file.len);
        ck_assert_int_eq(
            json_decode_line(span_of(file.data, (size_t)(end - file.data)), &batch, NULL),
            0);
        names_of(batch_get(&batch, 0).text, &theirs);
        ck_assert(span_equal(buf_span(&ours), buf_span(&theirs)));
        compared = true;
    }
    globfree(&found);
    ck_assert(compared);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pcc_cgroup");
    TCase *c = tcase_create("cgroup");
    glob_t found;

    tcase_set_timeout(c, 60); /* it makes thousands of folders */
    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_add_test(c, container_is_one_object_of_its_files);
    tcase_add_test(c, both_layouts_are_found_and_nothing_else);
    tcase_add_test(c, no_limit_and_no_controller_are_zero);
    tcase_add_test(c, container_without_cpu_stat_is_gone);
    tcase_add_test(c, host_without_containers_has_no_measurements);
    tcase_add_test(c, containers_past_the_bound_are_left_out);
    /* Where there are none the member order above, which is theirs, still holds. */
    if (captures_find(&found) > 0)
        tcase_add_test(c, members_are_those_of_the_captures);
    globfree(&found);
    suite_add_tcase(suite, c);
    return suite_run(suite);
}
