/* SPDX-License-Identifier: MIT */
#include "common/log.h"
#include "common/units.h"
#include "pcc/recode.h"
#include "pcc/spool_check.h"
#include "pcc/spool_repair.h"
#include "pcc/spool_tool.h"
#include "tests/lib/batches.h"
#include "tests/lib/bytes.h"
#include "tests/lib/fault.h"
#include "tests/lib/home.h"
#include "tests/lib/suite.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define SESSION UINT64_C(0x1111)
#define AT(t) (UINT64_C(1767813011) * SEC + (t)*SEC)
#define PER_PART 3u
#define CARRIED 7u  /* measurements, in a gap that every part tells of */
#define GROWTH 600u /* bytes that a measurement of a part has more than one before */
#define FILES_MAX 16u
#define PARTS_MAX 32u
#define IDS_MAX (PER_PART * PARTS_MAX)

/* A disk on which there is room, and which takes no time. */
int __wrap_fsync(int fd);
int __wrap_fstatvfs64(int fd, struct statvfs *ret);

int __wrap_fsync(int fd)
{
    (void)fd;
    return 0;
}

int __wrap_fstatvfs64(int fd, struct statvfs *ret)
{
    (void)fd;
    *ret = (struct statvfs){.f_frsize = 1, .f_bavail = GIB};
    return 0;
}

/* What a test puts there: a file, and each part of it as it was before its damage. */
struct image {
    bool rejected;
    uint64_t number;
    struct buf bytes;
};

/* What has to become of the measurements of a part. */
enum fate {
    WAITS,    /* in the spool */
    REFUSED,  /* in rejected/, in a file that is whole */
    SALVAGED, /* in rejected/, beside damage */
    LOST,     /* damaged */
};

static struct home home;
static char path[PATH_MAX + 8];
static struct spool_conf conf;
static struct recoder *recoder;
static struct image images[FILES_MAX];
static size_t n_images;
static enum fate fates[PARTS_MAX];
static size_t n_parts;
static FILE *out; /* allocates nothing */
static char out_buffer[1 << 16];

/* The text of a measurement: its number, and the more bytes the later its part, so that
 * buffers grow with file after file. */
static struct span make_text(size_t id)
{
    static char text[PARTS_MAX * GROWTH];
    const size_t end = 32 + id / PER_PART * GROWTH;
    uint64_t state = id;
    size_t n = (size_t)snprintf(text, sizeof text, "%zu ", id);

    while (n < end)
        text[n++] = (char)('a' + bytes_random(&state) % 26);
    return span_of(text, n);
}

/* Part number n of all: its measurements say which they are. The last part of the longest
 * file in rejected/ is plain and longer than those before, so that memory also runs out
 * between it and them. */
static void make_part(size_t n, struct spool_part *ret, struct buf *body)
{
    static const struct form forms[] = {
        {MEDIA_JSON, CODING_GZIP},      {MEDIA_MSGPACK, CODING_GZIP},
        {MEDIA_DELTA, CODING_GZIP},     {MEDIA_JSON, CODING_IDENTITY},
        {MEDIA_DELTA, CODING_IDENTITY},
    };
    CLEANUP(batch_done) struct batch b;

    batch_init(&b, &batch_limits_default);
    ck_assert_int_eq(batch_set_identifier(&b, SPAN("h")), 0);
    for (size_t i = 0; i < PER_PART; i++)
        batches_add(&b, AT(n), SPAN("/proc/id"), make_text(n * PER_PART + i));
    buf_init(body, BYTES_ROOM);
    *ret = (struct spool_part){.label = {.session = SESSION,
                                         .seq = n + 1,
                                         .first_tick = n,
                                         .form = forms[n % N_OF(forms)],
                                         .range = gaps_of_batch(&b)}};
    ret->label.carried.notes[GAP_MISSED] = (struct gap_note){AT(0), AT(0), 1, CARRIED};
    ck_assert_int_eq(recode_encode(recoder, &b, ret->label.form, n, body), 0);
    ret->body = buf_span(body);
}

