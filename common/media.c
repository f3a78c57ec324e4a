/* SPDX-License-Identifier: MIT */
#include "common/media.h"

#include "common/delta.h"
#include "common/json.h"
#include "common/msgpack.h"
#include "proto/wire.h"

#include <assert.h>

#define WEIGHT_FULL 1000u /* weights are counted in thousandths */
#define N_CODINGS (CODING_DEFLATE + 1)

/* A name that stands for one of a few things: a form or a coding. */
struct name {
    const char *name;
    unsigned means;
};

static const struct name type_names[] = {
    {WIRE_TYPE_JSON, MEDIA_JSON},           {WIRE_TYPE_TEXT_JSON, MEDIA_JSON},
    {WIRE_TYPE_MSGPACK, MEDIA_MSGPACK},     {WIRE_TYPE_X_MSGPACK, MEDIA_MSGPACK},
    {WIRE_TYPE_VND_MSGPACK, MEDIA_MSGPACK}, {WIRE_TYPE_DELTA, MEDIA_DELTA},
};

static const struct name coding_names[] = {
    {WIRE_CODING_IDENTITY, CODING_IDENTITY},
    {WIRE_CODING_GZIP, CODING_GZIP},
    {WIRE_CODING_X_GZIP, CODING_GZIP},
    {WIRE_CODING_DEFLATE, CODING_DEFLATE},
};

#define N_OF(array) (sizeof(array) / sizeof(array)[0])

const struct codec *media_codec(enum media_form form)
{
    static const struct codec *const codecs[MEDIA_FORMS] = {
        [MEDIA_JSON] = &json_codec,
        [MEDIA_MSGPACK] = &msgpack_codec,
        [MEDIA_DELTA] = &delta_codec,
    };

    assert(form < MEDIA_FORMS);
    return codecs[form];
}

/* Takes what stands before the first separator that is not within quotes; trimmed. */
static struct span take_part(struct span *list, uint8_t separator)
{
    bool quoted = false;
    size_t n = 0;

    for (; n < list->n; n++) {
        uint8_t c = list->data[n];
        if (c == '"')
            quoted = !quoted;
        else if (c == '\\' && quoted && n + 1 < list->n)
            n++;
        else if (c == separator && !quoted)
            break;
    }
    struct span part = span_trim(span_of(list->data, n));
    *list = span_from(*list, n + 1);
    return part;
}

static int look_up(struct span name, const struct name *names, size_t n_names,
                   unsigned *ret)
{
    for (size_t i = 0; i < n_names; i++) {
        if (span_equal_nocase(name, span_of_str(names[i].name))) {
            *ret = names[i].means;
            return 0;
        }
    }
    return E_UNSUPPORTED;
}

int media_of_content_type(struct span value, enum media_form *ret)
{
    unsigned form = MEDIA_JSON;
    int r = 0;

    if (value.data)
        r = look_up(take_part(&value, ';'), type_names, N_OF(type_names), &form);
    if (r == 0)
        *ret = (enum media_form)form;
    return r;
}

int media_of_content_encoding(struct span value, enum coding *ret)
{
    unsigned coding = CODING_IDENTITY;
    size_t n_named = 0;

    while (value.n > 0) {
        struct span name = take_part(&value, ',');
        if (name.n == 0) /* empty elements of a list don't count (RFC 9110, 5.6.1.2) */
            continue;
        if (n_named++ > 0 || look_up(name, coding_names, N_OF(coding_names), &coding))
            return E_UNSUPPORTED;
    }
    *ret = (enum coding)coding;
    return 0;
}

/*
 * The weight among parameters, `q=0.5`, in thousandths. Digits beyond the third are
 * passed over; what is no weight at all counts as full.
 */
static unsigned weight_in(struct span parameters)
{
    while (parameters.n > 0) {
        struct span p = take_part(&parameters, ';');
        if (p.n < 3 || !span_equal_nocase(span_of(p.data, 2), SPAN("q=")))
            continue;
        if (p.data[2] != '0' || (p.n > 3 && p.data[3] != '.'))
            return WEIGHT_FULL;
        unsigned weight = 0;
        unsigned place = WEIGHT_FULL / 10;
        for (size_t i = 4; i < p.n && p.data[i] >= '0' && p.data[i] <= '9'; i++) {
            weight += place * (unsigned)(p.data[i] - '0');
            place /= 10;
        }
        return weight;
    }
    return WEIGHT_FULL;
}

