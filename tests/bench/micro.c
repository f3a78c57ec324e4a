/* SPDX-License-Identifier: MIT */

/*
 * The hot paths of pcc and pcd, each in a function counted_NAME of its own, on
 * measurements that are the same everywhere: callgrind counts their instructions, for
 * tests/bench/counts. Prints a line each, "NAME, how many units", by which to divide. All
 * is done once before, to warm up.
 *
 *     micro FOLDER       an empty folder, for files
 *     micro --version    what else the counts depend on
 */

#include "common/json.h"
#include "common/log.h"
#include "common/units.h"
#include "pcc/source.h"
#include "pcd/gunzip.h"
#include "pcd/log.h"
#include "proto/wire.h"
#include "tests/bench/coder.h"
#include "tests/bench/synthetic.h"
#include "tests/lib/mhd.h"
#include "tests/lib/served.h"

#include <errno.h>
#include <fcntl.h>
#include <gnu/libc-version.h>
#include <msgpack.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#define BATCHES 10u
#define BATCH_TICKS 20u
#define TICKS 100u
/* served.h's pcd takes little. */
#define REQUESTS 20u
#define REQUEST_TICKS 1u
#define LEVEL 6
#define IDENTIFIER SPAN("host-1.example.com")

struct micro {
    const char *folder;
    struct batch batches[BATCHES];
    struct buf lines; /* of the batch at hand */
};

/* Callgrind tells functions apart: no inlining, no tail calls. */
#define COUNTED __attribute__((noinline))
#define NO_TAIL_CALL() __asm__ volatile("")

/* A step of a way of encoding (tests/bench/coder.h). */
#define COUNTED_STEP(way, step, which)                                                   \
    COUNTED int counted_##way##_##step(struct coder *c, const struct batch *b);          \
    int counted_##way##_##step(struct coder *c, const struct batch *b)                   \
    {                                                                                    \
        int r = coder_step(c, which, b);                                                 \
        NO_TAIL_CALL();                                                                  \
        return r;                                                                        \
    }
#define COUNTED_WAY(way)                                                                 \
    COUNTED_STEP(way, encode, STEP_ENCODE)                                               \
    COUNTED_STEP(way, gzip, STEP_COMPRESS)                                               \
    COUNTED_STEP(way, gunzip, STEP_DECOMPRESS)                                           \
    COUNTED_STEP(way, decode, STEP_DECODE)

COUNTED_WAY(chained)
COUNTED_WAY(snapshot)
COUNTED_WAY(msgpack)
COUNTED_WAY(json)

typedef int counted_step(struct coder *c, const struct batch *b);

#define STEPS_OF(way)                                                                    \
    {                                                                                    \
        counted_##way##_encode, counted_##way##_gzip, counted_##way##_gunzip,            \
            counted_##way##_decode                                                       \
    }

static const struct {
    const char *name;
    counted_step *steps[STEPS];
} ways_counted[] = {
    {"chained", STEPS_OF(chained)},
    {"snapshot", STEPS_OF(snapshot)},
    {"msgpack", STEPS_OF(msgpack)},
    {"json", STEPS_OF(json)},
};
static const char *const step_names[STEPS] = {"encode", "gzip", "gunzip", "decode"};

static void print_units(const char *name, const char *step, unsigned units)
{
    printf("%s%s%s\t%u\n", name, *step ? "_" : "", step, units);
}

/* @steps: NULL: nothing is counted. Return: the batches that were, or what failed. */
static int code_once(struct micro *m, struct coder *c, counted_step *const *steps)
{
    int counted = 0;

    coder_begin(c);
    for (unsigned i = 0; i < BATCHES; i++) {
        bool counts = steps && (i ? c->way->others : c->way->first);
        for (unsigned step = 0; step < STEPS; step++) {
            const struct batch *b = &m->batches[i];
            int r = counts ? steps[step](c, b) : coder_step(c, step, b);
            if (r)
                return r < 0 ? r : -EINVAL;
        }
        counted += counts;
    }
    return counted;
}

static int code(struct micro *m, unsigned which)
{
    struct coder c;
    int r = coder_init(&c, way_find(ways_counted[which].name), LEVEL);

    if (r)
        return r;
    r = code_once(m, &c, NULL);
    if (r >= 0)
        r = code_once(m, &c, ways_counted[which].steps);
    for (unsigned step = 0; step < STEPS && r >= 0; step++)
        print_units(ways_counted[which].name, step_names[step], (unsigned)r);
    coder_done(&c);
    return r < 0 ? r : 0;
}

