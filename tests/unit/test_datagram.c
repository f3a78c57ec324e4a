/* SPDX-License-Identifier: MIT */
#include "common/datagram.h"
#include "tests/lib/bytes.h"
#include "tests/lib/suite.h"

#include "proto/limits.h"

static uint8_t digest[DATAGRAM_DIGEST_BYTES];

static void set_up(void)
{
    ck_assert_int_eq(datagram_start(), 0);
    ck_assert_int_eq(datagram_start(), 0); /* any number of times */
    datagram_digest(SPAN("a key of the examples"), digest);
}

static struct datagram_head head_of(enum datagram_kind kind, uint64_t number)
{
    return (struct datagram_head){
        .kind = kind,
        .key_id = datagram_key_id(digest),
        .session = UINT64_C(0x0123456789abcdef),
        .number = number,
        .snapshot = 3,
        .identifier = SPAN("web-01"),
    };
}

static void seal(const struct datagram_head *head, struct span content, struct buf *ret)
{
    struct datagram_key key;

    buf_init(ret, BYTES_ROOM);
    datagram_key(digest, head, &key);
    ck_assert_int_eq(datagram_seal(&key, head, content, ret), 0);
    ck_assert_uint_eq(ret->len, datagram_overhead(head) + content.n);
}

/* Return: what datagram_open() says of it; its content is appended. */
static int parse_and_open(struct span in, struct buf *to)
{
    CLEANUP(bytes_drop) struct span exact = suite_exact(in);
    struct datagram_key key;
    struct datagram d;

    int r = datagram_parse(exact, &d);
    if (r)
        return r;
    datagram_key(digest, &d.head, &key);
    return datagram_open(&key, &d, to);
}

/* By proto/examples/datagram.py, which is not made of libsodium. */
static const struct {
    enum datagram_kind kind;
    uint64_t number;
    const char *content;
    const char *datagram;
} examples[] = {
    {DATAGRAM_TICK, 1, "",
     "1147d775021888af81efcdab89674523010103067765622d30310bacf4f416d919558702225944db07e"
     "5"},
    {DATAGRAM_TICK, 300,
     "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff00",
     "1147d775021888af81efcdab8967452301ac0203067765622d3031824e3eebe7540bb7426a8782fe144"
     "066f59503c9a131cb8f9e08adb4f16e457c2cee257c4820620fa43d73aa20b252cff7"},
    {DATAGRAM_SNAPSHOT, 300, "",
     "1247d775021888af81efcdab8967452301ac0203067765622d303195a371f59c2cbeb9450b99e236ba4"
     "2a5"},
};

START_TEST(examples_are_sealed_and_opened)
{
    const struct datagram_head head = head_of(examples[_i].kind, examples[_i].number);
    CLEANUP(bytes_drop) struct span content = bytes_of_hex(examples[_i].content);
    CLEANUP(bytes_drop) struct span datagram = bytes_of_hex(examples[_i].datagram);
    CLEANUP(buf_done) struct buf sealed;
    CLEANUP(buf_done) struct buf opened;

    seal(&head, content, &sealed);
    ck_assert(span_equal(buf_span(&sealed), datagram));
    buf_init(&opened, BYTES_ROOM);
    bytes_put(&opened, SPAN("x"));
    ck_assert_int_eq(parse_and_open(datagram, &opened), 0);
    ck_assert(span_equal(span_from(buf_span(&opened), 1), content));
}
END_TEST

START_TEST(header_comes_back)
{
    const struct datagram_head head = head_of(DATAGRAM_SNAPSHOT, UINT64_MAX);
    CLEANUP(buf_done) struct buf sealed;
    struct datagram d;

    seal(&head, SPAN("content"), &sealed);
    ck_assert_int_eq(datagram_parse(buf_span(&sealed), &d), 0);
    ck_assert_int_eq(d.head.kind, DATAGRAM_SNAPSHOT);
    ck_assert_uint_eq(d.head.key_id, head.key_id);
    ck_assert_uint_eq(d.head.session, head.session);
    ck_assert_uint_eq(d.head.number, head.number);
    ck_assert_uint_eq(d.head.snapshot, 3);
    ck_assert(span_equal(d.head.identifier, SPAN("web-01")));
    ck_assert_uint_eq(d.clear.n + d.sealed.n, sealed.len);
}
END_TEST

