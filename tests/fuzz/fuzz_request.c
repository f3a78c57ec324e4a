/* SPDX-License-Identifier: MIT */
#include "common/gzip.h"
#include "common/json.h"
#include "common/log.h"
#include "common/units.h"
#include "pcd/auth.h"
#include "pcd/chains.h"
#include "pcd/hosts.h"
#include "pcd/options.h"
#include "pcd/stats.h"
#include "pcd/store.h"
#include "proto/wire.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/home.h"
#include "tests/lib/mhd.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>

/*
 * Requests into a pcd that has a store but no network. input = requests, one after the
 * other: how:u8 n:u16le head[n] n:u16le body[n]; the head without the empty line at its
 * end. how, besides the size of pieces in the three lowest bits:
 */
#define HOW_LENGTH 8u      /* a line with the body's length is added */
#define HOW_GZIP 16u       /* the body is compressed, and a line says so */
#define HOW_LEAVES 32u     /* the client goes away in the middle */
#define HOW_CONNECTION 64u /* on a connection of its own */
#define HOW_KEY 128u       /* a line with a right key is added */
#define REQUESTS_MAX 6u
#define KEY "0123456789abcdef"

static const size_t pieces[] = {65536, 1, 2, 3, 7, 64, 1000, 4096};

/* Smaller than the product's, so that inputs reach them. */
static const struct pcd_conf conf = {
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
};

/* A request as it stands in the input. */
struct sent {
    struct span head;
    struct span body;
};

/* What lives as long as the process, and what is made anew for each input. */
static struct {
    struct auth *auth;
    struct connections *connections;
    struct lingerer *linger;
    struct deflater *deflater;
    struct worker worker;
    struct stats stats;
} lasting;
static struct {
    struct admit admit;
    struct stats stats;
    struct store_conf store;
    struct service service;
    struct log_limit limits[2];
    uint64_t stored; /* measurements, by what was answered */
    uint64_t counted;
    struct sent kept[REQUESTS_MAX]; /* the requests with a key that were stored */
    size_t n_kept;
} server;

static void set_up(void)
{
    const struct connections_conf connections = {.max = conf.connections_max,
                                                 .stats = &lasting.stats};
    struct key_lines lines;

    if (lasting.auth)
        return;
    log_init((enum log_level)(LOG_ERROR + 1));
    FUZZ_CHECK(auth_new(&lasting.auth) == 0);
    FUZZ_CHECK(auth_take(lasting.auth, SPAN(KEY "\n"), &lines) == 0);
    FUZZ_CHECK(connections_new(&connections, &lasting.connections) == 0);
    FUZZ_CHECK(lingerer_new(&lasting.linger) == 0);
    FUZZ_CHECK(deflater_new(6, &lasting.deflater) == 0);
    FUZZ_CHECK(scratch_init(&lasting.worker.scratch, &conf) == 0);
    lasting.worker.connections = lasting.connections;
    lasting.worker.linger = lasting.linger;
}

static void start(const struct fuzz_home *home)
{
    const uint64_t seed[2] = {1, 2};
    const char *what;

    memset(&server, 0, sizeof server);
    server.admit.max_bytes = conf.queue_max;
    server.store = (struct store_conf){
        .home = home->path,
        .log_max = 64 * MIB,
        .keys_keep_ns = DAY,
        .checkpoint_ns = HOUR,
        .files_max = 8,
        .admit = &server.admit,
    };
    server.service = (struct service){
        .conf = &conf,
        .auth = lasting.auth,
        .admit = &server.admit,
        .stats = &server.stats,
        .two_sessions = &server.limits[0],
        .states_full = &server.limits[1],
    };
    FUZZ_CHECK(hosts_new(10, seed, &server.service.hosts) == 0);
    FUZZ_CHECK(chains_new(conf.delta_state_max, seed, &server.service.chains) == 0);
    FUZZ_CHECK(store_open(&server.store, NULL, &server.service.store, &what) == 0);
    lasting.worker.service = &server.service;
}

/* Closes the store, which files everything; then no budget is charged any more. */
static void stop(void)
{
    FUZZ_CHECK(store_close(server.service.store) == 0);
    FUZZ_CHECK(server.admit.bytes == 0);
    FUZZ_CHECK(connections_count(lasting.connections) == 0);
    chains_free(server.service.chains);
    hosts_free(server.service.hosts);
}

/* Each line of a day file is a measurement, as it was sent. */
static int count_lines(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    CLEANUP(batch_done) struct batch b;
    char *line = NULL;
    size_t room = 0;
    ssize_t n;

    (void)ftw;
    batch_init(&b, &fuzz_limits);
    if (type != FTW_F || !strstr(path, ".jsonl"))
        return 0;
    FUZZ_CHECK(st->st_size > 0);
    FILE *file = fopen(path, "re");
    FUZZ_CHECK(file);
    while ((n = getline(&line, &room, file)) > 0) {
        batch_reset(&b);
        FUZZ_CHECK(json_decode_line(span_of(line, (size_t)n), &b, NULL) == 0);
        server.counted++;
    }
    free(line);
    (void)fclose(file);
    return 0;
}

static bool is_batch(struct span head)
{
    return span_starts_with(head, SPAN("POST " WIRE_TRICKLE " ")) ||
           span_starts_with(head, SPAN("POST " WIRE_TRICKLE "?"));
}

