/* SPDX-License-Identifier: MIT */
#include "tests/lib/mhd.h"

#include "pcd/route.h"
#include "proto/wire.h"

#include <assert.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define HEADERS_MAX 64u
#define ANSWER_MAX (4 * MIB)

struct header {
    struct span name; /* terminated, as the value is */
    struct span value;
};

struct MHD_Connection {
    struct worker *worker;
    int fd;        /* pcd's end, */
    int client_fd; /* and the client's, where nothing is read */
    void *context; /* pcd's connection */
    void *upload;  /* pcd's request */
    bool is_known; /* the handler has seen it: it will hear of its end */
    struct sockaddr_in peer;

    /* The request being served. */
    char *bytes;
    size_t head_n;
    char *uri;
    char *version;
    struct header headers[HEADERS_MAX];
    size_t n_headers;
    struct mhd_answer *answer;

    pthread_mutex_t lock;
    pthread_cond_t resumed;
    /* guarded by lock */
    bool is_suspended;
    bool was_suspended; /* though it may be resumed again */
};

struct MHD_Response {
    struct mhd_answer answer;
};

void mhd_answer_init(struct mhd_answer *a)
{
    a->code = 0;
    buf_init(&a->headers, ANSWER_MAX);
    buf_init(&a->body, ANSWER_MAX);
}

void mhd_answer_done(struct mhd_answer *a)
{
    buf_done(&a->headers);
    buf_done(&a->body);
}

struct span mhd_answer_header(const struct mhd_answer *a, const char *name)
{
    struct span rest = buf_span(&a->headers);
    size_t name_n = strlen(name);

    while (rest.n > 0) {
        const uint8_t *end = memchr(rest.data, '\n', rest.n);
        struct span line = span_of(rest.data, (size_t)(end - rest.data));

        if (line.n > name_n + 2 && memcmp(line.data, name, name_n) == 0 &&
            line.data[name_n] == ':')
            return span_from(line, name_n + 2);
        rest = span_from(rest, line.n + 1);
    }
    return span_of(NULL, 0);
}

/* The library's functions, as far as pcd's side of a request calls them. */

const char *MHD_get_version(void)
{
    return "0.9.75";
}

const char *MHD_get_reason_phrase_for(unsigned int code)
{
    (void)code;
    return "Reason";
}

const union MHD_ConnectionInfo *
MHD_get_connection_info(struct MHD_Connection *c, enum MHD_ConnectionInfoType type, ...)
{
    static union MHD_ConnectionInfo info;

    switch ((int)type) {
    case MHD_CONNECTION_INFO_SOCKET_CONTEXT:
        info.socket_context = c->context;
        return &info;
    case MHD_CONNECTION_INFO_CONNECTION_FD:
        info.connect_fd = c->fd;
        return &info;
    case MHD_CONNECTION_INFO_CLIENT_ADDRESS:
        info.client_addr = (struct sockaddr *)&c->peer;
        return &info;
    case MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE:
        info.header_size = c->head_n;
        return &info;
    default:
        return NULL;
    }
}

int MHD_get_connection_values_n(struct MHD_Connection *c, enum MHD_ValueKind kind,
                                MHD_KeyValueIteratorN each, void *arg)
{
    for (size_t i = 0; i < c->n_headers; i++) {
        const struct header *h = &c->headers[i];

        if (each(arg, kind, (const char *)h->name.data, h->name.n,
                 (const char *)h->value.data, h->value.n) != MHD_YES)
            break;
    }
    return (int)c->n_headers;
}

struct MHD_Response *MHD_create_response_from_buffer(size_t size, void *buffer,
                                                     enum MHD_ResponseMemoryMode mode)
{
    struct MHD_Response *r = malloc(sizeof *r);

    assert(mode == MHD_RESPMEM_MUST_COPY);
    if (!r)
        return NULL;
    mhd_answer_init(&r->answer);
    if (buf_append(&r->answer.body, span_of(buffer, size))) {
        MHD_destroy_response(r);
        return NULL;
    }
    return r;
}

enum MHD_Result MHD_add_response_header(struct MHD_Response *response, const char *header,
                                        const char *content)
{
    return buf_printf(&response->answer.headers, "%s: %s\n", header, content) == 0
               ? MHD_YES
               : MHD_NO;
}

