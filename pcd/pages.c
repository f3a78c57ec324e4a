/* SPDX-License-Identifier: MIT */
#include "pcd/pages.h"

#include "common/clock.h"
#include "common/version.h"
#include "pcd/chains.h"
#include "pcd/hosts.h"
#include "pcd/options.h"
#include "pcd/stats.h"
#include "pcd/store.h"

#include <microhttpd.h>
#include <msgpack.h>
#include <stdatomic.h>
#include <zlib.h>

int pages_health(struct buf *to, unsigned *ret_code)
{
    *ret_code = MHD_HTTP_OK;
    return buf_append(to, SPAN("ok\n"));
}

int pages_ready(const struct service *s, struct buf *to, unsigned *ret_code)
{
    struct store_counts counts;
    int room = store_room(s->store, 0);

    store_count(s->store, &counts);
    const struct {
        bool is;
        const char *text;
    } reasons[] = {
        {atomic_load(&s->stops), "not ready: shutting down\n"},
        {counts.log_failed, "not ready: no log can be written\n"},
        {counts.files_failed, "not ready: a day file can't be written\n"},
        {room == E_NO_ROOM, "not ready: the disk is full or below its reserve\n"},
        {room == E_FULL && !counts.log_failed, "not ready: the log is at its limit\n"},
        {atomic_load(&s->admit->bytes) >= s->admit->max_bytes,
         "not ready: the queue is at its limit\n"},
    };
    int r = 0;

    *ret_code = MHD_HTTP_OK;
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons && r == 0; i++) {
        if (!reasons[i].is)
            continue;
        *ret_code = MHD_HTTP_SERVICE_UNAVAILABLE;
        r = buf_append(to, span_of_str(reasons[i].text));
    }
    if (r == 0 && *ret_code == MHD_HTTP_OK)
        r = buf_append(to, SPAN("ready\n"));
    return r;
}

int pages_metrics(const struct service *s, const struct connections *c, struct buf *to,
                  unsigned *ret_code)
{
    struct stats_view view = {
        .version = VERSION,
        .revision = VERSION_REVISION,
        .libmicrohttpd = MHD_get_version(),
        .zlib = zlibVersion(),
        .msgpack = msgpack_version(),
        .start_s = s->start_s,
        .connections = connections_count(c),
        .connections_max = connections_max(c),
        .bytes = atomic_load(&s->admit->bytes),
        .bytes_max = s->admit->max_bytes,
        .delta_bytes_max = s->conf->delta_state_max,
    };

    hosts_count(s->hosts, clock_boot_ns(), &view.hosts);
    chains_count(s->chains, &view.delta);
    store_count(s->store, &view.store);
    *ret_code = MHD_HTTP_OK;
    return stats_render(s->stats, &view, to);
}
