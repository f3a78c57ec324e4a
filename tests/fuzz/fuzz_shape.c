/* SPDX-License-Identifier: MIT */
#include "common/shape_code.h"
#include "tests/fuzz/texts.h"

/*
 * input = how:u8 bytes; how: even: the bytes are the code of a shape and numbers for it;
 * odd: they make texts (texts.h), the first of which is cut, and each one read by the
 * shape of the one before.
 */

#define LEAST_MAX 4096u
#define COLUMNS_MAX 4096u
#define TEXTS_MAX 16u

struct work {
    struct shape shape;
    struct shape other;
    struct shape_change *changes;
    struct shape_edit *edits;
    uint64_t *values;
    struct buf text;
    struct buf made;
    struct buf plain;
    struct buf code;
};

static void work_init(struct work *w)
{
    *w = (struct work){.changes = calloc(COLUMNS_MAX, sizeof *w->changes),
                       .edits = calloc(COLUMNS_MAX, sizeof *w->edits),
                       .values = calloc(COLUMNS_MAX, sizeof *w->values)};
    FUZZ_CHECK(w->changes && w->edits && w->values);
    buf_init(&w->text, FUZZ_BODY_MAX);
    buf_init(&w->made, FUZZ_BODY_MAX);
    buf_init(&w->plain, FUZZ_BODY_MAX);
    buf_init(&w->code, FUZZ_BODY_MAX);
}

static void work_done(struct work *w)
{
    shape_done(&w->shape);
    shape_done(&w->other);
    free(w->changes);
    free(w->edits);
    free(w->values);
    buf_done(&w->text);
    buf_done(&w->made);
    buf_done(&w->plain);
    buf_done(&w->code);
}

/* The columns lie in the text, in order, apart. */
static void check_columns(const struct shape *s, struct span text)
{
    size_t before = 0;

    for (size_t i = 0; i < s->n; i++) {
        const struct shape_column *c = &s->columns[i];
        FUZZ_CHECK(c->n > 0 && c->end <= text.n && c->end - c->n >= before);
        FUZZ_CHECK((c->width == 0) == (c->kind == SHAPE_PLAIN));
        before = c->end;
    }
}

static void check_same_columns(const struct shape *a, const struct shape *b)
{
    FUZZ_CHECK(a->n == b->n);
    for (size_t i = 0; i < a->n; i++) {
        const struct shape_column *x = &a->columns[i], *y = &b->columns[i];
        FUZZ_CHECK(x->end == y->end && x->n == y->n && x->width == y->width &&
                   x->kind == y->kind);
    }
}

/* A shape that was built or cut is written, and built again from that. */
static void check_code(struct work *w, const struct shape *s, struct span text)
{
    struct shape_size size;
    struct cursor c;
    size_t n;

    buf_reset(&w->code);
    buf_reset(&w->made);
    FUZZ_CHECK(shape_code_append(s, text, &w->plain, &w->code) == 0);
    CLEANUP(fuzz_drop) struct span code = fuzz_exact(buf_span(&w->code));
    cursor_init(&c, code);
    shape_code_measure(&c, text.n, &size);
    FUZZ_CHECK(c.r == 0 && cursor_left(&c) == 0);
    FUZZ_CHECK(size.columns == s->n && size.least <= text.n && size.most >= text.n);
    for (size_t i = 0; i < s->n; i++)
        w->values[i] = shape_value(s, text, i);
    FUZZ_CHECK(buf_reserve(&w->made, size.most) == 0);
    FUZZ_CHECK(
        shape_code_build(code, &size, w->values, &w->other, buf_tail(&w->made), &n) == 0);
    FUZZ_CHECK(span_equal(span_of(w->made.data, n), text));
    check_same_columns(&w->other, s);
}

