/* SPDX-License-Identifier: MIT */
#include "pcd/key_set.h"

#include "common/buf.h"
#include "pcd/glob.h"
#include "proto/keyfile.h"
#include "proto/limits.h"

#include <assert.h>
#include <errno.h>
#include <gnutls/crypto.h>
#include <stdlib.h>

/* A line with a key, once it is read. */
struct key_row {
    struct key_digest digest;
    uint32_t patterns_at; /* in the set's buffer: as they stood on the line, */
    uint32_t patterns_n;  /* with blanks between; none: it may write as anybody */
};

struct key_set {
    _Atomic size_t refs;
    size_t n;
    size_t cap;
    struct key_row *rows; /* in the order of digests */
    struct buf patterns;
};

_Static_assert((size_t)KEYS_MAX *KEY_LINE_BYTES < UINT32_MAX, "patterns_at is too small");

int key_digest(struct span key, struct key_digest *ret)
{
    return gnutls_hash_fast(GNUTLS_DIG_SHA256, key.data, key.n, ret->bytes) < 0 ? -ENOMEM
                                                                                : 0;
}

/* Cuts what stands before the first of @ends off the text, and that byte with it. */
static struct span cut(struct span *text, struct span ends)
{
    size_t n = 0;

    while (n < text->n && !memchr(ends.data, text->data[n], ends.n))
        n++;
    struct span before = span_of(text->data, n);
    *text = span_from(*text, n + 1);
    return before;
}

/* Cuts the first word off a trimmed text. */
static struct span cut_word(struct span *text)
{
    struct span word = cut(text, SPAN(" \t"));

    *text = span_trim(*text);
    return word;
}

static int hex_digit(uint8_t b)
{
    if (b >= '0' && b <= '9')
        return b - '0';
    b |= 0x20;
    return b >= 'a' && b <= 'f' ? b - 'a' + 10 : -1;
}

static const char *parse_digest(struct span hex, struct key_digest *ret)
{
    if (hex.n != (size_t)2 * KEY_DIGEST_BYTES)
        return KEYFILE_DIGEST " takes 64 hexadecimal digits";
    for (size_t i = 0; i < KEY_DIGEST_BYTES; i++) {
        int high = hex_digit(hex.data[2 * i]);
        int low = hex_digit(hex.data[2 * i + 1]);

        if (high < 0 || low < 0)
            return KEYFILE_DIGEST " takes hexadecimal digits only";
        ret->bytes[i] = (uint8_t)(high << 4 | low);
    }
    return NULL;
}

static const char *check_key(struct span key)
{
    if (key.n > KEY_BYTES)
        return "a key has at most 512 characters";
    for (size_t i = 0; i < key.n; i++)
        if (key.data[i] <= ' ' || key.data[i] > '~')
            return "a key is of printable ASCII characters";
    return NULL;
}

/* Return: 0; E_MALFORMED with *reterr_what; -ENOMEM. */
static int parse_key(struct span word, struct key_digest *ret, bool *ret_weak,
                     const char **reterr_what)
{
    struct span prefix = SPAN(KEYFILE_DIGEST);

    *ret_weak = false;
    if (word.n >= prefix.n && span_equal_nocase(span_of(word.data, prefix.n), prefix)) {
        *reterr_what = parse_digest(span_from(word, prefix.n), ret);
        return *reterr_what ? E_MALFORMED : 0;
    }
    *reterr_what = check_key(word);
    if (*reterr_what)
        return E_MALFORMED;
    *ret_weak = word.n < KEY_WEAK_BYTES;
    return key_digest(word, ret);
}

static const char *check_patterns(struct span patterns)
{
    const char *what = NULL;

    while (patterns.n > 0 && !what)
        what = glob_check(cut_word(&patterns));
    return what;
}

static int make_row(struct key_set *set, struct key_row **ret)
{
    if (set->n == KEYS_MAX)
        return E_TOO_LARGE;
    if (set->n == set->cap) {
        size_t cap = set->cap ? set->cap * 2 : 4;
        struct key_row *rows = reallocarray(set->rows, cap, sizeof *rows);

        if (!rows)
            return -ENOMEM;
        set->rows = rows;
        set->cap = cap;
    }
    *ret = &set->rows[set->n++];
    return 0;
}

