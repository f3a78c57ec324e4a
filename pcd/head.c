/* SPDX-License-Identifier: MIT */
#include "pcd/head.h"

#include "common/units.h"
#include "proto/wire.h"

#include <string.h>

#define VERSION_BYTES (sizeof "HTTP/1.1" - 1)
#define CRLF_BYTES 2u

static const struct field {
    const char *name;
    bool may_repeat;
    const char *repeated; /* what is wrong where it may not */
} fields[HEAD_FIELDS] = {
    [HEAD_HOST] = {WIRE_HOST, false, "two " WIRE_HOST " headers"},
    [HEAD_CONTENT_LENGTH] = {WIRE_CONTENT_LENGTH, false,
                             "two " WIRE_CONTENT_LENGTH " headers"},
    [HEAD_TRANSFER_ENCODING] = {WIRE_TRANSFER_ENCODING, false,
                                "two " WIRE_TRANSFER_ENCODING " headers"},
    [HEAD_CONTENT_TYPE] = {WIRE_CONTENT_TYPE, true, NULL},
    [HEAD_CONTENT_ENCODING] = {WIRE_CONTENT_ENCODING, true, NULL},
    [HEAD_ACCEPT] = {WIRE_ACCEPT, true, NULL},
    [HEAD_APIKEY] = {WIRE_APIKEY, false, "two " WIRE_APIKEY " headers"},
    [HEAD_AUTHORIZATION] = {WIRE_AUTHORIZATION, false,
                            "two " WIRE_AUTHORIZATION " headers"},
    [HEAD_IDEMPOTENCY_KEY] = {WIRE_IDEMPOTENCY_KEY, false,
                              "two " WIRE_IDEMPOTENCY_KEY " headers"},
    [HEAD_IDEMPOTENCY_FLOOR] = {WIRE_IDEMPOTENCY_FLOOR, false,
                                "two " WIRE_IDEMPOTENCY_FLOOR " headers"},
};

/* A walk over the headers as libmicrohttpd lists them. */
struct walk {
    struct head *head;
    const char *what; /* the first thing that is wrong */
    bool knows_layout;
    uintptr_t next; /* where the next header begins if nothing was left out or joined */
};

static void refuse(struct walk *w, const char *what)
{
    if (!w->what)
        w->what = what;
}

/* RFC 9110 section 5.6.2. */
static bool is_token(struct span s)
{
    for (size_t i = 0; i < s.n; i++) {
        uint8_t b = s.data[i];
        bool alphanumeric =
            (b >= '0' && b <= '9') || ((b | 0x20) >= 'a' && (b | 0x20) <= 'z');

        if (b == 0 || (!alphanumeric && !strchr("!#$%&'*+-.^_`|~", b)))
            return false;
    }
    return s.n > 0;
}

static bool is_value(struct span s)
{
    for (size_t i = 0; i < s.n; i++)
        if ((s.data[i] < ' ' && s.data[i] != '\t') || s.data[i] == 0x7f)
            return false;
    return true;
}

/*
 * libmicrohttpd 0.9.75 takes apart a head in place: joins folded lines (and so can make
 * a name that wasn't there), ends lines at a bare LF or CR and values at a NUL. It keeps
 * each line where it was, so whatever was done to one shows as a gap: a header has to
 * begin right behind the CRLF of the one before, its value behind colon and blanks.
 */
static void check_layout(struct walk *w, struct span name, struct span value)
{
    uintptr_t name_at = (uintptr_t)name.data;
    uintptr_t value_at = (uintptr_t)value.data;
    bool ok = name_at == w->next && value_at > name_at + name.n;

    for (const uint8_t *p = name.data + name.n + 1; ok && p < value.data; p++)
        ok = *p == ' ' || *p == '\t';
    if (!ok)
        refuse(w, "a header line that is folded, or doesn't end with CRLF");
    w->next = value_at + value.n + CRLF_BYTES;
}

static void take_field(struct walk *w, struct span name, struct span value)
{
    struct head *h = w->head;

    for (size_t i = 0; i < HEAD_FIELDS; i++) {
        if (!span_equal_nocase(name, span_of_str(fields[i].name)))
            continue;
        if (!h->fields[i].data)
            h->fields[i] = span_trim(value);
        else if (!fields[i].may_repeat)
            refuse(w, fields[i].repeated);
        else
            h->repeated[i] = true;
    }
}

static enum MHD_Result visit(void *arg, enum MHD_ValueKind kind, const char *key,
                             size_t key_n, const char *value, size_t value_n)
{
    struct walk *w = arg;
    struct span name = span_of(key, key_n);
    struct span text = value ? span_of(value, value_n) : SPAN("");

    (void)kind;
    if (w->knows_layout)
        check_layout(w, name, text);
    if (!is_token(name))
        refuse(w, "a header name that is no token");
    if (!is_value(text))
        refuse(w, "a control character in a header");
    take_field(w, name, text);
    return MHD_YES;
}

static void check_framing(struct walk *w, bool is_http_1_1)
{
    struct head *h = w->head;
    struct span length = h->fields[HEAD_CONTENT_LENGTH];
    struct span coding = h->fields[HEAD_TRANSFER_ENCODING];

    if (is_http_1_1 && !h->fields[HEAD_HOST].data)
        refuse(w, "no " WIRE_HOST " header");
    if (coding.data) {
        h->chunked = true;
        if (length.data)
            refuse(w, WIRE_CONTENT_LENGTH " and " WIRE_TRANSFER_ENCODING " together");
        else if (!span_equal_nocase(coding, SPAN(WIRE_CHUNKED)))
            refuse(w, "a " WIRE_TRANSFER_ENCODING " other than " WIRE_CHUNKED);
        else if (!is_http_1_1)
            refuse(w, WIRE_TRANSFER_ENCODING " in HTTP/1.0");
    } else if (length.data && units_parse_u64(length, &h->length)) {
        refuse(w, "a " WIRE_CONTENT_LENGTH " that is no number");
    }
}

bool head_knows_library(void)
{
    return strcmp(MHD_get_version(), "0.9.75") == 0;
}

int head_read(struct MHD_Connection *c, const char *method, const char *version,
              struct head *ret, const char **reterr_what)
{
    struct walk w = {.head = ret};
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(c, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);

    *ret = (struct head){.bytes = info ? info->header_size : 0};
    w.knows_layout = head_knows_library();
    w.next = (uintptr_t)version + VERSION_BYTES + CRLF_BYTES;
    if (MHD_get_connection_values_n(c, MHD_HEADER_KIND, visit, &w) < 0)
        refuse(&w, "no headers");
    if (w.knows_layout && w.next + CRLF_BYTES != (uintptr_t)method + ret->bytes)
        refuse(&w, "a header line that is folded, or doesn't end with CRLF");
    check_framing(&w, strcmp(version, "HTTP/1.1") == 0);
    *reterr_what = w.what;
    return w.what ? E_MALFORMED : 0;
}