/* The next text is made again from what changed. */
static void check_step(struct work *w, struct span text, struct span next, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const struct shape_change *c = &w->changes[i];
        FUZZ_CHECK(c->column < w->shape.n && c->before != c->after);
        FUZZ_CHECK(i == 0 || c->column > w->changes[i - 1].column);
        FUZZ_CHECK(shape_value(&w->shape, next, c->column) == c->after);
        FUZZ_CHECK(shape_value(&w->other, text, c->column) == c->before);
        w->edits[i] = (struct shape_edit){c->column, c->after - c->before};
    }
    buf_reset(&w->made);
    FUZZ_CHECK(buf_reserve(&w->made, shape_step_room(text.n, n)) == 0);
    size_t made = shape_step(&w->other, text, w->edits, n, w->made.data);
    FUZZ_CHECK(span_equal(span_of(w->made.data, made), next));
    check_same_columns(&w->other, &w->shape);
}

/* @w->shape is that of @text. Afterwards it is that of @next. */
static void check_next(struct work *w, struct span text, struct span next)
{
    size_t n = 0;

    check_code(w, &w->shape, text); /* a copy of it in @w->other */
    if (shape_read(&w->shape, text, next, w->changes, &n)) {
        check_columns(&w->shape, next);
        check_step(w, text, next, n);
        return;
    }
    check_same_columns(&w->other, &w->shape);
    FUZZ_CHECK(shape_cut(&w->shape, next) == 0);
    check_columns(&w->shape, next);
    check_code(w, &w->shape, next);
}

static void check_texts(struct work *w, struct fuzz_input *in)
{
    struct texts texts;

    texts_init(&texts);
    FUZZ_CHECK(shape_cut(&w->shape, buf_span(&w->text)) == 0);
    for (size_t i = 0; i < TEXTS_MAX && in->left.n > 0; i++) {
        /* All of one subsystem. */
        struct measurement m = texts_next(&texts, fuzz_byte(in) & 24, in);
        CLEANUP(fuzz_drop) struct span next = fuzz_exact(m.text);
        CLEANUP(fuzz_drop) struct span last = fuzz_exact(buf_span(&w->text));
        check_next(w, last, next);
        buf_reset(&w->text);
        FUZZ_CHECK(buf_append(&w->text, next) == 0);
    }
    texts_done(&texts);
}

/* Code of any bytes: what can be built is a shape that can be written. */
static void check_any_code(struct work *w, struct fuzz_input *in)
{
    struct span code = fuzz_bytes(in, fuzz_number(in, 2));
    struct shape_size size;
    struct cursor c;
    size_t n;

    CLEANUP(fuzz_drop) struct span exact = fuzz_exact(code);
    cursor_init(&c, exact);
    shape_code_measure(&c, LEAST_MAX, &size);
    if (c.r) {
        FUZZ_CHECK(c.r == E_MALFORMED || c.r == E_TRUNCATED || c.r == E_TOO_LARGE);
        return;
    }
    FUZZ_CHECK(size.columns <= COLUMNS_MAX && size.least <= LEAST_MAX);
    for (size_t i = 0; i < size.columns; i++)
        w->values[i] = fuzz_number(in, 1 + fuzz_byte(in) % 8);
    FUZZ_CHECK(buf_reserve(&w->text, size.most) == 0);
    FUZZ_CHECK(shape_code_build(exact, &size, w->values, &w->shape, buf_tail(&w->text),
                                &n) == 0);
    FUZZ_CHECK(n >= size.least && n <= size.most);
    buf_commit(&w->text, n);
    check_columns(&w->shape, buf_span(&w->text));
    for (size_t i = 0; i < size.columns; i++)
        FUZZ_CHECK(shape_value(&w->shape, buf_span(&w->text), i) == w->values[i]);
    check_code(w, &w->shape, buf_span(&w->text));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct fuzz_input in = {span_of(data, n)};
    CLEANUP(work_done) struct work w;

    work_init(&w);
    if (fuzz_byte(&in) % 2)
        check_texts(&w, &in);
    else
        check_any_code(&w, &in);
    return 0;
}
