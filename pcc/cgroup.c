/* SPDX-License-Identifier: MIT */
#include "pcc/cgroup.h"

#include "common/io.h"
#include "common/units.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>

#define ID_DIGITS 64u
#define SHOWN_DIGITS 12u
/* Of one file of a container; memory.stat has some 1.5 KB, io.stat 80 bytes a device. */
#define FILE_MAX 16384u

/* Where Docker puts its cgroups, by its systemd and its cgroupfs driver. */
static const struct {
    const char *parent;
    const char *prefix;
    const char *suffix;
} layouts[] = {
    {"system.slice", "docker-", ".scope"},
    {"docker", "", ""},
};

/* In the order of their names, which is the order of the members. */
enum value {
    CPU_PERIOD,
    CPU_PERIODS,
    CPU_QUOTA,
    CPU_SYSTEM_USEC,
    CPU_THROTTLED,
    CPU_THROTTLED_USEC,
    CPU_USAGE_USEC,
    CPU_USER_USEC,
    IO_READ_BYTES,
    IO_READ_OPS,
    IO_WRITE_BYTES,
    IO_WRITE_OPS,
    MEMORY_ANON,
    MEMORY_CURRENT,
    MEMORY_FILE,
    MEMORY_KERNEL,
    MEMORY_MAX,
    MEMORY_SLAB,
    PIDS_CURRENT,
    PIDS_MAX,
    VALUES,
};

static const char *const value_names[VALUES] = {
    "cpu_period",    "cpu_periods",        "cpu_quota",      "cpu_system_usec",
    "cpu_throttled", "cpu_throttled_usec", "cpu_usage_usec", "cpu_user_usec",
    "io_read_bytes", "io_read_ops",        "io_write_bytes", "io_write_ops",
    "memory_anon",   "memory_current",     "memory_file",    "memory_kernel",
    "memory_max",    "memory_slab",        "pids_current",   "pids_max",
};

/* Which word of which file is which value. */
struct word {
    const char *name;
    enum value value;
};

static const struct word cpu_stat_words[] = {
    {"usage_usec", CPU_USAGE_USEC},
    {"user_usec", CPU_USER_USEC},
    {"system_usec", CPU_SYSTEM_USEC},
    {"nr_periods", CPU_PERIODS},
    {"nr_throttled", CPU_THROTTLED},
    {"throttled_usec", CPU_THROTTLED_USEC},
    {NULL, VALUES},
};
static const struct word memory_stat_words[] = {
    {"anon", MEMORY_ANON}, {"file", MEMORY_FILE}, {"kernel", MEMORY_KERNEL},
    {"slab", MEMORY_SLAB}, {NULL, VALUES},
};
static const struct word io_stat_words[] = {
    {"rbytes", IO_READ_BYTES}, {"rios", IO_READ_OPS}, {"wbytes", IO_WRITE_BYTES},
    {"wios", IO_WRITE_OPS},    {NULL, VALUES},
};

static struct span next_token(struct span *text, const char *stops)
{
    size_t from = 0;
    while (from < text->n && strchr(stops, text->data[from]))
        from++;
    size_t to = from;
    while (to < text->n && !strchr(stops, text->data[to]))
        to++;
    struct span token = span_of(text->data + from, to - from);

    *text = span_from(*text, to);
    return token;
}

/* `max` and anything else that is no number: 0. */
static uint64_t number(struct span token)
{
    uint64_t value = 0;

    return units_parse_u64(token, &value) ? 0 : value;
}

/* Adds up the values of the words; pairs stand as `name value` or `name=value`, between
 * them words that don't matter (a device). */
static void add_words(struct span text, const struct word *words, uint64_t *values)
{
    while (text.n > 0) {
        struct span name = next_token(&text, " =\n");
        const struct word *w = words;
        while (w->name && !span_equal_str(name, w->name))
            w++;
        if (w->name)
            values[w->value] += number(next_token(&text, " =\n"));
    }
}

/* @ret is empty on failure. */
static int read_at(int dir_fd, const char *name, char *room, struct span *ret)
{
    size_t n = 0;

    *ret = span_of(room, 0);
    int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int r = io_pread(fd, room, FILE_MAX, 0, &n);
    io_close(&fd);
    if (r == 0)
        ret->n = n;
    return r;
}

/* A file that isn't there has no words: a controller may be off. */
static struct span read_or_empty(int dir_fd, const char *name, char *room)
{
    struct span text = span_of(room, 0);

    return read_at(dir_fd, name, room, &text) ? span_of(room, 0) : text;
}

static uint64_t read_number(int dir_fd, const char *name, char *room)
{
    struct span text = read_or_empty(dir_fd, name, room);

    return number(next_token(&text, " \n"));
}

