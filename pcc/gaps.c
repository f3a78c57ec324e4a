/* SPDX-License-Identifier: MIT */
#include "pcc/gaps.h"

#include "common/gap.h"
#include "proto/wire.h"

#include <assert.h>
#include <string.h>

static const struct {
    const char *name;
    const char *kind;
    const char *reason;
} gap_words[GAP_IDS] = {
    [GAP_MISSED] = {"missed", "missed", "the agent did not run when the ticks were due"},
    [GAP_MOUNT] = {"mount", "mount", "a filesystem did not answer within the tick"},
    [GAP_BEHIND] = {"behind", "dropped", "the sender was behind"},
    [GAP_FULL] = {"queue_full", "dropped", "the queue was full"},
    [GAP_REJECTED] = {"rejected", "rejected", "the server refused it for good"},
    [GAP_UNWRITTEN] = {"collection", "dropped", "the collection could not be written"},
    [GAP_UNENCODED] = {"memory", "dropped", "no memory to encode it"},
    [GAP_UNDATED] = {"undated", "dropped", "the clock was not set in time"},
    [GAP_UNSENT] = {"unsent", "dropped", "the agent ended before it was delivered"},
    [GAP_KILLED] = {"killed", "killed",
                    "the agent or the host came to a sudden end; at most so much"},
    [GAP_SPOOL_FULL] = {"spool_full", "dropped", "the spool was full"},
    [GAP_DAMAGED] = {"damaged", "damaged", "a file of the spool was damaged"},
    [GAP_HELD] = {"stopped", "stopped", "sampling was stopped, for the spool was full"},
};

const char *gaps_name(enum gap_id id)
{
    return gap_words[id].name;
}

bool gaps_tells(const struct measurement *m, enum gap_id id)
{
    const char *reason = gap_words[id].reason;

    return span_equal(m->subsystem, SPAN(WIRE_SUBSYSTEM_PCC_GAP)) &&
           memmem(m->text.data, m->text.n, reason, strlen(reason));
}

struct gap_note gaps_of_batch(const struct batch *b)
{
    assert(b->n_items > 0);
    uint64_t first = b->items[0].time_ns;
    uint64_t last = b->items[b->n_items - 1].time_ns;

    /* The wall clock may have been set back in between. */
    return (struct gap_note){
        .from_ns = first < last ? first : last,
        .to_ns = first < last ? last : first,
        .ticks = b->n_ticks,
        .measurements = b->n_items,
    };
}

void gaps_merge(struct gap_note *to, const struct gap_note *note)
{
    if (gap_note_is_empty(note))
        return;
    if (gap_note_is_empty(to)) {
        *to = *note;
        return;
    }
    if (note->from_ns < to->from_ns)
        to->from_ns = note->from_ns;
    if (note->to_ns > to->to_ns)
        to->to_ns = note->to_ns;
    to->ticks += note->ticks;
    to->measurements += note->measurements;
}

void gaps_add(struct gap_set *set, enum gap_id id, const struct gap_note *note)
{
    gaps_merge(&set->notes[id], note);
}

void gaps_fold(struct gap_set *to, const struct gap_set *from)
{
    for (int id = 0; id < GAP_IDS; id++)
        gaps_add(to, (enum gap_id)id, &from->notes[id]);
}

void gaps_shift(struct gap_set *set, uint64_t end_ns, uint64_t delta_ns)
{
    for (size_t id = 0; id < GAP_IDS; id++) {
        struct gap_note *note = &set->notes[id];
        if (gap_note_is_empty(note))
            continue;
        if (note->from_ns < end_ns)
            note->from_ns += delta_ns;
        if (note->to_ns < end_ns)
            note->to_ns += delta_ns;
    }
}

uint64_t gaps_first_ns(const struct gap_set *set)
{
    uint64_t first_ns = 0;

    for (size_t id = 0; id < GAP_IDS; id++) {
        const struct gap_note *note = &set->notes[id];
        if (!gap_note_is_empty(note) && (first_ns == 0 || note->from_ns < first_ns))
            first_ns = note->from_ns;
    }
    return first_ns;
}

bool gaps_empty(const struct gap_set *set)
{
    for (int id = 0; id < GAP_IDS; id++) {
        if (!gap_note_is_empty(&set->notes[id]))
            return false;
    }
    return true;
}

static int emit(const struct gap_note *note, enum gap_id id, struct batch *b,
                uint64_t time_ns)
{
    struct gap gap = {
        .kind = gap_words[id].kind,
        .from_ns = note->from_ns,
        .to_ns = note->to_ns,
        .ticks = note->ticks,
        .measurements = note->measurements,
        .reason = gap_words[id].reason,
    };
    int r = batch_open(b, time_ns, SPAN(WIRE_SUBSYSTEM_PCC_GAP));
    if (r)
        return r;
    r = gap_append_text(&gap, &b->bytes);
    if (r) {
        batch_cancel(b);
        return r;
    }
    return batch_close(b);
}

void gaps_emit(struct gap_set *pending, struct gap_set *carried, struct batch *b,
               uint64_t time_ns)
{
    for (int id = 0; id < GAP_IDS; id++) {
        struct gap_note *note = &pending->notes[id];
        if (gap_note_is_empty(note) || emit(note, (enum gap_id)id, b, time_ns))
            continue;
        gaps_add(carried, (enum gap_id)id, note);
        *note = (struct gap_note){0};
    }
}
