/* SPDX-License-Identifier: MIT */
#include "common/msgpack.h"
#include "common/units.h"
#include "tests/lib/batches.h"
#include "tests/lib/bytes.h"
#include "tests/lib/fault.h"
#include "tests/lib/suite.h"
#include "tests/unit/msgpack_golden.h"

#include <errno.h>

static void put_str(struct buf *to, const char *s)
{
    ck_assert_uint_lt(strlen(s), 32);
    bytes_put_one(to, 0xa0u | (unsigned)strlen(s));
    bytes_put(to, span_of_str(s));
}

/* A key as a name, or as raw bytes where @name is NULL, and a value as raw bytes. */
struct pair {
    const char *name;
    struct span value;
    struct span raw_key;
};

static void put_map(struct buf *to, const struct pair *pairs, size_t n)
{
    bytes_put_one(to, 0x80u | (unsigned)n);
    for (size_t i = 0; i < n; i++) {
        if (pairs[i].name)
            put_str(to, pairs[i].name);
        else
            bytes_put(to, pairs[i].raw_key);
        bytes_put(to, pairs[i].value);
    }
}

#define TIME SPAN("\xce\x69\x5e\xaf\x93")
#define NAME SPAN("\xa4stat")
#define TEXT                                                                             \
    SPAN("\xa5"                                                                          \
         "cpu 1")

/* A request of a good measurement and, behind it, one of the given pairs. */
static void put_request(struct buf *to, const struct pair *pairs, size_t n)
{
    const struct pair good[] = {
        {"timestamp", TIME}, {"subsystem", NAME}, {"measurement", TEXT}};

    bytes_put_one(to, 0x82);
    put_str(to, "i");
    put_str(to, "h1");
    put_str(to, "m");
    bytes_put_one(to, 0x92);
    put_map(to, good, N_OF(good));
    put_map(to, pairs, n);
}

static int decode(struct span in, struct batch *ret, struct err_at *reterr_at)
{
    struct span copy = suite_exact(in);
    int r = msgpack_codec.decode_request(copy, ret, reterr_at);

    bytes_drop(&copy);
    return r;
}

static void assert_says(const struct err_at *at, const char *word)
{
    ck_assert_ptr_nonnull(at->what);
    ck_assert_msg(strstr(at->what, word), "\"%s\" does not say \"%s\"", at->what, word);
}

/* Decodes a request that must be refused, and says where and why it was. */
static struct err_at refused(struct span in, int verdict)
{
    CLEANUP(batch_done) struct batch b;
    struct err_at at = {NULL, 0, 0};

    batch_init(&b, &batch_limits_default);
    ck_assert_int_eq(decode(in, &b, &at), verdict);
    batches_assert_reset(&b);
    ck_assert_int_eq(decode(in, &b, NULL), verdict);
    return at;
}

START_TEST(request_of_the_go_encoder_is_read)
{
    CLEANUP(bytes_drop) struct span in = bytes_of_hex(GOLDEN);
    CLEANUP(batch_done) struct batch b;
    CLEANUP(batch_done) struct batch want;

    batch_init(&want, &batch_limits_default);
    ck_assert_int_eq(batch_set_identifier(&want, SPAN("h1")), 0);
    batches_add(&want, GOLDEN_TIME * SEC, SPAN("/proc/stat"), SPAN("cpu 1\n"));
    batch_init(&b, &batch_limits_default);
    ck_assert_int_eq(decode(in, &b, NULL), 0);
    batches_assert_same(&b, &want);
    ck_assert_uint_eq(b.n_ticks, 1);
}
END_TEST

START_TEST(request_cut_anywhere_is_truncated)
{
    CLEANUP(bytes_drop) struct span in = bytes_of_hex(GOLDEN);

    for (size_t n = 0; n < in.n; n++) {
        struct err_at at = refused(span_of(in.data, n), E_TRUNCATED);
        ck_assert_uint_le(at.offset, n);
    }
}
END_TEST

