/* SPDX-License-Identifier: MIT */
#include "common/gzip.h"
#include "common/log.h"
#include "common/units.h"
#include "proto/wire.h"
#include "tests/lib/bytes.h"
#include "tests/lib/fault.h"
#include "tests/lib/home.h"
#include "tests/lib/mhd.h"
#include "tests/lib/served.h"
#include "tests/lib/suite.h"

#include <errno.h>
#include <stdio.h>

/* Whole requests, from the connection to the day file, while memory runs out in any
 * thread at any place: an error each time, or no answer; and nothing is stored in part,
 * twice, or against what was answered. */

#define NTH_MAX 2000
#define MESSAGES_MAX 2u

static struct home home;
static struct served pcd;
static struct mhd_answer answer;
static struct deflater *deflater;

static void setup(void)
{
    log_init((enum log_level)(LOG_ERROR + 1));
    home_make(&home);
    ck_assert_int_eq(served_start(&pcd, home.path), 0);
    ck_assert_int_eq(deflater_new(6, &deflater), 0);
    mhd_answer_init(&answer);
}

static void teardown(void)
{
    mhd_answer_done(&answer);
    deflater_free(deflater);
    home_remove(&home);
}

/* proto/README.md: batches of each form, as hexadecimal digits. */
#define JSON                                                                             \
    "7b226964656e746966696572223a2268222c226d6561737572656d656e7473223a5b7b2274696d65"   \
    "7374616d70223a313830303030303030302c2273756273797374656d223a2261222c226d65617375"   \
    "72656d656e74223a225c753030303178227d2c7b2274696d657374616d70223a3138303030303030"   \
    "30302c2273756273797374656d223a2261222c226d6561737572656d656e74223a225c7530303031"   \
    "78227d5d7d"
#define MSGPACK                                                                          \
    "82a169a168a16d9283a954696d657374616d70ce6b49d200a953756273797374656da161ab4d6561"   \
    "737572656d656e74c4047820ff0a83a954696d657374616d70ce6b49d200a953756273797374656d"   \
    "a161ab4d6561737572656d656e74c4047820ff0a"
#define DELTA                                                                            \
    "87a17601a169a168a16b00a16881a26274ce6b49d200a2746fc4020002a16d9192a17804a27277c4"   \
    "0401610162"
#define CHAINED                                                                          \
    "8ca17601a169a168a16b00a16881a26274ce6b49d200a2746fc403000200a16d91920801a2737303"   \
    "a17100a27368c40908612000206201040aa26276c4030ec801a26362c403030301a26368c403080d"   \
    "04"
#define NEXT                                                                             \
    "89a17601a169a168a16b03a2746fc4020200a16d9108a2737303a17101a26362c4020202a26368c4"   \
    "0105"

/* What a client sends, one after the other, with its keys. */
struct message {
    const char *hex; /* NULL: none */
    uint64_t n;      /* measurements in it */
};

static const struct talk {
    const char *type;
    bool gzip;
    struct message messages[MESSAGES_MAX];
} talks[] = {
    {WIRE_TYPE_JSON, false, {{JSON, 2}}},
    {WIRE_TYPE_JSON, true, {{JSON, 2}}},
    {WIRE_TYPE_MSGPACK, false, {{MSGPACK, 2}}},
    {WIRE_TYPE_DELTA, true, {{DELTA, 2}}},
    {WIRE_TYPE_DELTA, false, {{CHAINED, 3}, {NEXT, 2}}},
};
#define N_TALKS ((int)(sizeof talks / sizeof *talks))

/* One request on a connection of its own. Return: its status; 0 without an answer. */
static unsigned send_request(struct span head, struct span body)
{
    const struct mhd_request request = {.head = head, .body = body, .piece = 40};
    unsigned code = 0;

    if (!connections_take_place(pcd.worker.connections))
        return 0;
    struct MHD_Connection *c = mhd_connect(&pcd.worker);
    if (c) {
        (void)mhd_serve(c, &request, &answer);
        code = answer.code;
        mhd_disconnect(c);
    } else {
        connections_leave_place(pcd.worker.connections);
    }
    return code;
}

/* A message as it is sent, made before memory runs out. */
struct prepared {
    struct buf head;
    struct buf body;
};

static void prepare(const struct talk *talk, size_t i, long session, struct prepared *ret)
{
    CLEANUP(bytes_drop) struct span plain = bytes_of_hex(talk->messages[i].hex);

    buf_init(&ret->head, MIB);
    buf_init(&ret->body, MIB);
    ck_assert_int_eq(talk->gzip ? deflater_gzip(deflater, plain, &ret->body)
                                : buf_append(&ret->body, plain),
                     0);
    ck_assert_int_eq(buf_printf(&ret->head,
                                "POST " WIRE_TRICKLE
                                " HTTP/1.1\r\nHost: h\r\n" WIRE_APIKEY ": " SERVED_KEY
                                "\r\n" WIRE_CONTENT_TYPE ": %s\r\n" WIRE_CONTENT_ENCODING
                                ": %s\r\n" WIRE_IDEMPOTENCY_KEY
                                ": %016lx-%zu\r\n" WIRE_CONTENT_LENGTH ": %zu\r\n",
                                talk->type, talk->gzip ? "gzip" : "identity",
                                (unsigned long)session, i + 1, ret->body.len),
                     0);
}