/* Every cgroup has cpu.stat: without it the container is gone. */
static int read_values(int dir_fd, uint64_t *values)
{
    char room[FILE_MAX];
    struct span text;
    int r = read_at(dir_fd, "cpu.stat", room, &text);
    if (r)
        return r;
    add_words(text, cpu_stat_words, values);
    add_words(read_or_empty(dir_fd, "memory.stat", room), memory_stat_words, values);
    add_words(read_or_empty(dir_fd, "io.stat", room), io_stat_words, values);
    text = read_or_empty(dir_fd, "cpu.max", room);
    values[CPU_QUOTA] = number(next_token(&text, " \n"));
    values[CPU_PERIOD] = number(next_token(&text, " \n"));
    values[MEMORY_CURRENT] = read_number(dir_fd, "memory.current", room);
    values[MEMORY_MAX] = read_number(dir_fd, "memory.max", room);
    values[PIDS_CURRENT] = read_number(dir_fd, "pids.current", room);
    values[PIDS_MAX] = read_number(dir_fd, "pids.max", room);
    return 0;
}

static int append_text(struct span id, const uint64_t *values, struct buf *to)
{
    int r = buf_append(to, SPAN("{\"container_id\":\""));
    if (r == 0)
        r = buf_append(to, id);
    if (r == 0)
        r = buf_append(to, SPAN("\",\"container_name\":\"\""));
    for (int i = 0; i < VALUES && r == 0; i++) {
        r = buf_append(to, SPAN(",\""));
        if (r == 0)
            r = buf_append(to, span_of_str(value_names[i]));
        if (r == 0)
            r = buf_append(to, SPAN("\":"));
        if (r == 0)
            r = buf_append_u64(to, values[i]);
    }
    return r ? r : buf_append(to, SPAN(",\"runtime\":\"docker\"}"));
}

static int append_container(struct span id, const uint64_t *values, uint64_t time_ns,
                            struct batch *b)
{
    char name[sizeof "container/docker/" + SHOWN_DIGITS];

    (void)snprintf(name, sizeof name, "container/docker/%.*s", (int)SHOWN_DIGITS,
                   (const char *)id.data);
    int r = batch_open(b, time_ns, span_of_str(name));
    if (r)
        return r;
    r = append_text(id, values, &b->bytes);
    if (r) {
        batch_cancel(b);
        return r;
    }
    return batch_close(b);
}

/* The 64 hex digits in a cgroup's name; empty if it is no container's. */
static struct span id_of(const char *name, const char *prefix, const char *suffix)
{
    const size_t prefix_n = strlen(prefix);

    if (strlen(name) != prefix_n + ID_DIGITS + strlen(suffix) ||
        strncmp(name, prefix, prefix_n) != 0 ||
        strcmp(name + prefix_n + ID_DIGITS, suffix) != 0 ||
        strspn(name + prefix_n, "0123456789abcdef") < ID_DIGITS)
        return span_of(NULL, 0);
    return span_of(name + prefix_n, ID_DIGITS);
}

static int append_entry(int parent_fd, const char *name, struct span id, uint64_t time_ns,
                        struct batch *b)
{
    uint64_t values[VALUES] = {0};
    int fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return 0; /* gone meanwhile */
    int r = read_values(fd, values);
    io_close(&fd);
    return r ? 0 : append_container(id, values, time_ns, b);
}

/* getdents64(2) and not readdir(3), which allocates for each folder it opens. */
static int append_folder(int parent_fd, size_t layout, uint64_t time_ns, struct batch *b,
                         size_t *left)
{
    _Alignas(struct dirent64) char entries[8192];
    ssize_t n;

    while ((n = getdents64(parent_fd, (void *)entries, sizeof entries)) > 0) {
        const struct dirent64 *e;
        for (ssize_t at = 0; at < n; at += e->d_reclen) {
            e = (const struct dirent64 *)(const void *)(entries + at);
            struct span id =
                id_of(e->d_name, layouts[layout].prefix, layouts[layout].suffix);
            if (id.n == 0 || *left == 0)
                continue;
            int r = append_entry(parent_fd, e->d_name, id, time_ns, b);
            if (r)
                return r;
            --*left;
        }
    }
    return n < 0 ? -errno : 0;
}

int cgroup_append(const char *root, uint64_t time_ns, struct batch *b)
{
    char path[PATH_MAX];
    size_t left = CGROUP_CONTAINERS_MAX;

    if (snprintf(path, sizeof path, "%s/sys/fs/cgroup", root) >= (int)sizeof path)
        return -ENAMETOOLONG;
    CLEANUP(io_close) int top_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (top_fd < 0)
        return -errno;
    for (size_t i = 0; i < sizeof layouts / sizeof *layouts; i++) {
        CLEANUP(io_close)
        int fd = openat(top_fd, layouts[i].parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0 && errno == ENOENT)
            continue;
        int r = fd < 0 ? -errno : append_folder(fd, i, time_ns, b, &left);
        if (r)
            return r;
    }
    return 0;
}
