/* SPDX-License-Identifier: MIT */
#include "common/json_reader.h"

#include "common/units.h"
#include "proto/limits.h"

/*
 * RFC 8259, with any white space between tokens:
 *
 *   value  = object / array / string / number / "true" / "false" / "null"
 *   object = "{" [ string ":" value *( "," string ":" value ) ] "}"
 *   array  = "[" [ value *( "," value ) ] "]"
 *   number = [ "-" ] ( "0" / 1-9 *digit ) [ "." 1*digit ] [ ( "e" / "E" ) [ "+" / "-" ]
 *            1*digit ]
 *
 * The functions call each other as the grammar does, at most LIMIT_NESTING deep. Those
 * that read or skip a value start at its first byte, past the white space before it.
 */

void json_reader_init(struct json_reader *d, struct span in)
{
    *d = (struct json_reader){.item = ERR_AT_UNKNOWN, .max_depth = LIMIT_NESTING};
    cursor_init(&d->c, in);
    buf_init(&d->scratch, in.n);
}

void json_reader_done(struct json_reader *d)
{
    buf_done(&d->scratch);
}

void json_reader_stop(struct json_reader *d, int r, const char *what, size_t offset)
{
    if (d->c.r)
        return;
    d->c.at = d->c.start + offset;
    if (r > 0) {
        cursor_fail(&d->c, r, what);
        return;
    }
    d->fault = r;
    cursor_fail(&d->c, E_STOPPED, NULL); /* it knows verdicts only, and has to stop */
}

int json_reader_result(const struct json_reader *d, struct err_at *reterr_at)
{
    if (d->c.r && reterr_at) {
        *reterr_at = d->c.why;
        reterr_at->item = d->item;
    }
    return d->fault ? d->fault : d->c.r;
}

/* Fails at what is here, which isn't what must be; at the end, with E_TRUNCATED. */
static void refuse(struct cursor *c, const char *what)
{
    if (cursor_left(c) == 0)
        cursor_fail(c, E_TRUNCATED, "the input ends too early");
    cursor_fail(c, E_MALFORMED, what);
}

/* The byte that the next token begins with; -1 at the end. */
static int next(struct cursor *c)
{
    while (c->at < c->end &&
           (*c->at == ' ' || *c->at == '\n' || *c->at == '\t' || *c->at == '\r'))
        c->at++;
    return cursor_peek(c);
}

static void take(struct cursor *c, char token, const char *what)
{
    if (next(c) == token)
        c->at++;
    else
        refuse(c, what);
}

/* Enters the object or array that begins here. Return: does it hold anything? */
static bool begin(struct json_reader *d, char close)
{
    if (d->depth == d->max_depth) {
        cursor_fail(&d->c, E_TOO_LARGE, "nested too deeply");
        return false;
    }
    d->c.at++;
    if (next(&d->c) == close) {
        d->c.at++;
        return false;
    }
    d->depth++;
    return true;
}

/* Goes on behind an element. Return: is there another, or was that the end? */
static bool more(struct json_reader *d, char close)
{
    int token = next(&d->c);

    if (token != ',' && token != close)
        refuse(&d->c, "neither a comma nor the end of the object or array");
    if (d->c.r)
        return false;
    d->c.at++;
    if (token == ',') {
        (void)next(&d->c);
        return true;
    }
    d->depth--;
    return false;
}

static void read_elements(struct json_reader *d,
                          void (*read_element)(struct json_reader *))
{
    for (bool another = begin(d, ']'); another; another = more(d, ']'))
        read_element(d);
}

static void skip_digits(struct cursor *c)
{
    const uint8_t *from = c->at;

    while (c->at < c->end && *c->at >= '0' && *c->at <= '9')
        c->at++;
    if (c->at == from)
        refuse(c, "not a value");
}

static void skip_number(struct cursor *c)
{
    if (cursor_peek(c) == '-')
        c->at++;
    if (cursor_peek(c) == '0')
        c->at++;
    else
        skip_digits(c);
    if (cursor_peek(c) == '.') {
        c->at++;
        skip_digits(c);
    }
    if (cursor_peek(c) == 'e' || cursor_peek(c) == 'E') {
        c->at++;
        if (cursor_peek(c) == '+' || cursor_peek(c) == '-')
            c->at++;
        skip_digits(c);
    }
}

static void skip_word(struct cursor *c, struct span word)
{
    for (size_t i = 0; i < word.n && c->r == 0; i++) {
        if (cursor_peek(c) == word.data[i])
            c->at++;
        else
            refuse(c, "not a value");
    }
}

static void read_members(struct json_reader *d, const struct json_member *members,
                         size_t n_members, struct json_value *ret_values);

