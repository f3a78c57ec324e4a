/* SPDX-License-Identifier: MIT */
#include "common/units.h"
#include "pcd/connection.h"
#include "pcd/lingerer.h"
#include "tests/lib/suite.h"

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

/* No wait here takes anywhere near as long; it only keeps a broken test from hanging. */
#define PATIENCE_MS 60000

static struct stats stats;
static struct connections *connections;
static int ours; /* the server's end */
static int peer;

/* Two connected TCP sockets. */
static void connect_pair(int ret_ends[2])
{
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr *any = (struct sockaddr *)&at;
    socklen_t n = sizeof at;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    ck_assert_int_eq(bind(listener, any, n), 0);
    ck_assert_int_eq(listen(listener, 1), 0);
    ck_assert_int_eq(getsockname(listener, any, &n), 0);
    ret_ends[1] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(connect(ret_ends[1], any, n), 0);
    ret_ends[0] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    ck_assert_int_ge(ret_ends[0], 0);
    (void)close(listener);
}

static void start(uint64_t idle_ns, uint64_t request_ns)
{
    const struct connections_conf conf = {
        .max = 2, .idle_ns = idle_ns, .request_ns = request_ns, .stats = &stats};
    int ends[2];

    stats = (struct stats){0};
    ck_assert_int_eq(connections_new(&conf, &connections), 0);
    connect_pair(ends);
    ours = ends[0];
    peer = ends[1];
}

static void teardown(void)
{
    connections_free(connections);
    (void)close(ours);
    (void)close(peer);
}

static struct connection *begin(void)
{
    ck_assert(connections_take_place(connections));
    struct connection *e = connection_begin(connections, ours);
    ck_assert_ptr_nonnull(e);
    return e;
}

/* What the peer reads up to the end of the stream. */
static const char *read_all(void)
{
    static char text[4096];
    size_t n = 0;

    for (;;) {
        struct pollfd p = {.fd = peer, .events = POLLIN};
        ck_assert_int_eq(poll(&p, 1, PATIENCE_MS), 1);
        ssize_t got = read(peer, text + n, sizeof text - 1 - n);
        ck_assert_int_ge(got, 0);
        if (got == 0)
            break;
        n += (size_t)got;
    }
    text[n] = '\0';
    return text;
}

START_TEST(places_are_limited)
{
    start(HOUR, HOUR);
    ck_assert(connections_take_place(connections));
    ck_assert(connections_take_place(connections));
    ck_assert(!connections_take_place(connections));
    connections_leave_place(connections);
    ck_assert_uint_eq(connections_count(connections), 1);
    ck_assert(connections_take_place(connections));
}
END_TEST

START_TEST(a_connection_that_waits_too_long_just_ends)
{
    start(MSEC, HOUR);
    struct connection *e = begin();

    ck_assert_str_eq(read_all(), "");
    ck_assert_int_eq(connection_enter(connections, e, CONNECTION_RECEIVING), E_GONE);
    connection_end(connections, e);
    ck_assert_uint_eq(stats.counters[STATS_TIMEOUT_IDLE], 1);
    ck_assert_uint_eq(connections_count(connections), 0);
}
END_TEST

START_TEST(a_request_that_is_late_hears_408)
{
    start(HOUR, 200 * MSEC);
    struct connection *e = begin();

    ck_assert_int_eq(connection_enter(connections, e, CONNECTION_RECEIVING), 0);
    connection_describe(connections, e, STATS_TRICKLE, MEDIA_JSON);
    const char *text = read_all();
    ck_assert_int_eq(strncmp(text, "HTTP/1.1 408 ", 13), 0);
    ck_assert(strstr(text, "\r\nConnection: close\r\n"));
    ck_assert(strstr(text, "\r\n\r\n{\"error\":\"the request did not arrive in time\"}"));
    ck_assert_int_eq(connection_enter(connections, e, CONNECTION_SETTLING), E_GONE);
    connection_end(connections, e);
    ck_assert_uint_eq(stats.counters[STATS_TIMEOUT_REQUEST], 1);
}
END_TEST

START_TEST(an_answer_that_is_not_read_ends_without_another)
{
    start(HOUR, 200 * MSEC);
    struct connection *e = begin();

    ck_assert_int_eq(connection_enter(connections, e, CONNECTION_ANSWERING), 0);
    ck_assert_str_eq(read_all(), "");
    connection_end(connections, e);
    ck_assert_uint_eq(stats.counters[STATS_TIMEOUT_ANSWER], 1);
}
END_TEST

