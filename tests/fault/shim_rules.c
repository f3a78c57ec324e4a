/* SPDX-License-Identifier: MIT */
#include "tests/fault/shim_rules.h"

#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* Calls that the shim itself replaces are made by syscall(2) here. */

#define RULES_MAX 64u
#define WORD 64
#define PATTERN 256

struct rule {
    bool any;
    enum shim_call call;
    char pattern[PATTERN];
    char text[WORD]; /* of the action, for the hits */
    struct shim_fault fault;
    uint64_t after;
    uint64_t times;
    uint64_t seen;
};

static const char *const call_names[SHIM_CALLS] = {
    "open",   "create", "read",     "write", "sync",    "rename",
    "unlink", "link",   "truncate", "mkdir", "statvfs",
};

static struct {
    const char *rules_path;
    const char *hits_path;
    pthread_mutex_t lock;
    /* guarded by lock */
    struct stat read_as; /* the file of rules when it was read */
    struct rule items[RULES_MAX];
    size_t n;
    int64_t clock_s;
    bool has_disk;
    int64_t disk;
} rules = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void complain(const char *line)
{
    (void)fprintf(stderr, "shim: no rule: %s\n", line);
    _Exit(99);
}

/* Digits, and nothing else; a minus in front. */
static bool parse_number(const char *text, int64_t *ret)
{
    bool negative = *text == '-';
    int64_t value = 0;

    text += negative;
    if (!*text)
        return false;
    for (; *text; text++) {
        if (*text < '0' || *text > '9' || value > INT64_MAX / 10 - 1)
            return false;
        value = value * 10 + (*text - '0');
    }
    *ret = negative ? -value : value;
    return true;
}

static bool parse_count(const char *text, uint64_t *ret)
{
    int64_t value;

    if (!parse_number(text, &value) || value < 0)
        return false;
    *ret = (uint64_t)value;
    return true;
}

static bool parse_errno(const char *text, uint64_t *ret)
{
    for (int e = 1; e < 200; e++) {
        const char *name = strerrorname_np(e);
        if (name && strcmp(name, text) == 0) {
            *ret = (uint64_t)e;
            return true;
        }
    }
    return false;
}

static bool parse_action(const char *text, struct shim_fault *ret)
{
    static const struct {
        const char *name;
        enum shim_action action;
    } words[] = {
        {"short", SHIM_SHORT}, {"free", SHIM_FREE}, {"readonly", SHIM_READONLY},
        {"delay", SHIM_DELAY}, {"kill", SHIM_KILL}, {"kill-after", SHIM_KILL_AFTER},
        {"tear", SHIM_TEAR},   {"pass", SHIM_PASS},
    };
    size_t n = strcspn(text, ":");

    *ret = (struct shim_fault){.action = SHIM_FAIL};
    if (parse_errno(text, &ret->value))
        return true;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (strlen(words[i].name) != n || strncmp(words[i].name, text, n) != 0)
            continue;
        ret->action = words[i].action;
        return !text[n] || parse_count(text + n + 1, &ret->value);
    }
    return false;
}

static bool parse_call(const char *text, struct rule *ret)
{
    ret->any = strcmp(text, "any") == 0;
    for (unsigned i = 0; i < SHIM_CALLS; i++) {
        if (strcmp(text, call_names[i]) == 0) {
            ret->call = (enum shim_call)i;
            return true;
        }
    }
    return ret->any;
}

static bool parse_option(const char *name, const char *value, struct rule *rule)
{
    if (strcmp(name, "after") == 0)
        return parse_count(value, &rule->after);
    return strcmp(name, "times") == 0 && parse_count(value, &rule->times);
}

/* Called with the lock. */
static void parse_line(const char *line)
{
    char word[3][WORD];
    char option[2][2][WORD];
    struct rule rule = {.times = UINT64_MAX};

    int n = sscanf(line, "%63s %255s %63s %63s %63s %63s %63s", word[0], rule.pattern,
                   word[1], option[0][0], option[0][1], option[1][0], option[1][1]);
    if (n <= 0 || word[0][0] == '#')
        return;
    if (n == 2 && strcmp(word[0], "clock") == 0) {
        if (!parse_number(rule.pattern, &rules.clock_s))
            complain(line);
        return;
    }
    if (n == 2 && strcmp(word[0], "disk") == 0) {
        rules.has_disk = parse_number(rule.pattern, &rules.disk);
        if (!rules.has_disk)
            complain(line);
        return;
    }
    if (n < 3 || n % 2 == 0 || !parse_call(word[0], &rule) ||
        !parse_action(word[1], &rule.fault) || rules.n == RULES_MAX)
        complain(line);
    for (int i = 0; i < (n - 3) / 2; i++) {
        if (!parse_option(option[i][0], option[i][1], &rule))
            complain(line);
    }
    memcpy(rule.text, word[1], sizeof rule.text);
    rules.items[rules.n++] = rule;
}

