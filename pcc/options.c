/* SPDX-License-Identifier: MIT */
#include "pcc/options.h"

#include "common/log.h"
#include "common/media.h"
#include "common/units.h"
#include "pcc/apikey.h"
#include "pcc/source.h"

#include <curl/curl.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

static const char *const modes[] = {"local", "trickle", NULL};
const char *const pcc_serializations[] = {
    [MEDIA_JSON] = "json",
    [MEDIA_MSGPACK] = "msgpack",
    [MEDIA_DELTA] = "delta",
    [MEDIA_FORMS] = NULL,
};
const char *const pcc_compressions[] = {
    [CODING_IDENTITY] = "none",
    [CODING_GZIP] = "gzip",
    NULL,
};

static const char *const spools[] = {
    [PCC_SPOOL_AUTO] = "auto",
    [PCC_SPOOL_ALWAYS] = "always",
    [PCC_SPOOL_NEVER] = "never",
    NULL,
};
static const char *const spool_fulls[] = {
    [PCC_FULL_DROP] = "drop-oldest",
    [PCC_FULL_STOP] = "stop",
    NULL,
};

#define SPREAD_MAX (5 * SEC)
#define LEVEL_DELTA 6 /* its bodies are small: the time doesn't count */
#define LEVEL_OTHERS 1

#define AT(member) offsetof(struct pcc_conf, member)