/* @line: trimmed, neither empty nor a comment. Return: as parse_key(); E_TOO_LARGE. */
static int parse_line(struct key_set *set, struct span line, struct key_lines *ret)
{
    struct key_row *row;
    bool weak;

    ret->what = line.n > KEY_LINE_BYTES ? "longer than 8192 bytes" : NULL;
    if (ret->what)
        return E_MALFORMED;
    int r = make_row(set, &row);
    if (r)
        return r;
    struct span patterns = line;
    r = parse_key(cut_word(&patterns), &row->digest, &weak, &ret->what);
    if (r)
        return r;
    ret->what = check_patterns(patterns);
    if (ret->what)
        return E_MALFORMED;
    row->patterns_at = (uint32_t)set->patterns.len;
    row->patterns_n = (uint32_t)patterns.n;
    ret->n_weak += weak;
    return buf_append(&set->patterns, patterns);
}

static int parse_lines(struct key_set *set, struct span text, struct key_lines *ret)
{
    struct span mark = SPAN("\xef\xbb\xbf");
    int r = 0;

    if (span_starts_with(text, mark))
        text = span_from(text, mark.n);
    for (size_t number = 1; text.n > 0 && r == 0; number++) {
        struct span line = cut(&text, SPAN("\n"));

        if (line.n > 0 && line.data[line.n - 1] == '\r')
            line.n--;
        line = span_trim(line);
        if (line.n == 0 || line.data[0] == '#')
            continue;
        r = parse_line(set, line, ret);
        if (r == E_MALFORMED)
            ret->line = number;
    }
    ret->n_keys = set->n;
    return r || set->n > 0 ? r : E_GONE;
}

static int compare(const void *a, const void *b)
{
    const struct key_row *left = a;
    const struct key_row *right = b;

    return memcmp(&left->digest, &right->digest, sizeof left->digest);
}

int key_set_parse(struct span text, struct key_set **ret, struct key_lines *ret_lines)
{
    struct key_set *set = calloc(1, sizeof *set);

    *ret_lines = (struct key_lines){0};
    if (!set)
        return -ENOMEM;
    set->refs = 1;
    buf_init(&set->patterns, (size_t)KEYS_MAX * KEY_LINE_BYTES);
    int r = parse_lines(set, text, ret_lines);
    if (r) {
        key_set_unref(set);
        return r;
    }
    qsort(set->rows, set->n, sizeof *set->rows, compare);
    *ret = set;
    return 0;
}

struct key_set *key_set_ref(struct key_set *set)
{
    set->refs++;
    return set;
}

void key_set_unref(struct key_set *set)
{
    if (!set || --set->refs > 0)
        return;
    buf_done(&set->patterns);
    free(set->rows);
    free(set);
}

/* All bits where the two are equal, none where they aren't; without a branch. */
static uint64_t equal_mask(const struct key_digest *a, const struct key_digest *b)
{
    uint64_t left[KEY_DIGEST_BYTES / sizeof(uint64_t)];
    uint64_t right[KEY_DIGEST_BYTES / sizeof(uint64_t)];
    uint64_t differs = 0;

    memcpy(left, a, sizeof left);
    memcpy(right, b, sizeof right);
    for (size_t i = 0; i < sizeof left / sizeof *left; i++)
        differs |= left[i] ^ right[i];
    return ((differs | (UINT64_C(0) - differs)) >> 63) - 1;
}

int key_set_find(const struct key_set *set, const struct key_digest *digest,
                 size_t *ret_at)
{
    uint64_t found = 0; /* one more than the row, the last one that fits; 0: none */

    for (size_t i = 0; i < set->n; i++)
        found ^= (found ^ (i + 1)) & equal_mask(&set->rows[i].digest, digest);
    if (found == 0)
        return E_DENIED;
    *ret_at = found - 1;
    return 0;
}

bool key_set_is(const struct key_set *set, size_t at, const struct key_digest *digest)
{
    return at < set->n && equal_mask(&set->rows[at].digest, digest) != 0;
}

static bool row_may_write(const struct key_set *set, const struct key_row *row,
                          struct span identifier)
{
    if (row->patterns_n == 0)
        return true;
    struct span patterns =
        span_of(set->patterns.data + row->patterns_at, row->patterns_n);
    while (patterns.n > 0)
        if (glob_match(cut_word(&patterns), identifier))
            return true;
    return false;
}

bool key_set_may_write(const struct key_set *set, size_t at, struct span identifier)
{
    const struct key_row *found = &set->rows[at];

    assert(at < set->n);
    /* The same key's other lines are the rows before it. */
    for (const struct key_row *row = found;; row--) {
        if (compare(row, found) != 0)
            return false;
        if (row_may_write(set, row, identifier))
            return true;
        if (row == set->rows)
            return false;
    }
}

uint64_t key_set_id(const struct key_set *set, size_t at)
{
    uint64_t id;

    assert(at < set->n);
    memcpy(&id, &set->rows[at].digest, sizeof id);
    return id;
}
