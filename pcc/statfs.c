/* SPDX-License-Identifier: MIT */
#include "pcc/statfs.h"

#include "common/json.h"
#include "pcc/asker.h"
#include "pcc/mounts.h"
#include "pcc/procfile.h"
#include "proto/limits.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TABLE_MAX (16 * MIB)
#define MOUNTS_MAX 1024u
/* Threads for mounts that may hang; those beyond are taken for hanging. */
#define ASKERS_MAX 16u

struct mount {
    char *path;         /* root and mount point */
    struct span device; /* in the table's text */
    bool may_hang;
    struct asker *asker; /* of one that may hang */
};

struct statfs_source {
    char *root;
    char *only; /* NULL: all */
    struct procfile table;
    struct procfile types;
    struct procfile stand_in; /* without a path where there can't be one */
    struct buf table_text;
    struct buf types_text;
    struct mount *mounts;
    size_t n_mounts;
    bool is_read;
};

static int init_file(struct procfile *f, const char *root, const char *path)
{
    char *full = NULL;

    if (asprintf(&full, "%s%s", root, path) < 0)
        return -ENOMEM;
    int r = procfile_init(f, full);
    free(full);
    return r;
}

int statfs_new(const char *root, const char *only, struct statfs_source **ret)
{
    struct statfs_source *s = calloc(1, sizeof *s);
    if (!s)
        return -ENOMEM;
    buf_init(&s->table_text, TABLE_MAX);
    buf_init(&s->types_text, TABLE_MAX);
    s->root = strdup(root);
    s->only = only ? strdup(only) : NULL;
    int r = s->root && (s->only || !only) ? 0 : -ENOMEM;
    /* In a container only the host's first process sees the host's mounts. */
    if (r == 0)
        r = init_file(&s->table, root,
                      *root ? "/proc/1/mountinfo" : "/proc/self/mountinfo");
    if (r == 0)
        r = init_file(&s->types, root, "/proc/filesystems");
    if (r == 0 && *root)
        r = init_file(&s->stand_in, root, "/statfs");
    if (r) {
        statfs_free(s);
        return r;
    }
    *ret = s;
    return 0;
}

static void free_mounts(struct mount *mounts, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        free(mounts[i].path);
        asker_free(mounts[i].asker);
    }
    free(mounts);
}

void statfs_free(struct statfs_source *s)
{
    if (!s)
        return;
    free_mounts(s->mounts, s->n_mounts);
    procfile_done(&s->table);
    procfile_done(&s->types);
    procfile_done(&s->stand_in);
    buf_done(&s->table_text);
    buf_done(&s->types_text);
    free(s->root);
    free(s->only);
    free(s);
}

static struct mount *find_mount(struct mount *mounts, size_t n, const char *path)
{
    for (size_t i = 0; i < n; i++) {
        if (strcmp(mounts[i].path, path) == 0)
            return &mounts[i];
    }
    return NULL;
}

/* Does the line count, and as which entry? A later mount on the same named point lies on
 * top of it; of mounts of one device the first counts. */
static bool choose(const struct statfs_source *s, const struct mount_line *line,
                   const char *path, struct mount *mounts, size_t *n)
{
    if (s->only) {
        bool wanted = strcmp(path + strlen(s->root), s->only) == 0;
        if (wanted && *n > 0)
            free(mounts[--*n].path);
        return wanted;
    }
    if (!mounts_is_block(buf_span(&s->types_text), line->type))
        return false;
    for (size_t i = 0; i < *n; i++) {
        if (span_equal(mounts[i].device, line->device))
            return false;
    }
    return true;
}

static char *path_of(const struct statfs_source *s, struct span point)
{
    size_t root_n = strlen(s->root);
    char *path = malloc(root_n + point.n + 1);

    if (!path)
        return NULL;
    memcpy(path, s->root, root_n);
    mounts_decode(point, path + root_n);
    return path;
}

static int list_mounts(const struct statfs_source *s, struct mount *mounts, size_t *n)
{
    struct span text = buf_span(&s->table_text);
    struct mount_line line;

    while (*n < MOUNTS_MAX && mounts_next(&text, &line)) {
        char *path = path_of(s, line.point);
        if (!path)
            return -ENOMEM;
        if (!choose(s, &line, path, mounts, n)) {
            free(path);
            continue;
        }
        bool block = mounts_is_block(buf_span(&s->types_text), line.type);
        mounts[(*n)++] = (struct mount){
            .path = path,
            .device = line.device,
            .may_hang = !block || mounts_is_fuse(line.type),
        };
    }
    return 0;
}

/* A mount that was there before keeps its thread, which may be waiting. */
static void assign_askers(struct statfs_source *s, struct mount *mounts, size_t n)
{
    size_t n_askers = 0;

    for (size_t i = 0; i < n; i++) {
        if (!mounts[i].may_hang || n_askers == ASKERS_MAX)
            continue;
        n_askers++;
        struct mount *old = find_mount(s->mounts, s->n_mounts, mounts[i].path);
        if (old && old->asker) {
            mounts[i].asker = old->asker;
            old->asker = NULL;
        } else if (asker_new(mounts[i].path, &mounts[i].asker)) {
            mounts[i].asker = NULL; /* the same as one that never answers */
        }
    }
}