START_TEST(a_client_that_goes_in_the_middle_is_noticed)
{
    start(HOUR, HOUR);
    struct connection *e = begin();
    struct pollfd p = {.fd = ours, .events = 0};

    ck_assert_int_eq(connection_enter(connections, e, CONNECTION_RECEIVING), 0);
    ck_assert_int_eq(shutdown(peer, SHUT_WR), 0);
    /* Its own half was open; only a look at the stream can have ended it. */
    ck_assert_int_eq(poll(&p, 1, PATIENCE_MS), 1);
    ck_assert(p.revents & POLLHUP);
    connection_end(connections, e);
    ck_assert_uint_eq(stats.counters[STATS_TIMEOUT_REQUEST], 0);
}
END_TEST

START_TEST(at_a_stop_those_that_wait_end_and_the_others_go_on)
{
    start(HOUR, HOUR);
    struct connection *waiting = begin();

    connections_end_waiting(connections);
    ck_assert_str_eq(read_all(), "");
    connection_end(connections, waiting);
    ck_assert(connections_wait_quiet(connections, 0));

    /* One more that was accepted before the stop ends as it begins. */
    struct connection *late = begin();
    ck_assert_int_eq(connection_enter(connections, late, CONNECTION_RECEIVING), E_GONE);
    connection_end(connections, late);
}
END_TEST

START_TEST(a_request_in_flight_keeps_the_stop_waiting)
{
    start(HOUR, HOUR);
    struct connection *e = begin();

    ck_assert_int_eq(connection_enter(connections, e, CONNECTION_RECEIVING), 0);
    connections_end_waiting(connections);
    ck_assert(!connections_wait_quiet(connections, MSEC));
    ck_assert_int_eq(connection_enter(connections, e, CONNECTION_SETTLING), 0);
    ck_assert(!connections_wait_quiet(connections, MSEC));
    connections_refuse_settling(connections);
    ck_assert_int_eq(connection_enter(connections, e, CONNECTION_SETTLING), E_STOPPED);
    ck_assert_int_eq(connection_enter(connections, e, CONNECTION_ANSWERING), 0);
    connections_wait_settled(connections);
    ck_assert_int_eq(connection_enter(connections, e, CONNECTION_WAITING), 0);
    ck_assert(connections_wait_quiet(connections, 0));
    ck_assert_str_eq(read_all(), "");
    connection_end(connections, e);
}
END_TEST

START_TEST(lingering_takes_what_comes_and_ends_with_the_client)
{
    static const char junk[65536];
    struct lingerer *l;

    start(HOUR, HOUR);
    ck_assert_int_eq(lingerer_new(&l), 0);
    int dup = lingerer_dup(l, ours);
    ck_assert_int_ge(dup, 0);
    ck_assert_int_eq(write(ours, "413", 3), 3);
    lingerer_start(l, dup);
    ck_assert_int_eq(close(ours), 0);
    ours = -1;
    for (int i = 0; i < 100; i++)
        ck_assert_int_eq(send(peer, junk, sizeof junk, MSG_NOSIGNAL), sizeof junk);
    ck_assert_str_eq(read_all(), "413");
    lingerer_free(l);
}
END_TEST

START_TEST(only_so_many_linger_and_the_rest_just_close)
{
    struct lingerer *l;
    int dups[256];

    start(HOUR, HOUR);
    ck_assert_int_eq(lingerer_new(&l), 0);
    for (size_t i = 0; i < 256; i++)
        ck_assert_int_ge(dups[i] = lingerer_dup(l, ours), 0);
    ck_assert_int_eq(lingerer_dup(l, ours), -1);
    for (size_t i = 0; i < 256; i++)
        lingerer_start(l, dups[i]);
    lingerer_start(l, -1);
    lingerer_free(l);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pcd connection");
    TCase *c = tcase_create("connection");

    tcase_set_timeout(c, 120);
    tcase_add_checked_fixture(c, NULL, teardown);
    tcase_add_test(c, places_are_limited);
    tcase_add_test(c, a_connection_that_waits_too_long_just_ends);
    tcase_add_test(c, a_request_that_is_late_hears_408);
    tcase_add_test(c, an_answer_that_is_not_read_ends_without_another);
    tcase_add_test(c, a_client_that_goes_in_the_middle_is_noticed);
    tcase_add_test(c, at_a_stop_those_that_wait_end_and_the_others_go_on);
    tcase_add_test(c, a_request_in_flight_keeps_the_stop_waiting);
    tcase_add_test(c, lingering_takes_what_comes_and_ends_with_the_client);
    tcase_add_test(c, only_so_many_linger_and_the_rest_just_close);
    suite_add_tcase(suite, c);
    return suite_run(suite);
}