/* Whatever a byte becomes, the answer is a batch within the limits or a verdict. */
START_TEST(request_with_any_byte_changed_is_taken_or_refused)
{
    CLEANUP(bytes_drop) struct span golden = bytes_of_hex(GOLDEN);
    CLEANUP(batch_done) struct batch b;

    batch_init(&b, &batch_limits_default);
    for (size_t i = 0; i < golden.n; i++) {
        for (unsigned value = 0; value < 256; value++) {
            uint8_t bytes[128];
            memcpy(bytes, golden.data, golden.n);
            bytes[i] = (uint8_t)value;
            batch_reset(&b);
            int r = decode(span_of(bytes, golden.n), &b, NULL);
            ck_assert(r == 0 || r == E_TRUNCATED || r == E_MALFORMED || r == E_TOO_LARGE);
            if (r)
                batches_assert_reset(&b);
        }
    }
}
END_TEST

/* An integer, and the nanoseconds since the epoch that it gives; 0: refused. */
struct integer {
    const char *seconds;
    const char *nanoseconds; /* NULL: left out */
    uint64_t time_ns;
};

static const struct integer integers[] = {
    {"ce386d4380", NULL, 946684800 * SEC},
    {"cf00000000386d4380", NULL, 946684800 * SEC},
    {"d2386d4380", NULL, 946684800 * SEC},
    {"d300000000386d4380", NULL, 946684800 * SEC},
    {"ce386d437f", NULL, 0},
    {"cf00000001b27f4c7f", NULL, UINT64_C(7289654399) * SEC},
    {"d300000001b27f4c7f", NULL, UINT64_C(7289654399) * SEC},
    {"cf00000001b27f4c80", NULL, 0},
    {"00", NULL, 0},
    {"7f", NULL, 0},
    {"ff", NULL, 0},
    {"ccff", NULL, 0},
    {"cdffff", NULL, 0},
    {"d0ff", NULL, 0},
    {"d1ffff", NULL, 0},
    {"d280000000", NULL, 0},
    {"d38000000000000000", NULL, 0},
    {"d37fffffffffffffff", NULL, 0},
    {"cf8000000000000000", NULL, 0},
    {"cfffffffffffffffff", NULL, 0},
    {"ce386d4380", "00", 946684800 * SEC},
    {"ce386d4380", "7f", 946684800 * SEC + 127},
    {"ce386d4380", "ccff", 946684800 * SEC + 255},
    {"ce386d4380", "cdffff", 946684800 * SEC + 65535},
    {"ce386d4380", "ce3b9ac9ff", 946684800 * SEC + 999999999},
    {"ce386d4380", "cf000000003b9ac9ff", 946684800 * SEC + 999999999},
    {"ce386d4380", "d07f", 946684800 * SEC + 127},
    {"ce386d4380", "d17fff", 946684800 * SEC + 32767},
    {"ce386d4380", "d23b9ac9ff", 946684800 * SEC + 999999999},
    {"ce386d4380", "d3000000003b9ac9ff", 946684800 * SEC + 999999999},
    {"ce386d4380", "ce3b9aca00", 0},
    {"ce386d4380", "ceffffffff", 0},
    {"ce386d4380", "ff", 0},
    {"ce386d4380", "d38000000000000000", 0},
    {"ce386d4380", "cfffffffffffffffff", 0},
};