enum MHD_Result MHD_queue_response(struct MHD_Connection *c, unsigned int status_code,
                                   struct MHD_Response *response)
{
    struct mhd_answer *a = c->answer;

    assert(a->code == 0); /* one answer a request */
    if (buf_append(&a->headers, buf_span(&response->answer.headers)) ||
        buf_append(&a->body, buf_span(&response->answer.body)))
        return MHD_NO;
    a->code = status_code;
    return MHD_YES;
}

void MHD_destroy_response(struct MHD_Response *response)
{
    mhd_answer_done(&response->answer);
    free(response);
}

void MHD_suspend_connection(struct MHD_Connection *c)
{
    (void)pthread_mutex_lock(&c->lock);
    assert(!c->is_suspended);
    c->is_suspended = c->was_suspended = true;
    (void)pthread_mutex_unlock(&c->lock);
}

void MHD_resume_connection(struct MHD_Connection *c)
{
    (void)pthread_mutex_lock(&c->lock);
    assert(c->is_suspended);
    c->is_suspended = false;
    (void)pthread_cond_signal(&c->resumed);
    (void)pthread_mutex_unlock(&c->lock);
}

/* Return: was it suspended since the last call? */
static bool wait_resumed(struct MHD_Connection *c)
{
    (void)pthread_mutex_lock(&c->lock);
    bool was = c->was_suspended;
    c->was_suspended = false;
    while (c->is_suspended)
        (void)pthread_cond_wait(&c->resumed, &c->lock);
    (void)pthread_mutex_unlock(&c->lock);
    return was;
}

/* What the library does by itself. */

struct MHD_Connection *mhd_connect(struct worker *w)
{
    struct MHD_Connection *c = calloc(1, sizeof *c);
    int fds[2];

    if (!c)
        return NULL;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds)) {
        free(c);
        return NULL;
    }
    c->worker = w;
    c->fd = fds[0];
    c->client_fd = fds[1];
    c->peer.sin_family = AF_INET;
    c->peer.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    (void)pthread_mutex_init(&c->lock, NULL);
    (void)pthread_cond_init(&c->resumed, NULL);
    route_connection(w, c, &c->context, MHD_CONNECTION_NOTIFY_STARTED);
    return c;
}

void mhd_disconnect(struct MHD_Connection *c)
{
    if (!c)
        return;
    route_connection(c->worker, c, &c->context, MHD_CONNECTION_NOTIFY_CLOSED);
    (void)close(c->fd);
    (void)close(c->client_fd);
    (void)pthread_cond_destroy(&c->resumed);
    (void)pthread_mutex_destroy(&c->lock);
    free(c->bytes);
    free(c);
}

/* Cuts a line off in place, at a LF, a CR, or both, as the library does; NULL where
 * nothing is left. */
static char *take_line(struct MHD_Connection *c, size_t *at)
{
    char *line = c->bytes + *at;

    if (*at == c->head_n)
        return NULL;
    while (*at < c->head_n && c->bytes[*at] != '\r' && c->bytes[*at] != '\n')
        ++*at;
    char *end = c->bytes + *at;
    if (*at < c->head_n)
        *at += end[0] == '\r' && end[1] == '\n' ? 2 : 1;
    *end = '\0';
    return line;
}

/* Cuts a word off in place. */
static char *take_word(char **at)
{
    char *word = *at;
    char *end = word + strcspn(word, " ");

    *at = end + strspn(end, " ");
    *end = '\0';
    return word;
}

/* Return: is it a line that the library understands? */
static bool take_header(struct MHD_Connection *c, char *line)
{
    char *colon = strchr(line, ':');

    if (!colon || c->n_headers == HEADERS_MAX)
        return false;
    *colon = '\0';
    char *value = colon + 1 + strspn(colon + 1, " \t");
    c->headers[c->n_headers++] = (struct header){
        span_of(line, strlen(line)),
        span_of(value, strlen(value)),
    };
    return true;
}