static const struct opt pcc_opts[] = {
    {.name = "mode",
     .type = OPT_CHOICE,
     .at = AT(mode),
     .dflt = "local",
     .choices = modes,
     .help = "append to a collection file, or send to a server"},
    {.name = "server-url",
     .old_name = "server",
     .type = OPT_STRING,
     .at = AT(server_url),
     .dflt = "http://localhost:8080",
     .help = "where to send; /v1/... is put behind it"},
    {.name = "apikey",
     .type = OPT_SECRET,
     .at = AT(apikey),
     .dflt = "",
     .help = "the key to show to the server"},
    {.name = "apikey-file",
     .type = OPT_STRING,
     .at = AT(apikey_file),
     .dflt = "",
     .help = "a file whose first line is the key; read again when it is refused and on "
             "SIGHUP"},
    {.name = "identifier",
     .type = OPT_STRING,
     .at = AT(identifier),
     .dflt = "",
     .help = "the name of this host at the server; empty: the host name"},
    {.name = "frequency",
     .type = OPT_DURATION,
     .at = AT(frequency_ns),
     .dflt = "10s",
     .min = 10 * MSEC,
     .max = HOUR,
     .help = "time between two ticks"},
    {.name = "duration",
     .type = OPT_DURATION,
     .at = AT(duration_ns),
     .dflt = "24h",
     .min = 10 * MSEC,
     .max = 3650 * DAY,
     .zero_too = true,
     .help = "when to end; 0: never"},
    {.name = "collection",
     .type = OPT_STRING,
     .at = AT(collection),
     .dflt = "",
     .help = "the collection file; empty: pcc.json in the home folder (local), "
             "none (trickle)"},
    {.name = "subsystems",
     .type = OPT_STRING,
     .at = AT(subsystems),
     .dflt = "/proc/stat,/proc/meminfo,/proc/net/dev,/proc/diskstats,statfs[*]",
     .help = "the sources, comma-separated: /any/file, statfs[*], statfs[/mount], "
             "container/docker/*"},
    {.name = "batch-size",
     .type = OPT_COUNT,
     .at = AT(batch_size),
     .dflt = "100",
     .min = 1,
     .max = LIMIT_MEASUREMENTS,
     .help = "a batch ends with the tick that reaches so many measurements"},
    {.name = "batch-bytes",
     .type = OPT_SIZE,
     .at = AT(batch_bytes),
     .dflt = "1MiB",
     .min = KIB,
     .max = LIMIT_DECODED_BYTES / 2,
     .help = "or so many bytes of text"},
    {.name = "flush-interval",
     .type = OPT_DURATION,
     .at = AT(flush_interval_ns),
     .dflt = "30s",
     .min = 10 * MSEC,
     .max = DAY,
     .help = "or before it gets older than this"},
    {.name = "serialization",
     .type = OPT_CHOICE,
     .at = AT(serialization),
     .dflt = "delta",
     .choices = pcc_serializations,
     .help =
         "how batches are written, to a server that takes it; delta: only what changed"},
    {.name = "snapshot-interval",
     .type = OPT_COUNT,
     .at = AT(snapshot_interval),
     .dflt = "1000",
     .min = 1,
     .max = MILLION,
     .help = "delta: after so many ticks a batch carries all values again"},
    {.name = "delta-threshold",
     .type = OPT_FRACTION,
     .at = AT(delta_threshold_millionths),
     .dflt = "0",
     .max = MILLION - 1,
     .help = "delta: a number between blanks may be off by less than this part of it; 0: "
             "nothing is lost"},
    {.name = "compression",
     .type = OPT_CHOICE,
     .at = AT(compression),
     .dflt = "gzip",
     .choices = pcc_compressions,
     .help = "how they are compressed"},
    {.name = "compression-level",
     .type = OPT_COUNT,
     .at = AT(compression_level),
     .dflt = "0",
     .min = 1,
     .max = 9,
     .zero_too = true,
     .help = "of gzip, from fast to small; 0: 6 for delta, else 1"},
    {.name = "queue-max",
     .type = OPT_SIZE,
     .at = AT(queue_max_bytes),
     .dflt = "4MiB",
     .min = 4 * KIB,
     .max = 4 * GIB,
     .help =
         "memory for batches that wait for the server; half full, the oldest go to the "
         "spool"},
    {.name = "spool",
     .type = OPT_CHOICE,
     .at = AT(spool),
     .dflt = "auto",
     .choices = spools,
     .help =
         "when batches go to disk: auto: those that memory has no room for, and all at "
         "the end; always: each, before it is sent; never"},
    {.name = "spool-dir",
     .type = OPT_STRING,
     .at = AT(spool_dir),
     .dflt = "",
     .help = "the folder for them; empty: " PCC_SPOOL_DIR_DEFAULT
             ", or pcc/spool in the user's state "
             "folder"},
    {.name = "spool-max",
     .type = OPT_SIZE,
     .at = AT(spool_max_bytes),
     .dflt = "64MiB",
     .min = 64 * KIB,
     .max = TIB,
     .help = "disk for them"},
    {.name = "spool-reserve",
     .type = OPT_SIZE,
     .at = AT(spool_reserve_bytes),
     .dflt = "64MiB",
     .max = TIB,
     .zero_too = true,
     .help = "disk that stays free for others: below it nothing is written"},
    {.name = "spool-full",
     .type = OPT_CHOICE,
     .at = AT(spool_full),
     .dflt = "drop-oldest",
     .choices = spool_fulls,
     .help =
         "when there is no room: drop-oldest: what is oldest goes; stop: no ticks are "
         "taken until there is"},
    {.name = "rejected-max",
     .type = OPT_SIZE,
     .at = AT(rejected_max_bytes),
     .dflt = "8MiB",
     .max = TIB,
     .zero_too = true,
     .help = "disk for what the server refused for good and for damaged files"},
    {.name = "catchup-share",
     .type = OPT_FRACTION,
     .at = AT(catchup_share_millionths),
     .dflt = "0.5",
     .min = MILLION / 1000,
     .max = MILLION,
     .help = "the part of the time that the connection may be busy with what waited on "
             "disk"},
    {.name = "timeout",
     .type = OPT_DURATION,
     .at = AT(timeout_ns),
     .dflt = "30s",
     .min = 100 * MSEC,
     .max = HOUR,
     .help = "for a whole request"},
    {.name = "connect-timeout",
     .type = OPT_DURATION,
     .at = AT(connect_timeout_ns),
     .dflt = "10s",
     .min = 100 * MSEC,
     .max = HOUR,
     .help = "for a connection to be made"},
    {.name = "spread",
     .type = OPT_DURATION,
     .at = AT(spread_ns),
     .dflt = "0",
     .min = MSEC,
     .max = HOUR,
     .zero_too = true,
     .help = "the first request after a start, and the first batch after an outage, come "
             "at a random moment within this; 0: within PCC_FREQUENCY, at most 5s"},
    {.name = "root",
     .type = OPT_STRING,
     .at = AT(root),
     .dflt = "",
     .help = "a folder that stands for /: the host's, seen from a container"},
    {.name = "status-socket",
     .type = OPT_STRING,
     .at = AT(status_socket),
     .dflt = "",
     .help =
         "where `pcc status` asks; empty: /run/pcc/status.sock, or pcc/status.sock in "
         "the user's runtime folder; off: nowhere"},
    {.name = "tls-ca",
     .type = OPT_STRING,
     .at = AT(tls_ca),
     .dflt = "",
     .help = "a file of certificates to trust; empty: the system's"},
    {.name = "tls-cert",
     .type = OPT_STRING,
     .at = AT(tls_cert),
     .dflt = "",
     .help = "a client certificate file (PEM)"},
    {.name = "tls-key",
     .type = OPT_STRING,
     .at = AT(tls_key),
     .dflt = "",
     .help = "its private key file (PEM)"},
    {.name = "tls-skip-verify",
     .type = OPT_BOOL,
     .at = AT(tls_skip_verify),
     .dflt = "false",
     .help = "trust any server; for tests only"},
    {.name = "loglevel",
     .type = OPT_CHOICE,
     .at = AT(loglevel),
     .dflt = "INFO",
     .choices = log_level_names,
     .help = "the lowest level to log; TRACE shows what is sent"},
};

