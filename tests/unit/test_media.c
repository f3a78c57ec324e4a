/* SPDX-License-Identifier: MIT */
#include "common/media.h"
#include "tests/lib/bytes.h"
#include "tests/lib/suite.h"

#define JSON MEDIA_BIT(MEDIA_JSON)
#define MSGPACK MEDIA_BIT(MEDIA_MSGPACK)
#define DELTA MEDIA_BIT(MEDIA_DELTA)
#define IDENTITY MEDIA_BIT(CODING_IDENTITY)
#define GZIP MEDIA_BIT(CODING_GZIP)
#define DEFLATE MEDIA_BIT(CODING_DEFLATE)

#define REFUSED (-1)

/* A header's value in an exact heap block; NULL: the header is absent. */
static struct span value_of(const char *text)
{
    return text ? suite_exact(span_of_str(text)) : span_of(NULL, 0);
}

static const struct {
    const char *value;
    int form;
} content_types[] = {
    {NULL, MEDIA_JSON},
    {"application/json", MEDIA_JSON},
    {"Application/JSON", MEDIA_JSON},
    {"application/json; charset=utf-8", MEDIA_JSON},
    {"application/json;charset=\"a;b,c\"", MEDIA_JSON},
    {"  application/json\t; x", MEDIA_JSON},
    {"text/json", MEDIA_JSON},
    {"application/msgpack", MEDIA_MSGPACK},
    {"application/x-msgpack", MEDIA_MSGPACK},
    {"application/vnd.msgpack;v=5", MEDIA_MSGPACK},
    {"APPLICATION/MSGPACK", MEDIA_MSGPACK},
    {"", REFUSED},
    {" ", REFUSED},
    {";", REFUSED},
    {"application", REFUSED},
    {"application/", REFUSED},
    {"application/jso", REFUSED},
    {"application/jsonx", REFUSED},
    {"application/json/", REFUSED},
    {"application /json", REFUSED},
    {"application/json, application/msgpack", REFUSED},
    {"application/vnd.perfcollector.delta+msgpack", MEDIA_DELTA},
    {"application/vnd.perfcollector.delta", REFUSED},
    {"application/*", REFUSED},
    {"*/*", REFUSED},
    {"text/plain", REFUSED},
    {"multipart/form-data; boundary=application/json", REFUSED},
};

START_TEST(content_type_names_a_form_or_none)
{
    CLEANUP(bytes_drop) struct span value = value_of(content_types[_i].value);
    enum media_form form = MEDIA_FORMS;
    int r = media_of_content_type(value, &form);

    if (content_types[_i].form == REFUSED) {
        ck_assert_int_eq(r, E_UNSUPPORTED);
        ck_assert_int_eq(form, MEDIA_FORMS);
    } else {
        ck_assert_int_eq(r, 0);
        ck_assert_int_eq(form, content_types[_i].form);
    }
}
END_TEST

static const struct {
    const char *value;
    int coding;
} content_encodings[] = {
    {NULL, CODING_IDENTITY},
    {"", CODING_IDENTITY},
    {" , ,", CODING_IDENTITY},
    {"identity", CODING_IDENTITY},
    {"gzip", CODING_GZIP},
    {"GZip", CODING_GZIP},
    {"x-gzip", CODING_GZIP},
    {" gzip\t", CODING_GZIP},
    {",gzip,", CODING_GZIP},
    {"deflate", CODING_DEFLATE},
    {"gzip, gzip", REFUSED},
    {"gzip, identity", REFUSED},
    {"identity,gzip", REFUSED},
    {"deflate gzip", REFUSED},
    {"gzi", REFUSED},
    {"gzip2", REFUSED},
    {"br", REFUSED},
    {"zstd", REFUSED},
    {"compress", REFUSED},
    {"*", REFUSED},
    {"gzip;q=1", REFUSED},
    {"\"gzip\"", REFUSED},
};

START_TEST(content_encoding_names_one_coding_or_none)
{
    CLEANUP(bytes_drop) struct span value = value_of(content_encodings[_i].value);
    enum coding coding = CODING_DEFLATE;
    int r = media_of_content_encoding(value, &coding);

    if (content_encodings[_i].coding == REFUSED) {
        ck_assert_int_eq(r, E_UNSUPPORTED);
        ck_assert_int_eq(coding, CODING_DEFLATE);
    } else {
        ck_assert_int_eq(r, 0);
        ck_assert_int_eq(coding, content_encodings[_i].coding);
    }
}
END_TEST

