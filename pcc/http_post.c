/* SPDX-License-Identifier: MIT */
#include "pcc/http_post.h"

#include "common/clock.h"
#include "common/units.h"
#include "pcc/apikey.h"
#include "pcc/ca_bundle.h"
#include "proto/wire.h"

#include <assert.h>
#include <curl/curl.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

/* For the answer to begin, once the request has been sent. */
#define ANSWER_TIMEOUT (10 * SEC)
/* A connection that was idle for longer isn't used again: the server's limit is 120 s. */
#define IDLE_MAX_S 90L
#define KEEPALIVE_S 30L
#define HEADERS_MAX 7u
#define URL_MAX 4096u

struct http {
    struct http_conf conf;
    CURLSH *share; /* of TLS sessions, which outlive the handles */
    CURLM *multi;
    CURL *easy;
    char url[URL_MAX];
    const char *path; /* the one in url, which the handle has; NULL for none */
    /* Our own nodes over our own texts: curl reads the list and never frees it. */
    struct curl_slist headers[HEADERS_MAX];
    size_t n_headers;
    char content_type[80];
    char coding[40];
    char key[APIKEY_MAX + sizeof WIRE_APIKEY ": "];
    char identity[80];
    char floor[60];
    struct buf body; /* of the answer */
    bool in_flight;
    bool done;
    bool spoiled; /* the handles are to be thrown away before the next request */
    CURLcode result;
    size_t body_n;         /* of the request */
    uint64_t sent_ns;      /* when the last byte of the request went; 0 before */
    uint64_t last_used_ns; /* when the last answer ended; 0 without a connection */
    uint64_t connections;
    char error[CURL_ERROR_SIZE];
};

static size_t on_body(char *bytes, size_t size, size_t n, void *arg)
{
    struct http *h = arg;

    /* Past the limit the count differs from @n: curl ends the transfer. */
    return buf_append(&h->body, span_of(bytes, size * n)) ? 0 : n;
}

static int on_socket(void *arg, curl_socket_t fd, curlsocktype purpose)
{
    const struct http *h = arg;
    unsigned timeout_ms = (unsigned)(h->conf.timeout_ns / MSEC);

    (void)purpose;
    /* Keep-alive doesn't end an upload that nobody acknowledges; this does. If it can't
     * be set the request's own timeout still holds. */
    (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout_ms, sizeof timeout_ms);
    return CURL_SOCKOPT_OK;
}

/* Both macros note the first failure in r; setopt copies texts and may lack memory. */
#define SET_LONG(option, value)                                                          \
    (r = r ? r : curl_easy_setopt(easy, option, (long)(value)))
#define SET(option, value) (r = r ? r : curl_easy_setopt(easy, option, value))

/* The authorities where the user names none; NULL: libcurl knows where they are. */
static const char *default_ca(void)
{
#ifdef PCC_FINDS_CA
    return ca_bundle_find();
#else
    return NULL;
#endif
}

static CURLcode set_tls(CURL *easy, const struct http_conf *conf)
{
    CURLcode r = CURLE_OK;

    SET_LONG(CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_2); /* or later: RFC 8996 */
    const char *ca = *conf->tls_ca ? conf->tls_ca : default_ca();
    if (ca)
        SET(CURLOPT_CAINFO, ca);
    if (*conf->tls_cert)
        SET(CURLOPT_SSLCERT, conf->tls_cert);
    if (*conf->tls_key)
        SET(CURLOPT_SSLKEY, conf->tls_key);
    if (conf->tls_skip_verify) {
        SET_LONG(CURLOPT_SSL_VERIFYPEER, 0);
        SET_LONG(CURLOPT_SSL_VERIFYHOST, 0);
    }
    return r;
}