struct opt_program options_program(void)
{
    return (struct opt_program){
        .name = "pcc",
        .prefix = "PCC_",
        .summary = "samples this host: each tick, every source's raw text, to a "
                   "collection file or a server.",
        .more = "The key can't be a flag, which every user of the host could read.\n"
                "`pcc status` asks the pcc that runs how it is; see pcc status --help.\n",
        .opts = pcc_opts,
        .n_opts = sizeof pcc_opts / sizeof *pcc_opts,
    };
}

struct problem {
    char *text;
    size_t size;
};

PC_PRINTF(2, 3) static int fail(const struct problem *p, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    (void)vsnprintf(p->text, p->size, format, args);
    va_end(args);
    return E_MALFORMED;
}

/* Is this a URL of ours: http or https, a host, and at most a path behind it? */
static bool url_is_good(const char *text)
{
    static const CURLUPart unwanted[] = {CURLUPART_USER, CURLUPART_PASSWORD,
                                         CURLUPART_QUERY, CURLUPART_FRAGMENT};
    CURLU *url = curl_url();
    bool good = url && curl_url_set(url, CURLUPART_URL, text, 0) == CURLUE_OK;

    for (size_t i = 0; i < sizeof unwanted / sizeof *unwanted && good; i++) {
        char *part = NULL;
        good = curl_url_get(url, unwanted[i], &part, 0) != CURLUE_OK;
        curl_free(part);
    }
    curl_url_cleanup(url);
    return good &&
           (strncmp(text, "http://", 7) == 0 || strncmp(text, "https://", 8) == 0);
}

static void strip_slashes(char *text, size_t n)
{
    while (n > 0 && text[n - 1] == '/')
        text[--n] = '\0';
}

static int finish_url(struct pcc_conf *conf, const struct problem *p)
{
    /* The old name's value is a host and port alone. */
    const char *scheme = strstr(conf->server_url, "://") ? "" : "http://";
    int n =
        snprintf(conf->url_text, sizeof conf->url_text, "%s%s", scheme, conf->server_url);

    if (n >= (int)sizeof conf->url_text || !url_is_good(conf->url_text))
        return fail(
            p,
            "PCC_SERVER_URL: '%s' is not http://HOST or https://HOST, with a port "
            "and a path if need be",
            conf->server_url);
    strip_slashes(conf->url_text, (size_t)n);
    conf->server_url = conf->url_text;
    return 0;
}

static void finish_spread(struct pcc_conf *conf)
{
    if (conf->spread_ns == 0)
        conf->spread_ns =
            conf->frequency_ns < SPREAD_MAX ? conf->frequency_ns : SPREAD_MAX;
}

static void finish_level(struct pcc_conf *conf)
{
    if (conf->compression_level == 0)
        conf->compression_level =
            conf->serialization == MEDIA_DELTA ? LEVEL_DELTA : LEVEL_OTHERS;
}

static int finish_root(struct pcc_conf *conf, const struct problem *p)
{
    int n = snprintf(conf->root_text, sizeof conf->root_text, "%s", conf->root);

    if (n >= (int)sizeof conf->root_text || (n > 0 && *conf->root != '/'))
        return fail(p, "PCC_ROOT: '%s' is not the absolute path of a folder", conf->root);
    strip_slashes(conf->root_text, (size_t)n);
    conf->root = conf->root_text;
    return 0;
}

static int finish_identifier(struct pcc_conf *conf, const struct pcc_surroundings *around,
                             const struct problem *p)
{
    if (!*conf->identifier) {
        (void)snprintf(conf->host_name, sizeof conf->host_name, "%s", around->host_name);
        conf->identifier = conf->host_name;
    }
    if (identifier_check(span_of_str(conf->identifier)))
        return fail(p,
                    "PCC_IDENTIFIER: '%s' is not 1 to %u bytes of UTF-8 without control "
                    "characters",
                    conf->identifier, LIMIT_IDENTIFIER_BYTES);
    return 0;
}

