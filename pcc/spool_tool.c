/* SPDX-License-Identifier: MIT */
#include "pcc/spool_tool.h"

#include "common/clock.h"
#include "common/units.h"
#include "pcc/spool_check.h"
#include "pcc/spool_repair.h"

#include <errno.h>
#include <grp.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define EXIT_WELL 0
#define EXIT_DAMAGED 1
#define EXIT_UNREADABLE 2
#define EXIT_USAGE 2

static const char help[] =
    "pcc spool list|check|repair [--refused] [--spool-dir FOLDER] [--config FILE] ...\n\n"
    "Shows and mends the batches that wait on disk. The folder is the agent's, by the\n"
    "same options: flags, PCC_ variables, a file.\n\n"
    "  list    a line for each batch that waits, and for each in rejected/: those that\n"
    "          were damaged and those that the server refused. Reads headers only.\n"
    "  check   reads every byte, and says what is damaged, where. Exits with 1 if any\n"
    "          batch that waits is.\n"
    "  repair  with the agent stopped: damaged files get out of the way, the loss is "
    "told\n"
    "          of as a pcc/gap, and what is whole in rejected/ is sent again; what the\n"
    "          server refused only with --refused: for when the server has learned to\n"
    "          take it. Exits with 1 if something could not be done.\n\n"
    "list and check may run beside the agent. Exits with 2 if the spool, or a file\n"
    "in it, can't be read.\n";

static int fail(const char *what, const char *which, const char *why)
{
    (void)fprintf(stderr, "pcc spool: %s%s%s: %s\n", what, *which ? " " : "", which, why);
    return EXIT_USAGE;
}

static const char *fault_text(int r)
{
    return r == E_PENDING ? "a pcc has it: stop it first" : err_text(r);
}

static void print_age(uint64_t ns, FILE *to)
{
    uint64_t s = ns / SEC;

    if (ns >= DAY)
        (void)fprintf(to, "%" PRIu64 "d%" PRIu64 "h", ns / DAY, ns % DAY / HOUR);
    else if (ns >= HOUR)
        (void)fprintf(to, "%" PRIu64 "h%" PRIu64 "m", ns / HOUR, ns % HOUR / MINUTE);
    else if (ns >= MINUTE)
        (void)fprintf(to, "%" PRIu64 "m%" PRIu64 "s", ns / MINUTE, s % 60);
    else
        (void)fprintf(to, "%" PRIu64 "s", s);
}

static uint64_t unreadable(const struct sight_sum *waiting,
                           const struct sight_sum *rejected)
{
    return waiting->unreadable + rejected->unreadable;
}

static void print_total(const struct sight_sum *waiting, const struct sight_sum *rejected)
{
    uint64_t now_ns = clock_wall_ns();
    uint64_t from_ns = waiting->range.from_ns;

    (void)printf("total batches=%" PRIu64 " measurements=%" PRIu64 " bytes=%" PRIu64,
                 waiting->parts, waiting->range.measurements, waiting->bytes);
    if (waiting->parts > 0) {
        (void)printf(" oldest=");
        print_age(now_ns > from_ns ? now_ns - from_ns : 0, stdout);
    }
    (void)printf(" damaged=%" PRIu64 " unreadable=%" PRIu64 " rejected=%" PRIu64
                 " rejected_measurements=%" PRIu64 " rejected_bytes=%" PRIu64 "\n",
                 waiting->damaged, unreadable(waiting, rejected), rejected->files,
                 rejected->range.measurements, rejected->bytes);
}

static int list_file(void *arg, const struct sight *s)
{
    struct sight_sum *sum = arg;

    sight_print_name(s, stdout);
    sight_print_contents(s, stdout);
    sight_print_damage(s, stdout);
    sight_add(s, sum);
    return putchar('\n') == EOF ? -EIO : 0;
}

static int list(const struct spool_folder *f, const char *path)
{
    struct sight_sum waiting = {.files = 0};
    struct sight_sum rejected = {.files = 0};

    (void)printf("# %s: what waits to be sent\n", path);
    int r = sight_each(f, false, false, list_file, &waiting);
    (void)printf("# %s/" SPOOL_REJECTED ": what was damaged, or refused by the server\n",
                 path);
    if (r == 0)
        r = sight_each(f, true, false, list_file, &rejected);
    if (r)
        return fail("can't list", path, err_text(r));
    print_total(&waiting, &rejected);
    return unreadable(&waiting, &rejected) > 0 ? EXIT_UNREADABLE : EXIT_WELL;
}

static int check(const struct spool_folder *f, const char *path)
{
    struct check_counts c;
    int r = spool_check(f, stdout, &c);

    if (r)
        return fail("can't check", path, err_text(r));
    (void)printf("checked batches=%" PRIu64 " measurements=%" PRIu64 " bytes=%" PRIu64
                 " damaged=%" PRIu64 " unreadable=%" PRIu64 " rejected=%" PRIu64 "\n",
                 c.waiting.parts, c.waiting.range.measurements, c.waiting.bytes, c.bad,
                 unreadable(&c.waiting, &c.rejected), c.rejected.files);
    if (unreadable(&c.waiting, &c.rejected) > 0)
        return EXIT_UNREADABLE;
    return c.bad > 0 ? EXIT_DAMAGED : EXIT_WELL;
}