START_TEST(request_takes_integers_of_any_width_within_their_limits)
{
    const struct integer *row = &integers[_i];
    CLEANUP(bytes_drop) struct span seconds = bytes_of_hex(row->seconds);
    CLEANUP(bytes_drop)
    struct span ns = bytes_of_hex(row->nanoseconds ? row->nanoseconds : "");
    CLEANUP(buf_done) struct buf in;
    const struct pair pairs[] = {{"Timestamp", seconds},
                                 {"Subsystem", NAME},
                                 {"Measurement", TEXT},
                                 {"Nanoseconds", ns}};

    buf_init(&in, BYTES_ROOM);
    put_request(&in, pairs, row->nanoseconds ? 4 : 3);
    if (row->time_ns == 0) {
        struct err_at at = refused(buf_span(&in), E_MALFORMED);
        assert_says(&at, row->nanoseconds ? "nanoseconds" : "timestamp");
        ck_assert_uint_eq(at.item, 1);
        return;
    }
    CLEANUP(batch_done) struct batch b;
    batch_init(&b, &batch_limits_default);
    ck_assert_int_eq(decode(buf_span(&in), &b, NULL), 0);
    ck_assert_uint_eq(batch_get(&b, 1).time_ns, row->time_ns);
}
END_TEST

static const char *const member_names[] = {"timestamp", "subsystem", "measurement",
                                           "nanoseconds"};

/* A value of every type, and which members (by index above) may have it. */
static const struct {
    const char *value;
    unsigned good_for;
} typed[] = {
    {"c0", 0},
    {"c2", 0},
    {"c3", 0},
    {"ca4e7e0000", 0},
    {"cb41da57abe4c00000", 0},
    {"90", 0},
    {"9100", 0},
    {"80", 0},
    {"81a16100", 0},
    {"d40100", 0},
    {"d6ff695eaf93", 0},
    {"a161", 0x6},
    {"c40161", 0x4},
    {"ce386d4380", 0x9},
    {"a0", 0x6},
};

START_TEST(request_names_the_member_of_a_wrong_type)
{
    CLEANUP(bytes_drop) struct span value = bytes_of_hex(typed[_i].value);

    for (size_t wrong = 0; wrong < N_OF(member_names); wrong++) {
        struct pair pairs[] = {{member_names[0], TIME},
                               {member_names[1], NAME},
                               {member_names[2], TEXT},
                               {member_names[3], SPAN("\x05")}};
        CLEANUP(buf_done) struct buf in;
        CLEANUP(batch_done) struct batch b;
        pairs[wrong].value = value;
        buf_init(&in, BYTES_ROOM);
        put_request(&in, pairs, N_OF(pairs));
        if (typed[_i].good_for & (1u << wrong)) {
            batch_init(&b, &batch_limits_default);
            ck_assert_int_eq(decode(buf_span(&in), &b, NULL), 0);
            continue;
        }
        batch_init(&b, &batch_limits_default);
        struct err_at at = refused(buf_span(&in), E_MALFORMED);
        assert_says(&at, member_names[wrong]);
        assert_says(&at, "type");
        ck_assert_uint_eq(at.item, 1);
    }
}
END_TEST

START_TEST(request_names_a_missing_member)
{
    const struct pair pairs[] = {
        {"timestamp", TIME}, {"subsystem", NAME}, {"measurement", TEXT}};

    for (size_t missing = 0; missing < N_OF(pairs); missing++) {
        struct pair rest[2];
        CLEANUP(buf_done) struct buf in;
        for (size_t i = 0, n = 0; i < N_OF(pairs); i++) {
            if (i != missing)
                rest[n++] = pairs[i];
        }
        buf_init(&in, BYTES_ROOM);
        put_request(&in, rest, N_OF(rest));
        struct err_at at = refused(buf_span(&in), E_MALFORMED);
        assert_says(&at, pairs[missing].name);
        assert_says(&at, "missing");
        ck_assert_uint_eq(at.item, 1);
    }
}
END_TEST

