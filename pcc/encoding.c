/* SPDX-License-Identifier: MIT */
#include "pcc/encoding.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/units.h"
#include "pcc/recode.h"

#include <errno.h>
#include <stdlib.h>

/* Of what goes on and on, for nothing is wrong with it. */
#define LOG_SELDOM HOUR

struct encoding {
    struct recoder *recoder;
    uint64_t chain_session;   /* the chain: which session it is of, */
    uint64_t chain_ticks;     /* how many ticks it has since its snapshot, */
    uint64_t chain_max_ticks; /* and after how many there is another */
    struct log_limit delta_limit;
};

int encoding_new(const struct pcc_conf *conf, struct encoding **ret)
{
    struct encoding *e = calloc(1, sizeof *e);
    if (!e)
        return -ENOMEM;
    e->chain_max_ticks = conf->snapshot_interval;
    e->delta_limit.every_ns = LOG_SELDOM;
    int r = recode_new((int)conf->compression_level, conf->delta_threshold_millionths,
                       &e->recoder);
    if (r) {
        free(e);
        return r;
    }
    *ret = e;
    return 0;
}

void encoding_free(struct encoding *e)
{
    if (!e)
        return;
    recode_free(e->recoder);
    free(e);
}

struct forms encoding_forms(const struct agreement *a, uint64_t now_ns)
{
    return (struct forms){agreement_form(a, now_ns), agreement_form_but_delta(a, now_ns)};
}

/* Is this result delta's, and another form worth a try? Whoever asks why more bytes are
 * sent finds it in the log. */
static bool delta_is_too_small(struct encoding *e, int result, struct form form,
                               const struct batch *batch)
{
    uint64_t suppressed = 0;

    if (result != E_TOO_LARGE || form.media != MEDIA_DELTA)
        return false;
    if (log_limit_pass(&e->delta_limit, clock_boot_ns(), &suppressed))
        log_event(LOG_INFO, "not_in_delta", LOG_U64("measurements", batch->n_items),
                  LOG_U64("subsystems_max", LIMIT_DELTA_SUBSYSTEMS),
                  LOG_STR("reason", "more subsystems than delta holds, or too large"),
                  LOG_U64("suppressed", suppressed));
    return true;
}

int encoding_alone(struct encoding *e, const struct batch *b, const struct forms *forms,
                   struct label *label, struct buf *to)
{
    label->form = forms->best;
    int r = recode_encode(e->recoder, b, label->form, label->first_tick, to);
    if (!delta_is_too_small(e, r, label->form, b))
        return r;
    label->form = forms->but_delta;
    return recode_encode(e->recoder, b, label->form, label->first_tick, to);
}

static int encode_chained(struct encoding *e, const struct batch *b,
                          const struct label *label, struct buf *to,
                          struct delta_place *ret)
{
    if (e->chain_session != label->session || e->chain_ticks >= e->chain_max_ticks)
        recode_forget(e->recoder);
    int r = recode_encode_chained(e->recoder, b, label->form.coding, label->first_tick,
                                  to, ret);
    if (r)
        return r;
    if (ret->number == 0)
        e->chain_ticks = 0;
    e->chain_ticks += label->range.ticks;
    e->chain_session = label->session;
    return 0;
}

int encoding_next(struct encoding *e, const struct batch *b, const struct forms *forms,
                  struct label *label, struct buf *to, struct delta_place *ret)
{
    label->form = forms->best;
    if (label->form.media == MEDIA_DELTA) {
        int r = encode_chained(e, b, label, to, ret);
        if (!delta_is_too_small(e, r, label->form, b))
            return r;
        label->form = forms->but_delta;
    }
    return recode_encode(e->recoder, b, label->form, label->first_tick, to);
}

void encoding_break_chain(struct encoding *e)
{
    recode_forget(e->recoder);
}

int encoding_again(struct encoding *e, struct span body, const struct label *label,
                   const struct forms *forms, struct buf *to, struct form *ret)
{
    struct label again = *label;
    CLEANUP(batch_done) struct batch batch;

    batch_init(&batch, &batch_limits_default);
    int r = recode_decode(e->recoder, body, label->form, &batch);
    if (r == 0)
        r = encoding_alone(e, &batch, forms, &again, to);
    *ret = again.form;
    return r;
}

struct recoder *encoding_recoder(struct encoding *e)
{
    return e->recoder;
}