/* What an Accept makes of a JSON and of a MessagePack request's answer. */
static const struct {
    const char *value;
    enum media_form of_json;
    enum media_form of_msgpack;
} accepts[] = {
    {NULL, MEDIA_JSON, MEDIA_MSGPACK},
    {"", MEDIA_JSON, MEDIA_MSGPACK},
    {"*/*", MEDIA_JSON, MEDIA_MSGPACK},
    {"*", MEDIA_JSON, MEDIA_MSGPACK},
    {"application/*", MEDIA_JSON, MEDIA_MSGPACK},
    {"Application/*", MEDIA_JSON, MEDIA_MSGPACK},
    {"application/json", MEDIA_JSON, MEDIA_JSON},
    {"application/msgpack", MEDIA_MSGPACK, MEDIA_MSGPACK},
    {"application/x-msgpack", MEDIA_MSGPACK, MEDIA_MSGPACK},
    {"APPLICATION/MSGPACK", MEDIA_MSGPACK, MEDIA_MSGPACK},
    {"text/json", MEDIA_JSON, MEDIA_JSON},
    {"text/*", MEDIA_JSON, MEDIA_JSON},
    {"application/json, application/msgpack", MEDIA_JSON, MEDIA_MSGPACK},
    {"application/json;q=0.5, application/msgpack;q=0.6", MEDIA_MSGPACK, MEDIA_MSGPACK},
    {"application/json;Q=0.5, application/msgpack;q=0.6", MEDIA_MSGPACK, MEDIA_MSGPACK},
    {"application/json;q=0.51, application/msgpack;q=0.5", MEDIA_JSON, MEDIA_JSON},
    {"application/json;q=0.501, application/msgpack;q=0.5", MEDIA_JSON, MEDIA_JSON},
    {"application/json;q=0.5, application/msgpack;q=0.50", MEDIA_JSON, MEDIA_MSGPACK},
    {"application/json ; Q=0.5 , */* ; q=0.1", MEDIA_JSON, MEDIA_JSON},
    {"*/*, application/json;q=0", MEDIA_MSGPACK, MEDIA_MSGPACK},
    {"application/*;q=0.9, application/json;q=0.1, */*", MEDIA_MSGPACK, MEDIA_MSGPACK},
    {"*/*;q=0, application/msgpack;q=0.001", MEDIA_MSGPACK, MEDIA_MSGPACK},
    {"application/json;q=0.2, text/json;q=0.8, application/msgpack;q=0.5", MEDIA_JSON,
     MEDIA_JSON},
    {"application/json;version=1;q=0.2, application/msgpack", MEDIA_MSGPACK,
     MEDIA_MSGPACK},
    {"text/html", MEDIA_JSON, MEDIA_MSGPACK},
    {"image/*", MEDIA_JSON, MEDIA_MSGPACK},
    {"app/*", MEDIA_JSON, MEDIA_MSGPACK},
    {"/*", MEDIA_JSON, MEDIA_MSGPACK},
    {"application/msgpack;q=0", MEDIA_JSON, MEDIA_MSGPACK},
    {"application/msgpack;q=0.000", MEDIA_JSON, MEDIA_MSGPACK},
    /* A comma in quotes parts nothing. */
    {"text/plain;x=\", application/msgpack,\"", MEDIA_JSON, MEDIA_MSGPACK},
    {"text/plain;x=\"\\\", application/msgpack, \"", MEDIA_JSON, MEDIA_MSGPACK},
    {"text/plain;x=\"a\", application/msgpack", MEDIA_MSGPACK, MEDIA_MSGPACK},
    /* What is broken is never worse than absent. */
    {",,;;,", MEDIA_JSON, MEDIA_MSGPACK},
    {"\"", MEDIA_JSON, MEDIA_MSGPACK},
    {"\"\\", MEDIA_JSON, MEDIA_MSGPACK},
    {"application/msgpack;q=", MEDIA_MSGPACK, MEDIA_MSGPACK},
    {"application/msgpack;q=x, application/json;q=0.9", MEDIA_MSGPACK, MEDIA_MSGPACK},
    {"application/msgpack;q=0.9999999999999999999999, application/json;q=0.9",
     MEDIA_MSGPACK, MEDIA_MSGPACK},
    {"application/msgpack;q=05, application/json;q=0.9", MEDIA_MSGPACK, MEDIA_MSGPACK},
    {"application/msgpack;q=1.5, application/json;q=0.9", MEDIA_MSGPACK, MEDIA_MSGPACK},
};

START_TEST(accept_chooses_the_form_of_the_answer)
{
    CLEANUP(bytes_drop) struct span value = value_of(accepts[_i].value);

    ck_assert_int_eq(media_of_accept(value, MEDIA_JSON), accepts[_i].of_json);
    ck_assert_int_eq(media_of_accept(value, MEDIA_MSGPACK), accepts[_i].of_msgpack);
    ck_assert_int_eq(media_of_accept(value, MEDIA_DELTA), accepts[_i].of_msgpack);
}
END_TEST

