/* SPDX-License-Identifier: MIT */
#include "common/hash.h"
#include "common/log.h"
#include "pcd/keys_merge.h"
#include "pcd/keys_sorted.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/home.h"

#include <fcntl.h>
#include <unistd.h>

/* input = how:u8 n:u16le keys[n] sorted: the checkpoint, and the sorted file 1. how: 1:
 * checksums are made right, so that what they guard is reached */
#define HOW_REPAIRED 1u
#define NUMBER 1u
#define MAGIC_AT 4u
#define KEYS_MAGIC UINT32_C(0x314b4350)   /* "PCK1" */
#define SORTED_MAGIC UINT32_C(0x31534350) /* "PCS1" */
#define K0_AT 32u
#define TRAILER_BYTES 32u
#define ENTRY_BYTES 24u
#define QUESTIONS_MAX 100u
#define NOW_NS UINT64_C(1800000000000000000)

static void put32(uint8_t *at, uint32_t value)
{
    (void)keys_put(at, value, 4);
}

static uint64_t get(const uint8_t *at, unsigned n)
{
    struct fuzz_input in = {span_of(at, n)};

    return fuzz_number(&in, n);
}

static void repair_keys(uint8_t *file, size_t n)
{
    if (n < KEYS_HEADER_BYTES)
        return;
    put32(file + MAGIC_AT, KEYS_MAGIC);
    put32(file + KEYS_HEADER_BYTES - 4,
          hash_crc32c(0, span_of(file + KEYS_HEADER_BYTES, n - KEYS_HEADER_BYTES)));
    put32(file, hash_crc32c(0, span_of(file + 4, KEYS_HEADER_BYTES - 4)));
}

/* A block, and what the index says of it: where its first session stands. */
static void repair_block(uint8_t *block, size_t n, const uint8_t *keys, uint8_t *entry)
{
    struct keys_record first;
    struct cursor c;

    put32(block, hash_crc32c(0, span_of(block + 4, n - 4)));
    cursor_init(&c, span_of(block + 4, n - 4));
    if (keys_record_read(&c, &first))
        return;
    uint64_t hash =
        keys_merge_hash(get(keys + K0_AT, 8), get(keys + K0_AT + 8, 8), first.identifier);
    (void)keys_put(keys_put(entry, hash, 8), first.session, 8);
}

/* Each block that the index names, then index and trailer. @keys: a whole header */
static void repair_sorted(uint8_t *file, size_t n, const uint8_t *keys)
{
    if (n < TRAILER_BYTES)
        return;
    uint8_t *trailer = file + n - TRAILER_BYTES;
    uint64_t index_at = get(trailer + 24, 8);
    put32(trailer + MAGIC_AT, SORTED_MAGIC);
    (void)keys_put(trailer + 8, NUMBER, 8);
    if (index_at > n - TRAILER_BYTES)
        return;
    struct span index = span_of(file + index_at, n - TRAILER_BYTES - (size_t)index_at);
    uint64_t end = index_at;
    for (size_t i = index.n / ENTRY_BYTES; i-- > 0;) {
        uint8_t *entry = file + index_at + i * ENTRY_BYTES;
        uint64_t at = get(entry + 16, 8);
        if (at < end && end - at >= 4)
            repair_block(file + at, (size_t)(end - at), keys, entry);
        end = at < end ? at : end;
    }
    put32(trailer,
          hash_crc32c(hash_crc32c(0, index), span_of(trailer + 4, TRAILER_BYTES - 4)));
}

/* Is a SEQ of a session stored? Asked before a checkpoint, and after. */
struct question {
    uint8_t identifier[LIMIT_IDENTIFIER_BYTES];
    size_t identifier_n;
    struct key key;
    int answer;
};

static struct question questions[QUESTIONS_MAX];
static size_t n_questions;

static void put_question(const struct keys_record *rec, uint64_t seq)
{
    if (seq < 1 || seq > RANGES_SEQ_MAX || n_questions == QUESTIONS_MAX)
        return;
    struct question *q = &questions[n_questions++];
    q->identifier_n = rec->identifier.n;
    memcpy(q->identifier, rec->identifier.data, rec->identifier.n);
    q->key = (struct key){.session = rec->session, .seq = seq};
}

