/* SPDX-License-Identifier: MIT */
#include "common/measurement.h"
#include "pcd/glob.h"
#include "pcd/key_set.h"
#include "proto/keyfile.h"
#include "tests/fuzz/fuzz.h"

/* input = n:u8 identifier[n] text: a file of keys, and who may write as that identifier.
 * What each line grants is told here by a slower way. */

static struct span take(struct span *text, uint8_t end)
{
    size_t n = 0;

    while (n < text->n && text->data[n] != end)
        n++;
    struct span part = span_of(text->data, n);
    *text = span_from(*text, n < text->n ? n + 1 : n);
    return part;
}

static struct span next_line(struct span *text)
{
    struct span line = take(text, '\n');

    if (line.n > 0 && line.data[line.n - 1] == '\r')
        line.n--;
    return span_trim(line);
}

/* Of a trimmed line. */
static struct span next_word(struct span *line)
{
    size_t n = 0;

    while (n < line->n && line->data[n] != ' ' && line->data[n] != '\t')
        n++;
    struct span word = span_of(line->data, n);
    *line = span_trim(span_from(*line, n));
    return word;
}

/* By every way that there is, but for several stars in a row. */
static bool fits(struct span pattern, struct span text)
{
    if (pattern.n == 0)
        return text.n == 0;
    if (pattern.data[0] == '*') {
        if (pattern.n > 1 && pattern.data[1] == '*')
            return fits(span_from(pattern, 1), text);
        for (size_t i = 0; i <= text.n; i++)
            if (fits(span_from(pattern, 1), span_from(text, i)))
                return true;
        return false;
    }
    if (text.n == 0)
        return false;
    size_t n = 1;
    if (pattern.data[0] == '?')
        while (n < text.n && (text.data[n] & 0xc0) == 0x80)
            n++;
    else if (pattern.data[0] != text.data[0])
        return false;
    return fits(span_from(pattern, 1), span_from(text, n));
}

static bool is_digest(struct span word)
{
    struct span prefix = SPAN(KEYFILE_DIGEST);

    return word.n >= prefix.n && span_equal_nocase(span_of(word.data, prefix.n), prefix);
}

static bool line_grants(struct span patterns, struct span identifier)
{
    bool grants = patterns.n == 0;

    while (patterns.n > 0) {
        struct span pattern = next_word(&patterns);

        FUZZ_CHECK(glob_check(pattern) == NULL);
        /* Stars make the slow way too slow. */
        size_t stars = 0;
        for (size_t i = 0; i < pattern.n; i++)
            stars += pattern.data[i] == '*';
        bool match = glob_match(pattern, identifier);
        FUZZ_CHECK(stars > 3 || match == fits(pattern, identifier));
        grants |= match;
    }
    return grants;
}

/* May the key write, by any of its lines? */
static bool grants(struct span text, struct span key, struct span identifier)
{
    while (text.n > 0) {
        struct span line = next_line(&text);
        struct span word = next_word(&line);

        if (span_equal(word, key) && line_grants(line, identifier))
            return true;
    }
    return false;
}

static void check_keys(const struct key_set *set, struct span text,
                       struct span identifier, const struct key_lines *lines)
{
    struct key_digest digest;
    struct span rest = text;
    bool digests = memmem(text.data, text.n, ":", 1) != NULL;
    size_t n_keys = 0;
    size_t n_weak = 0;
    size_t at;

    while (rest.n > 0) {
        struct span line = next_line(&rest);

        if (line.n == 0 || line.data[0] == '#')
            continue;
        struct span key = next_word(&line);
        n_keys++;
        if (is_digest(key))
            continue;
        n_weak += key.n < KEY_WEAK_BYTES;
        FUZZ_CHECK(key.n <= KEY_BYTES && key_digest(key, &digest) == 0);
        FUZZ_CHECK(key_set_find(set, &digest, &at) == 0 && key_set_is(set, at, &digest));
        bool may = key_set_may_write(set, at, identifier);
        /* The same key may stand as its digest too, with other patterns. */
        FUZZ_CHECK(may == grants(text, key, identifier) || (may && digests));
    }
    FUZZ_CHECK(lines->n_keys == n_keys && n_keys > 0 && lines->n_weak == n_weak);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct fuzz_input in = {span_of(data, n)};
    struct key_set *set = NULL;
    struct key_lines lines;
    struct key_digest digest;
    size_t at;

    struct span identifier = fuzz_bytes(&in, fuzz_byte(&in));
    if (identifier_check(identifier))
        identifier = SPAN("web-1");
    CLEANUP(fuzz_drop) struct span text = fuzz_exact(in.left);
    int r = key_set_parse(text, &set, &lines);
    FUZZ_CHECK(r == 0 || r == E_GONE || r == E_MALFORMED);
    FUZZ_CHECK(r != E_MALFORMED || (lines.line > 0 && lines.what));
    if (r)
        return 0;
    struct span plain = text;
    if (span_starts_with(plain, SPAN("\xef\xbb\xbf")))
        plain = span_from(plain, 3);
    check_keys(set, plain, identifier, &lines);
    FUZZ_CHECK(key_digest(SPAN("no line is this: it has blanks"), &digest) == 0);
    FUZZ_CHECK(is_digest(plain) || memmem(plain.data, plain.n, ":", 1) ||
               key_set_find(set, &digest, &at) == E_DENIED);
    key_set_unref(set);
    return 0;
}