static unsigned send_prepared(const struct prepared *p)
{
    return send_request(buf_span(&p->head), buf_span(&p->body));
}

/* Sends all messages while the nth allocation fails, and once more with memory. Adds up
 * the measurements that are stored then. Return: did an allocation fail? */
static bool talk_once(const struct talk *talk, long nth, uint64_t *stored)
{
    struct prepared sent[MESSAGES_MAX];
    unsigned codes[MESSAGES_MAX] = {0};
    size_t n = 0;

    for (; n < MESSAGES_MAX && talk->messages[n].hex; n++)
        prepare(talk, n, nth, &sent[n]);
    fault_arm(nth);
    for (size_t i = 0; i < n; i++)
        codes[i] = send_prepared(&sent[i]);
    bool fired = fault_disarm();

    for (size_t i = 0; i < n; i++) {
        unsigned code = send_prepared(&sent[i]);
        bool replayed = mhd_answer_header(&answer, WIRE_REPLAYED).data;

        /* The state that it builds on may not have been kept: 409, as a client knows. */
        bool lost = codes[i] == 409 && i > 0;
        ck_assert_msg(codes[i] == 200 || (fired && (codes[i] == 503 || codes[i] == 0)) ||
                          (fired && lost),
                      "allocation %ld, message %zu: %u", nth, i, codes[i]);
        ck_assert_msg(code == 200 || (fired && code == 409 && i > 0),
                      "after allocation %ld, message %zu: %u", nth, i, code);
        if (codes[i] == 200 || codes[i] == 503)
            ck_assert(replayed == (codes[i] == 200));
        if (code == 200)
            *stored += talk->messages[i].n;
        buf_done(&sent[i].head);
        buf_done(&sent[i].body);
    }
    return fired;
}

START_TEST(a_batch_survives_any_failed_allocation)
{
    uint64_t stored = 0;
    bool fired = true;

    for (long nth = 0; fired; nth++) {
        fired = talk_once(&talks[_i], nth, &stored);
        ck_assert_int_lt(nth, NTH_MAX);
    }
    ck_assert_uint_eq(connections_count(pcd.worker.connections), 0);
    ck_assert_int_eq(served_stop(&pcd), 0);
    ck_assert_uint_eq(pcd.admit.bytes, 0);
    ck_assert_int_eq(served_count(home.path), (long)stored);
}
END_TEST

static const char *const others[] = {
    "POST " WIRE_PING " HTTP/1.1\r\nHost: h\r\n" WIRE_CONTENT_LENGTH ": 24\r\n",
    "GET " WIRE_METRICS " HTTP/1.1\r\nHost: h\r\n" WIRE_APIKEY ": " SERVED_KEY "\r\n",
    "GET " WIRE_READYZ " HTTP/1.1\r\nHost: h\r\n",
};
#define N_OTHERS ((int)(sizeof others / sizeof *others))

START_TEST(any_other_request_survives_any_failed_allocation)
{
    bool fired = true;

    for (long nth = 0; fired; nth++) {
        fault_arm(nth);
        unsigned code =
            send_request(span_of_str(others[_i]), SPAN("{\"timestamp\":1800000000}"));
        fired = fault_disarm();
        ck_assert_msg(code == 200 || (fired && (code == 503 || code == 0)),
                      "allocation %ld: %u", nth, code);
        ck_assert_int_lt(nth, NTH_MAX);
    }
    ck_assert_int_eq(served_stop(&pcd), 0);
    ck_assert_uint_eq(pcd.admit.bytes, 0);
}
END_TEST

/* No thread is left behind, and no descriptor. */
START_TEST(starting_survives_any_failed_allocation)
{
    bool fired = true;

    ck_assert_int_eq(served_stop(&pcd), 0);
    for (long nth = 0; fired; nth++) {
        fault_arm(nth);
        int r = served_start(&pcd, home.path);
        fired = fault_disarm();
        ck_assert_int_eq(served_stop(&pcd), 0);
        /* A first checkpoint that can't be made is no reason not to start. */
        ck_assert_msg(r == 0 || (fired && (r == -ENOMEM || r == -EAGAIN)),
                      "allocation %ld: %d", nth, r);
        ck_assert_int_lt(nth, NTH_MAX);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pcd_request");
    TCase *c = tcase_create("memory");

    tcase_add_checked_fixture(c, setup, teardown);
    tcase_set_timeout(c, 120);
    tcase_add_loop_test(c, a_batch_survives_any_failed_allocation, 0, N_TALKS);
    tcase_add_loop_test(c, any_other_request_survives_any_failed_allocation, 0, N_OTHERS);
    tcase_add_test(c, starting_survives_any_failed_allocation);
    suite_add_tcase(suite, c);
    return suite_run(suite);
}