/* Damages the bodies of the parts that @damaged has the bits of. */
static void damage_parts(struct buf *bytes, unsigned damaged)
{
    static struct spool_file f;
    struct err_at why;

    ck_assert_int_eq(spool_file_read(buf_span(bytes), &f, &why), 0);
    for (size_t i = 0; i < f.n_parts; i++) {
        if (damaged & 1u << i)
            bytes->data[f.parts[i].body.data - bytes->data] ^= 1;
    }
}

/* A file of as many parts, of which some are damaged. Return: its image. */
static struct image *add_file(bool rejected, size_t parts, unsigned damaged)
{
    static struct spool_file f;
    struct image *image = &images[n_images++];
    struct buf bodies[4];

    f = (struct spool_file){.identifier = SPAN("h"), .n_parts = parts};
    for (size_t i = 0; i < parts; i++) {
        bool lost = damaged & 1u << i;
        fates[n_parts] = lost           ? LOST
                         : !rejected    ? WAITS
                         : damaged == 0 ? REFUSED
                                        : SALVAGED;
        make_part(n_parts++, &f.parts[i], &bodies[i]);
    }
    *image = (struct image){.rejected = rejected, .number = n_images};
    buf_init(&image->bytes, SPOOL_FILE_MAX);
    ck_assert_int_eq(spool_file_write(&f, &image->bytes), 0);
    for (size_t i = 0; i < parts; i++)
        buf_done(&bodies[i]);
    damage_parts(&image->bytes, damaged);
    return image;
}

