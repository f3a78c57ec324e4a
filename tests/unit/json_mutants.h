/* SPDX-License-Identifier: MIT */
#pragma once

/* Requests, good and damaged by a few throws of dice, to compare readers of JSON with. */

#include "tests/unit/json_docs.h"

#define MUTANTS 20000u

static const char *const mutant_seeds[] = {
    DOCS_REQUEST(""),
    DOCS_REQUEST(DOCS_STAT),
    DOCS_REQUEST(DOCS_STAT "," DOCS_STAT),
    " { 'identifier' : '\xc3\xa4' , 'measurements' : [ { 'measurement' : 'a\\nb' ,"
    " 'nanoseconds' : 5 , 'timestamp' : 1767813011 , 'subsystem' : "
    "'\\u00e4\\ud83d\\ude00' } ]"
    " , 'x' : [ -0.5E+3 , 1e-2 , true , false , null , { } , [ [ ] ] ] }\n",
    DOCS_REQUEST(
        "{'timestamp':7289654399,'subsystem':'\\/\\\\\\'','measurement':'\\ufffd',"
        "'bytes':'/wA=','other':{'a':{'b':[1,2,{}]}}}"),
    "{'identifier':'h','identifier':'\\u0068','measurements':[{'timestamp':0,"
    "'timestamp':946684800,'subsystem':'','measurement':'\xf0\x9f\x98\x80\\b\\u0000\\t'}]"
    "}",
};

/* What is worth putting anywhere into a document. */
static const struct span mutant_pieces[] = {
#define PIECE(text)                                                                      \
    {                                                                                    \
        (const uint8_t *)(text), sizeof(text) - 1                                        \
    }
    PIECE("\""),
    PIECE("\\"),
    PIECE("'"),
    PIECE("{"),
    PIECE("}"),
    PIECE("["),
    PIECE("]"),
    PIECE(","),
    PIECE(":"),
    PIECE(" "),
    PIECE("\n"),
    PIECE("\0"),
    PIECE("\x01"),
    PIECE("\x7f"),
    PIECE("\x80"),
    PIECE("\xc3"),
    PIECE("\xc3\xa4"),
    PIECE("\xc0\x80"),
    PIECE("\xe2\x82\xac"),
    PIECE("\xed\xa0\x80"),
    PIECE("\xf4\x90\x80\x80"),
    PIECE("\xff"),
    PIECE("\\n"),
    PIECE("\\u"),
    PIECE("\\u00"),
    PIECE("\\u0000"),
    PIECE("\\uD83d"),
    PIECE("\\uDe00"),
    PIECE("\\ud83d\\ude00"),
    PIECE("\\x"),
    PIECE("0"),
    PIECE("-"),
    PIECE("+"),
    PIECE("."),
    PIECE("e"),
    PIECE("-0"),
    PIECE("01"),
    PIECE("1.5"),
    PIECE("1e3"),
    PIECE("1767813011"),
    PIECE("9223372036854775807"),
    PIECE("-9223372036854775808"),
    PIECE("true"),
    PIECE("null"),
    PIECE("NaN"),
    PIECE("Infinity"),
    PIECE("/**/"),
    PIECE("\"x\":1,"),
    PIECE("\"measurements\":[],"),
    PIECE("\"timestamp\":1767813011,"),
    PIECE("\"nanoseconds\":1,"),
    PIECE("\"measurement\":\"\\u20ac\","),
    PIECE("\"bytes\":\"AAA=\","),
    PIECE("[[]]"),
    PIECE("{\"a\":{}}"),
#undef PIECE
};

/* Makes @to what @from is with the bytes of [at, at + n) replaced. */
static inline void mutant_splice(struct buf *to, const struct buf *from, size_t at,
                                 size_t n, struct span piece)
{
    buf_reset(to);
    bytes_put(to, span_of(from->data, at));
    bytes_put(to, piece);
    bytes_put(to, span_from(buf_span(from), at + n));
}

/* Replaces what @doc holds by the next document; @spare is for its work. */
static inline void mutant_make(uint64_t *dice, struct buf *doc, struct buf *spare)
{
    buf_reset(doc);
    docs_put(doc, mutant_seeds[bytes_random(dice) % N_OF(mutant_seeds)]);
    for (uint64_t n = bytes_random(dice) % 4; n > 0 && doc->len > 0; n--) {
        size_t at = bytes_random(dice) % doc->len;
        size_t cut = bytes_random(dice) % 4;
        if (cut == 3) /* a larger part */
            cut = bytes_random(dice) % doc->len;
        if (cut > doc->len - at)
            cut = doc->len - at;
        struct span piece = mutant_pieces[bytes_random(dice) % N_OF(mutant_pieces)];
        if (bytes_random(dice) % 4 == 0) /* a part of the document itself, once more */
            piece = span_of(doc->data + at, cut);
        mutant_splice(spare, doc, at, bytes_random(dice) % 2 ? cut : 0, piece);
        struct buf swap = *doc;
        *doc = *spare;
        *spare = swap;
    }
}
