/* SPDX-License-Identifier: MIT */
#include "pcc/spool_repair.h"

#include "common/clock.h"
#include "common/hash.h"
#include "pcc/recode.h"
#include "pcc/spool_sight.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>

struct repair {
    const struct spool_folder *folder;
    struct spool *spool; /* what is put back goes there */
    struct recoder *recoder;
    bool refused;
    FILE *out;
    struct buf writing;
    struct buf told;        /* the body of the batch that tells of a loss */
    struct spool_file next; /* what takes a file's place */
    struct repair_counts counts;
};

static int say(struct repair *r, const struct sight *s, const char *what)
{
    sight_print_name(s, r->out);
    return fprintf(r->out, " %s", what) < 0 ? -EIO : 0;
}

/* It is left as it is. */
static int say_failed(struct repair *r, const struct sight *s, int why)
{
    r->counts.failed++;
    sight_print_name(s, r->out);
    (void)fprintf(r->out, " failed=\"%s\"\n",
                  why == E_FULL ? "PCC_SPOOL_MAX is reached: raise it, or let an agent "
                                  "send what waits, then repair again"
                  : why == E_NO_ROOM
                      ? "the disk is full up to PCC_SPOOL_RESERVE: make room"
                      : err_text(why));
    return 0;
}

/* The session under which a part is sent anew: the same whenever it is derived. */
static uint64_t derived_session(const struct label *label, struct span body)
{
    return hash_sip13(label->session, label->seq, body);
}

/* A batch that tells of the loss, in the form that any server takes. */
static int tell_loss(struct repair *r, struct span identifier, struct gap_set *lost,
                     struct spool_part *ret)
{
    CLEANUP(batch_done) struct batch b;

    *ret = (struct spool_part){.label.seq = 1, .label.session = clock_random_u64()};
    batch_init(&b, &batch_limits_default);
    int result = batch_set_identifier(&b, identifier);
    if (result)
        return result;
    gaps_emit(lost, &ret->label.carried, &b, clock_wall_ns());
    if (!gaps_empty(lost))
        return -ENOMEM;
    ret->label.range = gaps_of_batch(&b);
    ret->label.form = (struct form){MEDIA_JSON, CODING_IDENTITY};
    result = recode_encode(r->recoder, &b, ret->label.form, 0, &r->told);
    ret->body = buf_span(&r->told);
    return result;
}

/* What is whole in the file, and a word on what isn't. */
static int make_next(struct repair *r, const struct sight *s, uint64_t *ret_lost)
{
    struct gap_set lost = {0};

    *ret_lost = 0;
    r->next.identifier = s->file.identifier;
    r->next.n_parts = 0;
    for (size_t i = 0; i < s->file.n_parts; i++) {
        const struct spool_part *part = &s->file.parts[i];
        if (!part->damaged) {
            r->next.parts[r->next.n_parts++] = *part;
            continue;
        }
        gaps_add(&lost, GAP_DAMAGED, &part->label.range);
        gaps_fold(&lost, &part->label.carried);
        *ret_lost += part->label.range.measurements;
    }
    if (gaps_empty(&lost))
        return 0;
    return tell_loss(r, r->next.identifier, &lost, &r->next.parts[r->next.n_parts++]);
}

static int write_next(struct repair *r, uint64_t number)
{
    buf_reset(&r->writing);
    int result = spool_file_write(&r->next, &r->writing);

    if (result)
        return result;
    return spool_folder_write(r->folder->fd, number, buf_span(&r->writing));
}

/* Return: 0; what hindered it, the file being as it was. */
static int mend(struct repair *r, const struct sight *s, uint64_t *ret_lost)
{
    int result = 0;

    *ret_lost = 0;
    if (sight_whole_parts(s) == 0)
        result =
            spool_folder_write(r->folder->rejected_fd, s->number, buf_span(&s->data));
    if (result == 0 && s->file.n_parts > 0)
        result = make_next(r, s, ret_lost);
    if (result)
        return result;
    if (s->file.n_parts > 0)
        return write_next(r, s->number);
    spool_folder_remove(r->folder->fd, s->number);
    return 0;
}