static void skip_value(struct json_reader *d)
{
    struct cursor *c = &d->c;

    switch (cursor_peek(c)) {
    case '{':
        read_members(d, NULL, 0, NULL);
        break;
    case '[':
        read_elements(d, skip_value);
        break;
    case '"':
        c->at++;
        (void)json_string_read(c);
        break;
    case 't':
        skip_word(c, SPAN("true"));
        break;
    case 'f':
        skip_word(c, SPAN("false"));
        break;
    case 'n':
        skip_word(c, SPAN("null"));
        break;
    default:
        skip_number(c);
    }
}

static void read_pair(struct json_reader *d, const struct json_member *members,
                      size_t n_members, struct json_value *ret_values)
{
    size_t i = 0;

    take(&d->c, '"', "not a member's name");
    struct json_string name = json_string_read(&d->c);
    take(&d->c, ':', "no colon behind a member's name");
    (void)next(&d->c);

    while (i < n_members && !json_string_equals(&name, members[i].name))
        i++;
    if (i == n_members) {
        skip_value(d);
        return;
    }
    ret_values[i] = (struct json_value){.is_given = true, .offset = cursor_offset(&d->c)};
    members[i].read(d, &members[i], &ret_values[i]);
}

static void read_members(struct json_reader *d, const struct json_member *members,
                         size_t n_members, struct json_value *ret_values)
{
    for (bool another = begin(d, '}'); another; another = more(d, '}'))
        read_pair(d, members, n_members, ret_values);
    for (size_t i = 0; i < n_members; i++) {
        if (!ret_values[i].is_given && !members[i].is_optional)
            cursor_fail(&d->c, E_MALFORMED, members[i].missing);
    }
}

void json_read_object(struct json_reader *d, const struct json_member *members,
                      size_t n_members, struct json_value *ret_values,
                      const char *mistyped)
{
    if (cursor_peek(&d->c) == '{')
        read_members(d, members, n_members, ret_values);
    else
        refuse(&d->c, mistyped);
}

void json_read_array(struct json_reader *d, void (*read_element)(struct json_reader *),
                     const char *mistyped)
{
    if (cursor_peek(&d->c) == '[')
        read_elements(d, read_element);
    else
        refuse(&d->c, mistyped);
}

void json_read_message(struct json_reader *d, const struct json_member *members,
                       size_t n_members, struct json_value *ret_values)
{
    (void)next(&d->c);
    json_read_object(d, members, n_members, ret_values, "not an object");
    if (next(&d->c) >= 0)
        cursor_fail(&d->c, E_MALFORMED, "something behind the end");
}

void json_read_integer(struct json_reader *d, const struct json_member *m,
                       struct json_value *ret)
{
    struct cursor *c = &d->c;
    const uint8_t *from = c->at;
    bool is_negative = cursor_peek(c) == '-';
    uint64_t magnitude;

    if (!is_negative && (cursor_peek(c) < '0' || cursor_peek(c) > '9'))
        refuse(c, m->mistyped);
    skip_number(c);
    if (c->r)
        return;

    struct span digits = span_from(span_of(from, (size_t)(c->at - from)), is_negative);
    int r = units_parse_u64(digits, &magnitude);
    if (r == E_MALFORMED) /* a fraction or an exponent */
        json_reader_stop(d, E_MALFORMED, m->mistyped, ret->offset);
    else if (r || magnitude > (uint64_t)INT64_MAX + is_negative)
        json_reader_stop(d, E_MALFORMED, m->out_of_range, ret->offset);
    else
        ret->integer = (int64_t)(is_negative ? 0 - magnitude : magnitude);
}

void json_read_string(struct json_reader *d, const struct json_member *m,
                      struct json_value *ret)
{
    if (cursor_peek(&d->c) != '"') {
        refuse(&d->c, m->mistyped);
        return;
    }
    d->c.at++;
    ret->string = json_string_read(&d->c);
}

bool json_read_null(struct json_reader *d)
{
    if (cursor_peek(&d->c) != 'n')
        return false;
    skip_word(&d->c, SPAN("null"));
    return true;
}

void json_read_string_or_null(struct json_reader *d, const struct json_member *m,
                              struct json_value *ret)
{
    if (!json_read_null(d))
        json_read_string(d, m, ret);
}

int json_reader_unescape(struct json_reader *d, const struct json_string *s,
                         struct span *ret)
{
    *ret = s->raw;
    if (s->n == s->raw.n)
        return 0;
    buf_reset(&d->scratch);
    int r = buf_reserve(&d->scratch, s->n);
    if (r)
        return r;
    buf_commit(&d->scratch, json_string_write(s, buf_tail(&d->scratch), s->n));
    *ret = buf_span(&d->scratch);
    return 0;
}