/* What is answered is one of the protocol's, in a form that the client can read. */
static void check_answer(const struct mhd_answer *a, bool batch)
{
    static const unsigned codes[] = {200, 400, 401, 403, 404, 405, 409,
                                     413, 415, 429, 431, 503, 507};
    struct span type = mhd_answer_header(a, WIRE_CONTENT_TYPE);
    struct span stored = mhd_answer_header(a, WIRE_STORED);
    enum media_form form;
    struct answer answer;
    size_t i = 0;

    while (i < sizeof codes / sizeof *codes && codes[i] != a->code)
        i++;
    FUZZ_CHECK(i < sizeof codes / sizeof *codes);
    FUZZ_CHECK(a->code != 507 && a->code != 503); /* there is room, and memory */
    FUZZ_CHECK(!stored.data || (batch && a->code == 200));
    if (a->code == 200 && !batch)
        return;
    FUZZ_CHECK(media_of_content_type(type, &form) == 0 && form != MEDIA_DELTA);
    FUZZ_CHECK(media_codec(form)->decode_answer(buf_span(&a->body), &answer, NULL) == 0);
    FUZZ_CHECK(answer.is_error == (a->code != 200));
    if (a->code != 200)
        return;
    uint64_t n = 0;
    FUZZ_CHECK(!stored.data != !mhd_answer_header(a, WIRE_REPLAYED).data);
    FUZZ_CHECK(!stored.data || units_parse_u64(stored, &n) == 0);
    server.stored += n;
}

/* The same with a key is stored once. */
static void check_once(const struct sent *sent)
{
    if (!memmem(sent->head.data, sent->head.n, "Idempotency-Key: ", 17))
        return;
    for (size_t i = 0; i < server.n_kept; i++)
        FUZZ_CHECK(!span_equal(server.kept[i].head, sent->head) ||
                   !span_equal(server.kept[i].body, sent->body));
    server.kept[server.n_kept++] = *sent;
}

static void append(struct buf *b, struct span bytes)
{
    FUZZ_CHECK(buf_append(b, bytes) == 0);
}

static bool send_request(struct MHD_Connection *c, struct fuzz_input *in, unsigned how,
                         struct mhd_answer *answer)
{
    CLEANUP(buf_done) struct buf head;
    CLEANUP(buf_done) struct buf body;

    buf_init(&head, FUZZ_BODY_MAX);
    buf_init(&body, FUZZ_BODY_MAX);
    struct sent sent = {.head = fuzz_bytes(in, (size_t)fuzz_number(in, 2))};
    struct span plain = fuzz_bytes(in, (size_t)fuzz_number(in, 2));
    sent.body = plain;
    append(&head, sent.head);
    if (how & HOW_KEY)
        append(&head, SPAN(WIRE_APIKEY ": " KEY "\r\n"));
    if (how & HOW_GZIP)
        append(&head, SPAN(WIRE_CONTENT_ENCODING ": gzip\r\n"));
    if (how & HOW_GZIP)
        FUZZ_CHECK(deflater_gzip(lasting.deflater, plain, &body) == 0);
    else
        append(&body, plain);
    if (how & HOW_LENGTH)
        FUZZ_CHECK(buf_printf(&head, WIRE_CONTENT_LENGTH ": %zu\r\n", body.len) == 0);
    CLEANUP(fuzz_drop) struct span exact = fuzz_exact(buf_span(&body));
    const struct mhd_request request = {
        .head = buf_span(&head),
        .body = exact,
        .piece = pieces[how & 7],
        .leaves = how & HOW_LEAVES,
    };
    bool goes_on = mhd_serve(c, &request, answer);
    if (answer->code)
        check_answer(answer, is_batch(request.head));
    if (mhd_answer_header(answer, WIRE_STORED).data)
        check_once(&sent);
    return goes_on;
}

static void serve_all(struct fuzz_input *in)
{
    struct MHD_Connection *c = NULL;
    struct mhd_answer answer;

    mhd_answer_init(&answer);
    for (unsigned i = 0; i < REQUESTS_MAX && in->left.n > 0; i++) {
        unsigned how = fuzz_byte(in);

        if (c && (how & HOW_CONNECTION)) {
            mhd_disconnect(c);
            c = NULL;
        }
        if (!c) {
            FUZZ_CHECK(connections_take_place(lasting.connections));
            c = mhd_connect(&lasting.worker);
        }
        FUZZ_CHECK(c);
        if (!send_request(c, in, how, &answer)) {
            mhd_disconnect(c);
            c = NULL;
        }
    }
    mhd_disconnect(c);
    mhd_answer_done(&answer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    const struct fuzz_home *home = fuzz_home_empty();
    struct fuzz_input in = {span_of(data, n)};
    char path[PATH_MAX + 8];

    set_up();
    start(home);
    serve_all(&in);
    stop();
    /* What was answered as stored is there, all of it, and nothing else. */
    (void)snprintf(path, sizeof path, "%s/data", home->path);
    FUZZ_CHECK(nftw(path, count_lines, 16, FTW_PHYS) == 0);
    FUZZ_CHECK(server.counted == server.stored);
    return 0;
}