START_TEST(accept_with_a_range_longer_than_a_name_is_no_match)
{
    /* A NUL is what stands behind our own names in memory. */
    struct span value = SPAN("application/msgpack\0and more/*");

    ck_assert_int_eq(media_of_accept(value, MEDIA_JSON), MEDIA_JSON);
}
END_TEST

static const struct {
    const char *value;
    unsigned forms;
} accept_posts[] = {
    {NULL, 0},
    {"", 0},
    {"application/json", JSON},
    {"text/json;q=0.5", JSON},
    {"application/vnd.msgpack", MSGPACK},
    {"application/json, application/msgpack", JSON | MSGPACK},
    {"application/json, application/vnd.perfcollector.delta+msgpack", JSON | DELTA},
    {"*/*, application/vnd.perfcollector.delta+msgpack;q=0", JSON | MSGPACK},
    {"*/*", JSON | MSGPACK},
    {"*", JSON | MSGPACK},
    {"application/*", JSON | MSGPACK},
    {"*/*, application/json;q=0", MSGPACK},
    {"application/json;q=0", 0},
    {"application/json;q=0.0001", 0},
    {"text/turtle, image/*", 0},
};

START_TEST(accept_post_names_a_set_of_forms)
{
    CLEANUP(bytes_drop) struct span value = value_of(accept_posts[_i].value);

    ck_assert_uint_eq(media_forms_in(value), accept_posts[_i].forms);
}
END_TEST

static const struct {
    const char *value;
    unsigned codings;
} accept_encodings[] = {
    {NULL, IDENTITY},
    {"", IDENTITY},
    {"gzip", IDENTITY | GZIP},
    {"x-gzip", IDENTITY | GZIP},
    {"GZIP;q=0.1, br", IDENTITY | GZIP},
    {"gzip, deflate, identity", IDENTITY | GZIP | DEFLATE},
    {"*", IDENTITY | GZIP | DEFLATE},
    {"*;q=0", 0},
    {"*;q=0, gzip", GZIP},
    {"identity;q=0, gzip", GZIP},
    {"gzip, identity;q=0, *", GZIP | DEFLATE},
    {"*;q=0, identity", IDENTITY},
    {"gzip;q=0", IDENTITY},
};

START_TEST(accept_encoding_names_a_set_of_codings)
{
    CLEANUP(bytes_drop) struct span value = value_of(accept_encodings[_i].value);

    ck_assert_uint_eq(media_codings_in(value), accept_encodings[_i].codings);
}
END_TEST

START_TEST(what_we_say_we_take_is_what_we_take)
{
    struct span post = span_of_str(media_accept_post());
    struct span encoding = span_of_str(media_accept_encoding());

    ck_assert_str_eq(media_accept_post(), "application/json, application/msgpack, "
                                          "application/vnd.perfcollector.delta+msgpack");
    ck_assert_str_eq(media_accept_encoding(), "gzip, deflate, identity");
    ck_assert_uint_eq(media_forms_in(post), JSON | MSGPACK | DELTA);
    ck_assert_uint_eq(media_codings_in(encoding), IDENTITY | GZIP | DEFLATE);
}
END_TEST

START_TEST(each_form_has_the_codec_of_its_type)
{
    for (unsigned i = 0; i < MEDIA_FORMS; i++) {
        const struct codec *codec = media_codec((enum media_form)i);
        enum media_form form = MEDIA_FORMS;
        ck_assert_int_eq(media_of_content_type(span_of_str(codec->media_type), &form), 0);
        ck_assert_uint_eq(form, i);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("media");
    TCase *c = tcase_create("media");

    tcase_add_loop_test(c, content_type_names_a_form_or_none, 0, N_OF(content_types));
    tcase_add_loop_test(c, content_encoding_names_one_coding_or_none, 0,
                        N_OF(content_encodings));
    tcase_add_loop_test(c, accept_chooses_the_form_of_the_answer, 0, N_OF(accepts));
    tcase_add_test(c, accept_with_a_range_longer_than_a_name_is_no_match);
    tcase_add_loop_test(c, accept_post_names_a_set_of_forms, 0, N_OF(accept_posts));
    tcase_add_loop_test(c, accept_encoding_names_a_set_of_codings, 0,
                        N_OF(accept_encodings));
    tcase_add_test(c, what_we_say_we_take_is_what_we_take);
    tcase_add_test(c, each_form_has_the_codec_of_its_type);
    suite_add_tcase(suite, c);
    return suite_run(suite);
}
