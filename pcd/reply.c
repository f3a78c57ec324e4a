/* SPDX-License-Identifier: MIT */
#include "pcd/reply.h"

#include "common/clock.h"
#include "proto/limits.h"
#include "proto/wire.h"

#include <inttypes.h>
#include <stdio.h>
#include <sys/socket.h>

#define RETRY_AFTER_MAX_S 10u
#define WWW_AUTHENTICATE WIRE_BEARER "realm=\"pcd\""

unsigned reply_code(int r)
{
    if (r < 0)
        return MHD_HTTP_SERVICE_UNAVAILABLE;
    switch ((enum verdict)r) {
    case E_TRUNCATED:
    case E_MALFORMED:
        return MHD_HTTP_BAD_REQUEST;
    case E_TOO_LARGE:
        return MHD_HTTP_CONTENT_TOO_LARGE;
    case E_CONFLICT:
        return MHD_HTTP_CONFLICT;
    case E_UNSUPPORTED:
        return MHD_HTTP_UNSUPPORTED_MEDIA_TYPE;
    case E_DENIED:
        return MHD_HTTP_FORBIDDEN;
    case E_GONE:
        return MHD_HTTP_NOT_FOUND;
    case E_NO_ROOM:
        return MHD_HTTP_INSUFFICIENT_STORAGE;
    case E_PENDING:
    case E_FULL:
    case E_STOPPED:
        return MHD_HTTP_SERVICE_UNAVAILABLE;
    case E_REPLAY:
        break;
    }
    return MHD_HTTP_OK;
}

unsigned reply_retry_after_s(void)
{
    return 1 + (unsigned)(clock_random_u64() % RETRY_AFTER_MAX_S);
}

static bool add_u64(struct MHD_Response *response, const char *name, uint64_t value)
{
    char text[24];

    (void)snprintf(text, sizeof text, "%" PRIu64, value);
    return MHD_add_response_header(response, name, text) == MHD_YES;
}

static bool add_headers(struct MHD_Response *response, const struct reply *reply,
                        const char *type)
{
    /* A literal for each header, NULL where it isn't wanted. Connection has to be the
     * first: libmicrohttpd 0.9.75 forgets it if another one was added before. */
    const struct {
        const char *name;
        const char *value;
    } headers[] = {
        {WIRE_CONNECTION, reply->closes ? "close" : NULL},
        {WIRE_CONTENT_TYPE, type},
        {WIRE_ACCEPT_POST, reply->negotiates ? media_accept_post() : NULL},
        {WIRE_ACCEPT_ENCODING, reply->negotiates ? media_accept_encoding() : NULL},
        {WIRE_REPLAYED, reply->replayed ? "true" : NULL},
        {WIRE_ALLOW, reply->allow},
        {WIRE_WWW_AUTHENTICATE, reply->asks_for_key ? WWW_AUTHENTICATE : NULL},
    };
    bool ok = true;

    for (size_t i = 0; i < sizeof headers / sizeof *headers; i++)
        if (headers[i].value)
            ok &= MHD_add_response_header(response, headers[i].name, headers[i].value) ==
                  MHD_YES;
    if (reply->has_stored)
        ok &= add_u64(response, WIRE_STORED, reply->stored);
    if (reply->retry_after_s > 0)
        ok &= add_u64(response, WIRE_RETRY_AFTER, reply->retry_after_s);
    return ok;
}

enum MHD_Result reply_send(struct MHD_Connection *c, const struct reply *reply)
{
    CLEANUP(buf_done) struct buf encoded;
    const struct codec *codec = media_codec(reply->form);
    const char *type = reply->type ? reply->type : codec->media_type;
    struct span body = reply->body;

    buf_init(&encoded, LIMIT_ANSWER_BYTES);
    if (!reply->type) {
        if (codec->encode_answer(reply->error, &encoded))
            return MHD_NO;
        body = buf_span(&encoded);
    }
    /* The cast only drops const; the bytes are copied. */
    struct MHD_Response *response = MHD_create_response_from_buffer(
        body.n, (void *)(uintptr_t)body.data, MHD_RESPMEM_MUST_COPY);
    if (!response)
        return MHD_NO;
    enum MHD_Result result = MHD_NO;
    if (add_headers(response, reply, type))
        result = MHD_queue_response(c, reply->code, response);
    MHD_destroy_response(response);
    return result;
}

void reply_raw(int fd, enum media_form form, unsigned code, const char *error)
{
    CLEANUP(buf_done) struct buf body;
    CLEANUP(buf_done) struct buf head;
    const struct codec *codec = media_codec(form);

    buf_init(&body, LIMIT_ANSWER_BYTES);
    buf_init(&head, LIMIT_ANSWER_BYTES);
    int r = codec->encode_answer(error, &body);
    if (r == 0)
        r = buf_printf(&head,
                       "HTTP/1.1 %u %s\r\n" WIRE_CONNECTION
                       ": close\r\n" WIRE_CONTENT_TYPE ": %s\r\n" WIRE_ACCEPT_POST
                       ": %s\r\n" WIRE_ACCEPT_ENCODING ": %s\r\n" WIRE_CONTENT_LENGTH
                       ": %zu\r\n",
                       code, MHD_get_reason_phrase_for(code), codec->media_type,
                       media_accept_post(), media_accept_encoding(), body.len);
    if (r == 0 && code == MHD_HTTP_SERVICE_UNAVAILABLE)
        r = buf_printf(&head, WIRE_RETRY_AFTER ": %u\r\n", reply_retry_after_s());
    if (r == 0)
        r = buf_append(&head, SPAN("\r\n"));
    if (r == 0)
        r = buf_append(&head, buf_span(&body));
    if (r == 0) {
        /* A courtesy: who doesn't get it sees the connection end. */
        ssize_t n = send(fd, head.data, head.len, MSG_DONTWAIT | MSG_NOSIGNAL);
        (void)n;
    }
}