/* How closely a range names a name: the closer one decides. */
enum match {
    MATCH_NONE,
    MATCH_ANY,  /* by a star alone */
    MATCH_TYPE, /* by its part before the slash */
    MATCH_EXACT,
};

static enum match match(struct span range, struct span name)
{
    if (span_equal_nocase(range, name))
        return MATCH_EXACT;
    if (span_equal(range, SPAN("*")) || span_equal(range, SPAN("*/*")))
        return MATCH_ANY;
    if (range.n < 3 || !span_equal(span_from(range, range.n - 2), SPAN("/*")))
        return MATCH_NONE;
    struct span type = span_of(range.data, range.n - 1);
    if (name.n < type.n || !span_equal_nocase(type, span_of(name.data, type.n)))
        return MATCH_NONE;
    return MATCH_TYPE;
}

/* What a list says of a form or a coding. */
struct rank {
    enum match match;
    unsigned weight;
};

/* Reads a list of ranges with weights; @ranks is indexed by what the names mean. */
static void rank_list(struct span list, const struct name *names, size_t n_names,
                      struct rank *ranks)
{
    while (list.n > 0) {
        struct span rest = take_part(&list, ',');
        struct span range = take_part(&rest, ';');
        struct rank said = {.weight = weight_in(rest)};

        for (size_t i = 0; i < n_names; i++) {
            struct rank *rank = &ranks[names[i].means];
            said.match = match(range, span_of_str(names[i].name));
            if (said.match == MATCH_NONE || said.match < rank->match)
                continue;
            if (said.match > rank->match || said.weight > rank->weight)
                *rank = said;
        }
    }
}

static unsigned named(const struct rank *ranks, size_t n_ranks)
{
    unsigned set = 0;

    for (size_t i = 0; i < n_ranks; i++) {
        if (ranks[i].weight > 0)
            set |= MEDIA_BIT(i);
    }
    return set;
}

enum media_form media_of_accept(struct span value, enum media_form dflt)
{
    struct rank ranks[MEDIA_FORMS] = {{MATCH_NONE, 0}};
    enum media_form best = dflt == MEDIA_DELTA ? MEDIA_MSGPACK : dflt;

    rank_list(value, type_names, N_OF(type_names), ranks);
    for (unsigned i = 0; i < MEDIA_FORMS; i++) {
        if (i != MEDIA_DELTA && ranks[i].weight > ranks[best].weight)
            best = (enum media_form)i;
    }
    return best;
}

const char *media_accept_post(void)
{
    return WIRE_TYPE_JSON ", " WIRE_TYPE_MSGPACK ", " WIRE_TYPE_DELTA;
}

const char *media_accept_encoding(void)
{
    return WIRE_CODING_GZIP ", " WIRE_CODING_DEFLATE ", " WIRE_CODING_IDENTITY;
}

unsigned media_forms_in(struct span accept_post)
{
    struct rank ranks[MEDIA_FORMS] = {{MATCH_NONE, 0}};

    rank_list(accept_post, type_names, N_OF(type_names), ranks);
    /* Who takes "anything" hardly means a form that he may never have heard of. */
    if (ranks[MEDIA_DELTA].match != MATCH_EXACT)
        ranks[MEDIA_DELTA].weight = 0;
    return named(ranks, N_OF(ranks));
}

unsigned media_codings_in(struct span accept_encoding)
{
    struct rank ranks[N_CODINGS] = {{MATCH_NONE, 0}};

    rank_list(accept_encoding, coding_names, N_OF(coding_names), ranks);
    if (ranks[CODING_IDENTITY].match == MATCH_NONE)
        ranks[CODING_IDENTITY] = (struct rank){MATCH_ANY, WEIGHT_FULL};
    return named(ranks, N_OF(ranks));
}
