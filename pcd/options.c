/* SPDX-License-Identifier: MIT */
#include "pcd/options.h"

#include "common/log.h"
#include "common/units.h"
#include "pcd/listeners.h"
#include "pcd/rate.h"
#include "proto/limits.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define AT(member) offsetof(struct pcd_conf, member)

static const char *const sync_names[] = {"always", "interval", NULL};

static const struct opt opts[] = {
    {.name = "listen",
     .old_name = "listenaddress",
     .type = OPT_STRING,
     .at = AT(listen),
     .dflt = "localhost:8080",
     .help = "address to listen on: host:port, [v6]:port, or :port for all"},
    {.name = "home",
     .type = OPT_STRING,
     .at = AT(home),
     .dflt = "~/.pcd",
     .help = "folder of the store; made if missing"},
    {.name = "apikeys-file",
     .type = OPT_STRING,
     .at = AT(apikeys_file),
     .dflt = "",
     .help = "file of keys, one a line; without it HOME/apikeys; read again when it "
             "changes and on SIGHUP"},
    {.name = "tls-cert",
     .type = OPT_STRING,
     .at = AT(tls_cert),
     .dflt = "",
     .help = "PEM file of the server's certificate and its chain; turns TLS on"},
    {.name = "tls-key",
     .type = OPT_STRING,
     .at = AT(tls_key),
     .dflt = "",
     .help = "PEM file of the certificate's private key; both are read again when they "
             "change and on SIGHUP"},
    {.name = "tls-client-ca",
     .type = OPT_STRING,
     .at = AT(tls_client_ca),
     .dflt = "",
     .help = "PEM file of authorities, one of which must have signed a client's "
             "certificate; empty: clients need none"},
    {.name = "sync",
     .type = OPT_CHOICE,
     .at = AT(sync),
     .dflt = "always",
     .choices = sync_names,
     .help = "always: answer once a batch is on disk; interval: once it is written, on "
             "disk within a second"},
    {.name = "threads",
     .type = OPT_COUNT,
     .at = AT(threads),
     .dflt = "0",
     .min = 1,
     .max = 256,
     .zero_too = true,
     .help = "threads that serve connections; 0: one a core"},
    {.name = "metrics-auth",
     .type = OPT_BOOL,
     .at = AT(metrics_auth),
     .dflt = "false",
     .help = "ask for a key at /metrics too"},
    {.name = "rate",
     .type = OPT_COUNT,
     .at = AT(rate),
     .dflt = "0",
     .min = 1,
     .max = RATE_MAX,
     .zero_too = true,
     .help =
         "batches a second with the same key, and ten times that at once; past it 429; "
         "0: any number"},
    {.name = "rate-address",
     .type = OPT_COUNT,
     .at = AT(rate_address),
     .dflt = "0",
     .min = 1,
     .max = RATE_MAX,
     .zero_too = true,
     .help = "likewise, requests of any kind from the same address, or /64 of IPv6"},
    {.name = "keys-keep",
     .type = OPT_DURATION,
     .at = AT(keys_keep_ns),
     .dflt = "30d",
     .min = HOUR,
     .max = 3650 * DAY,
     .help = "how long after its last batch a session's replays are recognised"},
    {.name = "body-max",
     .type = OPT_SIZE,
     .at = AT(body_max),
     .dflt = "8MiB",
     .min = 64 * KIB,
     .max = GIB,
     .help = "largest body, as it comes"},
    {.name = "decoded-max",
     .type = OPT_SIZE,
     .at = AT(decoded_max),
     .dflt = "64MiB",
     .min = 64 * KIB,
     .max = 4 * GIB,
     .help = "largest body after decompression"},
    {.name = "measurements-max",
     .type = OPT_COUNT,
     .at = AT(measurements_max),
     .dflt = "100000",
     .min = 1,
     .max = 10000000,
     .help = "measurements in a batch"},
    {.name = "text-max",
     .type = OPT_SIZE,
     .at = AT(text_max),
     .dflt = "16MiB",
     .min = KIB,
     .max = GIB,
     .help = "text of one measurement"},
    {.name = "subsystem-max",
     .type = OPT_SIZE,
     .at = AT(subsystem_max),
     .dflt = "255",
     .min = 16,
     .max = 64 * KIB,
     .help = "name of one measurement's subsystem"},
    {.name = "nesting-max",
     .type = OPT_COUNT,
     .at = AT(nesting_max),
     .dflt = "16",
     .min = 3,
     .max = LIMIT_NESTING,
     .help = "levels of objects and arrays in a body"},
    {.name = "headers-max",
     .type = OPT_SIZE,
     .at = AT(headers_max),
     .dflt = "6KiB",
     .min = 512,
     .max = 64 * KIB,
     .help = "request line and headers together; see connection-memory"},
    {.name = "idle-timeout",
     .type = OPT_DURATION,
     .at = AT(idle_timeout_ns),
     .dflt = "120s",
     .min = SEC,
     .max = HOUR,
     .help = "how long a connection may be without a request"},
    {.name = "request-timeout",
     .type = OPT_DURATION,
     .at = AT(request_timeout_ns),
     .dflt = "30s",
     .min = SEC,
     .max = HOUR,
     .help = "how long a request may take to arrive, and an answer to be read"},
    {.name = "connection-age",
     .type = OPT_DURATION,
     .at = AT(connection_age_ns),
     .dflt = "1h",
     .min = SEC,
     .max = 365 * DAY,
     .zero_too = true,
     .help =
         "after half to all of this a connection ends with its next answer; 0: never"},
    {.name = "connections-max",
     .type = OPT_COUNT,
     .at = AT(connections_max),
     .dflt = "16000",
     .min = 1,
     .max = 1000000,
     .help = "open connections; at most the hard limit of descriptors less files-max and "
             "1024"},
    {.name = "connection-memory",
     .type = OPT_SIZE,
     .at = AT(connection_memory),
     .dflt = "8KiB",
     .min = 4 * KIB,
     .max = MIB,
     .help = "memory of one connection, for its headers (and 64 bytes a header) and a "
             "piece of its body"},
    {.name = "queue-max",
     .type = OPT_SIZE,
     .at = AT(queue_max),
     .dflt = "256MiB",
     .min = MIB,
     .max = TIB,
     .help = "bytes of batches in memory, past which new ones get 503; at least 4 "
             "times decoded-max"},
    {.name = "delta-state-max",
     .type = OPT_SIZE,
     .at = AT(delta_state_max),
     .dflt = "256MiB",
     .min = 4 * KIB,
     .max = TIB,
     .help = "bytes of delta states in memory; a host whose state isn't kept sends each "
             "batch twice, the second time as a snapshot"},
    {.name = "log-max",
     .type = OPT_SIZE,
     .at = AT(log_max),
     .dflt = "1GiB",
     .min = 16 * MIB,
     .max = TIB,
     .help = "bytes of log that are not in day files yet, past which batches get 503"},
    {.name = "disk-reserve",
     .type = OPT_SIZE,
     .at = AT(disk_reserve),
     .dflt = "1GiB",
     .max = 1024 * TIB,
     .help = "free bytes of the disk that are left to others; below, batches get 507"},
    {.name = "gather",
     .type = OPT_DURATION,
     .at = AT(gather_ns),
     .dflt = "0",
     .max = SEC,
     .help = "wait this long for more batches before a sync"},
    {.name = "checkpoint-interval",
     .type = OPT_DURATION,
     .at = AT(checkpoint_ns),
     .dflt = "60s",
     .min = SEC,
     .max = HOUR,
     .help = "longest time between two checkpoints"},
    {.name = "files-max",
     .type = OPT_COUNT,
     .at = AT(files_max),
     .dflt = "1024",
     .min = 1,
     .max = 100000,
     .help = "day files held open"},
    {.name = "retain",
     .type = OPT_DURATION,
     .at = AT(retain_ns),
     .dflt = "0",
     .min = DAY,
     .max = 36500 * DAY,
     .zero_too = true,
     .help = "days before the newest in the store whose files are kept, older ones are "
             "deleted; 0: all"},
    {.name = "retain-bytes",
     .type = OPT_SIZE,
     .at = AT(retain_bytes),
     .dflt = "0",
     .min = MIB,
     .max = 1024 * TIB,
     .zero_too = true,
     .help = "bytes of day files, past which the oldest whole days are deleted; 0: any"},
    {.name = "loglevel",
     .type = OPT_CHOICE,
     .at = AT(log_level),
     .dflt = "INFO",
     .choices = log_level_names,
     .help = "least level of the lines that are logged"},
};