START_TEST(request_takes_the_last_of_a_member_given_twice)
{
    CLEANUP(buf_done) struct buf in;
    CLEANUP(batch_done) struct batch b;
    const struct pair pairs[] = {{"timestamp", SPAN("\xc0")},
                                 {"Subsystem", SPAN("\x07")},
                                 {"measurement", SPAN("\xa1x")},
                                 {"Timestamp", TIME},
                                 {"subsystem", NAME},
                                 {"Measurement", TEXT},
                                 {"nanoseconds", SPAN("\xff")},
                                 {"Nanoseconds", SPAN("\x05")}};

    buf_init(&in, BYTES_ROOM);
    put_request(&in, pairs, N_OF(pairs));
    batch_init(&b, &batch_limits_default);
    ck_assert_int_eq(decode(buf_span(&in), &b, NULL), 0);
    struct measurement m = batch_get(&b, 1);
    ck_assert_uint_eq(m.time_ns, GOLDEN_TIME * SEC + 5);
    ck_assert(span_equal(m.subsystem, SPAN("stat")));
    ck_assert(span_equal(m.text, SPAN("cpu 1")));

    /* Of the request's own members too. */
    CLEANUP(bytes_drop)
    struct span twice = bytes_of_hex("84a16900a16d00a169a26832a16d90");
    batch_reset(&b);
    ck_assert_int_eq(decode(twice, &b, NULL), 0);
    ck_assert(span_equal(batch_identifier(&b), SPAN("h2")));
    ck_assert_uint_eq(b.n_items, 0);
}
END_TEST

START_TEST(request_ignores_what_it_does_not_know)
{
    CLEANUP(buf_done) struct buf in;
    CLEANUP(batch_done) struct batch b;
    const struct pair pairs[] = {{"measurement", TEXT},
                                 {"timestamp", TIME},
                                 {"subsystem", NAME},
                                 {"Subsystems", SPAN("\x01")},
                                 {"extended", SPAN("\xd6\xff\x01\x02\x03\x04")},
                                 {"nested", SPAN("\x82\x01\x90\xc0\x81\x91\xc2\xc3")},
                                 {NULL, SPAN("\x00"), SPAN("\x2a")},
                                 {NULL, SPAN("\x00"), SPAN("\xc0")},
                                 {NULL, SPAN("\x00"), SPAN("\xc4\x09timestamp")},
                                 {NULL, SPAN("\x00"), SPAN("\x91\xa9timestamp")},
                                 {NULL, SPAN("\x00"), SPAN("\xa0")}};

    buf_init(&in, BYTES_ROOM);
    put_request(&in, pairs, N_OF(pairs));
    batch_init(&b, &batch_limits_default);
    ck_assert_int_eq(decode(buf_span(&in), &b, NULL), 0);
    ck_assert_uint_eq(b.n_items, 2);
    ck_assert(span_equal(batch_get(&b, 1).text, SPAN("cpu 1")));
}
END_TEST

START_TEST(request_takes_any_bytes_as_text_but_not_as_a_name)
{
    CLEANUP(buf_done) struct buf in;
    CLEANUP(batch_done) struct batch b;
    struct pair pairs[] = {{"timestamp", TIME},
                           {"subsystem", NAME},
                           {"measurement", SPAN("\xa3"
                                                "a\xff\x00")}};

    buf_init(&in, BYTES_ROOM);
    put_request(&in, pairs, N_OF(pairs));
    batch_init(&b, &batch_limits_default);
    ck_assert_int_eq(decode(buf_span(&in), &b, NULL), 0);
    ck_assert(span_equal(batch_get(&b, 1).text, SPAN("a\xff\x00")));

    pairs[1].value = SPAN("\xa3"
                          "a\xed\xa0");
    buf_reset(&in);
    put_request(&in, pairs, N_OF(pairs));
    struct err_at at = refused(buf_span(&in), E_MALFORMED);
    assert_says(&at, "subsystem is not valid UTF-8");
    ck_assert_uint_eq(at.item, 1);
}
END_TEST

