/* SPDX-License-Identifier: MIT */
#include "pcd/stats.h"

#include "common/units.h"

#include <inttypes.h>
#include <stdatomic.h>

const char *const stats_route_names[STATS_ROUTES] = {
    [STATS_PING] = "ping",     [STATS_TRICKLE] = "trickle", [STATS_HEALTHZ] = "healthz",
    [STATS_READYZ] = "readyz", [STATS_METRICS] = "metrics", [STATS_OTHER] = "other",
};

static const unsigned codes[STATS_CODES] = {
    0, 200, 400, 401, 403, 404, 405, 408, 409, 413, 415, 429, 431, 500, 503, 507,
};

/* Upper bounds of the buckets, as numbers and as a label shows them. */
static const struct bucket {
    uint64_t ns;
    const char *le;
} bounds[STATS_BUCKETS] = {
    {100 * USEC, "0.0001"}, {250 * USEC, "0.00025"},  {500 * USEC, "0.0005"},
    {MSEC, "0.001"},        {5 * MSEC / 2, "0.0025"}, {5 * MSEC, "0.005"},
    {10 * MSEC, "0.01"},    {25 * MSEC, "0.025"},     {50 * MSEC, "0.05"},
    {100 * MSEC, "0.1"},    {250 * MSEC, "0.25"},     {SEC, "1"},
    {3 * SEC, "3"},         {10 * SEC, "10"},
};

/* A counter of ours, or a number in the view. */
struct metric {
    const char *name;
    const char *help;
    size_t at;
};

static const struct metric counters[STATS_COUNTERS] = {
    [STATS_BATCHES] = {"pcd_batches_total", "Batches stored."},
    [STATS_MEASUREMENTS] = {"pcd_measurements_total", "Measurements stored."},
    [STATS_RECEIVED_BYTES] = {"pcd_received_bytes_total",
                              "Bytes of batches as they came, compressed or not."},
    [STATS_DECODED_BYTES] = {"pcd_decoded_bytes_total",
                             "Bytes of batches after decompression."},
    [STATS_REPLAYS] = {"pcd_replays_total", "Batches that were stored before."},
    [STATS_PENDING_WAITS] = {"pcd_pending_waits_total",
                             "Batches that came again while being stored."},
    [STATS_ACCEPTED] = {"pcd_connections_accepted_total", "Connections accepted."},
    [STATS_REFUSED] = {"pcd_connections_refused_total",
                       "Connections closed at once, over the limit."},
    [STATS_TIMEOUT_IDLE] = {"pcd_timeouts_idle_total",
                            "Connections ended for want of a request."},
    [STATS_TIMEOUT_REQUEST] = {"pcd_timeouts_request_total",
                               "Requests that took too long to arrive."},
    [STATS_TIMEOUT_ANSWER] = {"pcd_timeouts_answer_total",
                              "Answers that took too long to be read."},
    [STATS_OVER_KEY_RATE] = {"pcd_over_key_rate_total",
                             "Batches refused because their key brings too many."},
    [STATS_OVER_ADDRESS_RATE] = {"pcd_over_address_rate_total",
                                 "Requests refused because too many come from their "
                                 "address."},
    [STATS_UNANSWERED] = {"pcd_requests_unanswered_total",
                          "Requests that ended without an answer of pcd's: the client "
                          "went away, was late, or broke HTTP midway."},
};

#define VIEW(name, help, member)                                                         \
    {                                                                                    \
        name, help, offsetof(struct stats_view, member)                                  \
    }

static const struct metric view_gauges[] = {
    VIEW("pcd_start_time_seconds", "When pcd started, since the Unix epoch.", start_s),
    VIEW("pcd_connections", "Connections open.", connections),
    VIEW("pcd_connections_max", "Connections allowed.", connections_max),
    VIEW("pcd_bytes_in_flight", "Bytes of batches held in memory.", bytes),
    VIEW("pcd_bytes_in_flight_max", "Bytes of batches allowed in memory.", bytes_max),
    VIEW("pcd_hosts", "Hosts seen in the last hour.", hosts.recent),
    VIEW("pcd_hosts_known", "Hosts remembered.", hosts.known),
    VIEW("pcd_delta_states", "Delta states kept.", delta.states),
    VIEW("pcd_delta_state_bytes", "Bytes of delta states.", delta.bytes),
    VIEW("pcd_delta_state_bytes_max", "Bytes of delta states allowed.", delta_bytes_max),
    VIEW("pcd_queue_jobs", "Batches that wait for the log.", store.queued_jobs),
    VIEW("pcd_unfiled_bytes", "Bytes of lines logged, not yet in day files.",
         store.unfiled_bytes),
    VIEW("pcd_log_bytes", "Bytes of log since the last checkpoint.", store.log_bytes),
    VIEW("pcd_open_files", "Day files held open.", store.open_files),
    VIEW("pcd_disk_free_bytes", "Free bytes of the disk that holds the store.",
         store.free_bytes),
    VIEW("pcd_keys_sessions", "Sessions whose keys are in memory.", store.keys.sessions),
    VIEW("pcd_keys_on_disk", "Sessions in the sorted file.", store.keys.on_disk),
    VIEW("pcd_recovery_records", "Records of the log applied at start.",
         store.recovery.records),
    VIEW("pcd_recovery_bytes", "Bytes of log read at start.", store.recovery.bytes),
    VIEW("pcd_recovery_damaged_bytes", "Bytes of damage found in the log at start.",
         store.recovery.damaged),
};

