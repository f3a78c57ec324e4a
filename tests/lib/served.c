/* SPDX-License-Identifier: MIT */
#include "tests/lib/served.h"

#include "common/json.h"
#include "common/units.h"
#include "pcd/auth.h"
#include "pcd/chains.h"
#include "pcd/hosts.h"

#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

static int start_all(struct served *s)
{
    const struct connections_conf connections = {.max = s->conf.connections_max,
                                                 .stats = &s->stats};
    const uint64_t seed[2] = {1, 2};
    struct key_lines lines;
    const char *what;

    int r = auth_new(&s->service.auth);
    if (r == 0)
        r = auth_take(s->service.auth, SPAN(SERVED_KEY "\n" SERVED_BOUND_KEY " web-*\n"),
                      &lines);
    if (r == 0)
        r = hosts_new(10, seed, &s->service.hosts);
    if (r == 0)
        r = chains_new(s->conf.delta_state_max, seed, &s->service.chains);
    if (r == 0)
        r = store_open(&s->store, NULL, &s->service.store, &what);
    if (r == 0)
        r = scratch_init(&s->worker.scratch, &s->conf);
    if (r == 0)
        r = connections_new(&connections, &s->worker.connections);
    return r ? r : lingerer_new(&s->worker.linger);
}

int served_start(struct served *s, const char *home)
{
    *s = (struct served){
        .conf =
            {
                .listen = "",
                .tls_cert = "",
                .tls_key = "",
                .body_max = 2048,
                .decoded_max = 16 * KIB,
                .measurements_max = 64,
                .text_max = 4096,
                .subsystem_max = 32,
                .nesting_max = 8,
                .headers_max = 1024,
                .connections_max = 8,
                .queue_max = 256 * KIB,
                .delta_state_max = MIB,
                .metrics_auth = true,
            },
        .store =
            {
                .home = home,
                .log_max = 64 * MIB,
                .keys_keep_ns = DAY,
                .checkpoint_ns = HOUR,
                .files_max = 8,
            },
    };
    s->admit.max_bytes = s->conf.queue_max;
    s->store.admit = &s->admit;
    s->service.conf = &s->conf;
    s->service.admit = &s->admit;
    s->service.stats = &s->stats;
    s->service.two_sessions = &s->limits[0];
    s->service.states_full = &s->limits[1];
    s->service.over_rate = &s->limits[2];
    s->worker.service = &s->service;
    return start_all(s);
}

int served_stop(struct served *s)
{
    int r = store_close(s->service.store);

    lingerer_free(s->worker.linger);
    connections_free(s->worker.connections);
    scratch_done(&s->worker.scratch);
    chains_free(s->service.chains);
    hosts_free(s->service.hosts);
    auth_free(s->service.auth);
    return r;
}

/* nftw(3) hands nothing on to its callback. */
static long counted;

/* Lines of a file. Return: -1 where one is no measurement. */
static long count_lines(FILE *file)
{
    CLEANUP(batch_done) struct batch b;
    char *line = NULL;
    size_t room = 0;
    ssize_t n;
    long lines = 0;

    batch_init(&b, &batch_limits_default);
    while (lines >= 0 && (n = getline(&line, &room, file)) > 0) {
        batch_reset(&b);
        lines = json_decode_line(span_of(line, (size_t)n), &b, NULL) ? -1 : lines + 1;
    }
    free(line);
    return lines;
}

static int count_file(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)ftw;
    if (type != FTW_F || !strstr(path, ".jsonl"))
        return 0;
    FILE *file = fopen(path, "re");
    long lines = file && st->st_size > 0 ? count_lines(file) : -1;

    if (file)
        (void)fclose(file);
    counted += lines;
    return lines < 0 ? 1 : 0;
}

long served_count(const char *home)
{
    char path[PATH_MAX];

    counted = 0;
    (void)snprintf(path, sizeof path, "%s/data", home);
    return nftw(path, count_file, 16, FTW_PHYS) == 0 ? counted : -1;
}
