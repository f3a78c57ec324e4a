/* SPDX-License-Identifier: MIT */
#include "pcc/answer.h"
#include "tests/lib/bytes.h"
#include "tests/lib/suite.h"

#define TEXT(s)                                                                          \
    {                                                                                    \
        (const uint8_t *)(s), sizeof(s) - 1                                              \
    }
#define STORED TEXT("{\"error\":null}")
#define REFUSED TEXT("{\"error\":\"no\"}")

/* Every row of the protocol's table; 5 measurements were sent. */
static const struct {
    const char *what;
    struct http_answer answer;
    bool named;
    enum outcome want;
    const char *why; /* NULL: whatever */
} rows[] = {
    {"stored, JSON", {NULL, 200, .body = STORED}, false, OUTCOME_STORED, ""},
    {"stored, MessagePack",
     {NULL, 200, .body = TEXT("\x81\xa1\x65\xc0")},
     false,
     OUTCOME_STORED,
     ""},
    {"stored, as many as sent",
     {NULL, 200, .stored = TEXT("5"), .body = STORED},
     true,
     OUTCOME_STORED,
     ""},
    {"stored, fewer than sent",
     {NULL, 200, .stored = TEXT("4"), .body = STORED},
     true,
     OUTCOME_STRANGE,
     "the server stored another number of measurements"},
    {"stored, no number",
     {NULL, 200, .stored = TEXT("all"), .body = STORED},
     true,
     OUTCOME_STRANGE,
     NULL},
    {"replay",
     {NULL, 200, .replayed = TEXT("true"), .body = STORED},
     true,
     OUTCOME_STORED,
     ""},
    {"200 with an error", {NULL, 200, .body = REFUSED}, true, OUTCOME_STRANGE, "no"},
    {"200 from a portal",
     {NULL, 200, .body = TEXT("<html>log in</html>")},
     true,
     OUTCOME_STRANGE,
     "the answer is no TrickleResponse"},
    {"200 without a body", {NULL, 200}, true, OUTCOME_STRANGE, NULL},
    {"200 cut short",
     {"transfer closed", 200, .body = STORED},
     true,
     OUTCOME_RETRY,
     "transfer closed"},
    {"nothing at all",
     {"connection refused", 0},
     false,
     OUTCOME_RETRY,
     "connection refused"},
    {"400, a server that names what it takes",
     {NULL, 400, .body = REFUSED},
     true,
     OUTCOME_REFUSED,
     "no"},
    {"400, any other", {NULL, 400, .body = REFUSED}, false, OUTCOME_LOWER, "no"},
    {"401", {NULL, 401, .body = REFUSED}, true, OUTCOME_DENIED, "no"},
    {"403", {NULL, 403, .body = TEXT("<")}, true, OUTCOME_DENIED, ""},
    {"401 before all was sent", {"broken pipe", 401}, true, OUTCOME_DENIED, ""},
    {"413 before all was sent", {"broken pipe", 413}, true, OUTCOME_SPLIT, ""},
    {"408", {NULL, 408}, true, OUTCOME_RETRY, ""},
    {"409", {NULL, 409, .body = REFUSED}, true, OUTCOME_SNAPSHOT, "no"},
    {"413", {NULL, 413}, true, OUTCOME_SPLIT, ""},
    {"415", {NULL, 415}, false, OUTCOME_LOWER, ""},
    {"415, a server that names what it takes", {NULL, 415}, true, OUTCOME_LOWER, ""},
    {"429", {NULL, 429}, true, OUTCOME_WAIT, ""},
    {"503", {NULL, 503}, true, OUTCOME_WAIT, ""},
    {"507", {NULL, 507}, true, OUTCOME_WAIT, ""},
    {"404", {NULL, 404}, true, OUTCOME_STRANGE, ""},
    {"405", {NULL, 405}, true, OUTCOME_STRANGE, ""},
    {"a redirect", {NULL, 302}, true, OUTCOME_STRANGE, ""},
    {"another success", {NULL, 202, .body = STORED}, true, OUTCOME_STRANGE, ""},
    {"204", {NULL, 204}, true, OUTCOME_STRANGE, ""},
    {"500", {NULL, 500}, true, OUTCOME_STRANGE, ""},
    {"502 of a proxy", {NULL, 502, .body = TEXT("<html>")}, true, OUTCOME_STRANGE, ""},
};

START_TEST(every_answer_has_its_outcome)
{
    struct answer why;
    enum outcome got = answer_outcome(&rows[_i].answer, 5, rows[_i].named, &why);

    ck_assert_msg(got == rows[_i].want, "%s: %d", rows[_i].what, (int)got);
    if (rows[_i].why)
        ck_assert_msg(strcmp(why.error, rows[_i].why) == 0, "%s: %s", rows[_i].what,
                      why.error);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pcc_answer");
    TCase *c = tcase_create("answer");

    tcase_add_loop_test(c, every_answer_has_its_outcome, 0, (int)N_OF(rows));
    suite_add_tcase(suite, c);
    return suite_run(suite);
}