static CURLcode set_options(CURL *easy, struct http *h)
{
    CURLcode r = set_tls(easy, &h->conf);

    SET(CURLOPT_SHARE, h->share);
    SET_LONG(CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
    SET(CURLOPT_PROTOCOLS_STR, "http,https");
    SET_LONG(CURLOPT_NOSIGNAL, 1);
    /* A name that can't be looked up must not hold this thread until the resolver, which
     * curl runs in another, gives up. */
    SET_LONG(CURLOPT_QUICK_EXIT, 1);
    SET_LONG(CURLOPT_POST, 1);
    SET_LONG(CURLOPT_TIMEOUT_MS, h->conf.timeout_ns / MSEC);
    SET_LONG(CURLOPT_CONNECTTIMEOUT_MS, h->conf.connect_timeout_ns / MSEC);
    SET_LONG(CURLOPT_MAXAGE_CONN, IDLE_MAX_S);
    SET_LONG(CURLOPT_TCP_KEEPALIVE, 1);
    SET_LONG(CURLOPT_TCP_KEEPIDLE, KEEPALIVE_S);
    SET_LONG(CURLOPT_TCP_KEEPINTVL, KEEPALIVE_S);
    SET_LONG(CURLOPT_BUFFERSIZE, 4096);
    SET_LONG(CURLOPT_UPLOAD_BUFFERSIZE, 16384);
    SET(CURLOPT_USERAGENT, h->conf.user_agent);
    SET(CURLOPT_SOCKOPTFUNCTION, on_socket);
    SET(CURLOPT_SOCKOPTDATA, h);
    SET(CURLOPT_WRITEFUNCTION, on_body);
    SET(CURLOPT_WRITEDATA, h);
    SET(CURLOPT_ERRORBUFFER, h->error);
    return r;
}

static void throw_away(struct http *h)
{
    if (h->easy) {
        if (h->in_flight)
            (void)curl_multi_remove_handle(h->multi,
                                           h->easy); /* both are ours: can't fail */
        curl_easy_cleanup(h->easy);
    }
    /* It holds the connections and the looked-up names. */
    if (h->multi)
        (void)curl_multi_cleanup(h->multi);
    h->easy = NULL;
    h->multi = NULL;
    h->in_flight = false;
    h->spoiled = false;
    h->path = NULL;
    h->last_used_ns = 0;
}

static int make_handles(struct http *h)
{
    if (h->spoiled)
        throw_away(h);
    if (h->easy)
        return 0;
    h->multi = curl_multi_init();
    h->easy = curl_easy_init();
    if (!h->multi || !h->easy || set_options(h->easy, h) != CURLE_OK ||
        curl_multi_setopt(h->multi, CURLMOPT_MAXCONNECTS, 1L) != CURLM_OK) {
        throw_away(h);
        return -ENOMEM;
    }
    return 0;
}

int http_new(const struct http_conf *conf, struct http **ret)
{
    struct http *h = calloc(1, sizeof *h);
    if (!h)
        return -ENOMEM;
    h->conf = *conf;
    /* One thread uses it: it needs no locks. */
    h->share = curl_share_init();
    if (!h->share || curl_share_setopt(h->share, CURLSHOPT_SHARE,
                                       CURL_LOCK_DATA_SSL_SESSION) != CURLSHE_OK) {
        (void)curl_share_cleanup(h->share);
        free(h);
        return -ENOMEM;
    }
    buf_init(&h->body, LIMIT_ANSWER_BYTES);
    *ret = h;
    return 0;
}

void http_free(struct http *h)
{
    if (!h)
        return;
    throw_away(h);
    (void)curl_share_cleanup(h->share); /* no handle uses it any more */
    buf_done(&h->body);
    free(h);
}

static void add_header(struct http *h, char *text)
{
    assert(h->n_headers < HEADERS_MAX);
    struct curl_slist *node = &h->headers[h->n_headers++];

    *node = (struct curl_slist){.data = text};
    if (node != h->headers)
        node[-1].next = node;
}

static void build_headers(struct http *h, const struct http_request *request)
{
    static char no_accept[] =
        WIRE_ACCEPT ":"; /* ours without curl's: the request's form */
    int n;

    h->n_headers = 0;
    add_header(h, no_accept);
    n = snprintf(h->content_type, sizeof h->content_type, WIRE_CONTENT_TYPE ": %s",
                 media_codec(request->form.media)->media_type);
    assert(n < (int)sizeof h->content_type);
    add_header(h, h->content_type);
    if (request->form.coding == CODING_GZIP) {
        n = snprintf(h->coding, sizeof h->coding, WIRE_CONTENT_ENCODING ": %s",
                     WIRE_CODING_GZIP);
        assert(n < (int)sizeof h->coding);
        add_header(h, h->coding);
    }
    if (*request->key) {
        n = snprintf(h->key, sizeof h->key, WIRE_APIKEY ": %s", request->key);
        assert(n < (int)sizeof h->key);
        add_header(h, h->key);
    }
    if (request->seq > 0) {
        n = snprintf(h->identity, sizeof h->identity,
                     WIRE_IDEMPOTENCY_KEY ": %016" PRIx64 "-%" PRIu64, request->session,
                     request->seq);
        assert(n < (int)sizeof h->identity);
        add_header(h, h->identity);
        n = snprintf(h->floor, sizeof h->floor, WIRE_IDEMPOTENCY_FLOOR ": %" PRIu64,
                     request->floor);
        assert(n < (int)sizeof h->floor);
        add_header(h, h->floor);
    }
}

static int set_url(struct http *h, const char *path)
{
    if (h->path && strcmp(h->path, path) == 0)
        return 0;
    int n = snprintf(h->url, sizeof h->url, "%s%s", h->conf.url, path);
    assert(n < (int)sizeof h->url);
    (void)n;
    h->path = path;
    return curl_easy_setopt(h->easy, CURLOPT_URL, h->url) == CURLE_OK ? 0 : -ENOMEM;
}

static CURLcode set_request(CURL *easy, struct http *h, struct span body)
{
    CURLcode r = CURLE_OK;

    SET(CURLOPT_HTTPHEADER, h->headers);
    SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body.n);
    SET(CURLOPT_POSTFIELDS, body.data); /* not copied */
    return r;
}

