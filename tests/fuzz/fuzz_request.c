/* SPDX-License-Identifier: MIT */
#include "common/gzip.h"
#include "common/log.h"
#include "common/units.h"
#include "proto/wire.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/home.h"
#include "tests/lib/mhd.h"
#include "tests/lib/served.h"

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

static const size_t pieces[] = {65536, 1, 2, 3, 7, 64, 1000, 4096};

/* A request as it stands in the input. */
struct sent {
    struct span head;
    struct span body;
};

static struct deflater *deflater; /* lives as long as the process */

static struct {
    struct served pcd;
    uint64_t stored;                /* measurements, by what was answered */
    struct sent kept[REQUESTS_MAX]; /* the requests with a key that were stored */
    size_t n_kept;
} server;

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
        append(&head, SPAN(WIRE_APIKEY ": " SERVED_KEY "\r\n"));
    if (how & HOW_GZIP)
        append(&head, SPAN(WIRE_CONTENT_ENCODING ": gzip\r\n"));
    if (how & HOW_GZIP)
        FUZZ_CHECK(deflater_gzip(deflater, plain, &body) == 0);
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
            FUZZ_CHECK(connections_take_place(server.pcd.worker.connections));
            c = mhd_connect(&server.pcd.worker);
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

    if (!deflater) {
        FUZZ_CHECK(deflater_new(6, &deflater) == 0);
        log_init((enum log_level)(LOG_ERROR + 1));
    }
    memset(&server, 0, sizeof server);
    FUZZ_CHECK(served_start(&server.pcd, home->path) == 0);
    serve_all(&in);
    FUZZ_CHECK(connections_count(server.pcd.worker.connections) == 0);
    FUZZ_CHECK(served_stop(&server.pcd) == 0);
    FUZZ_CHECK(server.pcd.admit.bytes == 0);
    /* What was answered as stored is there, all of it, and nothing else. */
    FUZZ_CHECK(served_count(home->path) == (long)server.stored);
    return 0;
}
