/* SPDX-License-Identifier: MIT */
#include "pcc/spool_sight.h"

#include "common/units.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <time.h>

#define TIME_TEXT 32u

void sight_init(struct sight *s)
{
    *s = (struct sight){.r = 0};
    buf_init(&s->data, SPOOL_FILE_MAX);
}

void sight_done(struct sight *s)
{
    buf_done(&s->data);
}

static int read_whole(int dir_fd, struct sight *s)
{
    int r = spool_folder_read(dir_fd, s->number, &s->data);

    s->bytes = s->data.len;
    return r ? r : spool_file_read(buf_span(&s->data), &s->file, &s->why);
}

static int read_header(int dir_fd, struct sight *s)
{
    int r = spool_folder_read_header(dir_fd, s->number, &s->data, &s->bytes);

    if (r == 0)
        r = spool_file_read_header(buf_span(&s->data), &s->file, &s->why);
    if (r || s->file.bytes == s->bytes)
        return r;
    s->why.what = s->file.bytes > s->bytes ? "cut short" : "something was put behind it";
    s->why.offset = (size_t)(s->file.bytes > s->bytes ? s->bytes : s->file.bytes);
    return E_TRUNCATED;
}

int sight_read(const struct spool_folder *f, bool rejected, uint64_t number, bool whole,
               struct sight *s)
{
    int dir_fd = rejected ? f->rejected_fd : f->fd;

    buf_reset(&s->data);
    s->rejected = rejected;
    s->number = number;
    s->bytes = 0;
    s->why = ERR_AT_NOWHERE;
    s->file.n_parts = 0;
    s->r = whole ? read_whole(dir_fd, s) : read_header(dir_fd, s);
    return s->r == -ENOENT ? E_GONE : 0;
}

int sight_each(const struct spool_folder *f, bool rejected, bool whole, sight_look *look,
               void *arg)
{
    CLEANUP(sight_done) struct sight s;
    uint64_t *numbers = NULL;
    size_t n = 0;
    int r = 0;

    sight_init(&s);
    if (!rejected || f->rejected_fd >= 0)
        r = spool_folder_list(rejected ? f->rejected_fd : f->fd, &numbers, &n);
    for (size_t i = 0; i < n && r == 0; i++) {
        if (sight_read(f, rejected, numbers[i], whole, &s) == 0)
            r = look(arg, &s);
    }
    free(numbers);
    return r;
}

size_t sight_whole_parts(const struct sight *s)
{
    size_t n = 0;

    for (size_t i = 0; i < s->file.n_parts; i++)
        n += !s->file.parts[i].damaged;
    return n;
}

void sight_add(const struct sight *s, struct sight_sum *sum)
{
    sum->files++;
    sum->bytes += s->bytes;
    sum->damaged += s->r > 0;
    sum->unreadable += s->r < 0;
    sum->parts += s->file.n_parts;
    for (size_t i = 0; i < s->file.n_parts; i++)
        gaps_merge(&sum->range, &s->file.parts[i].label.range);
}

void sight_print_name(const struct sight *s, FILE *to)
{
    (void)fprintf(to, "%s=%016" PRIx64, s->rejected ? "rejected" : "batch", s->number);
}

static void print_time(const char *key, uint64_t ns, FILE *to)
{
    time_t seconds = (time_t)(ns / SEC);
    char text[TIME_TEXT] = "?";
    struct tm tm;

    if (gmtime_r(&seconds, &tm))
        (void)strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &tm);
    (void)fprintf(to, " %s=%s", key, text);
}

static void print_form(struct form form, FILE *to)
{
    static const char *const texts[MEDIA_FORMS][2] = {
        [MEDIA_JSON] = {"json", "json+gzip"},
        [MEDIA_MSGPACK] = {"msgpack", "msgpack+gzip"},
        [MEDIA_DELTA] = {"delta", "delta+gzip"},
    };

    (void)fprintf(to, " form=%-12s", texts[form.media][form.coding == CODING_GZIP]);
}

/* It has no control characters (identifier_check()). */
static void print_identifier(struct span identifier, FILE *to)
{
    (void)fputs(" identifier=\"", to);
    for (size_t i = 0; i < identifier.n; i++) {
        if (identifier.data[i] == '"' || identifier.data[i] == '\\')
            (void)fputc('\\', to);
        (void)fputc(identifier.data[i], to);
    }
    (void)fputc('"', to);
}

void sight_print_contents(const struct sight *s, FILE *to)
{
    const struct label *first = &s->file.parts[0].label;
    struct sight_sum sum = {.files = 0};

    sight_add(s, &sum);
    if (s->file.n_parts > 0) {
        print_time("from", sum.range.from_ns, to);
        print_time("to", sum.range.to_ns, to);
        (void)fprintf(to, " ticks=%-5" PRIu64 " measurements=%-6" PRIu64, sum.range.ticks,
                      sum.range.measurements);
    }
    (void)fprintf(to, " bytes=%-7" PRIu64, s->bytes);
    if (s->file.n_parts > 0) {
        print_form(first->form, to);
        (void)fprintf(to, " parts=%-2zu key=%016" PRIx64 "-%-5" PRIu64, s->file.n_parts,
                      first->session, first->seq);
        print_identifier(s->file.identifier, to);
    }
}

void sight_print_damage(const struct sight *s, FILE *to)
{
    if (s->r == 0)
        return;
    (void)fprintf(to, " %s=\"%s\"", s->r < 0 ? "unreadable" : "damaged",
                  s->why.what ? s->why.what : err_text(s->r));
    if (s->why.offset != ERR_AT_UNKNOWN)
        (void)fprintf(to, " offset=%zu", s->why.offset);
}