int http_start(struct http *h, const struct http_request *request)
{
    assert(!h->in_flight);
    build_headers(h, request);
    int r = make_handles(h);
    if (r == 0)
        r = set_url(h, request->path);
    if (r == 0 && (set_request(h->easy, h, request->body) != CURLE_OK ||
                   curl_multi_add_handle(h->multi, h->easy) != CURLM_OK))
        r = -ENOMEM;
    if (r) {
        throw_away(h);
        return r;
    }
    buf_reset(&h->body);
    h->body_n = request->body.n;
    h->error[0] = '\0';
    h->done = false;
    h->sent_ns = 0;
    h->in_flight = true;
    return 0;
}

static void finish(struct http *h, CURLcode result)
{
    long connections = 0;

    h->done = true;
    h->result = result;
    if (curl_easy_getinfo(h->easy, CURLINFO_NUM_CONNECTS, &connections) == CURLE_OK)
        h->connections += (uint64_t)connections;
}

/* Sent whole and no answer in sight for too long? curl itself has no such limit. */
static bool answer_overdue(struct http *h)
{
    curl_off_t sent = 0;
    long received = 0;

    if (curl_easy_getinfo(h->easy, CURLINFO_SIZE_UPLOAD_T, &sent) != CURLE_OK ||
        curl_easy_getinfo(h->easy, CURLINFO_HEADER_SIZE, &received) != CURLE_OK ||
        (size_t)sent < h->body_n || received > 0)
        return false;
    if (h->sent_ns == 0)
        h->sent_ns = clock_boot_ns();
    return clock_boot_ns() - h->sent_ns > ANSWER_TIMEOUT;
}

/* Goes on as far as it can without waiting. */
static void perform(struct http *h)
{
    int running = 0;
    int queued = 0;

    if (!h->in_flight || h->done)
        return;
    if (curl_multi_perform(h->multi, &running) != CURLM_OK) {
        finish(h, CURLE_OUT_OF_MEMORY);
        return;
    }
    const CURLMsg *message = curl_multi_info_read(h->multi, &queued);
    if (message && message->msg == CURLMSG_DONE)
        finish(h, message->data.result);
    else if (answer_overdue(h)) {
        (void)snprintf(h->error, sizeof h->error, "no answer in time");
        finish(h, CURLE_OPERATION_TIMEDOUT);
    }
}

/* At most so long for the descriptor or one of curl's own. */
static void wait_for(struct http *h, int fd, int wait_ms)
{
    struct curl_waitfd extra = {.fd = fd, .events = CURL_WAIT_POLLIN};
    struct pollfd alone = {.fd = fd, .events = POLLIN};

    if (!h->multi || curl_multi_poll(h->multi, &extra, 1, wait_ms, NULL) != CURLM_OK)
        (void)poll(&alone, 1, wait_ms); /* woken early or not: the caller looks again */
}

void http_wait(struct http *h, int fd, uint64_t timeout_ns)
{
    perform(h);
    if (h->in_flight && h->done)
        return;
    /* Once all is sent nothing but our own clock ends the wait for an answer. */
    uint64_t longest = h->in_flight && h->sent_ns ? SEC : MINUTE;
    uint64_t wait_ns = timeout_ns < longest ? timeout_ns : longest;
    wait_for(h, fd, (int)((wait_ns + MSEC - 1) / MSEC));
    perform(h);
}

static struct span header(const struct http *h, const char *name)
{
    struct curl_header *found = NULL;

    if (curl_easy_header(h->easy, name, 0, CURLH_HEADER, -1, &found) != CURLHE_OK)
        return span_of(NULL, 0);
    return span_trim(span_of_str(found->value));
}

static const char *failure(const struct http *h, long status)
{
    if (h->result == CURLE_OK)
        return status ? NULL : "no status in the answer";
    return h->error[0] ? h->error : curl_easy_strerror(h->result);
}

bool http_finished(struct http *h, struct http_answer *ret)
{
    long status = 0;
    curl_off_t retry_after = 0;

    if (!h->in_flight || !h->done)
        return false;
    (void)curl_easy_getinfo(h->easy, CURLINFO_RESPONSE_CODE, &status); /* else 0 */
    (void)curl_easy_getinfo(h->easy, CURLINFO_RETRY_AFTER, &retry_after);
    *ret = (struct http_answer){
        .failure = failure(h, status),
        .status = (unsigned)status,
        .accept_post = header(h, WIRE_ACCEPT_POST),
        .accept_encoding = header(h, WIRE_ACCEPT_ENCODING),
        .stored = header(h, WIRE_STORED),
        .replayed = header(h, WIRE_REPLAYED),
        .retry_after_s = retry_after > 0 ? (uint64_t)retry_after : 0,
        .body = buf_span(&h->body),
    };
    (void)curl_multi_remove_handle(h->multi, h->easy); /* both are ours: can't fail */
    h->in_flight = false;
    h->last_used_ns = clock_boot_ns();
    h->spoiled = ret->failure != NULL; /* not now: the headers lie in the handle */
    return true;
}

bool http_connected(const struct http *h)
{
    return h->easy && !h->spoiled && h->last_used_ns &&
           clock_boot_ns() - h->last_used_ns < (uint64_t)IDLE_MAX_S * SEC;
}

uint64_t http_connections(const struct http *h)
{
    return h->connections;
}
