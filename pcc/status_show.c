/* SPDX-License-Identifier: MIT */
#include "pcc/status_show.h"

#include "pcc/options.h"
#include "pcc/status.h"
#include "pcc/status_socket.h"

#include <stdio.h>
#include <string.h>

#define EXIT_WELL 0
#define EXIT_UNWELL 1
#define EXIT_USAGE 2
#define EXIT_NOBODY 3
#define JSON_MAX (8 * STATUS_MAX) /* every byte escaped */

static const char help[] =
    "pcc status [--json] [--status-socket PATH] [--config FILE]\n\n"
    "Asks the pcc that runs on this host how it is, and prints what it says: lines of\n"
    "key=value, or with --json one JSON object. The README says what they mean. Exits\n"
    "with 0 if it is well, 1 if it fails to deliver or takes no ticks, 3 if none "
    "answers.\n";

static int print(struct span text, bool json)
{
    CLEANUP(buf_done) struct buf out;

    buf_init(&out, JSON_MAX);
    int r = json ? status_append_json(text, &out) : buf_append(&out, text);
    if (r) {
        (void)fprintf(stderr, "pcc status: %s\n", err_text(r));
        return EXIT_NOBODY; /* it is no pcc that we know */
    }
    if (fwrite(out.data, 1, out.len, stdout) < out.len)
        return EXIT_NOBODY;
    return status_is_well(text) ? EXIT_WELL : EXIT_UNWELL;
}

static int ask(const char *path, bool json)
{
    CLEANUP(buf_done) struct buf text;

    buf_init(&text, 2 * STATUS_MAX);
    int r = status_socket_ask(path, &text);
    if (r) {
        (void)fprintf(stderr, "pcc status: no pcc answers%s%s: %s\n", *path ? " at " : "",
                      path, err_text(r));
        return EXIT_NOBODY;
    }
    return print(buf_span(&text), json);
}

int status_show(char *argv[], char *const envp[])
{
    const struct opt_program table = options_program();
    struct opt_state state = {0};
    static struct pcc_conf conf;
    enum opt_action action = OPT_RUN;
    bool json = opt_take_flag(argv, "--json");
    int status = EXIT_USAGE;

    int r = opt_load(&table, argv, envp, &conf, &state, &action);
    if (r)
        (void)fprintf(stderr, "pcc status: %s\n",
                      *state.error ? state.error : err_text(r));
    else if (action == OPT_HELP)
        status = fputs(help, stdout) < 0 ? EXIT_UNWELL : EXIT_WELL;
    else if (action != OPT_RUN)
        (void)fputs(help, stderr);
    else
        status = ask(conf.status_socket, json);
    opt_done(&state);
    return status;
}