/* The whole message, and a word of the reason; NULL: it is taken. */
static const struct {
    const char *message;
    const char *reason;
} requests[] = {
    {"82a169a26831a16d90", NULL},
    {"82a169a26831a16dc0", NULL},
    {"de0002d90169da00026831d9016ddc0000", NULL},
    {"81a16d90", "identifier is missing"},
    {"81a169a26831", "measurements is missing"},
    {"80", "identifier is missing"},
    {"82a169c0a16d90", "identifier has the wrong type"},
    {"82a169c4026831a16d90", "identifier has the wrong type"},
    {"82a16901a16d90", "identifier has the wrong type"},
    {"82a169a0a16d90", "identifier is not"},
    {"82a169a2680aa16d90", "identifier is not"},
    {"82a169a268ffa16d90", "identifier is not"},
    {"82a169a268c2a16d90", "identifier is not"},
    {"82a169a26831a16d80", "measurements has the wrong type"},
    {"82a169a26831a16da0", "measurements has the wrong type"},
    {"82a169a26831a16d00", "measurements has the wrong type"},
    {"82a169a26831a16d91c0", "not a map"},
    {"82a169a26831a16d9190", "not a map"},
    {"82a169a26831a16d91d70100000000695eaf93", "not a map"},
    {"c0", "not a map"},
    {"90", "not a map"},
    {"a26831", "not a map"},
    {"7b", "not a map"},
    {"82a169a26831a16dc1", "never"},
    {"82a169a26831a16d9000", "behind"},
};

START_TEST(request_says_what_is_wrong_with_it)
{
    CLEANUP(bytes_drop) struct span in = bytes_of_hex(requests[_i].message);

    if (requests[_i].reason) {
        struct err_at at = refused(in, E_MALFORMED);
        assert_says(&at, requests[_i].reason);
        return;
    }
    CLEANUP(batch_done) struct batch b;
    batch_init(&b, &batch_limits_default);
    ck_assert_int_eq(decode(in, &b, NULL), 0);
    ck_assert(span_equal(batch_identifier(&b), SPAN("h1")));
    ck_assert_uint_eq(b.n_items, 0);
}
END_TEST

START_TEST(request_takes_an_identifier_up_to_its_limit)
{
    for (unsigned n = LIMIT_IDENTIFIER_BYTES; n <= LIMIT_IDENTIFIER_BYTES + 1; n++) {
        CLEANUP(buf_done) struct buf in;
        CLEANUP(batch_done) struct batch b;
        buf_init(&in, BYTES_ROOM);
        bytes_put(&in, SPAN("\x82\xa1i\xd9"));
        bytes_put_one(&in, n);
        for (unsigned i = 0; i < n; i++)
            bytes_put_one(&in, 'x');
        bytes_put(&in, SPAN("\xa1m\x90"));
        batch_init(&b, &batch_limits_default);
        ck_assert_int_eq(decode(buf_span(&in), &b, NULL),
                         n > LIMIT_IDENTIFIER_BYTES ? E_MALFORMED : 0);
    }
}
END_TEST

/* Two measurements, of `stat` and `cpu 1` each, under limits that just do, or don't. */
static const struct {
    struct batch_limits limits;
    const char *passed; /* a word of the reason; NULL: all fits */
    size_t item;
} limited[] = {
    {{.measurements = 2, .text_bytes = 5, .subsystem_bytes = 4, .bytes = 18}, NULL, 0},
    {{.measurements = 1, .text_bytes = 5, .subsystem_bytes = 4, .bytes = 18},
     "measurements",
     1},
    {{.measurements = 2, .text_bytes = 4, .subsystem_bytes = 4, .bytes = 18},
     "measurement is",
     0},
    {{.measurements = 2, .text_bytes = 5, .subsystem_bytes = 3, .bytes = 18},
     "subsystem",
     0},
    {{.measurements = 2, .text_bytes = 5, .subsystem_bytes = 4, .bytes = 17}, "bytes", 1},
};

