/* SPDX-License-Identifier: MIT */
#include "common/units.h"
#include "pcc/form.h"
#include "tests/lib/bytes.h"
#include "tests/lib/suite.h"

#define NOW (5 * HOUR)

#define BEST                                                                             \
    {                                                                                    \
        MEDIA_DELTA, CODING_GZIP                                                         \
    }
#define NEXT                                                                             \
    {                                                                                    \
        MEDIA_MSGPACK, CODING_GZIP                                                       \
    }
#define PLAIN                                                                            \
    {                                                                                    \
        MEDIA_JSON, CODING_IDENTITY                                                      \
    }

static const struct form best = BEST;
static const struct form next = NEXT;
static const struct form plain = PLAIN;

#define ALL "application/json, application/msgpack, " DELTA
#define DELTA "application/vnd.perfcollector.delta+msgpack"

static void assert_form(struct form got, struct form want)
{
    ck_assert_int_eq((int)got.media, (int)want.media);
    ck_assert_int_eq((int)got.coding, (int)want.coding);
}

/* What a server says of itself, and what is sent for it. */
static const struct {
    const char *accept_post;
    const char *accept_encoding; /* NULL: not said */
    struct form wanted;
    struct form want;
} servers[] = {
    {ALL, "gzip", BEST, BEST},
    {ALL, "identity", BEST, {MEDIA_DELTA, CODING_IDENTITY}},
    {DELTA, NULL, BEST, {MEDIA_DELTA, CODING_IDENTITY}},
    {"application/json, application/msgpack", "gzip", BEST, NEXT},
    {"application/json, " DELTA ";q=0", "gzip", BEST, {MEDIA_JSON, CODING_GZIP}},
    {"application/json", "gzip", BEST, {MEDIA_JSON, CODING_GZIP}},
    {"application/msgpack", "identity", BEST, {MEDIA_MSGPACK, CODING_IDENTITY}},
    {"application/msgpack", NULL, BEST, {MEDIA_MSGPACK, CODING_IDENTITY}},
    {"application/json", "deflate", BEST, {MEDIA_JSON, CODING_IDENTITY}},
    {"text/csv", "br", BEST, {MEDIA_JSON, CODING_IDENTITY}},
    {"*/*", "*", BEST, NEXT},
    {ALL, "gzip", NEXT, NEXT},
    {"application/json", "gzip", NEXT, {MEDIA_JSON, CODING_GZIP}},
    {DELTA, "gzip", NEXT, {MEDIA_JSON, CODING_GZIP}},
    {ALL, "gzip", {MEDIA_JSON, CODING_GZIP}, {MEDIA_JSON, CODING_GZIP}},
    {ALL, "gzip", PLAIN, PLAIN},
};

START_TEST(form_is_what_is_wanted_as_far_as_it_is_taken)
{
    struct agreement a;

    agreement_init(&a, servers[_i].wanted);
    agreement_learn(&a, span_of_str(servers[_i].accept_post),
                    servers[_i].accept_encoding ? span_of_str(servers[_i].accept_encoding)
                                                : span_of(NULL, 0));
    struct form got = agreement_form(&a, NOW);
    assert_form(got, servers[_i].want);
    ck_assert(agreement_fits(&a, got, NOW));
    ck_assert(agreement_fits(&a, plain, NOW));
}
END_TEST

/* As if that were what is wanted. */
START_TEST(what_delta_cannot_hold_gets_the_next_form_down)
{
    struct form but_delta = servers[_i].wanted;
    struct span accept_encoding = servers[_i].accept_encoding
                                      ? span_of_str(servers[_i].accept_encoding)
                                      : span_of(NULL, 0);
    struct agreement a;
    struct agreement b;

    if (but_delta.media == MEDIA_DELTA)
        but_delta.media = MEDIA_MSGPACK;
    agreement_init(&a, servers[_i].wanted);
    agreement_init(&b, but_delta);
    agreement_learn(&a, span_of_str(servers[_i].accept_post), accept_encoding);
    agreement_learn(&b, span_of_str(servers[_i].accept_post), accept_encoding);
    struct form got = agreement_form_but_delta(&a, NOW);
    ck_assert_int_ne((int)got.media, MEDIA_DELTA);
    assert_form(got, agreement_form(&b, NOW));
    ck_assert(agreement_fits(&a, got, NOW));
}
END_TEST

START_TEST(silent_server_gets_all_but_delta)
{
    struct agreement a;

    agreement_init(&a, best);
    assert_form(agreement_form(&a, NOW), next);
    agreement_learn(&a, span_of(NULL, 0), SPAN("gzip"));
    ck_assert(!a.named);
    assert_form(agreement_form(&a, NOW), next);
    ck_assert(!agreement_fits(&a, best, NOW));
    ck_assert(agreement_fits(&a, next, NOW));
}
END_TEST