static int finish_collection(struct pcc_conf *conf, const struct pcc_surroundings *around,
                             const struct problem *p)
{
    if (*conf->collection || conf->mode != PCC_LOCAL)
        return 0;
    if (!around->home)
        return fail(p,
                    "PCC_COLLECTION: there is no home folder for pcc.json: name a file");
    int n = snprintf(conf->collection_text, sizeof conf->collection_text, "%s/pcc.json",
                     around->home);
    if (n >= (int)sizeof conf->collection_text)
        return fail(p, "PCC_COLLECTION: the home folder's path is too long: name a file");
    conf->collection = conf->collection_text;
    return 0;
}

/* The system's place first, then the user's (XDG Base Directory Specification). */
static int finish_spool(struct pcc_conf *conf, const struct pcc_surroundings *around,
                        const struct problem *p)
{
    bool state = around->state && *around->state == '/';
    int n = 0;

    if (*conf->spool_dir) {
        conf->spool_dirs[0] = conf->spool_dir;
        return 0;
    }
    conf->spool_dirs[0] = PCC_SPOOL_DIR_DEFAULT;
    if (state)
        n = snprintf(conf->spool_text, sizeof conf->spool_text, "%s/pcc/spool",
                     around->state);
    else if (around->home)
        n = snprintf(conf->spool_text, sizeof conf->spool_text,
                     "%s/.local/state/pcc/spool", around->home);
    if (n >= (int)sizeof conf->spool_text)
        return fail(p, "PCC_SPOOL_DIR: the state folder's path is too long: name one");
    if (n > 0)
        conf->spool_dirs[1] = conf->spool_text;
    return 0;
}

static bool named_before(const char *list, struct span name)
{
    struct span names = span_of_str(list);
    struct span other;

    while (source_next_name(&names, &other) && other.data != name.data) {
        if (span_equal(other, name))
            return true;
    }
    return false;
}

static int check_subsystems(const struct pcc_conf *conf, const struct problem *p)
{
    struct span names = span_of_str(conf->subsystems);
    struct span name;
    enum source_kind kind;
    size_t n = 0;

    while (source_next_name(&names, &name)) {
        n++;
        if (source_parse(name, &kind))
            return fail(p,
                        "PCC_SUBSYSTEMS: '%.*s' is not /any/file, statfs[*], "
                        "statfs[/mount] or container/docker/*",
                        (int)name.n, (const char *)name.data);
        if (named_before(conf->subsystems, name))
            return fail(p, "PCC_SUBSYSTEMS: '%.*s' is there twice; once is right",
                        (int)name.n, (const char *)name.data);
    }
    return n > 0 ? 0 : fail(p, "PCC_SUBSYSTEMS: '%s' names no source", conf->subsystems);
}

static int check_trickle(const struct pcc_conf *conf, const struct problem *p)
{
    if (conf->mode != PCC_TRICKLE)
        return 0;
    if (!*conf->apikey && !*conf->apikey_file)
        return fail(p, "PCC_APIKEY: trickle mode needs a key: set PCC_APIKEY or "
                       "PCC_APIKEY_FILE");
    if (*conf->apikey && apikey_check(span_of_str(conf->apikey)))
        return fail(p,
                    "PCC_APIKEY: not 1 to %u printable ASCII characters without blanks",
                    APIKEY_MAX);
    if (!*conf->tls_cert != !*conf->tls_key)
        return fail(p, "PCC_TLS_CERT and PCC_TLS_KEY: '%s' and '%s': one needs the other",
                    conf->tls_cert, conf->tls_key);
    return 0;
}

int options_finish(struct pcc_conf *conf, const struct pcc_surroundings *around,
                   char *ret_error, size_t size)
{
    const struct problem p = {ret_error, size};
    int r = finish_url(conf, &p);

    finish_spread(conf);
    finish_level(conf);
    if (r == 0)
        r = finish_root(conf, &p);
    if (r == 0)
        r = finish_identifier(conf, around, &p);
    if (r == 0)
        r = finish_collection(conf, around, &p);
    if (r == 0)
        r = finish_spool(conf, around, &p);
    if (r == 0)
        r = check_subsystems(conf, &p);
    return r ? r : check_trickle(conf, &p);
}

int options_finish_spool(struct pcc_conf *conf, const struct pcc_surroundings *around,
                         char *ret_error, size_t size)
{
    const struct problem p = {ret_error, size};

    return finish_spool(conf, around, &p);
}
