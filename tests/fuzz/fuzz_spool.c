/* SPDX-License-Identifier: MIT */
#include "common/hash.h"
#include "pcc/spool_file.h"
#include "tests/fuzz/fuzz.h"

/* input = how:u8 file. how: 1: the header's checksum is made right, so that what it
 * guards is reached; 2: the file's length in it too */
#define HOW_REPAIRED 1u
#define HOW_LENGTH 2u
#define FIXED_BYTES 24u
#define PART_BYTES 72u
#define GAP_BYTES 40u

static uint64_t get(const uint8_t *at, unsigned n)
{
    struct fuzz_input in = {span_of(at, n)};

    return fuzz_number(&in, n);
}

static void put(uint8_t *at, uint64_t value, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        at[i] = (uint8_t)(value >> 8 * i);
}

static void repair(uint8_t *file, size_t n, unsigned how)
{
    if (n < FIXED_BYTES)
        return;
    uint64_t header = get(file + 8, 4);
    put(file + 4, SPOOL_MAGIC, 4);
    if (how & HOW_LENGTH)
        put(file + 16, n, 8);
    if (header >= FIXED_BYTES && header <= n)
        put(file, hash_crc32c(0, span_of(file + 4, (size_t)header - 4)), 4);
}

static bool same_note(const struct gap_note *a, const struct gap_note *b)
{
    return a->from_ns == b->from_ns && a->to_ns == b->to_ns && a->ticks == b->ticks &&
           a->measurements == b->measurements;
}

static bool same_label(const struct label *a, const struct label *b)
{
    bool same = a->session == b->session && a->seq == b->seq &&
                a->first_tick == b->first_tick && a->is_half == b->is_half &&
                a->form.media == b->form.media && a->form.coding == b->form.coding &&
                same_note(&a->range, &b->range);

    for (size_t i = 0; i < GAP_IDS; i++) {
        const struct gap_note *x = &a->carried.notes[i];
        const struct gap_note *y = &b->carried.notes[i];

        /* One that counts nothing tells nothing. */
        same &= same_note(x, y) || (x->ticks == 0 && x->measurements == 0);
    }
    return same;
}

/* Each body lies in the file, one behind the other, up to its end; each part is one that
 * can be sent. */
static void check_parts(const struct spool_file *f, struct span file, bool all)
{
    const uint8_t *end = NULL;

    FUZZ_CHECK(f->n_parts >= 1 && f->n_parts <= SPOOL_PARTS_MAX);
    FUZZ_CHECK(identifier_check(f->identifier) == 0);
    for (size_t i = 0; i < f->n_parts; i++) {
        const struct spool_part *p = &f->parts[i];

        FUZZ_CHECK(p->label.seq >= 1 && p->label.seq <= INT64_MAX);
        FUZZ_CHECK(p->label.range.measurements > 0);
        FUZZ_CHECK(p->label.form.media < MEDIA_FORMS);
        FUZZ_CHECK(!p->damaged || !all);
        if (!p->body.data)
            continue;
        FUZZ_CHECK(p->body.data >= file.data);
        FUZZ_CHECK(p->body.data + p->body.n <= file.data + file.n);
        FUZZ_CHECK(!end || p->body.data == end);
        end = p->body.data + p->body.n;
    }
    FUZZ_CHECK(!all || (end == file.data + file.n && f->bytes == file.n));
}

/* What a part's bytes say: the last of its numbers, its flag, its body's checksum. */
static void check_bytes(const struct spool_file *f, struct span file)
{
    const uint8_t *at = file.data + FIXED_BYTES;

    for (size_t i = 0; i < f->n_parts; i++) {
        const struct spool_part *p = &f->parts[i];

        FUZZ_CHECK(get(at + 48, 8) == p->label.range.measurements);
        FUZZ_CHECK((at[58] & 1) == p->label.is_half);
        if (p->body.data)
            FUZZ_CHECK(p->damaged == (get(at + 60, 4) != hash_crc32c(0, p->body)));
        at += PART_BYTES + (size_t)at[59] * GAP_BYTES;
    }
}

static void check_same(const struct spool_file *a, const struct spool_file *b)
{
    FUZZ_CHECK(a->n_parts == b->n_parts && span_equal(a->identifier, b->identifier));
    for (size_t i = 0; i < a->n_parts; i++)
        FUZZ_CHECK(same_label(&a->parts[i].label, &b->parts[i].label));
}

/* Written and read again it is the same, and what is damaged stays so. */
static void check_again(const struct spool_file *f)
{
    CLEANUP(buf_done) struct buf bytes;
    static struct spool_file again;
    struct err_at why;

    buf_init(&bytes, FUZZ_BODY_MAX);
    FUZZ_CHECK(spool_file_write(f, &bytes) == 0);
    int r = spool_file_read(buf_span(&bytes), &again, &why);
    check_same(f, &again);
    for (size_t i = 0; i < f->n_parts; i++) {
        FUZZ_CHECK(span_equal(f->parts[i].body, again.parts[i].body));
        FUZZ_CHECK(f->parts[i].damaged == again.parts[i].damaged);
        FUZZ_CHECK(r != 0 || !f->parts[i].damaged);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static struct spool_file file;
    static struct spool_file header;
    struct err_at why = {0};
    struct fuzz_input in = {span_of(data, n)};
    unsigned how = fuzz_byte(&in);

    CLEANUP(fuzz_drop) struct span bytes = fuzz_exact(in.left);
    if (how & HOW_REPAIRED)
        repair((uint8_t *)(uintptr_t)bytes.data, bytes.n, how);
    int of_header = spool_file_read_header(bytes, &header, &why);
    FUZZ_CHECK(of_header == 0 || (why.what && header.n_parts == 0));
    int r = spool_file_read(bytes, &file, &why);
    FUZZ_CHECK(r == 0 || ((r == E_TRUNCATED || r == E_MALFORMED) && why.what));
    FUZZ_CHECK(of_header == 0 || r == of_header);
    if (of_header)
        return 0;
    check_parts(&file, bytes, r == 0);
    check_bytes(&file, bytes);
    check_same(&file, &header);
    check_again(&file);
    return 0;
}