/* A file of a tree that stands for /, folders included. */
static int put_file(const char *folder, const char *path, struct span text)
{
    char full[4096];

    (void)snprintf(full, sizeof full, "%s/%s", folder, path);
    for (char *slash = strchr(full + strlen(folder) + 1, '/'); slash;
         slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        (void)mkdir(full, 0700); /* there already, or the open below fails */
        *slash = '/';
    }
    int fd = open(full, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    int r = write(fd, text.data, text.n) == (ssize_t)text.n ? 0 : -EIO;
    (void)close(fd);
    return r;
}

static int put_tree(struct micro *m)
{
    int r = 0;

    for (unsigned i = 0; i < SYNTHETIC_SOURCES && r == 0; i++) {
        struct span name = synthetic_name(i);
        buf_reset(&m->lines);
        r = synthetic_text(i, 0, &m->lines);
        if (r == 0)
            r = put_file(m->folder,
                         name.data[0] == '/' ? (const char *)name.data + 1 : "statfs",
                         buf_span(&m->lines));
    }
    return r;
}

COUNTED void counted_tick(struct sources *s, struct batch *b);
void counted_tick(struct sources *s, struct batch *b)
{
    struct gap_set gaps = {0};

    batch_begin_tick(b);
    (void)sources_append(s, b, 1767813011 * SEC, UINT64_MAX, &gaps);
    NO_TAIL_CALL();
}

static int tick(struct micro *m)
{
    CLEANUP(batch_done) struct batch b;
    struct sources *s = NULL;

    batch_init(&b, &batch_limits_default);
    int r = put_tree(m);
    if (r == 0)
        r = sources_new(
            "/proc/stat,/proc/meminfo,/proc/net/dev,/proc/diskstats,statfs[*]", m->folder,
            &s);
    if (r)
        return r;
    struct gap_set gaps = {0};
    for (unsigned i = 0; i < BATCH_TICKS; i++)
        (void)sources_append(s, &b, i, UINT64_MAX, &gaps);
    for (unsigned i = 0; i < TICKS; i++) {
        if (i % BATCH_TICKS == 0)
            batch_reset(&b);
        counted_tick(s, &b);
    }
    r = b.n_items == BATCH_TICKS * SYNTHETIC_SOURCES ? 0 : -EIO;
    print_units("tick", "", TICKS);
    sources_free(s);
    return r;
}

COUNTED int counted_lines(const struct batch *b, struct buf *to);
int counted_lines(const struct batch *b, struct buf *to)
{
    int r = 0;

    for (size_t i = 0; i < b->n_items && r == 0; i++) {
        const struct measurement m = batch_get(b, i);
        r = json_append_line(&m, to);
    }
    return r;
}

COUNTED int counted_log_append(struct log *l, struct job *j);
int counted_log_append(struct log *l, struct job *j)
{
    int r = log_append(l, j);

    NO_TAIL_CALL();
    return r;
}

/* Lines of a collection, and records of the log with them. */
static int lines(struct micro *m)
{
    struct log l = {.fd = -1};
    struct job *job = job_new(MIB);
    int dir_fd = open(m->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int r =
        !job || dir_fd < 0 ? -ENOMEM : log_begin(dir_fd, 1, (struct log_position){0}, &l);

    for (unsigned i = 0; i < 2 * BATCHES && r == 0; i++) {
        const struct batch *b = &m->batches[i % BATCHES];
        buf_reset(&job->lines);
        for (size_t n = 0; n < b->n_items && i < BATCHES && r == 0; n++) {
            const struct measurement one = batch_get(b, n);
            r = json_append_line(&one, &job->lines);
        }
        if (r == 0 && i >= BATCHES)
            r = counted_lines(b, &job->lines);
        job->identifier_n = 1;
        job->identifier[0] = 'h';
        job->n_measurements = (uint32_t)b->n_items;
        if (r == 0)
            r = i < BATCHES ? log_append(&l, job) : counted_log_append(&l, job);
    }
    print_units("lines", "", BATCHES);
    print_units("log_append", "", BATCHES);
    log_end(&l);
    job_free(job);
    if (dir_fd >= 0)
        (void)close(dir_fd);
    return r;
}

COUNTED bool counted_request(struct MHD_Connection *c, const struct mhd_request *request,
                             struct mhd_answer *answer);
bool counted_request(struct MHD_Connection *c, const struct mhd_request *request,
                     struct mhd_answer *answer)
{
    bool more = mhd_serve(c, request, answer);

    NO_TAIL_CALL();
    return more;
}

/* A whole request, from its head to its answer, without the network; the threads that
 * make it durable aren't counted. */
static int request_once(struct MHD_Connection *c, unsigned i, struct deflater *deflater,
                        struct mhd_answer *answer)
{
    CLEANUP(batch_done) struct batch b;
    CLEANUP(buf_done) struct buf plain;
    CLEANUP(buf_done) struct buf body;
    CLEANUP(buf_done) struct buf head;

    batch_init(&b, &batch_limits_default);
    buf_init(&plain, MIB);
    buf_init(&body, MIB);
    buf_init(&head, MIB);
    int r = synthetic_batch(&b, i * REQUEST_TICKS, REQUEST_TICKS);
    if (r == 0)
        r = batch_set_identifier(&b, IDENTIFIER);
    if (r == 0)
        r = json_codec.encode_request(&b, &plain);
    if (r == 0)
        r = deflater_gzip(deflater, buf_span(&plain), &body);
    if (r == 0)
        r = buf_printf(&head,
                       "POST " WIRE_TRICKLE " HTTP/1.1\r\nHost: h\r\n" WIRE_APIKEY
                       ": " SERVED_KEY "\r\n" WIRE_CONTENT_TYPE
                       ": application/json\r\n" WIRE_CONTENT_ENCODING
                       ": gzip\r\n" WIRE_IDEMPOTENCY_KEY ": 00000000000000aa-%u\r\n",
                       i + 1);
    if (r == 0)
        r = buf_printf(&head, WIRE_CONTENT_LENGTH ": %zu\r\n", body.len);
    const struct mhd_request request = {buf_span(&head), buf_span(&body), body.len,
                                        false};
    if (r == 0 && i < REQUESTS)
        (void)mhd_serve(c, &request, answer);
    else if (r == 0)
        (void)counted_request(c, &request, answer);
    return r ? r : answer->code == 200 ? 0 : -EPROTO;
}

static int requests(struct micro *m)
{
    static struct served pcd; /* too much for a stack */
    struct mhd_answer answer;
    struct deflater *deflater = NULL;
    char home[4096];

    (void)snprintf(home, sizeof home, "%s/pcd", m->folder);
    (void)mkdir(home, 0700);
    mhd_answer_init(&answer);
    int r = served_start(&pcd, home);
    if (r == 0)
        r = deflater_new(LEVEL, &deflater);
    struct MHD_Connection *c = r ? NULL : mhd_connect(&pcd.worker);
    if (r == 0 && !c)
        r = -ENOMEM;
    for (unsigned i = 0; i < 2 * REQUESTS && r == 0; i++)
        r = request_once(c, i, deflater, &answer);
    print_units("request", "", REQUESTS);
    mhd_disconnect(c);
    int stopped = served_stop(&pcd);
    deflater_free(deflater);
    mhd_answer_done(&answer);
    return r ? r : stopped;
}

static int run(struct micro *m)
{
    int r = 0;

    buf_init(&m->lines, MIB);
    for (unsigned i = 0; i < BATCHES && r == 0; i++) {
        batch_init(&m->batches[i], &batch_limits_default);
        r = synthetic_batch(&m->batches[i], i * BATCH_TICKS, BATCH_TICKS);
        if (r == 0)
            r = batch_set_identifier(&m->batches[i], IDENTIFIER);
    }
    for (unsigned i = 0; i < sizeof ways_counted / sizeof *ways_counted && r == 0; i++)
        r = code(m, i);
    if (r == 0)
        r = tick(m);
    if (r == 0)
        r = lines(m);
    if (r == 0)
        r = requests(m);
    for (unsigned i = 0; i < BATCHES; i++)
        batch_done(&m->batches[i]);
    buf_done(&m->lines);
    return r;
}

/* A key and its value each; counts are comparable only where all are the same. */
static void print_version(void)
{
#ifdef __clang__
    printf("compiler\tclang %s\n", __clang_version__);
#else
    printf("compiler\tgcc %s\n", __VERSION__);
#endif
    printf("build\t%s\n", BUILD);
    printf("glibc\t%s\nzlib\t%s\nlibdeflate\t%s\nmsgpack-c\t%s\n", gnu_get_libc_version(),
           zlibVersion(), gunzip_version(), msgpack_version());
}

int main(int argc, char **argv)
{
    static struct micro m; /* too much for a stack */

    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        print_version();
        return EXIT_SUCCESS;
    }
    log_init(LOG_ERROR);
    m.folder = argc == 2 ? argv[1] : NULL;
    int r = m.folder ? run(&m) : -EINVAL;
    if (r)
        fprintf(stderr, "micro: %s\n", err_text(r));
    return r ? EXIT_FAILURE : EXIT_SUCCESS;
}
