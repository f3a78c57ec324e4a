/* SPDX-License-Identifier: MIT */
#include "pcc/status_socket.h"
#include "tests/lib/home.h"
#include "tests/lib/suite.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static struct home home;
static char path[100]; /* a socket's is at most 107 bytes long */
static struct status_socket *sock;
static struct buf heard;

static void set_up(void)
{
    home_make(&home);
    int n = snprintf(path, sizeof path, "%s/s", home.path);
    ck_assert_int_lt(n, (int)sizeof path);
    buf_init(&heard, 100000);
    ck_assert_int_eq(status_socket_open(path, &sock), 0);
}

static void tear_down(void)
{
    status_socket_close(sock);
    buf_done(&heard);
    home_remove(&home);
}

static int connect_there(void)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    (void)snprintf(at.sun_path, sizeof at.sun_path, "%s", path);
    ck_assert_int_eq(connect(fd, (const struct sockaddr *)&at, sizeof at), 0);
    return fd;
}

static bool somebody_waits(void)
{
    struct pollfd p = {.fd = status_socket_fd(sock), .events = POLLIN};

    return poll(&p, 1, 0) == 1;
}

/* Thread: one that asks. */
static void *ask(void *arg)
{
    *(int *)arg = status_socket_ask(path, &heard);
    return NULL;
}

static int ask_and_tell(struct span text)
{
    struct pollfd p = {.fd = status_socket_fd(sock), .events = POLLIN};
    pthread_t thread;
    int r = 1;

    ck_assert_int_eq(pthread_create(&thread, NULL, ask, &r), 0);
    ck_assert_int_eq(poll(&p, 1, -1), 1);
    status_socket_tell(status_socket_accept(sock), text);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    return r;
}

START_TEST(who_asks_hears_the_whole_text)
{
    char text[8192];

    memset(text, 'x', sizeof text);
    ck_assert(!somebody_waits());
    ck_assert_int_eq(status_socket_accept(sock), -1);
    ck_assert_int_eq(ask_and_tell(span_of(text, sizeof text)), 0);
    ck_assert(span_equal(buf_span(&heard), span_of(text, sizeof text)));
}
END_TEST

START_TEST(who_hears_nothing_has_no_answer)
{
    ck_assert_int_eq(ask_and_tell(SPAN("")), -ECONNRESET);
}
END_TEST

START_TEST(telling_those_who_do_not_read_or_are_gone_does_not_wait)
{
    static char text[4 * 1024 * 1024]; /* more than a socket takes */
    int reader = connect_there();
    int gone = connect_there();

    (void)close(gone);
    ck_assert(somebody_waits());
    status_socket_tell(status_socket_accept(sock), span_of(text, sizeof text));
    status_socket_tell(status_socket_accept(sock), span_of(text, sizeof text));
    ck_assert(!somebody_waits());
    (void)close(reader);
}
END_TEST

START_TEST(only_the_user_and_its_group_may_ask)
{
    struct stat st;

    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert(S_ISSOCK(st.st_mode));
    ck_assert_int_eq(st.st_mode & 0777, 0660);
}
END_TEST

START_TEST(second_one_leaves_the_place_to_the_first)
{
    struct status_socket *second = NULL;

    ck_assert_int_eq(status_socket_open(path, &second), -EADDRINUSE);
    status_socket_tell(status_socket_accept(sock), SPAN("")); /* it knocked, and left */
    ck_assert_int_eq(ask_and_tell(SPAN("first")), 0);
    ck_assert(span_equal(buf_span(&heard), SPAN("first")));
}
END_TEST

START_TEST(socket_of_a_process_that_is_no_more_is_replaced)
{
    int fd =
        dup(status_socket_fd(sock)); /* what a kill closes, without what it can't do */
    char aside[sizeof path + 8];

    (void)snprintf(aside, sizeof aside, "%s.left", path);
    ck_assert_int_eq(rename(path, aside), 0);
    status_socket_close(sock);
    (void)close(fd);
    ck_assert_int_eq(rename(aside, path), 0);
    ck_assert_int_eq(status_socket_ask(path, &heard), -ECONNREFUSED);
    ck_assert_int_eq(status_socket_open(path, &sock), 0);
    ck_assert_int_eq(ask_and_tell(SPAN("new")), 0);
}
END_TEST

START_TEST(file_that_is_no_socket_is_left_alone)
{
    struct status_socket *s = NULL;
    char file[sizeof path + 8];
    struct stat st;

    (void)snprintf(file, sizeof file, "%s.txt", path);
    FILE *f = fopen(file, "we");
    ck_assert_ptr_nonnull(f);
    ck_assert_int_eq(fputs("precious", f) < 0, 0);
    ck_assert_int_eq(fclose(f), 0);
    ck_assert_int_ne(status_socket_open(file, &s), 0);
    ck_assert_int_eq(stat(file, &st), 0);
    ck_assert_int_eq(st.st_size, 8);
}
END_TEST

START_TEST(path_that_is_too_long_is_refused)
{
    char long_path[200];
    struct status_socket *s = NULL;

    memset(long_path, 'x', sizeof long_path);
    long_path[0] = '/';
    long_path[sizeof long_path - 1] = '\0';
    ck_assert_int_eq(status_socket_open(long_path, &s), -ENAMETOOLONG);
    ck_assert_int_eq(status_socket_ask(long_path, &heard), -ENAMETOOLONG);
}
END_TEST

START_TEST(closing_removes_it)
{
    status_socket_close(sock);
    sock = NULL;
    ck_assert_int_eq(access(path, F_OK), -1);
    ck_assert_int_eq(status_socket_ask(path, &heard), -ENOENT);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pcc_status_socket");
    TCase *c = tcase_create("socket");

    tcase_set_timeout(c, 60);
    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_add_test(c, who_asks_hears_the_whole_text);
    tcase_add_test(c, who_hears_nothing_has_no_answer);
    tcase_add_test(c, telling_those_who_do_not_read_or_are_gone_does_not_wait);
    tcase_add_test(c, only_the_user_and_its_group_may_ask);
    tcase_add_test(c, second_one_leaves_the_place_to_the_first);
    tcase_add_test(c, socket_of_a_process_that_is_no_more_is_replaced);
    tcase_add_test(c, file_that_is_no_socket_is_left_alone);
    tcase_add_test(c, path_that_is_too_long_is_refused);
    tcase_add_test(c, closing_removes_it);
    suite_add_tcase(suite, c);
    return suite_run(suite);
}