START_TEST(request_over_a_limit_names_the_limit)
{
    CLEANUP(buf_done) struct buf in;
    CLEANUP(batch_done) struct batch b;
    const struct pair pairs[] = {
        {"timestamp", TIME}, {"subsystem", NAME}, {"measurement", TEXT}};
    struct err_at at;

    buf_init(&in, BYTES_ROOM);
    put_request(&in, pairs, N_OF(pairs));
    batch_init(&b, &limited[_i].limits);
    int r = decode(buf_span(&in), &b, &at);
    ck_assert_int_eq(r, limited[_i].passed ? E_TOO_LARGE : 0);
    if (r) {
        assert_says(&at, limited[_i].passed);
        ck_assert_uint_eq(at.item, limited[_i].item);
        batches_assert_reset(&b);
    }
}
END_TEST

START_TEST(request_bounds_the_objects_it_builds)
{
    CLEANUP(buf_done) struct buf in;
    CLEANUP(batch_done) struct batch b;
    const struct batch_limits limits = {1, 100, 100, 1000};

    /* A map, two keys, the identifier, the array; the limit allows 16 + 64. */
    batch_init(&b, &limits);
    for (unsigned n = 75; n <= 76; n++) {
        struct err_at at;
        buf_init(&in, BYTES_ROOM);
        bytes_put(&in, SPAN("\x83\xa1i\xa2h1\xa1m\x90\xa1x\xdc\x00"));
        bytes_put_one(&in, n - 2);
        for (unsigned i = 0; i < n - 2; i++)
            bytes_put_one(&in, 0xc0);
        int r = decode(buf_span(&in), &b, &at);
        ck_assert_int_eq(r, n > 75 ? E_TOO_LARGE : 0);
        if (r)
            assert_says(&at, "objects");
        buf_done(&in);
        batch_reset(&b);
    }
}
END_TEST

START_TEST(request_survives_any_failed_allocation)
{
    CLEANUP(bytes_drop) struct span in = bytes_of_hex(GOLDEN);
    bool fired = true;

    for (long nth = 0; fired; nth++) {
        CLEANUP(batch_done) struct batch b;
        batch_init(&b, &batch_limits_default);
        fault_arm(nth);
        int r = msgpack_codec.decode_request(in, &b, NULL);
        fired = fault_disarm();
        ck_assert_int_eq(r, fired ? -ENOMEM : 0);
        if (fired)
            batches_assert_reset(&b);
        ck_assert(nth < 100);
    }
}
END_TEST

static void add_request_tests(Suite *suite)
{
    TCase *c = tcase_create("request");

    tcase_add_test(c, request_of_the_go_encoder_is_read);
    tcase_add_test(c, request_cut_anywhere_is_truncated);
    tcase_add_test(c, request_with_any_byte_changed_is_taken_or_refused);
    tcase_add_loop_test(c, request_takes_integers_of_any_width_within_their_limits, 0,
                        N_OF(integers));
    tcase_add_loop_test(c, request_names_the_member_of_a_wrong_type, 0, N_OF(typed));
    tcase_add_test(c, request_names_a_missing_member);
    tcase_add_test(c, request_takes_the_last_of_a_member_given_twice);
    tcase_add_test(c, request_ignores_what_it_does_not_know);
    tcase_add_test(c, request_takes_any_bytes_as_text_but_not_as_a_name);
    tcase_add_loop_test(c, request_says_what_is_wrong_with_it, 0, N_OF(requests));
    tcase_add_test(c, request_takes_an_identifier_up_to_its_limit);
    tcase_add_loop_test(c, request_over_a_limit_names_the_limit, 0, N_OF(limited));
    tcase_add_test(c, request_bounds_the_objects_it_builds);
    tcase_add_test(c, request_survives_any_failed_allocation);
    tcase_set_timeout(c, 60);
    suite_add_tcase(suite, c);
}

int main(void)
{
    Suite *suite = suite_create("msgpack");

    add_request_tests(suite);
    return suite_run(suite);
}
