/* SPDX-License-Identifier: MIT */
#include "pcc/tracker.h"

#include "common/io.h"
#include "common/log.h"
#include "common/units.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

struct tracker {
    struct mark *mark;
    struct outbox *outbox;
    uint64_t last_ns; /* the last tick that was handed over, or the start */
    /* What was noted last, but for gaps that the outbox has. */
    struct tracker_unsafe unsafe;
    uint64_t noted_last_ns;
    bool unwritable; /* and that was logged */
};

static void tell_loss(struct tracker *t, struct counters *counters)
{
    enum gap_id id;
    struct gap_note note;
    struct gap_set lost = {0};

    if (!mark_loss(t->mark, &id, &note))
        return;
    log_event(LOG_WARNING, "loss_before_start", LOG_STR("cause", gaps_name(id)),
              LOG_MS("from_ms", note.from_ns), LOG_MS("to_ms", note.to_ns),
              LOG_U64("ticks", note.ticks), LOG_U64("measurements", note.measurements));
    counters->lost[id] += note.measurements;
    gaps_add(&lost, id, &note);
    outbox_note_gaps(t->outbox, &lost);
}

void tracker_add(struct tracker_unsafe *u, uint64_t first_ns, uint64_t measurements)
{
    if (first_ns > 0 && (u->first_ns == 0 || first_ns < u->first_ns))
        u->first_ns = first_ns;
    u->measurements += measurements;
}

static void write_mark(struct tracker *t, bool ended)
{
    struct tracker_unsafe all = t->unsafe;

    tracker_add(&all, outbox_untold_ns(t->outbox), 0);
    const struct mark_state state = {all.first_ns, t->noted_last_ns, all.measurements};
    int r = mark_note(t->mark, &state, ended);
    if (r && !t->unwritable)
        log_event(LOG_WARNING, "mark_unwritable", LOG_RESULT("error", r));
    t->unwritable = r != 0;
}

/* Its cause may leave the disk next, so this stands in the mark first; what else the
 * sender does is noted when it is done. */
static void gap_is_noted(void *arg)
{
    write_mark(arg, false);
}

int tracker_open(const char *folder, const struct mark_start *start,
                 struct outbox *outbox, struct counters *counters, struct tracker **ret)
{
    CLEANUP(io_close) int dir_fd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (dir_fd < 0)
        return -errno;
    struct tracker *t = calloc(1, sizeof *t);
    if (!t)
        return -ENOMEM;
    t->outbox = outbox;
    t->last_ns = start->time_ns;
    int r = mark_open(dir_fd, start, &t->mark);
    if (r) {
        tracker_free(t);
        return r;
    }
    tell_loss(t, counters);
    t->noted_last_ns = t->last_ns;
    outbox_watch(outbox, gap_is_noted, t);
    *ret = t;
    return 0;
}

void tracker_free(struct tracker *t)
{
    if (!t)
        return;
    outbox_watch(t->outbox, NULL, NULL);
    mark_free(t->mark);
    free(t);
}

void tracker_handed(struct tracker *t, const struct outbox_slot *slot)
{
    if (!t)
        return;
    t->last_ns = slot->batch.items[slot->batch.n_items - 1].time_ns;
    /* The outbox has its gaps no more; who has them now is asked with the next note. */
    tracker_add(&t->unsafe, gaps_first_ns(&slot->carried), 0);
}

static void note(struct tracker *t, const struct tracker_unsafe *unsafe, bool ended)
{
    t->unsafe = *unsafe;
    t->noted_last_ns = t->last_ns;
    write_mark(t, ended);
}

void tracker_note(struct tracker *t, const struct tracker_unsafe *unsafe)
{
    if (t)
        note(t, unsafe, false);
}

void tracker_end(struct tracker *t, const struct tracker_unsafe *unsafe)
{
    struct gap_set untold = {0};
    struct tracker_unsafe all = *unsafe;

    if (!t)
        return;
    uint64_t first_ns = outbox_untold_ns(t->outbox);
    outbox_collect_gaps(t->outbox, OUTBOX_WAIT, &untold);
    for (size_t id = 0; id < GAP_IDS; id++)
        all.measurements += untold.notes[id].measurements;
    tracker_add(&all, first_ns, 0);
    note(t, &all, true);
}