START_TEST(no_bit_can_be_changed)
{
    const struct datagram_head head = head_of(DATAGRAM_TICK, 7);
    CLEANUP(buf_done) struct buf sealed;
    CLEANUP(buf_done) struct buf opened;

    seal(&head, SPAN("content"), &sealed);
    buf_init(&opened, BYTES_ROOM);
    for (size_t bit = 0; bit < 8 * sealed.len; bit++) {
        sealed.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        ck_assert_int_ne(parse_and_open(buf_span(&sealed), &opened), 0);
        sealed.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    ck_assert_uint_eq(opened.len, 0);
    ck_assert_int_eq(parse_and_open(buf_span(&sealed), &opened), 0);
}
END_TEST

START_TEST(what_is_cut_or_goes_on_is_refused)
{
    const struct datagram_head head = head_of(DATAGRAM_TICK, 7);
    CLEANUP(buf_done) struct buf sealed;
    CLEANUP(buf_done) struct buf opened;

    seal(&head, SPAN("content"), &sealed);
    buf_init(&opened, BYTES_ROOM);
    for (size_t n = 0; n < sealed.len; n++)
        ck_assert_int_ne(parse_and_open(span_of(sealed.data, n), &opened), 0);
    bytes_put_one(&sealed, 0);
    ck_assert_int_eq(parse_and_open(buf_span(&sealed), &opened), E_DENIED);
    ck_assert_uint_eq(opened.len, 0);
}
END_TEST

START_TEST(keys_differ_by_all_that_they_are_made_of)
{
    struct datagram_head heads[5];
    struct datagram_key keys[6];

    for (size_t i = 0; i < N_OF(heads); i++)
        heads[i] = head_of(DATAGRAM_TICK, 1);
    heads[1].kind = DATAGRAM_SNAPSHOT;
    heads[2].session++;
    heads[3].identifier = SPAN("web-02");
    heads[4].number++; /* not by this, nor by the snapshot: */
    heads[4].snapshot++;
    for (size_t i = 0; i < N_OF(heads); i++)
        datagram_key(digest, &heads[i], &keys[i]);
    uint64_t id = datagram_key_id(digest);
    datagram_digest(SPAN("another key"), digest);
    datagram_key(digest, &heads[0], &keys[5]);
    ck_assert_uint_ne(datagram_key_id(digest), id);
    for (size_t i = 1; i < N_OF(keys); i++)
        ck_assert_int_eq(memcmp(&keys[0], &keys[i], sizeof keys[0]) == 0, i == 4);
}
END_TEST

static const struct {
    const char *datagram; /* without the content, which is 16 zeros */
    int r;
} strange[] = {
    {"", E_TRUNCATED},
    {"0101020304050607080102030405060708010001"
     "61",
     E_UNSUPPORTED},
    {"2101020304050607080102030405060708010001"
     "61",
     E_UNSUPPORTED},
    {"1001020304050607080102030405060708010001"
     "61",
     E_UNSUPPORTED},
    {"1301020304050607080102030405060708010001"
     "61",
     E_UNSUPPORTED},
    {"1101020304050607080102030405060708000001"
     "61",
     E_MALFORMED},                                             /* number 0 */
    {"1101020304050607080102030405060708010000", E_MALFORMED}, /* no identifier */
    {"110102030405060708010203040506070801000100", E_MALFORMED},
    {"11010203040506070801020304050607080100"
     "81",
     E_TRUNCATED},
    {"11010203040506070801020304050607"
     "08ffffffffffffffffffff010001"
     "61",
     E_MALFORMED},
    {"1101020304050607080102030405060708010001"
     "61",
     0},
};

START_TEST(strange_headers_are_refused)
{
    CLEANUP(bytes_drop) struct span clear = bytes_of_hex(strange[_i].datagram);
    CLEANUP(buf_done) struct buf in;
    struct datagram d;

    buf_init(&in, BYTES_ROOM);
    bytes_put(&in, clear);
    if (clear.n > 0)
        bytes_put(&in, span_of((const uint8_t[16]){0}, 16));
    ck_assert_int_eq(datagram_parse(buf_span(&in), &d), strange[_i].r);
}
END_TEST

START_TEST(longest_identifier_fits)
{
    struct datagram_head head = head_of(DATAGRAM_TICK, UINT64_MAX);
    uint8_t name[LIMIT_IDENTIFIER_BYTES];
    CLEANUP(buf_done) struct buf sealed;
    CLEANUP(buf_done) struct buf opened;

    memset(name, 'x', sizeof name);
    head.identifier = span_of(name, sizeof name);
    head.snapshot = UINT64_MAX;
    seal(&head, SPAN("content"), &sealed);
    buf_init(&opened, BYTES_ROOM);
    ck_assert_int_eq(parse_and_open(buf_span(&sealed), &opened), 0);
}
END_TEST

START_TEST(room_is_minded)
{
    const struct datagram_head head = head_of(DATAGRAM_TICK, 1);
    const size_t n = datagram_overhead(&head) + 7;
    CLEANUP(buf_done) struct buf sealed;
    CLEANUP(buf_done) struct buf opened;
    struct datagram_key key;
    struct datagram d;

    datagram_key(digest, &head, &key);
    buf_init(&sealed, n - 1);
    ck_assert_int_eq(datagram_seal(&key, &head, SPAN("content"), &sealed), E_TOO_LARGE);
    ck_assert_uint_eq(sealed.len, 0);
    buf_init(&sealed, n);
    ck_assert_int_eq(datagram_seal(&key, &head, SPAN("content"), &sealed), 0);
    ck_assert_int_eq(datagram_parse(buf_span(&sealed), &d), 0);
    buf_init(&opened, 6);
    ck_assert_int_eq(datagram_open(&key, &d, &opened), E_TOO_LARGE);
    ck_assert_uint_eq(opened.len, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("datagram");
    TCase *t = tcase_create("datagram");

    tcase_add_checked_fixture(t, set_up, NULL);
    tcase_add_loop_test(t, examples_are_sealed_and_opened, 0, N_OF(examples));
    tcase_add_test(t, header_comes_back);
    tcase_add_test(t, no_bit_can_be_changed);
    tcase_add_test(t, what_is_cut_or_goes_on_is_refused);
    tcase_add_test(t, keys_differ_by_all_that_they_are_made_of);
    tcase_add_loop_test(t, strange_headers_are_refused, 0, N_OF(strange));
    tcase_add_test(t, longest_identifier_fits);
    tcase_add_test(t, room_is_minded);
    suite_add_tcase(suite, t);
    return suite_run(suite);
}
