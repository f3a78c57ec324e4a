/* SPDX-License-Identifier: MIT */
#include "common/buf.h"
#include "common/log.h"
#include "tests/lib/bytes.h"
#include "tests/lib/suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LINE_MAX_BYTES 4096

/* stderr goes into a packet socket while a test runs: each write(2) is a packet. */
static int log_fd = -1;
static int stderr_fd = -1;

static void set_up(void)
{
    int pair[2];

    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, pair), 0);
    stderr_fd = dup(STDERR_FILENO);
    ck_assert_int_ge(stderr_fd, 0);
    ck_assert_int_eq(dup2(pair[1], STDERR_FILENO), STDERR_FILENO);
    ck_assert_int_eq(close(pair[1]), 0);
    log_fd = pair[0];
    ck_assert_int_eq(unsetenv("JOURNAL_STREAM"), 0);
    log_init(LOG_INFO);
}

static void tear_down(void)
{
    ck_assert_int_eq(dup2(stderr_fd, STDERR_FILENO), STDERR_FILENO);
    ck_assert_int_eq(close(stderr_fd), 0);
    ck_assert_int_eq(close(log_fd), 0);
}

/* The next line written, without its newline; empty if there was none. */
static const char *next_line(void)
{
    static char line[2 * LINE_MAX_BYTES];
    ssize_t n = recv(log_fd, line, sizeof line - 1, 0);

    if (n < 0) {
        line[0] = 0;
        return line;
    }
    ck_assert_int_gt(n, 0);
    ck_assert_int_le(n, LINE_MAX_BYTES);
    ck_assert_int_eq(line[n - 1], '\n');
    line[n - 1] = 0;
    ck_assert_ptr_null(strchr(line, '\n'));
    return line;
}

/* The same from the event on. */
static const char *next_event(void)
{
    const char *event = strstr(next_line(), "event=");

    ck_assert_ptr_nonnull(event);
    return event;
}

/* A date that strptime(3) takes, three digits of milliseconds, Z. */
static bool is_time(const char *text, size_t n)
{
    struct tm tm = {0};
    const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);

    return rest && (size_t)(rest - text) + 5 == n && rest[0] == '.' &&
           strspn(rest + 1, "0123456789") == 3 && rest[4] == 'Z';
}

START_TEST(a_line_has_time_level_event_and_fields)
{
    log_event(LOG_WARNING, "post_failed", LOG_U64("status", 503), LOG_I64("delta", -7),
              LOG_MS("retry_ms", UINT64_C(4210999999)), LOG_STR("host", "web-01"),
              LOG_SPAN("key", SPAN("a b")), LOG_RESULT("why", E_FULL));
    const char *line = next_line();
    size_t n = strlen("2026-11-22T12:34:56.789Z");

    ck_assert_uint_gt(strlen(line), n);
    ck_assert(is_time(line, n));
    ck_assert_str_eq(line + n,
                     " WARNING event=post_failed status=503 delta=-7 retry_ms=4210 "
                     "host=web-01 key=\"a b\" why=busy");
    ck_assert_str_eq(next_line(), "");
}
END_TEST

START_TEST(a_line_may_have_no_fields)
{
    log_event(LOG_INFO, "started");
    ck_assert_str_eq(next_event(), "event=started");
}
END_TEST

/* One level against all lowest ones. */
START_TEST(lines_below_the_level_are_left_out_with_their_arguments)
{
    enum log_level level = (enum log_level)_i;

    for (int lowest = LOG_TRACE; lowest <= LOG_ERROR; lowest++) {
        int evaluated = 0;

        log_init((enum log_level)lowest);
        log_event(level, "x", LOG_I64("n", ++evaluated));
        ck_assert_int_eq(evaluated, _i >= lowest);
        ck_assert_int_eq(next_line()[0] != 0, _i >= lowest);
    }
}
END_TEST