static const struct metric view_counters[] = {
    VIEW("pcd_hosts_forgotten_total", "Hosts forgotten for want of room.",
         hosts.forgotten),
    VIEW("pcd_two_sessions_total",
         "Batches that showed two live sessions under one identifier.",
         hosts.two_sessions),
    VIEW("pcd_delta_states_evicted_total",
         "Idle delta states that went for want of room.", delta.evicted),
    VIEW("pcd_delta_states_not_kept_total",
         "Delta states in use that were not kept for want of room.", delta.not_kept),
    VIEW("pcd_delta_conflicts_total",
         "Batches refused for building on a state that is not there.", delta.conflicts),
    VIEW("pcd_groups_total", "Group commits.", store.groups),
    VIEW("pcd_syncs_total", "Syncs of the log.", store.syncs),
    VIEW("pcd_sync_failures_total", "Failed writes and syncs of the log.",
         store.sync_failures),
    VIEW("pcd_file_failures_total", "Failed writes and syncs of day files.",
         store.file_failures),
    VIEW("pcd_checkpoints_total", "Checkpoints made.", store.checkpoints),
    VIEW("pcd_checkpoint_failures_total", "Checkpoints that failed.",
         store.checkpoint_failures),
    VIEW("pcd_retain_days_total", "Days deleted, of all hosts.", store.retain.days),
    VIEW("pcd_retain_files_total", "Day files deleted.", store.retain.files),
    VIEW("pcd_retain_bytes_total", "Bytes of day files deleted.", store.retain.bytes),
    VIEW("pcd_retain_failures_total", "Day files or folders that could not be deleted.",
         store.retain.failures),
    VIEW("pcd_keys_forgotten_total", "Sessions forgotten over the limit of a host.",
         store.keys.forgotten),
    VIEW("pcd_keys_expired_total", "Sessions forgotten for their age.",
         store.keys.expired),
    VIEW("pcd_keys_damaged_total", "Times that damage was met in the sorted file.",
         store.keys.damaged),
    VIEW("pcd_keys_rewrite_failures_total", "Rewrites of the sorted file that failed.",
         store.keys.rewrite_failures),
};

static const struct metric histograms[STATS_DURATIONS] = {
    [STATS_DECODE] = {"pcd_decode_seconds",
                      "Time to decompress, decode and format a batch."},
    [STATS_COMMIT] = {"pcd_commit_seconds",
                      "Time from handing a batch over to knowing its fate."},
    [STATS_SYNC] = {"pcd_sync_seconds", "Time of a sync of the log."},
};

static void add(_Atomic uint64_t *to, uint64_t n)
{
    (void)atomic_fetch_add_explicit(to, n, memory_order_relaxed);
}

static uint64_t read_counter(const _Atomic uint64_t *from)
{
    return atomic_load_explicit(from, memory_order_relaxed);
}

void stats_request(struct stats *s, enum stats_route route, unsigned code)
{
    size_t at = STATS_CODES - 1;

    while (at > 0 && codes[at] != code)
        at--;
    add(&s->requests[route][at], 1);
}

void stats_add(struct stats *s, enum stats_counter counter, uint64_t n)
{
    add(&s->counters[counter], n);
}

void stats_observe(struct stats *s, enum stats_duration duration, uint64_t ns)
{
    struct stats_histogram *h = &s->durations[duration];
    size_t at = 0;

    while (at < STATS_BUCKETS && ns > bounds[at].ns)
        at++;
    add(&h->buckets[at], 1);
    add(&h->sum_ns, ns);
}

static int render_head(const struct metric *m, const char *type, struct buf *to)
{
    return buf_printf(to, "# HELP %s %s\n# TYPE %s %s\n", m->name, m->help, m->name,
                      type);
}

