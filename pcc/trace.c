/* SPDX-License-Identifier: MIT */
#include "pcc/trace.h"

#include "common/log.h"
#include "common/units.h"
#include "proto/wire.h"

static void trace_delta(const struct delta_place *place)
{
    if (!place->chained)
        log_event(LOG_TRACE, "delta", LOG_STR("batch", "alone"));
    else
        log_event(LOG_TRACE, "delta",
                  LOG_STR("batch", place->number == 0 ? "snapshot" : "chained"),
                  LOG_U64(WIRE_DELTA_SNAPSHOT, place->snapshot),
                  LOG_U64(WIRE_DELTA_BATCH, place->number));
}

void trace_request(const char *server, const struct backlog_post *post)
{
    static const char *const codings[] = {
        [CODING_IDENTITY] = WIRE_CODING_IDENTITY,
        [CODING_GZIP] = WIRE_CODING_GZIP,
        [CODING_DEFLATE] = WIRE_CODING_DEFLATE,
    };

    log_event(LOG_TRACE, "request", LOG_STR("method", "POST"), LOG_STR("server", server),
              LOG_STR("path", WIRE_TRICKLE),
              LOG_STR(WIRE_CONTENT_TYPE, media_codec(post->form.media)->media_type),
              LOG_STR(WIRE_CONTENT_ENCODING, codings[post->form.coding]),
              LOG_STR(WIRE_APIKEY, "***"), LOG_U64("session", post->session),
              LOG_U64("seq", post->seq), LOG_U64("floor", post->floor),
              LOG_U64("bytes", post->body.n));
    if (post->form.media == MEDIA_DELTA)
        trace_delta(&post->place);
}

void trace_batch(const struct batch *batch)
{
    for (size_t i = 0; i < batch->n_items; i++) {
        struct measurement m = batch_get(batch, i);
        log_event(LOG_TRACE, "measurement", LOG_U64("timestamp", m.time_ns / SEC),
                  LOG_U64("nanoseconds", m.time_ns % SEC),
                  LOG_SPAN("subsystem", m.subsystem), LOG_SPAN("measurement", m.text));
    }
}