START_TEST(refused_form_goes_down_to_plain_json_for_an_hour)
{
    struct agreement a;

    agreement_init(&a, best);
    ck_assert(agreement_refused(&a, next, NOW));
    assert_form(agreement_form(&a, NOW), plain);
    ck_assert(!agreement_fits(&a, next, NOW));
    ck_assert(!agreement_refused(&a, plain, NOW));
    assert_form(agreement_form(&a, NOW + HOUR - 1), plain);
    assert_form(agreement_form(&a, NOW + HOUR), next);
    ck_assert(agreement_fits(&a, next, NOW + HOUR));
}
END_TEST

START_TEST(delta_that_is_named_and_refused_goes_down_step_by_step)
{
    struct agreement a;

    agreement_init(&a, best);
    agreement_learn(&a, SPAN(ALL), SPAN("gzip"));
    assert_form(agreement_form(&a, NOW), best);
    ck_assert(agreement_refused(&a, best, NOW));
    assert_form(agreement_form(&a, NOW), next);
    ck_assert(!agreement_fits(&a, best, NOW));
    /* Saying it again doesn't make it true. */
    agreement_learn(&a, SPAN(ALL), SPAN("gzip"));
    assert_form(agreement_form(&a, NOW), next);
    ck_assert(agreement_refused(&a, next, NOW + 1));
    assert_form(agreement_form(&a, NOW + 1), plain);
    ck_assert(!agreement_refused(&a, plain, NOW + 1));
    assert_form(agreement_form(&a, NOW + HOUR), plain);
    assert_form(agreement_form(&a, NOW + HOUR + 1), best);
}
END_TEST

START_TEST(refused_delta_is_not_tried_for_an_hour)
{
    struct agreement a;

    agreement_init(&a, best);
    agreement_learn(&a, SPAN(ALL), SPAN("gzip"));
    ck_assert(agreement_refused(&a, best, NOW));
    assert_form(agreement_form(&a, NOW + HOUR - 1), next);
    assert_form(agreement_form(&a, NOW + HOUR), best);
    ck_assert(agreement_fits(&a, best, NOW + HOUR));
}
END_TEST

START_TEST(refusal_that_names_another_form_gets_that_one)
{
    struct agreement a;

    agreement_init(&a, best);
    agreement_learn(&a, SPAN("application/msgpack"), SPAN("identity"));
    ck_assert(agreement_refused(&a, next, NOW));
    assert_form(agreement_form(&a, NOW), (struct form){MEDIA_MSGPACK, CODING_IDENTITY});
    /* And when it is gone from the list, nothing is held against it. */
    ck_assert(agreement_refused(&a, best, NOW));
    agreement_learn(&a, SPAN(ALL), SPAN("gzip"));
    assert_form(agreement_form(&a, NOW), best);
}
END_TEST

START_TEST(refusal_of_a_form_that_was_named_goes_down)
{
    struct agreement a;

    agreement_init(&a, next);
    agreement_learn(&a, SPAN("application/msgpack"), SPAN("gzip"));
    ck_assert(agreement_refused(&a, next, NOW));
    assert_form(agreement_form(&a, NOW), plain);
    /* Saying it again doesn't make it true. */
    agreement_learn(&a, SPAN("application/msgpack"), SPAN("gzip"));
    assert_form(agreement_form(&a, NOW), plain);
}
END_TEST

START_TEST(server_that_begins_to_name_ends_the_fallback)
{
    struct agreement a;

    agreement_init(&a, best);
    ck_assert(agreement_refused(&a, next, NOW));
    agreement_learn(&a, SPAN(ALL), SPAN("gzip"));
    assert_form(agreement_form(&a, NOW), best);
}
END_TEST

START_TEST(server_that_no_longer_names_is_believed_to_take_all_but_delta)
{
    struct agreement a;

    agreement_init(&a, best);
    agreement_learn(&a, SPAN("application/json"), SPAN("identity"));
    assert_form(agreement_form(&a, NOW), plain);
    agreement_forget(&a);
    assert_form(agreement_form(&a, NOW), next);
    agreement_learn(&a, SPAN(ALL), SPAN("gzip"));
    agreement_forget(&a);
    assert_form(agreement_form(&a, NOW), next);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pcc_form");
    TCase *c = tcase_create("form");

    tcase_add_loop_test(c, form_is_what_is_wanted_as_far_as_it_is_taken, 0,
                        (int)N_OF(servers));
    tcase_add_loop_test(c, what_delta_cannot_hold_gets_the_next_form_down, 0,
                        (int)N_OF(servers));
    tcase_add_test(c, silent_server_gets_all_but_delta);
    tcase_add_test(c, refused_form_goes_down_to_plain_json_for_an_hour);
    tcase_add_test(c, delta_that_is_named_and_refused_goes_down_step_by_step);
    tcase_add_test(c, refused_delta_is_not_tried_for_an_hour);
    tcase_add_test(c, refusal_that_names_another_form_gets_that_one);
    tcase_add_test(c, refusal_of_a_form_that_was_named_goes_down);
    tcase_add_test(c, server_that_begins_to_name_ends_the_fallback);
    tcase_add_test(c, server_that_no_longer_names_is_believed_to_take_all_but_delta);
    suite_add_tcase(suite, c);
    return suite_run(suite);
}
