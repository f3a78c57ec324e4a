/* SPDX-License-Identifier: MIT */
#include "pcc/source.h"

#include "common/log.h"
#include "pcc/cgroup.h"
#include "pcc/procfile.h"
#include "pcc/statfs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

struct source {
    enum source_kind kind;
    char *name;
    struct procfile file;
    struct statfs_source *statfs;
    _Atomic int r; /* how the last read ended; written by the sampler */
    int logged;    /* what the logging thread has told of */
};

struct sources {
    char *root;
    struct source *items;
    size_t n;
};

static bool is_statfs_of_mount(struct span name)
{
    return span_starts_with(name, SPAN("statfs[/")) && name.data[name.n - 1] == ']';
}

int source_parse(struct span name, enum source_kind *ret)
{
    if (name.n == 0 || name.n > LIMIT_SUBSYSTEM_BYTES)
        return E_MALFORMED;
    if (span_equal(name, SPAN("statfs[*]")))
        *ret = SOURCE_STATFS_ALL;
    else if (is_statfs_of_mount(name))
        *ret = SOURCE_STATFS;
    else if (span_equal(name, SPAN("container/docker/*")))
        *ret = SOURCE_DOCKER;
    else if (name.data[0] == '/')
        *ret = SOURCE_FILE;
    else
        return E_MALFORMED;
    return 0;
}

bool source_next_name(struct span *list, struct span *ret)
{
    while (list->n > 0) {
        const uint8_t *comma = memchr(list->data, ',', list->n);
        size_t n = comma ? (size_t)(comma - list->data) : list->n;
        *ret = span_trim(span_of(list->data, n));
        *list = span_from(*list, n + 1);
        if (ret->n > 0)
            return true;
    }
    return false;
}

static int init_file(struct source *s, const char *root)
{
    char *path = NULL;

    if (asprintf(&path, "%s%s", root, s->name) < 0)
        return -ENOMEM;
    int r = procfile_init(&s->file, path);
    free(path);
    return r;
}

static int init_statfs(struct source *s, const char *root)
{
    /* `statfs[/mnt]`: the mount point is what stands between the brackets. */
    char *only =
        strndup(s->name + strlen("statfs["), strlen(s->name) - strlen("statfs[]"));
    if (!only)
        return -ENOMEM;
    int r = statfs_new(root, only, &s->statfs);
    free(only);
    return r;
}

static int init_source(struct source *s, struct span name, const char *root)
{
    int r = source_parse(name, &s->kind);
    if (r)
        return -EINVAL; /* the caller's mistake: options are checked */
    s->name = strndup((const char *)name.data, name.n);
    if (!s->name)
        return -ENOMEM;
    switch (s->kind) {
    case SOURCE_FILE:
        return init_file(s, root);
    case SOURCE_STATFS:
        return init_statfs(s, root);
    case SOURCE_STATFS_ALL:
        return statfs_new(root, NULL, &s->statfs);
    case SOURCE_DOCKER:
        break;
    }
    return 0;
}

int sources_new(const char *list, const char *root, struct sources **ret)
{
    struct span names = span_of_str(list);
    struct span name;
    size_t n = 0;

    while (source_next_name(&names, &name))
        n++;
    struct sources *s = calloc(1, sizeof *s);
    if (!s)
        return -ENOMEM;
    s->root = strdup(root);
    s->items = calloc(n ? n : 1, sizeof *s->items);
    int r = s->root && s->items ? 0 : -ENOMEM;
    names = span_of_str(list);
    while (r == 0 && source_next_name(&names, &name))
        r = init_source(&s->items[s->n++], name, root);
    if (r) {
        sources_free(s);
        return r;
    }
    *ret = s;
    return 0;
}

void sources_free(struct sources *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->n; i++) {
        procfile_done(&s->items[i].file);
        statfs_free(s->items[i].statfs);
        free(s->items[i].name);
    }
    free(s->items);
    free(s->root);
    free(s);
}

size_t sources_count(const struct sources *s)
{
    return s->n;
}

/* Reads straight into the batch: the text is copied once, by the kernel. */
static int append_text(struct source *s, struct batch *b, uint64_t time_ns,
                       uint64_t until_ns, size_t *ret_late)
{
    int r = batch_open(b, time_ns, span_of_str(s->name));
    if (r)
        return r;
    if (s->kind == SOURCE_FILE)
        r = procfile_read(&s->file, b->limits.text_bytes, &b->bytes);
    else
        r = statfs_append(s->statfs, until_ns, &b->bytes, ret_late);
    if (r) {
        batch_cancel(b);
        return r;
    }
    return batch_close(b);
}

bool sources_append(struct sources *s, struct batch *b, uint64_t time_ns,
                    uint64_t until_ns, struct gap_set *gaps)
{
    bool changed = false;

    for (size_t i = 0; i < s->n; i++) {
        if (s->items[i].statfs)
            statfs_ask(s->items[i].statfs);
    }
    for (size_t i = 0; i < s->n; i++) {
        struct source *source = &s->items[i];
        size_t late = 0;
        int r = source->kind == SOURCE_DOCKER
                    ? cgroup_append(s->root, time_ns, b)
                    : append_text(source, b, time_ns, until_ns, &late);
        struct gap_note note = {time_ns, time_ns, late > 0, late};
        gaps_add(gaps, GAP_MOUNT, &note);
        changed |= source->r != r;
        source->r = r;
    }
    return changed;
}

void sources_log_changes(struct sources *s)
{
    for (size_t i = 0; i < s->n; i++) {
        struct source *source = &s->items[i];
        int r = source->r;
        if (r == source->logged)
            continue;
        source->logged = r;
        if (r)
            log_event(LOG_WARNING, "source_unreadable",
                      LOG_STR("subsystem", source->name), LOG_RESULT("error", r));
        else
            log_event(LOG_INFO, "source_readable", LOG_STR("subsystem", source->name));
    }
}
