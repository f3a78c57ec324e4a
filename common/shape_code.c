/* SPDX-License-Identifier: MIT */
#include "common/shape_code.h"

#include "common/varint.h"

#include <assert.h>

/*
 * shape = *( 00 | 01 width | 02 width | 03 byte | 04 index:varint count:varint |
 *            byte from 08 on )
 */
enum code {
    CODE_PLAIN,
    CODE_RIGHT,
    CODE_ZERO,
    CODE_LITERAL,
    CODE_FRAGMENTS,
    CODE_FREE = 8, /* bytes from here on stand for themselves */
};

struct fragment {
    const char *code;
    uint16_t n;
    uint16_t columns;
    uint16_t literals; /* bytes */
};

#include "proto/fragments.inc"

#define N_FRAGMENTS (sizeof fragments / sizeof fragments[0])

_Static_assert(N_FRAGMENTS < 128, "a number of a fragment is a byte here");
_Static_assert((int)SHAPE_PLAIN == CODE_PLAIN && (int)SHAPE_RIGHT == CODE_RIGHT &&
                   (int)SHAPE_ZERO == CODE_ZERO,
               "a kind is its own code");

static struct span fragment_code(size_t i)
{
    return span_of(fragments[i].code, fragments[i].n);
}

static int append_literals(struct span bytes, struct buf *to)
{
    int r = 0;

    for (size_t i = 0; i < bytes.n && r == 0; i++) {
        if (bytes.data[i] < CODE_FREE)
            r = buf_append_byte(to, CODE_LITERAL);
        if (r == 0)
            r = buf_append_byte(to, bytes.data[i]);
    }
    return r;
}

static int append_column(const struct shape_column *c, struct buf *to)
{
    int r = buf_append_byte(to, c->kind);

    if (r == 0 && c->kind != SHAPE_PLAIN)
        r = buf_append_byte(to, c->width);
    return r;
}

static int append_plain(const struct shape *s, struct span text, struct buf *to)
{
    size_t at = 0;
    int r = 0;

    for (size_t i = 0; i < s->n && r == 0; i++) {
        const struct shape_column *c = &s->columns[i];
        r = append_literals(span_of(text.data + at, c->end - c->n - at), to);
        if (r == 0)
            r = append_column(c, to);
        at = c->end;
    }
    return r ? r : append_literals(span_from(text, at), to);
}

/* The longest fragment that the code begins with; N_FRAGMENTS if there is none. */
static size_t longest_fragment(struct span code)
{
    size_t best = N_FRAGMENTS;
    uint8_t first = code.data[0];

    for (size_t i = first_at[first]; i < first_at[first + 1]; i++) {
        size_t number = by_first[i];
        if ((best == N_FRAGMENTS || fragments[number].n > fragments[best].n) &&
            span_starts_with(code, fragment_code(number)))
            best = number;
    }
    return best;
}

static size_t code_size(uint8_t first)
{
    return first == CODE_RIGHT || first == CODE_ZERO || first == CODE_LITERAL ? 2 : 1;
}

/* The code without fragments, with them. */
static int append_shortened(struct span plain, struct buf *to)
{
    size_t next = N_FRAGMENTS; /* the fragment that would lengthen the last run */
    int r = 0;

    for (size_t at = 0; at < plain.n && r == 0;) {
        size_t found = longest_fragment(span_from(plain, at));
        if (found == N_FRAGMENTS) {
            size_t n = code_size(plain.data[at]);
            r = buf_append(to, span_of(plain.data + at, n));
            at += n;
        } else if (found == next && to->data[to->len - 1] < 0x7f) {
            to->data[to->len - 1]++;
        } else {
            const uint8_t run[] = {CODE_FRAGMENTS, (uint8_t)found, 1};
            r = buf_append(to, span_of(run, sizeof run));
        }
        if (found < N_FRAGMENTS)
            at += fragments[found].n;
        next = found < N_FRAGMENTS ? found + 1 : N_FRAGMENTS;
    }
    return r;
}

int shape_code_append(const struct shape *s, struct span text, struct buf *plain,
                      struct buf *to)
{
    size_t before = to->len;

    buf_reset(plain);
    int r = append_plain(s, text, plain);
    if (r == 0)
        r = append_shortened(buf_span(plain), to);
    if (r)
        buf_truncate(to, before);
    return r;
}