/* What keys_record_read() promises, and questions about it. */
static void check_record(const struct keys_record *rec)
{
    struct ranges stored;
    uint64_t taken = rec->floor;

    FUZZ_CHECK(rec->identifier.n >= 1 && rec->identifier.n <= LIMIT_IDENTIFIER_BYTES);
    FUZZ_CHECK(rec->bytes.n ==
               keys_record_bytes(rec->identifier.n, rec->ranges.n / KEYS_RANGE_BYTES));
    FUZZ_CHECK(keys_record_ranges(rec, &stored) == 0);
    FUZZ_CHECK(stored.floor == rec->floor && stored.floor >= 1);
    put_question(rec, rec->floor - 1);
    put_question(rec, rec->floor);
    for (size_t i = 0; i < stored.n; i++) {
        FUZZ_CHECK(stored.items[i].first > taken);
        FUZZ_CHECK(stored.items[i].last >= stored.items[i].first);
        FUZZ_CHECK(stored.items[i].last <= RANGES_SEQ_MAX);
        taken = stored.items[i].last + 1;
        put_question(rec, stored.items[i].first - 1);
        put_question(rec, stored.items[i].last);
    }
    CLEANUP(buf_done) struct buf again;
    buf_init(&again, KEYS_RECORD_MAX_BYTES);
    FUZZ_CHECK(keys_record_append(&again, rec->identifier, rec->session, rec->last_use_ns,
                                  &stored) == 0);
    FUZZ_CHECK(span_equal(buf_span(&again), rec->bytes));
    ranges_done(&stored);
}

static void read_keys_file(struct span file, struct keys_header *ret)
{
    struct span records;
    struct keys_record rec;
    uint8_t again[KEYS_HEADER_BYTES];
    struct cursor c;

    if (keys_header_read(file, ret, &records)) {
        *ret = (struct keys_header){0};
        return;
    }
    keys_header_write(ret, again);
    FUZZ_CHECK(memcmp(again, file.data, sizeof again) == 0);
    cursor_init(&c, records);
    while (keys_record_read(&c, &rec) == 0)
        check_record(&rec);
}

/* Is the session found where its order says that it stands? */
static bool is_found(const struct keys_sorted *f, const struct keys_header *h,
                     const struct keys_record *rec)
{
    struct keys_order order = {keys_merge_hash(h->k0, h->k1, rec->identifier),
                               rec->session};
    CLEANUP(buf_done) struct buf block;
    struct keys_record found;

    buf_init(&block, KEYS_BLOCK_MAX_BYTES);
    int r = keys_sorted_find(f, order, rec->identifier, &block, &found);
    FUZZ_CHECK(r == 0 || r == E_GONE || r == E_MALFORMED);
    return r == 0 && span_equal(found.bytes, rec->bytes);
}

/* Do the checksums of all blocks fit? Of a file that could be opened. */
static bool has_whole_blocks(struct span file)
{
    size_t end = (size_t)get(file.data + file.n - 8, 8);
    size_t n = (file.n - TRAILER_BYTES - end) / ENTRY_BYTES;
    const uint8_t *index = file.data + end;

    while (n-- > 0) {
        size_t at = (size_t)get(index + n * ENTRY_BYTES + 16, 8);
        struct span rest = span_of(file.data + at + 4, end - at - 4);
        if (get(file.data + at, 4) != hash_crc32c(0, rest))
            return false;
        end = at;
    }
    return true;
}

