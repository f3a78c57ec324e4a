/* SPDX-License-Identifier: MIT */
#include "pcc/form.h"

#include "common/units.h"

#define REMEMBERED HOUR

static const struct form plain = {MEDIA_JSON, CODING_IDENTITY};

static bool equal(struct form a, struct form b)
{
    return a.media == b.media && a.coding == b.coding;
}

void agreement_init(struct agreement *a, struct form wanted)
{
    *a = (struct agreement){.wanted = wanted};
}

void agreement_learn(struct agreement *a, struct span accept_post,
                     struct span accept_encoding)
{
    if (!accept_post.data)
        return;
    if (!a->named)
        a->plain_until_ns = 0;
    a->named = true;
    a->forms = media_forms_in(accept_post);
    /* Nothing said of codings promises none but identity. */
    a->codings = accept_encoding.data ? media_codings_in(accept_encoding) : 0;
}

void agreement_forget(struct agreement *a)
{
    a->named = false;
}

static bool takes(const struct agreement *a, struct form f, uint64_t now_ns)
{
    if (f.media == MEDIA_DELTA && (!a->named || now_ns < a->no_delta_until_ns))
        return false;
    /* JSON as it is can always be tried: every server has it. */
    return !a->named ||
           ((f.media == MEDIA_JSON || (a->forms & MEDIA_BIT(f.media))) &&
            (f.coding == CODING_IDENTITY || (a->codings & MEDIA_BIT(f.coding))));
}

/* @media, or the next one down that is taken. */
static struct form form_from(const struct agreement *a, enum media_form media,
                             uint64_t now_ns)
{
    if (now_ns < a->plain_until_ns)
        return plain;

    struct form f = {media, CODING_IDENTITY};
    if (f.media == MEDIA_DELTA && !takes(a, f, now_ns))
        f.media = MEDIA_MSGPACK;
    if (!takes(a, f, now_ns))
        f.media = MEDIA_JSON;
    if (takes(a, (struct form){f.media, a->wanted.coding}, now_ns))
        f.coding = a->wanted.coding;
    return f;
}

struct form agreement_form(const struct agreement *a, uint64_t now_ns)
{
    return form_from(a, a->wanted.media, now_ns);
}

struct form agreement_form_but_delta(const struct agreement *a, uint64_t now_ns)
{
    enum media_form wanted = a->wanted.media;

    return form_from(a, wanted == MEDIA_DELTA ? MEDIA_MSGPACK : wanted, now_ns);
}

bool agreement_fits(const struct agreement *a, struct form f, uint64_t now_ns)
{
    if (now_ns < a->plain_until_ns)
        return equal(f, plain);
    return takes(a, f, now_ns);
}

bool agreement_refused(struct agreement *a, struct form f, uint64_t now_ns)
{
    if (equal(f, plain))
        return false;
    /* What it names may differ from what was sent: then that is the one to try. */
    if (!agreement_fits(a, f, now_ns))
        return true;
    if (f.media == MEDIA_DELTA)
        a->no_delta_until_ns = now_ns + REMEMBERED;
    else
        a->plain_until_ns = now_ns + REMEMBERED;
    return true;
}