static void set_up(void)
{
    home_make(&home);
    (void)snprintf(path, sizeof path, "%s/spool", home.path);
    conf = (struct spool_conf){
        .path = path, .max_bytes = GIB, .reserve_bytes = MIB, .rejected_bytes = GIB};
    log_init(
        LOG_ERROR); /* it would say of each damaged file a thousand times that it is */
    ck_assert_int_eq(recode_new(1, 0, &recoder), 0);
    int fd = openat(home.fd, "out", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    ck_assert_int_ge(fd, 0);
    out = fdopen(fd, "r+");
    ck_assert_ptr_nonnull(out);
    ck_assert_int_eq(setvbuf(out, out_buffer, _IOFBF, sizeof out_buffer), 0);
    n_images = n_parts = 0;
    for (unsigned i = 0; i < 3; i++)
        (void)add_file(false, 1, 0);
    (void)add_file(false, 2, 0);
    (void)add_file(false, 1, 1);
    (void)add_file(false, 3, 2);
    (void)add_file(false, 2, 3);
    struct image *headless = add_file(false, 1, 1);
    headless->bytes.data[30] ^= 1;
    ck_assert_int_eq(buf_append(&add_file(false, 1, 0)->bytes, SPAN("more")), 0);
    (void)add_file(true, 1, 0);
    (void)add_file(true, 2, 0);
    (void)add_file(true, 3, 1);
    (void)add_file(true, 1, 1);
}

static void tear_down(void)
{
    for (size_t i = 0; i < n_images; i++)
        buf_done(&images[i].bytes);
    (void)fclose(out);
    recode_free(recoder);
    home_remove(&home);
}

static int dir_of(const struct spool_folder *f, bool rejected)
{
    return rejected ? f->rejected_fd : f->fd;
}

static void open_folder(struct spool_folder *ret)
{
    ck_assert_int_eq(spool_folder_open(path, true, ret), 0);
}

static void empty_folder(int dir_fd)
{
    uint64_t *numbers = NULL;
    size_t n = 0;

    ck_assert_int_eq(spool_folder_list(dir_fd, &numbers, &n), 0);
    for (size_t i = 0; i < n; i++)
        spool_folder_remove(dir_fd, numbers[i]);
    free(numbers);
}

/* The spool as it was before. */
static void put_images(void)
{
    struct spool_folder f;

    open_folder(&f);
    empty_folder(f.fd);
    empty_folder(f.rejected_fd);
    for (size_t i = 0; i < n_images; i++)
        ck_assert_int_eq(spool_folder_write(dir_of(&f, images[i].rejected),
                                            images[i].number, buf_span(&images[i].bytes)),
                         0);
    spool_folder_close(&f);
}

/* What is found afterwards. */
struct found {
    bool in_spool[IDS_MAX];
    bool in_rejected[IDS_MAX];
    uint64_t session[IDS_MAX]; /* under which identity the spool sends it */
    uint64_t seq[IDS_MAX];
    uint64_t
        damaged;     /* measurements of the spool that are told as lost, or still to be */
    uint64_t missed; /* and those of the gaps that were lost with them */
    size_t bad;      /* files of the spool with anything wrong in them */
};

static uint64_t number_behind(struct span text, const char *key)
{
    char copy[512];

    (void)snprintf(copy, sizeof copy, "%.*s", (int)text.n, (const char *)text.data);
    const char *at = strstr(copy, key);
    ck_assert_ptr_nonnull(at);
    return strtoull(at + strlen(key), NULL, 10);
}

static void find_gap(struct span text, struct found *found)
{
    uint64_t n = number_behind(text, "\"measurements\":");

    if (span_starts_with(text, SPAN("{\"kind\":\"damaged\"")))
        found->damaged += n;
    else if (span_starts_with(text, SPAN("{\"kind\":\"missed\"")))
        found->missed += n;
    else
        ck_abort_msg("%.*s", (int)text.n, (const char *)text.data);
}

static void find_item(bool rejected, const struct label *label,
                      const struct measurement *m, struct found *found)
{
    if (span_equal_str(m->subsystem, "pcc/gap")) {
        ck_assert(!rejected);
        find_gap(m->text, found);
        return;
    }
    uint64_t id = number_behind(m->text, "");
    ck_assert_uint_lt(id, IDS_MAX);
    if (rejected) {
        found->in_rejected[id] = true;
        return;
    }
    /* Under one identity it is stored once, however often it is sent. */
    if (found->in_spool[id]) {
        ck_assert_uint_eq(found->session[id], label->session);
        ck_assert_uint_eq(found->seq[id], label->seq);
    }
    found->in_spool[id] = true;
    found->session[id] = label->session;
    found->seq[id] = label->seq;
}

static void find_part(bool rejected, const struct spool_part *part, struct found *found)
{
    if (part->damaged) {
        if (!rejected) {
            found->damaged += part->label.range.measurements;
            found->missed += part->label.carried.notes[GAP_MISSED].measurements;
        }
        return;
    }
    CLEANUP(batch_done) struct batch b;
    batch_init(&b, &batch_limits_default);
    ck_assert_int_eq(recode_decode(recoder, part->body, part->label.form, &b), 0);
    ck_assert_uint_eq(b.n_items, part->label.range.measurements);
    for (size_t i = 0; i < b.n_items; i++) {
        struct measurement m = batch_get(&b, i);
        find_item(rejected, &part->label, &m, found);
    }
}

static int find_file(void *arg, const struct sight *s)
{
    struct found *found = arg;

    found->bad += !s->rejected && s->r != 0;
    for (size_t i = 0; i < s->file.n_parts; i++)
        find_part(s->rejected, &s->file.parts[i], found);
    return 0;
}

static void find_all(struct found *ret)
{
    struct spool_folder f;

    *ret = (struct found){.bad = 0};
    open_folder(&f);
    ck_assert_int_eq(sight_each(&f, false, true, find_file, ret), 0);
    ck_assert_int_eq(sight_each(&f, true, true, find_file, ret), 0);
    spool_folder_close(&f);
}

static bool is_there(int dir_fd, const struct image *image)
{
    CLEANUP(buf_done) struct buf bytes;

    buf_init(&bytes, SPOOL_FILE_MAX);
    return spool_folder_read(dir_fd, image->number, &bytes) == 0 &&
           span_equal(buf_span(&bytes), buf_span(&image->bytes));
}

/* A file in which nothing is whole is kept as it is, in one of both folders. */
static void assert_hopeless_is_kept(void)
{
    static struct sight s;
    struct spool_folder f;

    open_folder(&f);
    for (size_t i = 0; i < n_images; i++) {
        s = (struct sight){.r = 0};
        struct err_at why;
        (void)!spool_file_read(buf_span(&images[i].bytes), &s.file, &why);
        if (sight_whole_parts(&s) == 0)
            ck_assert_msg(is_there(f.fd, &images[i]) ||
                              is_there(f.rejected_fd, &images[i]),
                          "file %zu", i + 1);
    }
    spool_folder_close(&f);
}

/* Nothing is gone, nothing would be stored twice, and each loss is told of once, or still
 * to be. @done: and all that can be mended is. */
static void assert_all_there(bool refused, bool done, long nth)
{
    static struct found found;

    find_all(&found);
    for (size_t id = 0; id < n_parts * PER_PART; id++) {
        bool spool = found.in_spool[id];
        bool rejected = found.in_rejected[id];
        enum fate fate = fates[id / PER_PART];
        bool back = fate == SALVAGED || (fate == REFUSED && refused);
        if (fate == LOST)
            ck_assert_msg(!spool && !rejected, "%zu, allocation %ld", id, nth);
        else if (fate == WAITS)
            ck_assert_msg(spool && !rejected, "%zu, allocation %ld", id, nth);
        else if (done)
            ck_assert_msg(spool == back && rejected != back, "%zu, allocation %ld", id,
                          nth);
        else
            ck_assert_msg(rejected || (back && spool), "%zu, allocation %ld", id, nth);
    }
    /* Of the four damaged parts of the spool whose labels can be believed. */
    ck_assert_uint_eq(found.damaged, UINT64_C(4) * PER_PART);
    ck_assert_uint_eq(found.missed, UINT64_C(4) * CARRIED);
    if (done)
        ck_assert_uint_eq(found.bad, 0);
    assert_hopeless_is_kept();
}

/* Where memory ran out a second repair does what is left. */
static void sweep_repair(bool refused)
{
    struct repair_counts c;
    bool fired = true;

    for (long nth = 0; fired; nth++) {
        put_images();
        fault_arm(nth);
        int r = spool_repair(&conf, refused, out, &c);
        fired = fault_disarm();
        ck_assert(r == 0 || (r == -ENOMEM && fired));
        ck_assert(c.failed == 0 || fired);
        assert_all_there(refused, r == 0 && c.failed == 0, nth);
        ck_assert_int_eq(spool_repair(&conf, refused, out, &c), 0);
        ck_assert_uint_eq(c.failed, 0);
        assert_all_there(refused, true, nth);
    }
}

START_TEST(repair_loses_nothing_wherever_memory_runs_out)
{
    sweep_repair(false);
}
END_TEST

START_TEST(repair_of_what_was_refused_loses_nothing_wherever_memory_runs_out)
{
    sweep_repair(true);
}
END_TEST

static void repair_anew(struct found *ret)
{
    struct repair_counts c;

    put_images();
    ck_assert_int_eq(spool_repair(&conf, true, out, &c), 0);
    ck_assert_uint_eq(c.failed, 0);
    find_all(ret);
}

/* Its old one is below the floor; with a new one each time a repair that was cut off
 * would have it stored twice, and with that of another part it would not be stored. */
START_TEST(what_is_put_back_has_the_same_identity_each_time_and_its_own)
{
    static struct found once;
    static struct found again;

    repair_anew(&once);
    repair_anew(&again);
    for (size_t n = 0; n < n_parts; n++) {
        size_t id = n * PER_PART;
        if (fates[n] != REFUSED && fates[n] != SALVAGED)
            continue;
        ck_assert(once.in_spool[id] && again.in_spool[id]);
        ck_assert_uint_eq(again.session[id], once.session[id]);
        ck_assert_uint_eq(again.seq[id], once.seq[id]);
        for (size_t other = 0; other < n; other++)
            ck_assert_msg(once.session[id] != once.session[other * PER_PART],
                          "parts %zu and %zu", other, n);
    }
}
END_TEST

/* What was printed since the last call, in a static buffer. */
static const char *printed(void)
{
    static char text[1 << 16];

    ck_assert_int_eq(fflush(out), 0);
    ssize_t n = pread(fileno(out), text, sizeof text - 1, 0);
    ck_assert_int_ge(n, 0);
    text[n] = 0;
    rewind(out);
    ck_assert_int_eq(ftruncate(fileno(out), 0), 0);
    return text;
}

/* Is every line of @text one of @all, or one that says that a file can't be read? */
static bool says_no_more(const char *text, const char *all)
{
    while (*text) {
        size_t n = strcspn(text, "\n") + 1;
        char line[1024];
        (void)snprintf(line, sizeof line, "%.*s", (int)n, text);
        if (!strstr(all, line) && !strstr(line, " unreadable=\""))
            return false;
        text += n;
    }
    return true;
}

START_TEST(check_calls_nothing_damaged_for_want_of_memory)
{
    struct spool_folder f;
    struct check_counts want;
    struct check_counts c;
    static char all[1 << 16];
    bool fired = true;

    put_images();
    open_folder(&f);
    ck_assert_int_eq(spool_check(&f, out, &want), 0);
    ck_assert_uint_eq(want.bad, 5);
    (void)snprintf(all, sizeof all, "%s", printed());
    for (long nth = 0; fired; nth++) {
        fault_arm(nth);
        int r = spool_check(&f, out, &c);
        fired = fault_disarm();
        const char *text = printed();
        ck_assert(r == 0 || (r == -ENOMEM && fired));
        ck_assert_msg(says_no_more(text, all), "allocation %ld: %s", nth, text);
        ck_assert_uint_le(c.bad, want.bad);
        uint64_t unreadable = c.waiting.unreadable + c.rejected.unreadable;
        ck_assert_int_eq(unreadable > 0, strstr(text, " unreadable=\"") != NULL);
        /* Without a word of it, nothing was left out. */
        if (r == 0 && unreadable == 0)
            ck_assert_str_eq(text, all);
        else
            ck_assert(fired);
    }
    spool_folder_close(&f);
    assert_all_there(false, false, -1);
}
END_TEST

/* Runs the command with its output going to @out. Return: its exit status. */
static int run_tool(const char *verb, long nth, bool *ret_fired)
{
    char name[] = "pcc";
    char word[8];
    char option[sizeof path + 16];
    char *argv[] = {name, word, option, NULL};
    char *envp[] = {NULL};
    const struct pcc_surroundings around = {.host_name = "h"};
    int saved[2];

    (void)snprintf(word, sizeof word, "%s", verb);
    (void)snprintf(option, sizeof option, "--spool-dir=%s", path);
    (void)fflush(stdout);
    for (int i = 0; i < 2; i++) {
        saved[i] = dup(STDOUT_FILENO + i);
        (void)dup2(fileno(out), STDOUT_FILENO + i);
    }
    fault_arm(nth);
    int status = spool_tool(argv, envp, &around);
    *ret_fired = fault_disarm();
    (void)fflush(stdout);
    for (int i = 0; i < 2; i++) {
        (void)dup2(saved[i], STDOUT_FILENO + i);
        (void)close(saved[i]);
    }
    return status;
}

/* The command says so, too, unless it did without. */
START_TEST(command_says_where_memory_ran_out)
{
    static const struct {
        const char *verb;
        int status;
        int least; /* where it couldn't do all */
    } rows[] = {{"list", 0, 2}, {"check", 1, 2}, {"repair", 0, 1}};
    static char all[1 << 16];
    bool fired = true;

    put_images();
    ck_assert_int_eq(run_tool(rows[_i].verb, -1, &fired), rows[_i].status);
    (void)snprintf(all, sizeof all, "%s", printed());
    fired = true;
    for (long nth = 0; fired; nth++) {
        put_images();
        int status = run_tool(rows[_i].verb, nth, &fired);
        const char *text = printed();
        bool same = status == rows[_i].status && strcmp(text, all) == 0;
        bool said = status >= rows[_i].least && strstr(text, err_text(-ENOMEM)) != NULL;
        ck_assert_msg(same || (fired && said), "allocation %ld: %d\n%s", nth, status,
                      text);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pcc_spool_repair");
    TCase *c = tcase_create("spool_repair");

    tcase_set_timeout(c, 100);
    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_add_test(c, repair_loses_nothing_wherever_memory_runs_out);
    tcase_add_test(c, repair_of_what_was_refused_loses_nothing_wherever_memory_runs_out);
    tcase_add_test(c, what_is_put_back_has_the_same_identity_each_time_and_its_own);
    tcase_add_test(c, check_calls_nothing_damaged_for_want_of_memory);
    tcase_add_loop_test(c, command_says_where_memory_ran_out, 0, 3);
    suite_add_tcase(suite, c);
    return suite_run(suite);
}