const struct opt_program options_program = {
    .name = "pcd",
    .prefix = "PCD_",
    .summary = "takes batches of measurements over HTTP and makes them durable",
    .more = "SIGHUP reads keys and certificate again; SIGTERM finishes what is in flight "
            "and ends.\n"
            "pcd keygen [PATTERN...] makes a key; see pcd keygen --help.\n",
    .version = "",
    .opts = opts,
    .n_opts = sizeof opts / sizeof *opts,
};

/* Return: 0, and gives *ret; E_MALFORMED where ~ is not known; -ENOMEM. */
static int expand_home(const char *path, const char *home_dir, char **ret)
{
    int n = 0;

    if (strncmp(path, "~/", 2) != 0)
        n = asprintf(ret, "%s", path);
    else if (home_dir && home_dir[0])
        n = asprintf(ret, "%s/%s", home_dir, path + 2);
    else
        return E_MALFORMED;
    return n < 0 ? -ENOMEM : 0;
}

static int make_paths(struct pcd_conf *conf, const char *home_dir)
{
    int r = expand_home(conf->home, home_dir, &conf->home_path);

    if (r)
        return r;
    if (conf->apikeys_file[0])
        return expand_home(conf->apikeys_file, home_dir, &conf->apikeys_path);
    return asprintf(&conf->apikeys_path, "%s/apikeys", conf->home_path) < 0 ? -ENOMEM : 0;
}