/* Return: may it be one that pcd wrote: whole, in order, with as many as it says? */
static bool read_sorted(const struct keys_sorted *f, struct span file,
                        const struct keys_header *h)
{
    struct keys_sorted_reader reader;
    struct keys_record rec;
    struct keys_order last = {0};
    uint64_t n = 0;
    bool sound = true;
    int r;

    keys_sorted_reader_init(&reader, f);
    while ((r = keys_sorted_read(&reader, &rec)) == 0) {
        struct keys_order order = {keys_merge_hash(h->k0, h->k1, rec.identifier),
                                   rec.session};

        check_record(&rec);
        sound &= n == 0 || order.hash > last.hash ||
                 (order.hash == last.hash && order.session > last.session);
        sound &= is_found(f, h, &rec);
        last = order;
        n++;
    }
    keys_sorted_reader_done(&reader);
    FUZZ_CHECK(r == E_GONE && (reader.n_damaged > 0 || has_whole_blocks(file)));
    return sound && reader.n_damaged == 0 && n == keys_sorted_count(f);
}

static bool check_sorted(const struct fuzz_home *home, struct span file,
                         const struct keys_header *h)
{
    struct keys_sorted *f = NULL;
    int dir_fd = openat(home->fd, "sessions", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    FUZZ_CHECK(dir_fd >= 0);
    int r = keys_sorted_open(dir_fd, NUMBER, &f);
    (void)close(dir_fd);
    FUZZ_CHECK(r == 0 || r == E_MALFORMED);
    if (r)
        return false;
    bool sound = read_sorted(f, file, h);
    keys_sorted_release(f);
    return sound;
}

static int ask(struct keys *k, const struct question *q)
{
    struct span identifier = span_of(q->identifier, q->identifier_n);
    struct keys_waiter waiter = {0};

    int r = keys_reserve(k, identifier, &q->key, &waiter, NOW_NS);
    if (r == 0)
        keys_settle(k, identifier, &q->key, E_STOPPED, NOW_NS);
    FUZZ_CHECK(r == 0 || r == E_REPLAY || r == E_FULL);
    return r;
}

/* What was stored stays stored over a checkpoint that writes another sorted file. */
static void check_checkpoint(struct keys_conf *conf, struct log_position at, bool sound)
{
    struct keys *k = NULL;
    struct log_position again;

    FUZZ_CHECK(keys_open(conf, &k, &again) == 0);
    FUZZ_CHECK(again.number == at.number && again.offset == at.offset);
    for (size_t i = 0; i < n_questions; i++)
        questions[i].answer = ask(k, &questions[i]);
    FUZZ_CHECK(keys_checkpoint(k, at, NOW_NS) == 0);
    keys_free(k);
    FUZZ_CHECK(keys_open(conf, &k, &again) == 0);
    FUZZ_CHECK(again.number == at.number && again.offset == at.offset);
    for (size_t i = 0; sound && i < n_questions; i++)
        FUZZ_CHECK(ask(k, &questions[i]) == questions[i].answer);
    keys_free(k);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    const struct fuzz_home *home = fuzz_home_empty();
    struct keys_conf conf = {
        .home_fd = home->fd, .keep_ns = UINT64_MAX, .max_sessions = 0, .merge_at = 1};
    struct fuzz_input in = {span_of(data, n)};
    struct keys_header header;
    struct log_position at;
    struct keys *k = NULL;

    log_init((enum log_level)(LOG_ERROR + 1));
    uint8_t how = fuzz_byte(&in);
    CLEANUP(fuzz_drop)
    struct span file = fuzz_exact(fuzz_bytes(&in, fuzz_number(&in, 2)));
    CLEANUP(fuzz_drop) struct span sorted = fuzz_exact(in.left);
    if (how & HOW_REPAIRED) {
        repair_keys((uint8_t *)(uintptr_t)file.data, file.n);
        if (file.n >= KEYS_HEADER_BYTES)
            repair_sorted((uint8_t *)(uintptr_t)sorted.data, sorted.n, file.data);
    }
    fuzz_home_put(home, "keys", file);
    fuzz_home_put(home, "sessions/1", sorted);
    n_questions = 0;
    read_keys_file(file, &header);
    bool sound = check_sorted(home, sorted, &header);
    int r = keys_open(&conf, &k, &at);
    keys_free(k);
    FUZZ_CHECK(r == 0 || r == E_MALFORMED);
    if (r == 0)
        check_checkpoint(&conf, at, sound || header.sorted == 0);
    return 0;
}