/* Return: the first header of that name, or NULL. */
static const struct header *find_header(const struct MHD_Connection *c, const char *name)
{
    for (size_t i = 0; i < c->n_headers; i++)
        if (span_equal_nocase(c->headers[i].name, span_of_str(name)))
            return &c->headers[i];
    return NULL;
}

/* Takes a head apart. Return: did the library come to its end? */
static bool read_head(struct MHD_Connection *c, struct span head)
{
    size_t at = 0;

    free(c->bytes);
    c->n_headers = 0;
    c->uri = NULL;
    c->head_n = head.n + 2;
    c->bytes = malloc(c->head_n + 1);
    if (!c->bytes)
        return false;
    if (head.n)
        memcpy(c->bytes, head.data, head.n);
    memcpy(c->bytes + head.n, "\r\n", 3);
    char *line = take_line(c, &at);
    assert(line); /* there is an empty one at least */
    (void)take_word(&line);
    c->uri = take_word(&line);
    c->version = line;
    if (!*c->uri || strncmp(c->version, "HTTP/1.", 7) != 0)
        return false;
    c->upload = route_request_line(c->worker, c->uri, c);
    c->uri[strcspn(c->uri, "?")] = '\0';
    while ((line = take_line(c, &at)) && *line)
        if (!take_header(c, line))
            return false;
    return line && at == c->head_n;
}

static enum MHD_Result handle(struct MHD_Connection *c, const char *part, size_t n)
{
    size_t left = n;

    c->is_known = true;
    enum MHD_Result r =
        route_handle(c->worker, c, c->uri, c->bytes, c->version, part, &left, &c->upload);

    assert(left == 0);
    return r;
}

/* How much of a body is to come: as the head says, whatever the client has. */
static size_t body_bytes(const struct MHD_Connection *c,
                         const struct mhd_request *request, bool *ret_leaves)
{
    const struct header *length = find_header(c, WIRE_CONTENT_LENGTH);
    size_t n = request->body.n;

    *ret_leaves = request->leaves;
    if (request->leaves)
        n /= 2;
    if (find_header(c, WIRE_TRANSFER_ENCODING))
        return n;
    if (!length)
        return 0;
    unsigned long long announced = strtoull((const char *)length->value.data, NULL, 10);
    *ret_leaves |= announced > n;
    return announced < n ? (size_t)announced : n;
}

/* Return: false where the connection is to end. */
static bool send_body(struct MHD_Connection *c, const struct mhd_request *request)
{
    bool leaves;
    size_t n = body_bytes(c, request, &leaves);

    for (size_t at = 0; at < n;) {
        size_t part = request->piece < n - at ? request->piece : n - at;

        if (handle(c, (const char *)request->body.data + at, part) != MHD_YES)
            return false;
        at += part;
    }
    if (n == 0 && !leaves && find_header(c, WIRE_CONTENT_LENGTH) &&
        handle(c, "", 0) != MHD_YES)
        return false;
    return !leaves;
}

static bool serve(struct MHD_Connection *c, const struct mhd_request *request)
{
    if (!read_head(c, request->head) || handle(c, NULL, 0) != MHD_YES)
        return false;
    if (c->answer->code) /* in the first call: the library doesn't wait for the body */
        return false;
    if (!send_body(c, request))
        return false;
    while (c->answer->code == 0) {
        if (handle(c, NULL, 0) != MHD_YES)
            return false;
        /* Once resumed it is called again; else there must be an answer. */
        bool was_suspended = wait_resumed(c);
        assert(was_suspended || c->answer->code != 0);
    }
    return mhd_answer_header(c->answer, WIRE_CONNECTION).data == NULL;
}

bool mhd_serve(struct MHD_Connection *c, const struct mhd_request *request,
               struct mhd_answer *ret)
{
    ret->code = 0;
    buf_reset(&ret->headers);
    buf_reset(&ret->body);
    c->answer = ret;
    c->upload = NULL;
    c->is_known = false;
    bool goes_on = serve(c, request);
    if (c->is_known)
        route_completed(c->worker, c, &c->upload,
                        ret->code ? MHD_REQUEST_TERMINATED_COMPLETED_OK
                                  : MHD_REQUEST_TERMINATED_WITH_ERROR);
    return goes_on;
}
