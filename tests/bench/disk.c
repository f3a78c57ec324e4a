/* SPDX-License-Identifier: MIT */

/*
 * What the disk alone takes for what a pcd wrote: a log, so many bytes in so many groups,
 * each synced; and the same bytes once more behind others in many files, by a second
 * thread that doesn't sync. Nothing is decoded or sent. Prints the seconds from the first
 * write to the last sync, and until the files are written.
 */

#include "common/clock.h"
#include "common/io.h"
#include "common/opt.h"
#include "common/units.h"
#include "proto/limits.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#define FILES_MAX 100000u
#define PIECE_MAX (64 * MIB)

struct disk_conf {
    const char *folder;
    uint64_t bytes;
    uint64_t groups;
    uint64_t files;
    uint64_t piece;
};

#define AT(field) offsetof(struct disk_conf, field)

static const struct opt disk_opts[] = {
    {.name = "folder",
     .type = OPT_STRING,
     .at = AT(folder),
     .dflt = ".",
     .help = "an empty folder on the disk"},
    {.name = "bytes",
     .type = OPT_COUNT,
     .at = AT(bytes),
     .dflt = "100000000",
     .min = 1,
     .max = TIB,
     .help = "bytes of log"},
    {.name = "groups",
     .type = OPT_COUNT,
     .at = AT(groups),
     .dflt = "100",
     .min = 1,
     .max = 100000000,
     .help = "syncs of the log"},
    {.name = "files",
     .type = OPT_COUNT,
     .at = AT(files),
     .dflt = "0",
     .max = FILES_MAX,
     .help = "files that the bytes are written to as well, in turn; 0: none"},
    {.name = "piece",
     .type = OPT_COUNT,
     .at = AT(piece),
     .dflt = "100000",
     .min = 1,
     .max = PIECE_MAX,
     .help = "bytes that one of them gets at a time"},
};

static const struct opt_program disk_program = {
    .name = "disk",
    .prefix = "PC_DISK_",
    .summary = "writes what a pcd would write, and does nothing else",
    .more = "",
    .version = "disk, of perfcollector\n",
    .opts = disk_opts,
    .n_opts = sizeof(disk_opts) / sizeof(disk_opts[0]),
};

/* Bytes that no file system can leave out. */
static uint8_t *make_bytes(size_t n)
{
    uint8_t *bytes = malloc(n + sizeof(uint64_t));
    uint64_t x = clock_random_u64() | 1;

    for (size_t i = 0; bytes && i < n; i += sizeof(x)) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        memcpy(bytes + i, &x, sizeof(x));
    }
    return bytes;
}

static int open_new(const struct disk_conf *conf, const char *name, uint64_t number,
                    int *ret_fd)
{
    CLEANUP(buf_done) struct buf path;

    buf_init(&path, KIB);
    int r = buf_printf(&path, "%s/%s-%" PRIu64 "%c", conf->folder, name, number, '\0');
    if (r)
        return r;
    *ret_fd =
        open((const char *)path.data, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    return *ret_fd < 0 ? -errno : 0;
}

static int write_log(const struct disk_conf *conf)
{
    size_t group = (size_t)(conf->bytes / conf->groups) + 1;
    uint8_t *bytes = make_bytes(group);
    CLEANUP(io_close) int fd = -1;
    int r = bytes ? open_new(conf, "log", 0, &fd) : -ENOMEM;

    for (uint64_t i = 0; r == 0 && i < conf->groups; i++) {
        r = io_write(fd, span_of(bytes, group));
        if (r == 0 && fdatasync(fd))
            r = -errno;
    }
    free(bytes);
    return r;
}

static int write_in_turn(const struct disk_conf *conf, const int *fds,
                         const uint8_t *bytes)
{
    int r = 0;

    for (uint64_t i = 0; r == 0 && i < conf->bytes / conf->piece; i++)
        r = io_write(fds[i % conf->files], span_of(bytes, conf->piece));
    return r;
}

static int write_files(const struct disk_conf *conf)
{
    int *fds = calloc(conf->files, sizeof(*fds));
    uint8_t *bytes = make_bytes(conf->piece);
    uint64_t n = 0;
    int r = fds && bytes ? 0 : -ENOMEM;

    for (; r == 0 && n < conf->files; n++)
        r = open_new(conf, "file", n, &fds[n]);
    if (r == 0)
        r = write_in_turn(conf, fds, bytes);
    while (n-- > 0)
        io_close(&fds[n]);
    free(fds);
    free(bytes);
    return r;
}

struct filing {
    const struct disk_conf *conf;
    int r;
};

static void *file(void *arg)
{
    struct filing *f = arg;

    f->r = write_files(f->conf);
    return NULL;
}

static int disk_run(const struct disk_conf *conf)
{
    struct filing filing = {.conf = conf};
    pthread_t thread;
    uint64_t begin_ns = clock_monotonic_ns();

    if (conf->files && pthread_create(&thread, NULL, file, &filing))
        return -EAGAIN;
    int r = write_log(conf);
    uint64_t log_ns = clock_monotonic_ns() - begin_ns;
    if (conf->files)
        (void)pthread_join(thread, NULL);
    uint64_t all_ns = clock_monotonic_ns() - begin_ns;
    if (r == 0)
        printf("%.6f %.6f\n", (double)log_ns / (double)SEC, (double)all_ns / (double)SEC);
    return r ? r : filing.r;
}

int main(int argc, char **argv)
{
    (void)argc; /* argv ends in NULL */
    struct opt_state state = {0};
    struct disk_conf conf = {0};
    enum opt_action action = OPT_RUN;
    int r = opt_load(&disk_program, argv, environ, &conf, &state, &action);

    if (r)
        fprintf(stderr, "disk: %s\n", state.error);
    else if (action == OPT_HELP)
        opt_help(&disk_program, stdout);
    else
        r = disk_run(&conf);
    if (r)
        fprintf(stderr, "disk: %s\n", err_text(r));
    opt_done(&state);
    return r ? EXIT_FAILURE : EXIT_SUCCESS;
}
