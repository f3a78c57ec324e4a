/* SPDX-License-Identifier: MIT */
#include "pcc/halve.h"

void halves_init(struct half halves[2], size_t body_max)
{
    for (size_t i = 0; i < 2; i++) {
        halves[i] = (struct half){.label = {.seq = 0}};
        buf_init(&halves[i].body, body_max);
    }
}

void halves_done(struct half halves[2])
{
    buf_done(&halves[0].body);
    buf_done(&halves[1].body);
}

/* The measurements of one half. */
static int take_part(const struct batch *whole, size_t from, size_t n, struct batch *ret)
{
    int r = batch_set_identifier(ret, batch_identifier(whole));

    return r ? r : batch_append_range(ret, whole, from, n);
}

static bool tells(const struct batch *b, enum gap_id id)
{
    for (size_t i = 0; i < b->n_items; i++) {
        const struct measurement m = batch_get(b, i);
        if (gaps_tells(&m, id))
            return true;
    }
    return false;
}

/* Gaps go with the half that tells of them, and with both where both do: then each of
 * them is lost with either. */
static void share_gaps(const struct batch parts[2], const struct gap_set *whole,
                       struct label labels[2])
{
    for (int id = 0; id < GAP_IDS; id++) {
        const struct gap_note *note = &whole->notes[id];
        bool by_second = !gap_note_is_empty(note) && tells(&parts[1], (enum gap_id)id);
        if (!by_second || tells(&parts[0], (enum gap_id)id))
            gaps_add(&labels[0].carried, (enum gap_id)id, note);
        if (by_second)
            gaps_add(&labels[1].carried, (enum gap_id)id, note);
    }
}

static int encode_both(struct recoder *r, const struct label *label, struct session *s,
                       const struct batch parts[2], struct half ret[2])
{
    struct label labels[2];
    int result = 0;

    for (size_t i = 0; i < 2; i++)
        labels[i] =
            (struct label){.form = label->form, .range = gaps_of_batch(&parts[i])};
    share_gaps(parts, &label->carried, labels);
    session_number_halves(s, label, labels);
    for (size_t i = 0; i < 2 && result == 0; i++) {
        ret[i].label = labels[i];
        result =
            recode_encode(r, &parts[i], label->form, labels[i].first_tick, &ret[i].body);
    }
    return result;
}

int halve(struct recoder *r, const struct batch *whole, const struct label *label,
          struct session *s, struct half ret[2])
{
    const struct session before = *s;
    const size_t middle = batch_middle_tick(whole);
    struct batch parts[2];

    if (middle == 0)
        return E_TOO_LARGE;
    batch_init(&parts[0], &batch_limits_default);
    batch_init(&parts[1], &batch_limits_default);
    int result = take_part(whole, 0, middle, &parts[0]);
    if (result == 0)
        result = take_part(whole, middle, whole->n_items - middle, &parts[1]);
    if (result == 0)
        result = encode_both(r, label, s, parts, ret);
    batch_done(&parts[0]);
    batch_done(&parts[1]);
    if (result)
        *s = before;
    return result;
}