static int render_value(const struct metric *m, const char *type, uint64_t value,
                        struct buf *to)
{
    int r = render_head(m, type, to);

    return r ? r : buf_printf(to, "%s %" PRIu64 "\n", m->name, value);
}

static int render_view(const struct metric *metrics, size_t n, const char *type,
                       const struct stats_view *view, struct buf *to)
{
    int r = 0;

    for (size_t i = 0; i < n && r == 0; i++) {
        uint64_t value;

        memcpy(&value, (const uint8_t *)view + metrics[i].at, sizeof value);
        r = render_value(&metrics[i], type, value, to);
    }
    return r;
}

/* Nanoseconds as seconds, exactly. */
static int render_seconds(const char *name, const char *suffix, uint64_t ns,
                          struct buf *to)
{
    return buf_printf(to, "%s%s %" PRIu64 ".%09" PRIu64 "\n", name, suffix, ns / SEC,
                      ns % SEC);
}

static int render_histogram(const struct metric *m, const struct stats_histogram *h,
                            struct buf *to)
{
    uint64_t sum = 0;
    int r = render_head(m, "histogram", to);

    for (size_t i = 0; i < STATS_BUCKETS && r == 0; i++) {
        sum += read_counter(&h->buckets[i]);
        r = buf_printf(to, "%s_bucket{le=\"%s\"} %" PRIu64 "\n", m->name, bounds[i].le,
                       sum);
    }
    sum += read_counter(&h->buckets[STATS_BUCKETS]);
    if (r == 0)
        r = buf_printf(to, "%s_bucket{le=\"+Inf\"} %" PRIu64 "\n", m->name, sum);
    if (r == 0)
        r = render_seconds(m->name, "_sum", read_counter(&h->sum_ns), to);
    return r ? r : buf_printf(to, "%s_count %" PRIu64 "\n", m->name, sum);
}

static int render_requests(const struct stats *s, struct buf *to)
{
    const struct metric m = {"pcd_requests_total",
                             "Requests answered, by route and code.", 0};
    int r = render_head(&m, "counter", to);

    for (size_t route = 0; route < STATS_ROUTES; route++) {
        for (size_t code = 0; code < STATS_CODES && r == 0; code++) {
            uint64_t n = read_counter(&s->requests[route][code]);

            /* What never happened is left out, but a 200 is there to be rated. */
            if (n > 0 || (codes[code] == 200 && route != STATS_OTHER))
                r = buf_printf(to, "%s{route=\"%s\",code=\"%u\"} %" PRIu64 "\n", m.name,
                               stats_route_names[route], codes[code], n);
        }
    }
    return r;
}

static int render_build(const struct stats_view *view, struct buf *to)
{
    const struct metric m = {"pcd_build_info", "What runs; the value is always 1.", 0};
    int r = render_head(&m, "gauge", to);

    if (r)
        return r;
    return buf_printf(to,
                      "%s{version=\"%s\",revision=\"%s\",libmicrohttpd=\"%s\","
                      "zlib=\"%s\",msgpack=\"%s\"} 1\n",
                      m.name, view->version, view->revision, view->libmicrohttpd,
                      view->zlib, view->msgpack);
}

/* What is no plain uint64_t in the view. */
static int render_odd(const struct stats_view *view, struct buf *to)
{
    const struct metric log = {"pcd_log_failed", "1 while no log can be written.", 0};
    const struct metric files = {"pcd_files_failed",
                                 "1 while a day file can't be written.", 0};
    const struct metric took = {"pcd_recovery_seconds",
                                "Time that recovery took at start.", 0};
    int r = render_value(&log, "gauge", view->store.log_failed, to);

    if (r == 0)
        r = render_value(&files, "gauge", view->store.files_failed, to);
    if (r == 0)
        r = render_head(&took, "gauge", to);
    return r ? r : render_seconds(took.name, "", view->store.recovery.duration_ns, to);
}

int stats_render(const struct stats *s, const struct stats_view *view, struct buf *to)
{
    int r = render_build(view, to);

    if (r == 0)
        r = render_requests(s, to);
    for (size_t i = 0; i < STATS_COUNTERS && r == 0; i++)
        r = render_value(&counters[i], "counter", read_counter(&s->counters[i]), to);
    for (size_t i = 0; i < STATS_DURATIONS && r == 0; i++)
        r = render_histogram(&histograms[i], &s->durations[i], to);
    if (r == 0)
        r = render_view(view_gauges, sizeof view_gauges / sizeof *view_gauges, "gauge",
                        view, to);
    if (r == 0)
        r = render_view(view_counters, sizeof view_counters / sizeof *view_counters,
                        "counter", view, to);
    return r ? r : render_odd(view, to);
}