/* One step of a code: literal bytes, or a column. */
struct step {
    uint8_t code;
    uint8_t width;        /* of a column */
    struct span literals; /* as they stand in the text */
};

/* A code gone through step by step, fragments included. */
struct walk {
    struct cursor *code;
    struct cursor part; /* of the fragment that it is in */
    size_t next;        /* the fragment after it, */
    size_t left;        /* and how many */
};

static void take_fragments(struct walk *w)
{
    uint64_t first = varint_take(w->code);
    uint64_t count = varint_take(w->code);

    if (w->code->r)
        return;
    if (first >= N_FRAGMENTS || count > N_FRAGMENTS - first || count == 0) {
        cursor_fail(w->code, E_MALFORMED, "fragments of a shape that there are not");
        return;
    }
    w->next = (size_t)first;
    w->left = (size_t)count;
}

static void take_code(struct walk *w, struct cursor *c, struct step *ret)
{
    ret->code = cursor_u8(c);
    switch (ret->code) {
    case CODE_PLAIN:
        break;
    case CODE_RIGHT:
    case CODE_ZERO:
        ret->width = cursor_u8(c);
        if (c->r == 0 && ret->width == 0)
            cursor_fail(c, E_MALFORMED, "a column of a shape has no width");
        break;
    case CODE_LITERAL:
        ret->literals = cursor_bytes(c, 1);
        break;
    case CODE_FRAGMENTS: /* none of them holds this itself */
        ret->code = CODE_LITERAL;
        take_fragments(w);
        break;
    default:
        cursor_fail(c, E_MALFORMED, "a byte that has no meaning in a shape");
    }
}

/* Return: false at the end, and when the cursor failed. */
static bool next_step(struct walk *w, struct step *ret)
{
    struct cursor *c = w->code;

    if (cursor_left(&w->part) == 0 && w->left > 0) {
        cursor_init(&w->part, fragment_code(w->next++));
        w->left--;
    }
    if (cursor_left(&w->part) > 0)
        c = &w->part;
    const uint8_t *start = c->at;

    *ret = (struct step){.code = CODE_LITERAL};
    if (c->r || cursor_left(c) == 0)
        return false;
    while (c->at < c->end && *c->at >= CODE_FREE)
        c->at++;
    ret->literals = span_of(start, (size_t)(c->at - start));
    if (ret->literals.n == 0)
        take_code(w, c, ret);
    return c->r == 0;
}

static size_t least_of(const struct step *step)
{
    if (step->code == CODE_LITERAL)
        return step->literals.n;
    if (step->code == CODE_RIGHT && step->width < 2)
        return 2;
    return step->code == CODE_PLAIN ? 1 : step->width;
}

static size_t most_of(const struct step *step)
{
    if (step->code == CODE_LITERAL)
        return step->literals.n;
    return step->width > DECIMAL_MAX + 1 ? step->width : DECIMAL_MAX + 1;
}

void shape_code_measure(struct cursor *c, size_t max, struct shape_size *ret)
{
    struct walk w = {.code = c};
    struct step step;

    *ret = (struct shape_size){.most = SHAPE_SLACK};
    while (next_step(&w, &step)) {
        ret->columns += step.code != CODE_LITERAL;
        ret->least += least_of(&step);
        ret->most += most_of(&step);
        if (ret->least > max)
            cursor_fail(c, E_TOO_LARGE, "the text of a shape is longer than allowed");
    }
}

int shape_code_build(struct span code, const struct shape_size *size,
                     const uint64_t *values, struct shape *s, uint8_t *to, size_t *ret_n)
{
    struct cursor c;
    struct walk w = {.code = &c};
    struct step step;
    size_t n = 0;
    size_t at = 0;

    int r = shape_reserve(s, size->columns);
    if (r)
        return r;
    cursor_init(&c, code);
    while (next_step(&w, &step)) {
        if (step.code == CODE_LITERAL) {
            if (step.literals.n > 0)
                memcpy(to + at, step.literals.data, step.literals.n);
            at += step.literals.n;
            continue;
        }
        size_t place = shape_write_value(step.code, step.width, values[n], to + at);
        at += place;
        s->columns[n++] =
            (struct shape_column){(uint32_t)at, (uint8_t)place, step.width, step.code};
    }
    assert(c.r == 0 && n == size->columns); /* it was measured */
    s->n = n;
    *ret_n = at;
    return 0;
}