/* Called with the lock. */
static void read_rules(void)
{
    static char text[32768];
    size_t n = 0;

    int fd = (int)syscall(SYS_openat, AT_FDCWD, rules.rules_path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    for (long got = 1; got > 0 && n < sizeof text - 1; n += (size_t)got) {
        got = syscall(SYS_read, fd, text + n, sizeof text - 1 - n);
        if (got < 0)
            got = 0;
    }
    text[n] = 0;
    (void)close(fd);
    rules.n = 0;
    rules.clock_s = 0;
    rules.has_disk = false;
    for (char *at = text, *end; *at; at = end) {
        end = at + strcspn(at, "\n");
        if (*end)
            *end++ = 0;
        parse_line(at);
    }
}

/* Called with the lock. Reads the rules again where the file is another one. */
static void refresh(void)
{
    struct stat st;

    if (!rules.rules_path || fstatat(AT_FDCWD, rules.rules_path, &st, 0) != 0)
        return;
    if (st.st_ino == rules.read_as.st_ino &&
        st.st_mtim.tv_sec == rules.read_as.st_mtim.tv_sec &&
        st.st_mtim.tv_nsec == rules.read_as.st_mtim.tv_nsec)
        return;
    rules.read_as = st;
    read_rules();
}

static void note_hit(enum shim_call call, const char *path, const char *action)
{
    char line[PATTERN + 4096];

    if (!rules.hits_path)
        return;
    int n = snprintf(line, sizeof line, "%s %s %s\n", call_names[call], path, action);
    int fd = (int)syscall(SYS_openat, AT_FDCWD, rules.hits_path,
                          O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return;
    (void)syscall(SYS_write, fd, line, (size_t)n);
    (void)close(fd);
}

static bool changes(enum shim_call call)
{
    return call != SHIM_OPEN && call != SHIM_READ && call != SHIM_STATVFS;
}

/* Called with the lock. Counts a call that matches. */
static bool applies(struct rule *rule, enum shim_call call, const char *path)
{
    if (rule->any ? !changes(call) : rule->call != call)
        return false;
    if (fnmatch(rule->pattern, path, 0) != 0)
        return false;
    uint64_t number = rule->seen++;
    return number >= rule->after && number - rule->after < rule->times;
}

void shim_rules_init(const char *rules_path, const char *hits_path)
{
    rules.rules_path = rules_path;
    rules.hits_path = hits_path;
}

struct shim_fault shim_rules_match(enum shim_call call, const char *path)
{
    struct shim_fault fault = {.action = SHIM_PASS};
    uint64_t delay_ms = 0;

    (void)pthread_mutex_lock(&rules.lock);
    refresh();
    for (size_t i = 0; i < rules.n && fault.action == SHIM_PASS; i++) {
        struct rule *rule = &rules.items[i];

        if (!applies(rule, call, path))
            continue;
        note_hit(call, path, rule->text);
        if (rule->fault.action == SHIM_DELAY)
            delay_ms += rule->fault.value;
        else
            fault = rule->fault;
    }
    (void)pthread_mutex_unlock(&rules.lock);
    if (delay_ms > 0) {
        struct timespec wait = {.tv_sec = (time_t)(delay_ms / 1000),
                                .tv_nsec = (long)(delay_ms % 1000) * 1000000};
        (void)nanosleep(&wait, NULL);
    }
    return fault;
}

bool shim_rules_about(enum shim_call call)
{
    bool found = false;

    (void)pthread_mutex_lock(&rules.lock);
    refresh();
    for (size_t i = 0; i < rules.n && !found; i++)
        found = rules.items[i].any ? changes(call) : rules.items[i].call == call;
    (void)pthread_mutex_unlock(&rules.lock);
    return found;
}

int64_t shim_rules_clock_s(void)
{
    (void)pthread_mutex_lock(&rules.lock);
    refresh();
    int64_t clock_s = rules.clock_s;
    (void)pthread_mutex_unlock(&rules.lock);
    return clock_s;
}

bool shim_rules_disk(int64_t *ret)
{
    (void)pthread_mutex_lock(&rules.lock);
    refresh();
    bool has_disk = rules.has_disk;
    *ret = rules.disk;
    (void)pthread_mutex_unlock(&rules.lock);
    return has_disk;
}