static int repair(const struct pcc_conf *conf, const char *path, bool refused)
{
    const struct spool_conf spool = {
        .path = path,
        .max_bytes = conf->spool_max_bytes,
        .reserve_bytes = conf->spool_reserve_bytes,
        .rejected_bytes = conf->rejected_max_bytes,
    };
    struct repair_counts c;
    int r = spool_repair(&spool, refused, stdout, &c);

    if (r)
        return fail("can't repair", path, fault_text(r));
    (void)printf("repaired files=%" PRIu64 " lost_measurements=%" PRIu64
                 " put_back_measurements=%" PRIu64 " kept_refused=%" PRIu64
                 " kept_damaged=%" PRIu64 " failed=%" PRIu64 "\n",
                 c.repaired, c.lost, c.put_back, c.refused, c.hopeless, c.failed);
    return c.failed > 0 ? EXIT_DAMAGED : EXIT_WELL;
}

/* Root goes on as the folder's owner. Return: 0; -errno, also if there is no folder. */
static int become_owner(const char *path)
{
    struct stat st;

    if (stat(path, &st) != 0)
        return -errno;
    if (geteuid() != 0 || st.st_uid == 0)
        return 0;
    if (setgroups(0, NULL) != 0 || setgid(st.st_gid) != 0 || setuid(st.st_uid) != 0)
        return -errno;
    return 0;
}

/* The first of the agent's places that there is. Return: the exit status, EXIT_WELL with
 * @ret open. */
static int open_spool(const struct pcc_conf *conf, struct spool_folder *ret,
                      const char **ret_path)
{
    int r = -ENOENT;

    for (size_t i = 0; i < 2 && r == -ENOENT && conf->spool_dirs[i]; i++) {
        *ret_path = conf->spool_dirs[i];
        r = become_owner(*ret_path);
        if (r == 0)
            r = spool_folder_open(*ret_path, false, ret);
    }
    if (r == 0)
        return EXIT_WELL;
    if (r == -ENOENT && !*conf->spool_dir)
        return fail("no spool", "",
                    "neither " PCC_SPOOL_DIR_DEFAULT
                    " nor one in the state folder; name it with --spool-dir, or the "
                    "agent's options with --config");
    return fail("can't read", *ret_path, err_text(r));
}

static int run(const char *verb, const struct pcc_conf *conf, bool refused)
{
    struct spool_folder folder = {-1, -1, -1};
    const char *path = "";
    int status = open_spool(conf, &folder, &path);

    if (status == EXIT_WELL && strcmp(verb, "list") == 0)
        status = list(&folder, path);
    else if (status == EXIT_WELL && strcmp(verb, "check") == 0)
        status = check(&folder, path);
    else if (status == EXIT_WELL)
        status = repair(conf, path, refused);
    spool_folder_close(&folder);
    if (fflush(stdout) != 0)
        return fail("can't write", "", err_text(-errno));
    return status;
}

static bool is_verb(const char *word)
{
    return strcmp(word, "list") == 0 || strcmp(word, "check") == 0 ||
           strcmp(word, "repair") == 0;
}

/* @argv: from the verb on */
static int with_options(char *argv[], char *const envp[],
                        const struct pcc_surroundings *around)
{
    const struct opt_program table = options_program();
    static struct pcc_conf conf;
    struct opt_state state = {0};
    enum opt_action action = OPT_RUN;
    char error[512] = "";
    bool refused = strcmp(argv[0], "repair") == 0 && opt_take_flag(argv, "--refused");
    int status;

    int r = opt_load(&table, argv, envp, &conf, &state, &action);
    if (r == 0 && action != OPT_HELP)
        r = options_finish_spool(&conf, around, error, sizeof error);
    if (r)
        status = fail(argv[0], "",
                      *state.error ? state.error
                      : *error     ? error
                                   : err_text(r));
    else if (action == OPT_HELP)
        status = fputs(help, stdout) < 0 ? EXIT_DAMAGED : EXIT_WELL;
    else if (action != OPT_RUN)
        status = fail(argv[0], "", "it has no --version and no --check-config");
    else
        status = run(argv[0], &conf, refused);
    opt_done(&state);
    return status;
}

int spool_tool(char *argv[], char *const envp[], const struct pcc_surroundings *around)
{
    const char *verb = argv[1];

    if (verb && strcmp(verb, "--help") == 0)
        return fputs(help, stdout) < 0 ? EXIT_DAMAGED : EXIT_WELL;
    if (!verb || !is_verb(verb))
        return fail(verb ? verb : "nothing to do", "",
                    "expected list, check or repair (--help says more)");
    return with_options(argv + 1, envp, around);
}
