/* SPDX-License-Identifier: MIT */
#include "pcc/spool_check.h"

#include "pcc/recode.h"

#include <errno.h>

struct check {
    struct recoder *recoder;
    struct batch batch; /* what is decoded */
    FILE *out;
    struct check_counts counts;
};

static bool same_batch(const struct batch *b, const struct spool_file *f,
                       const struct label *label)
{
    return span_equal(batch_identifier(b), f->identifier) &&
           b->n_items == label->range.measurements;
}

/* Return: 0 and what is wrong with it, NULL for nothing; -ENOMEM. */
static int check_body(struct check *c, const struct sight *s,
                      const struct spool_part *part, const char **ret_what)
{
    *ret_what = NULL;
    if (!part->body.data)
        *ret_what = "the body is cut short";
    else if (part->damaged)
        *ret_what = "the body's checksum differs";
    if (*ret_what)
        return 0;
    batch_reset(&c->batch);
    int r = recode_decode(c->recoder, part->body, part->label.form, &c->batch);
    if (r < 0)
        return r;
    if (r > 0)
        *ret_what = "the body can't be decoded";
    else if (!same_batch(&c->batch, &s->file, &part->label))
        *ret_what = "the body isn't what its label says";
    return 0;
}

static int check_parts(struct check *c, const struct sight *s, size_t *ret_bad)
{
    for (size_t i = 0; i < s->file.n_parts; i++) {
        const struct spool_part *part = &s->file.parts[i];
        const char *what;
        int r = check_body(c, s, part, &what);
        if (r)
            return r;
        if (!what)
            continue;
        ++*ret_bad;
        sight_print_name(s, c->out);
        (void)fprintf(c->out, " part=%zu of=%zu damaged=\"%s\"", i + 1, s->file.n_parts,
                      what);
        if (part->body.data)
            (void)fprintf(c->out, " offset=%zu bytes=%zu",
                          (size_t)(part->body.data - s->data.data), part->body.n);
        else
            (void)fprintf(c->out, " offset=%zu", s->data.len);
        (void)fputc('\n', c->out);
    }
    return 0;
}

static int check_file(void *arg, const struct sight *s)
{
    struct check *c = arg;
    size_t bad = 0;
    int r = check_parts(c, s, &bad);

    if (r)
        return r;
    sight_add(s, s->rejected ? &c->counts.rejected : &c->counts.waiting);
    if (s->r && bad == 0) {
        sight_print_name(s, c->out);
        sight_print_damage(s, c->out);
        (void)fputc('\n', c->out);
    } else if (s->rejected && bad == 0) {
        sight_print_name(s, c->out);
        (void)fprintf(c->out, " whole=\"so the server refused it\"\n");
    }
    if (!s->rejected && s->r >= 0)
        c->counts.bad += s->r || bad > 0;
    return 0;
}

int spool_check(const struct spool_folder *f, FILE *out, struct check_counts *ret)
{
    struct check c = {.out = out};
    int r = recode_new(1, 0, &c.recoder);

    batch_init(&c.batch, &batch_limits_default);
    if (r == 0)
        r = sight_each(f, false, true, check_file, &c);
    if (r == 0)
        r = sight_each(f, true, true, check_file, &c);
    batch_done(&c.batch);
    recode_free(c.recoder);
    *ret = c.counts;
    return r;
}