int options_finish(struct pcd_conf *conf, const char *home_dir, const char **reterr_text)
{
    *reterr_text =
        "PCD_LISTEN: expected host:port, [v6]:port, or :port for all addresses";
    if (listeners_check(conf->listen))
        return E_MALFORMED;
    *reterr_text =
        "PCD_TLS_CERT and PCD_TLS_KEY: only one is given; give both for TLS, or "
        "none for plain HTTP";
    if (!conf->tls_cert[0] != !conf->tls_key[0])
        return E_MALFORMED;
    *reterr_text = "PCD_TLS_CLIENT_CA: given without PCD_TLS_CERT and PCD_TLS_KEY";
    if (conf->tls_client_ca[0] && !conf->tls_cert[0])
        return E_MALFORMED;
    *reterr_text = "PCD_QUEUE_MAX: less than 4 times PCD_DECODED_MAX, so that one large "
                   "batch might never fit";
    if (conf->queue_max / 4 < conf->decoded_max)
        return E_MALFORMED;
    *reterr_text = "PCD_BODY_MAX: more than PCD_DECODED_MAX";
    if (conf->body_max > conf->decoded_max)
        return E_MALFORMED;
    *reterr_text = "PCD_HEADERS_MAX: more than PCD_CONNECTION_MEMORY, which holds them";
    if (conf->headers_max > conf->connection_memory)
        return E_MALFORMED;
    *reterr_text = "PCD_HOME: empty; expected a folder";
    if (!conf->home[0])
        return E_MALFORMED;
    int r = make_paths(conf, home_dir);
    if (r == E_MALFORMED)
        *reterr_text = "a path begins with ~/, but HOME is not set";
    else if (r)
        *reterr_text = "out of memory";
    return r;
}

void options_done(struct pcd_conf *conf)
{
    free(conf->home_path);
    free(conf->apikeys_path);
    conf->home_path = NULL;
    conf->apikeys_path = NULL;
}