static const struct {
    const char *value;
    size_t n;
    const char *shown;
} values[] = {
    {"", 0, "\"\""},
    {"plain", 5, "plain"},
    {"/proc/net/dev", 13, "/proc/net/dev"},
    {"statfs[*]", 9, "statfs[*]"},
    {"a b", 3, "\"a b\""},
    {"a=b", 3, "\"a=b\""},
    {"say \"hi\"", 8, "\"say \\\"hi\\\"\""},
    {"back\\slash", 10, "\"back\\\\slash\""},
    {"two\nlines\n", 10, "\"two\\nlines\\n\""},
    {"cr\r", 3, "\"cr\\x0D\""},
    {"\x1b[31m", 5, "\"\\x1B[31m\""},
    {"nul\0x", 5, "\"nul\\x00x\""},
    {"del\x7f", 4, "\"del\\x7F\""},
    {"Z\xc3\xbcrich", 7, "\"Z\xc3\xbcrich\""},
    {"\xf0\x9f\x93\x88", 4, "\"\xf0\x9f\x93\x88\""},
    {"c1\xc2\x9b"
     "31m",
     7, "\"c1\\xC2\\x9B31m\""},
    {"\xc2\xa0", 2, "\"\xc2\xa0\""},
    {"bad\xff", 4, "\"bad\\xFF\""},
    {"bad\xc3", 4, "\"bad\\xC3\""},
    {"bad\xc3x", 5, "\"bad\\xC3x\""},
    {"\xed\xa0\x80", 3, "\"\\xED\\xA0\\x80\""},
    {"\xc3\xbc\xff\xc3\xbc", 5, "\"\xc3\xbc\\xFF\xc3\xbc\""},
};

START_TEST(values_are_quoted_and_escaped_where_they_need_to_be)
{
    CLEANUP(bytes_drop)
    struct span in = suite_exact(span_of(values[_i].value, values[_i].n));
    char expected[64];

    log_event(LOG_INFO, "x", LOG_SPAN("v", in), LOG_U64("after", 1));
    (void)snprintf(expected, sizeof expected, "event=x v=%s after=1", values[_i].shown);
    ck_assert_str_eq(next_event(), expected);
}
END_TEST

START_TEST(a_null_text_is_empty)
{
    log_event(LOG_INFO, "x", LOG_STR("v", NULL));
    ck_assert_str_eq(next_event(), "event=x v=\"\"");
}
END_TEST

static const struct {
    struct span piece;
    const char *shown;
} pieces[] = {
    {SPAN("aa"), "aa"},
    {SPAN("\xc3\xbc"), "\xc3\xbc"},
    {SPAN("\xe2\x82\xac"), "\xe2\x82\xac"},
    {SPAN("\xf0\x9f\x93\x88"), "\xf0\x9f\x93\x88"},
    {SPAN("\xff"), "\\xFF"},
    {SPAN("\n"), "\\n"},
};

/* What is left of the line ends before each byte of the last piece, in turn. */
START_TEST(long_lines_are_cut_between_characters)
{
    const char *shown = pieces[_i].shown;

    for (size_t before = 0; before < 8; before++) {
        CLEANUP(buf_done) struct buf text;

        buf_init(&text, BYTES_ROOM);
        bytes_put(&text, SPAN(" "));
        while (text.len < 1 + before)
            bytes_put(&text, SPAN("x"));
        while (text.len < (size_t)2 * LINE_MAX_BYTES)
            bytes_put(&text, pieces[_i].piece);
        log_event(LOG_INFO, "long", LOG_SPAN("v", buf_span(&text)), LOG_U64("after", 1));
        const char *line = next_line();
        const char *mark = line + strlen(line) - 3;
        const char *at = strstr(line, "v=\" ") + 4 + before;

        ck_assert_uint_gt(strlen(line),
                          LINE_MAX_BYTES - 5); /* no piece has more than 4 */
        ck_assert_str_eq(mark, "\xe2\x80\xa6");
        while (at < mark && strncmp(at, shown, strlen(shown)) == 0)
            at += strlen(shown);
        /* Two letters are two characters. */
        ck_assert(at == mark || (shown[0] == 'a' && at == mark - 1));
    }
}
END_TEST

/* A line of 4096 bytes with its newline is the longest that is whole. */
START_TEST(a_cut_line_says_so_and_a_whole_one_does_not)
{
    static char text[LINE_MAX_BYTES];
    bool was_cut = false;

    memset(text, 'a', sizeof text);
    for (size_t n = LINE_MAX_BYTES - 64; n < LINE_MAX_BYTES; n++) {
        log_event(LOG_INFO, "x", LOG_SPAN("v", span_of(text, n)));
        const char *line = next_line();
        bool is_cut = strcmp(line + strlen(line) - 3, "\xe2\x80\xa6") == 0;

        ck_assert(is_cut || !was_cut);
        if (!is_cut)
            ck_assert_uint_eq(strlen(strstr(line, "v=") + 2), n);
        was_cut = is_cut;
    }
    ck_assert(was_cut);
}
END_TEST

static void set_journal_stream(long offset)
{
    struct stat st;
    char text[64];

    ck_assert_int_eq(fstat(STDERR_FILENO, &st), 0);
    (void)snprintf(text, sizeof text, "%ju:%ju", (uintmax_t)st.st_dev,
                   (uintmax_t)st.st_ino + (uintmax_t)offset);
    ck_assert_int_eq(setenv("JOURNAL_STREAM", text, 1), 0);
}

