/* SPDX-License-Identifier: MIT */
#include "common/cursor.h"
#include "common/msgpack.h"

/*
 * object = first:u8 [length:u8|u16be|u32be] body
 *
 * What follows the first byte of an object where that is c0 to df. All others hold their
 * value or their length themselves.
 */
struct form {
    uint8_t length; /* bytes of the length */
    uint8_t body;   /* bytes of the body besides those that the length counts */
    uint8_t
        children; /* objects for each one that the length counts; 0: it counts bytes */
};

#define FORMS_FROM 0xc0
#define NEVER_USED 0xc1

static const struct form forms[] = {
    {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, /* c0 nil, never, false, true */
    {1, 0, 0}, {2, 0, 0}, {4, 0, 0},            /* c4 bin 8, 16, 32 */
    {1, 1, 0}, {2, 1, 0}, {4, 1, 0},            /* c7 ext, with its type */
    {0, 4, 0}, {0, 8, 0},                       /* ca float 32, 64 */
    {0, 1, 0}, {0, 2, 0}, {0, 4, 0}, {0, 8, 0}, /* cc uint 8, 16, 32, 64 */
    {0, 1, 0}, {0, 2, 0}, {0, 4, 0}, {0, 8, 0}, /* d0 int */
    {0, 2, 0}, {0, 3, 0}, {0, 5, 0}, {0, 9, 0}, {0, 17, 0}, /* d4 fixext 1, 2, 4, 8, 16 */
    {1, 0, 0}, {2, 0, 0}, {4, 0, 0},                        /* d9 str */
    {2, 0, 1}, {4, 0, 1},                                   /* dc array 16, 32 */
    {2, 0, 2}, {4, 0, 2},                                   /* de map */
};

/*
 * Each object is charged when the header of its container announces it, so neither the
 * objects left to allow nor the bytes left can be passed by announcing in many places.
 */
struct walk {
    struct cursor c;
    size_t nodes_left;                      /* objects that may still be announced */
    uint64_t owed;                          /* objects announced and not seen yet */
    uint64_t level_owed[LIMIT_NESTING + 1]; /* the same by level of nesting */
    size_t level;
    size_t max_level;
};

/* Takes an object without its children. Return: is it a container? */
static bool take_object(struct cursor *c, uint64_t *ret_children)
{
    uint8_t first = cursor_u8(c);

    *ret_children = 0;
    if (first < 0x80 || first >= 0xe0)
        return false;
    if (first < 0xa0) {
        *ret_children = (first & 0x0fu) * (first < 0x90 ? 2u : 1u);
        return true;
    }
    if (first < 0xc0) {
        (void)cursor_bytes(c, first & 0x1fu);
        return false;
    }

    const struct form *form = &forms[first - FORMS_FROM];
    uint64_t n = form->length ? cursor_be(c, form->length) : 0;
    if (form->children) {
        *ret_children = n * form->children;
        return true;
    }
    (void)cursor_bytes(c, n + form->body);
    return false;
}

static void enter_container(struct walk *w, uint64_t children)
{
    if (w->level == w->max_level) {
        cursor_fail(&w->c, E_TOO_LARGE, "nested too deeply");
        return;
    }
    w->owed += children;
    w->level_owed[++w->level] = children;
    /* An object takes a byte at least. */
    if (w->owed > cursor_left(&w->c)) {
        cursor_fail(&w->c, E_TRUNCATED, "fewer bytes left than objects announced");
        return;
    }
    if (children > w->nodes_left) {
        cursor_fail(&w->c, E_TOO_LARGE, "more objects than allowed");
        return;
    }
    w->nodes_left -= (size_t)children;
}

static void walk_object(struct walk *w)
{
    uint64_t children;

    while (w->level_owed[w->level] == 0)
        w->level--;
    w->level_owed[w->level]--;
    w->owed--;

    if (cursor_peek(&w->c) == NEVER_USED)
        cursor_fail(&w->c, E_MALFORMED, "a byte that MessagePack never uses");
    else if (take_object(&w->c, &children))
        enter_container(w, children);
}

int msgpack_walk(struct span in, size_t max_nodes, size_t max_nesting,
                 struct err_at *reterr_at)
{
    struct walk w = {.owed = 1, .level_owed = {1}};

    w.max_level = max_nesting < LIMIT_NESTING ? max_nesting : LIMIT_NESTING;

    cursor_init(&w.c, in);
    if (max_nodes == 0)
        cursor_fail(&w.c, E_TOO_LARGE, "more objects than allowed");
    else
        w.nodes_left = max_nodes - 1;
    while (w.c.r == 0 && w.owed > 0)
        walk_object(&w);
    if (cursor_left(&w.c) > 0)
        cursor_fail(&w.c, E_MALFORMED, "bytes behind the end of the message");

    if (w.c.r && reterr_at)
        *reterr_at = w.c.why;
    return w.c.r;
}