static int mend_file(void *arg, const struct sight *s)
{
    struct repair *r = arg;
    uint64_t lost = 0;

    if (s->r == 0)
        return 0;
    /* What can't be read now may be whole. */
    int result = s->r < 0 ? s->r : mend(r, s, &lost);
    if (result)
        return say_failed(r, s, result);
    r->counts.repaired++;
    r->counts.lost += lost;
    result = say(r, s, s->file.n_parts > 0 ? "repaired" : "moved_to=rejected/");
    sight_print_damage(s, r->out);
    if (s->file.n_parts > 0)
        (void)fprintf(r->out, " whole=%zu lost_measurements=%" PRIu64,
                      sight_whole_parts(s), lost);
    (void)fputc('\n', r->out);
    return result;
}

/* Return: 0 and the measurements; what hindered it. */
static int put_back(struct repair *r, const struct sight *s, uint64_t *ret_n)
{
    *ret_n = 0;
    for (size_t i = 0; i < s->file.n_parts; i++) {
        const struct spool_part *part = &s->file.parts[i];
        struct label label = part->label;
        uint64_t number;
        if (part->damaged)
            continue;
        label.session = derived_session(&part->label, part->body);
        label.seq = 1;
        label.is_half = false;
        int result =
            spool_put(r->spool, s->file.identifier, &label, part->body, false, &number);
        if (result)
            return result; /* those before it come again under the same identity */
        *ret_n += label.range.measurements;
    }
    spool_folder_remove(r->folder->rejected_fd, s->number);
    return 0;
}

static int salvage_file(void *arg, const struct sight *s)
{
    struct repair *r = arg;
    uint64_t n = 0;

    if (s->r < 0)
        return say_failed(r, s, s->r);
    if (sight_whole_parts(s) == 0) {
        r->counts.hopeless++;
        int result = say(r, s, "kept");
        sight_print_damage(s, r->out);
        (void)fputc('\n', r->out);
        return result;
    }
    if (s->r == 0 && !r->refused) {
        r->counts.refused++;
        return say(r, s, "kept refused=\"by the server; --refused sends it again\"\n");
    }
    int result = put_back(r, s, &n);
    if (result)
        return say_failed(r, s, result);
    r->counts.put_back += n;
    (void)say(r, s, "put_back");
    return fprintf(r->out, " measurements=%" PRIu64 "\n", n) < 0 ? -EIO : 0;
}

/* The lock is held: the folder is ours alone. */
static int mend_spool(struct repair *r, const char *path)
{
    struct spool_folder folder;
    int result = spool_folder_open(path, true, &folder);

    if (result)
        return result;
    r->folder = &folder;
    result = sight_each(&folder, false, true, mend_file, r);
    spool_folder_close(&folder);
    return result;
}

static int salvage(struct repair *r, const struct spool_conf *conf)
{
    struct spool_folder folder;
    struct spool_conf keeping = *conf;

    keeping.rejected_bytes = UINT64_MAX; /* until all that can be is out of it */
    int result = spool_open(&keeping, &r->spool);
    if (result)
        return result;
    result = spool_folder_open(conf->path, false, &folder);
    if (result == 0) {
        r->folder = &folder;
        result = sight_each(&folder, true, true, salvage_file, r);
        spool_folder_trim_rejected(&folder, conf->rejected_bytes);
        spool_folder_close(&folder);
    }
    spool_free(r->spool);
    return result;
}

int spool_repair(const struct spool_conf *conf, bool refused, FILE *out,
                 struct repair_counts *ret)
{
    struct repair r = {.refused = refused, .out = out};

    buf_init(&r.writing, SPOOL_FILE_MAX);
    buf_init(&r.told, LIMIT_DECODED_BYTES);
    int result = recode_new(1, 0, &r.recoder);
    if (result == 0)
        result = mend_spool(&r, conf->path);
    if (result == 0)
        result = salvage(&r, conf);
    recode_free(r.recoder);
    buf_done(&r.writing);
    buf_done(&r.told);
    *ret = r.counts;
    return result;
}