START_TEST(the_journal_gets_priorities_instead_of_time_and_level)
{
    static const char *const lines[] = {"<7>event=x", "<7>event=x", "<6>event=x",
                                        "<4>event=x", "<3>event=x"};

    set_journal_stream(0);
    log_init(LOG_TRACE);
    for (int level = LOG_TRACE; level <= LOG_ERROR; level++) {
        log_event((enum log_level)level, "x");
        ck_assert_str_eq(next_line(), lines[level]);
    }
}
END_TEST

/* The variable alone says nothing: stderr may have been turned elsewhere. */
START_TEST(another_stream_than_the_journals_gets_time_and_level)
{
    set_journal_stream(1);
    log_init(LOG_INFO);
    log_event(LOG_INFO, "x");
    ck_assert_ptr_nonnull(strstr(next_line(), " INFO event=x"));
    ck_assert_int_eq(setenv("JOURNAL_STREAM", "nonsense", 1), 0);
    log_init(LOG_INFO);
    log_event(LOG_INFO, "x");
    ck_assert_ptr_nonnull(strstr(next_line(), " INFO event=x"));
}
END_TEST

START_TEST(a_stderr_that_is_full_loses_the_line_and_nothing_else)
{
    char room[LINE_MAX_BYTES] = {0};

    while (write(STDERR_FILENO, room, sizeof room) > 0)
        ;
    log_event(LOG_INFO, "lost");
    while (recv(log_fd, room, sizeof room, 0) > 0)
        ;
    log_event(LOG_INFO, "seen");
    ck_assert_str_eq(next_event(), "event=seen");
}
END_TEST

START_TEST(level_names_are_in_the_order_of_the_levels)
{
    ck_assert_str_eq(log_level_names[LOG_TRACE], "TRACE");
    ck_assert_str_eq(log_level_names[LOG_DEBUG], "DEBUG");
    ck_assert_str_eq(log_level_names[LOG_INFO], "INFO");
    ck_assert_str_eq(log_level_names[LOG_WARNING], "WARNING");
    ck_assert_str_eq(log_level_names[LOG_ERROR], "ERROR");
    ck_assert_ptr_null(log_level_names[LOG_ERROR + 1]);
}
END_TEST

START_TEST(a_limit_passes_one_line_in_its_time_and_counts_the_rest)
{
    struct log_limit l = {.every_ns = 100};
    uint64_t suppressed = 77;

    ck_assert(log_limit_pass(&l, 1000, &suppressed));
    ck_assert_uint_eq(suppressed, 0);
    suppressed = 77;
    ck_assert(!log_limit_pass(&l, 1000, &suppressed));
    ck_assert(!log_limit_pass(&l, 1099, &suppressed));
    ck_assert_uint_eq(suppressed, 77);
    ck_assert(log_limit_pass(&l, 1100, &suppressed));
    ck_assert_uint_eq(suppressed, 2);
    ck_assert(!log_limit_pass(&l, 1199, &suppressed));
    ck_assert(log_limit_pass(&l, 5000, &suppressed));
    ck_assert_uint_eq(suppressed, 1);
    ck_assert(log_limit_pass(&l, 6000, &suppressed));
    ck_assert_uint_eq(suppressed, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("log");
    TCase *c = tcase_create("log");

    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_add_test(c, a_line_has_time_level_event_and_fields);
    tcase_add_test(c, a_line_may_have_no_fields);
    tcase_add_loop_test(c, lines_below_the_level_are_left_out_with_their_arguments,
                        LOG_TRACE, LOG_ERROR + 1);
    tcase_add_loop_test(c, values_are_quoted_and_escaped_where_they_need_to_be, 0,
                        N_OF(values));
    tcase_add_test(c, a_null_text_is_empty);
    tcase_add_loop_test(c, long_lines_are_cut_between_characters, 0, N_OF(pieces));
    tcase_add_test(c, a_cut_line_says_so_and_a_whole_one_does_not);
    tcase_add_test(c, the_journal_gets_priorities_instead_of_time_and_level);
    tcase_add_test(c, another_stream_than_the_journals_gets_time_and_level);
    tcase_add_test(c, a_stderr_that_is_full_loses_the_line_and_nothing_else);
    tcase_add_test(c, level_names_are_in_the_order_of_the_levels);
    tcase_add_test(c, a_limit_passes_one_line_in_its_time_and_counts_the_rest);
    suite_add_tcase(suite, c);
    return suite_run(suite);
}