static int read_text(struct procfile *f, struct buf *text)
{
    buf_reset(text);
    return procfile_read(f, TABLE_MAX, text);
}

static bool table_changed(const struct statfs_source *s)
{
    struct pollfd p = {.fd = s->table.fd, .events = POLLPRI};

    /* procfs raises both bits after each change (proc_pid_mounts(5)); a table that isn't
     * kept open is no such file and is read at each tick. */
    return !s->is_read || s->table.fd < 0 || poll(&p, 1, 0) != 0;
}

static int refresh(struct statfs_source *s)
{
    if (!table_changed(s))
        return 0;
    s->is_read = false;
    int r = read_text(&s->table, &s->table_text);
    if (r == 0)
        r = read_text(&s->types, &s->types_text);
    if (r)
        return r;
    struct mount *mounts = calloc(MOUNTS_MAX, sizeof *mounts);
    size_t n = 0;
    if (!mounts)
        return -ENOMEM;
    r = list_mounts(s, mounts, &n);
    if (r) {
        free_mounts(mounts, n);
        return r;
    }
    assign_askers(s, mounts, n);
    free_mounts(s->mounts, s->n_mounts);
    s->mounts = mounts;
    s->n_mounts = n;
    s->is_read = true;
    return 0;
}

static int append_field(struct buf *to, struct span name, uint64_t value)
{
    int r = buf_append(to, name);

    return r ? r : buf_append_u64(to, value);
}

static int append_point(struct buf *to, const char *point)
{
    int r = buf_append(to, SPAN("{\"mount_point\":"));

    return r ? r : json_append_string(span_of_str(point), to);
}

static int append_line(struct buf *to, const char *point, const struct statfs *fs)
{
    int r = append_point(to, point);
    if (r == 0)
        r = append_field(to, SPAN(",\"block_size\":"), (uint64_t)fs->f_bsize);
    if (r == 0)
        r = append_field(to, SPAN(",\"blocks_total\":"), fs->f_blocks);
    if (r == 0)
        r = append_field(to, SPAN(",\"blocks_free\":"), fs->f_bfree);
    if (r == 0)
        r = append_field(to, SPAN(",\"blocks_available\":"), fs->f_bavail);
    return r ? r : buf_append(to, SPAN("}\n"));
}

static int ask_now(const struct mount *m, uint64_t until_ns, struct statfs *ret)
{
    if (!m->may_hang)
        return statfs(m->path, ret) < 0 ? -errno : 0;
    return m->asker ? asker_answer(m->asker, until_ns, ret) : E_PENDING;
}

static int append_mounts(struct statfs_source *s, uint64_t until_ns, struct buf *to,
                         size_t *ret_late)
{
    const size_t before = to->len;
    int unanswered = E_GONE;

    for (size_t i = 0; i < s->n_mounts; i++) {
        struct statfs fs;
        int r = ask_now(&s->mounts[i], until_ns, &fs);
        if (r) {
            *ret_late += r == E_PENDING;
            unanswered = r == E_PENDING ? E_GONE : r;
            continue;
        }
        r = append_line(to, s->mounts[i].path + strlen(s->root), &fs);
        if (r) {
            buf_truncate(to, before);
            return r;
        }
    }
    return to->len > before ? 0 : unanswered;
}

/* The line of the file that begins with the named mount point. */
static int append_named_line(struct statfs_source *s, struct buf *to)
{
    struct span text = buf_span(&s->table_text);

    buf_reset(&s->types_text);
    int r = append_point(&s->types_text, s->only);
    if (r)
        return r;
    while (text.n > 0) {
        const uint8_t *end = memchr(text.data, '\n', text.n);
        size_t n = end ? (size_t)(end - text.data) + 1 : text.n;
        if (span_starts_with(text, buf_span(&s->types_text)))
            return buf_append(to, span_of(text.data, n));
        text = span_from(text, n);
    }
    return E_GONE;
}

/* Return: as statfs_append(); -ENOENT if there is no such file. */
static int append_stand_in(struct statfs_source *s, struct buf *to)
{
    if (!s->stand_in.path)
        return -ENOENT;
    if (!s->only)
        return procfile_read(&s->stand_in, LIMIT_TEXT_BYTES, to);
    int r = read_text(&s->stand_in, &s->table_text);
    return r ? r : append_named_line(s, to);
}

void statfs_ask(struct statfs_source *s)
{
    /* A table that can't be read now is reported by statfs_append(), which tries again.
     */
    int r = refresh(s);

    for (size_t i = 0; i < s->n_mounts && r == 0; i++) {
        if (s->mounts[i].asker)
            asker_ask(s->mounts[i].asker);
    }
}

int statfs_append(struct statfs_source *s, uint64_t until_ns, struct buf *to,
                  size_t *ret_late)
{
    *ret_late = 0;
    int r = append_stand_in(s, to);
    if (r != -ENOENT)
        return r;
    r = s->is_read ? 0 : refresh(s);
    return r ? r : append_mounts(s, until_ns, to, ret_late);
}
