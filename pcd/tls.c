/* SPDX-License-Identifier: MIT */
#include "pcd/tls.h"

#include "common/clock.h"
#include "common/io.h"
#include "common/log.h"
#include "common/units.h"
#include "pcd/watch.h"
#include "proto/limits.h"

#include <errno.h>
#include <fcntl.h>
#include <gnutls/abstract.h>
#include <gnutls/x509.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PEM_BYTES MIB
/*
 * The versions that RFC 8996 leaves, and of 1.2 what RFC 9325 recommends: ephemeral keys
 * and ciphers that authenticate. PSK is what TLS 1.3 resumes sessions by.
 */
#define PRIORITIES                                                                       \
    "NONE:+VERS-TLS1.3:+VERS-TLS1.2:+ECDHE-ECDSA:+ECDHE-RSA:+ECDHE-PSK:+AES-128-GCM:"    \
    "+AES-256-GCM:+CHACHA20-POLY1305:+AEAD:+GROUP-X25519:+GROUP-SECP256R1:"              \
    "+GROUP-SECP384R1:+GROUP-SECP521R1:+COMP-NULL:+CTYPE-SRV-X509:+CTYPE-CLI-X509:"      \
    "+SIGN-ECDSA-SHA256:+SIGN-ECDSA-SHA384:+SIGN-ECDSA-SHA512:"                          \
    "+SIGN-ECDSA-SECP256R1-SHA256:+SIGN-ECDSA-SECP384R1-SHA384:"                         \
    "+SIGN-ECDSA-SECP521R1-SHA512:+SIGN-EDDSA-ED25519:+SIGN-RSA-PSS-SHA256:"             \
    "+SIGN-RSA-PSS-SHA384:+SIGN-RSA-PSS-SHA512:+SIGN-RSA-PSS-RSAE-SHA256:"               \
    "+SIGN-RSA-PSS-RSAE-SHA384:+SIGN-RSA-PSS-RSAE-SHA512:+SIGN-RSA-SHA256:"              \
    "+SIGN-RSA-SHA384:+SIGN-RSA-SHA512:%SERVER_PRECEDENCE"

struct tls_set {
    gnutls_certificate_credentials_t credentials;
    gnutls_datum_t ticket_key;
    size_t n_holders; /* guarded by the lock of struct tls */
};

struct tls {
    struct tls_conf conf;
    struct buf client_ca; /* PEM */
    struct watch cert_watch;
    struct watch key_watch;

    pthread_mutex_t lock;
    struct tls_set *current; /* guarded by lock; it is one of its holders */
};

static gnutls_datum_t datum_of(const struct buf *b)
{
    return (gnutls_datum_t){.data = b->data, .size = (unsigned)b->len};
}

/* Return: -errno or E_MALFORMED, with the reason. */
static int fail(int gnutls_code, const char *path, char *reterr_text, size_t size)
{
    (void)snprintf(reterr_text, size, "%s: %s", path, gnutls_strerror(gnutls_code));
    return gnutls_code == GNUTLS_E_MEMORY_ERROR ? -ENOMEM : E_MALFORMED;
}

static int read_pem(const char *path, struct buf *ret, char *reterr_text, size_t size)
{
    int r = io_read_file(AT_FDCWD, path, ret);

    if (r)
        (void)snprintf(reterr_text, size, "%s: %s", path, err_text(r));
    return r;
}

static void set_free(struct tls_set *set)
{
    if (!set)
        return;
    if (set->credentials)
        gnutls_certificate_free_credentials(set->credentials);
    gnutls_free(set->ticket_key.data);
    free(set);
}

/* Says what was read, and how long it lasts. */
static void log_loaded(const struct tls_conf *conf, const struct tls_set *set)
{
    gnutls_x509_crt_t *chain = NULL;
    unsigned n = 0;
    time_t expires;

    if (gnutls_certificate_get_x509_crt(set->credentials, 0, &chain, &n))
        return;
    expires = n > 0 ? gnutls_x509_crt_get_expiration_time(chain[0]) : -1;
    for (unsigned i = 0; i < n; i++)
        gnutls_x509_crt_deinit(chain[i]);
    gnutls_free(chain);
    int64_t left_s = (int64_t)expires - (int64_t)(clock_wall_ns() / SEC);
    log_event(left_s > 0 ? LOG_INFO : LOG_WARNING, "certificate_loaded",
              LOG_STR("file", conf->cert), LOG_U64("certificates", n),
              LOG_I64("expires_in_s", left_s));
}

/* Puts what was read into a set. Return: 0; as tls_new(). */
static int fill_set(const struct tls *t, struct tls_set *set, const struct buf *cert,
                    const struct buf *key, char *reterr_text, size_t size)
{
    const gnutls_datum_t ca = datum_of(&t->client_ca);
    const gnutls_datum_t cert_pem = datum_of(cert);
    const gnutls_datum_t key_pem = datum_of(key);
    int code = gnutls_certificate_allocate_credentials(&set->credentials);

    if (code)
        return fail(code, "TLS", reterr_text, size);
    code = gnutls_session_ticket_key_generate(&set->ticket_key);
    if (code)
        return fail(code, "TLS", reterr_text, size);
    code = gnutls_certificate_set_x509_key_mem2(set->credentials, &cert_pem, &key_pem,
                                                GNUTLS_X509_FMT_PEM, NULL, 0);
    if (code < 0) {
        char paths[512];

        (void)snprintf(paths, sizeof paths, "%s and %s", t->conf.cert, t->conf.key);
        return fail(code, paths, reterr_text, size);
    }
    if (!t->conf.client_ca[0])
        return 0;
    code =
        gnutls_certificate_set_x509_trust_mem(set->credentials, &ca, GNUTLS_X509_FMT_PEM);
    if (code == 0)
        code = GNUTLS_E_NO_CERTIFICATE_FOUND;
    return code > 0 ? 0 : fail(code, t->conf.client_ca, reterr_text, size);
}

static int set_new(struct tls *t, struct tls_set **ret, char *reterr_text, size_t size)
{
    CLEANUP(buf_done) struct buf cert;
    CLEANUP(buf_done) struct buf key;
    struct tls_set *set = calloc(1, sizeof *set);

    buf_init(&cert, PEM_BYTES);
    buf_init(&key, PEM_BYTES);
    (void)snprintf(reterr_text, size, "out of memory");
    if (!set)
        return -ENOMEM;
    watch_take(&t->cert_watch);
    watch_take(&t->key_watch);
    int r = read_pem(t->conf.cert, &cert, reterr_text, size);
    if (r == 0)
        r = read_pem(t->conf.key, &key, reterr_text, size);
    if (r == 0)
        r = fill_set(t, set, &cert, &key, reterr_text, size);
    if (r) {
        set_free(set);
        return r;
    }
    set->n_holders = 1;
    log_loaded(&t->conf, set);
    *ret = set;
    return 0;
}

int tls_new(const struct tls_conf *conf, struct tls **ret, char *reterr_text, size_t size)
{
    struct tls *t = calloc(1, sizeof *t);

    (void)snprintf(reterr_text, size, "out of memory");
    if (!t)
        return -ENOMEM;
    t->conf = *conf;
    t->cert_watch.path = conf->cert;
    t->key_watch.path = conf->key;
    buf_init(&t->client_ca, PEM_BYTES);
    int r = -pthread_mutex_init(&t->lock, NULL);
    if (r) {
        free(t);
        return r;
    }
    if (conf->client_ca[0])
        r = read_pem(conf->client_ca, &t->client_ca, reterr_text, size);
    if (r == 0)
        r = set_new(t, &t->current, reterr_text, size);
    if (r) {
        tls_free(t);
        return r;
    }
    *ret = t;
    return 0;
}

void tls_free(struct tls *t)
{
    if (!t)
        return;
    set_free(t->current);
    buf_done(&t->client_ca);
    (void)pthread_mutex_destroy(&t->lock);
    free(t);
}

/* What libmicrohttpd's own credentials say: a session that has only those gets none. */
/* NOLINTNEXTLINE(readability-function-size): GnuTLS's eight parameters. */
static int no_certificate(gnutls_session_t session,
                          const struct gnutls_cert_retr_st *info, gnutls_pcert_st **certs,
                          unsigned *n_certs, gnutls_ocsp_data_st **ocsp, unsigned *n_ocsp,
                          gnutls_privkey_t *key, unsigned *flags)
{
    (void)session, (void)info, (void)certs, (void)n_certs;
    (void)ocsp, (void)n_ocsp, (void)key, (void)flags;
    return -1;
}

struct MHD_OptionItem *tls_options(void)
{
    static char priorities[] = PRIORITIES;
    static gnutls_certificate_retrieve_function3 *const retrieve = no_certificate;
    static struct MHD_OptionItem options[] = {
        {MHD_OPTION_HTTPS_PRIORITIES, 0, priorities},
        {MHD_OPTION_HTTPS_CERT_CALLBACK2, 0, NULL},
        {MHD_OPTION_END, 0, NULL},
    };

    /* A function's address as a pointer to an object, as POSIX lets and dlsym(3) shows.
     */
    memcpy(&options[1].ptr_value, &retrieve, sizeof retrieve);
    return options;
}

static void let_go(struct tls *t, struct tls_set *set)
{
    (void)pthread_mutex_lock(&t->lock);
    bool last = --set->n_holders == 0;
    (void)pthread_mutex_unlock(&t->lock);
    if (last)
        set_free(set);
}

int tls_reload(struct tls *t, char *reterr_text, size_t size)
{
    struct tls_set *set;
    int r = set_new(t, &set, reterr_text, size);

    if (r)
        return r;
    (void)pthread_mutex_lock(&t->lock);
    struct tls_set *old = t->current;
    t->current = set;
    (void)pthread_mutex_unlock(&t->lock);
    let_go(t, old);
    return 0;
}

bool tls_changed(struct tls *t)
{
    enum watch_state cert = watch_look(&t->cert_watch);
    enum watch_state key = watch_look(&t->key_watch);

    return (cert > key ? cert : key) == WATCH_CHANGED;
}

static gnutls_session_t session_of(struct MHD_Connection *c)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(c, MHD_CONNECTION_INFO_GNUTLS_SESSION);

    return info ? info->tls_session : NULL;
}

struct tls_set *tls_begin(struct tls *t, struct MHD_Connection *c)
{
    gnutls_session_t session = session_of(c);

    if (!session)
        return NULL;
    (void)pthread_mutex_lock(&t->lock);
    struct tls_set *set = t->current;
    set->n_holders++;
    (void)pthread_mutex_unlock(&t->lock);
    /* The session keeps pointers only, to what the set holds for as long as it lives. */
    if (gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, set->credentials)) {
        let_go(t, set);
        return NULL;
    }
    if (t->conf.client_ca[0])
        gnutls_certificate_server_set_request(session, GNUTLS_CERT_REQUEST);
    /* Without memory for it there are no tickets, and each handshake is a full one. */
    int r = gnutls_session_ticket_enable_server(session, &set->ticket_key);
    (void)r;
    return set;
}

void tls_end(struct tls *t, struct tls_set *set)
{
    if (set)
        let_go(t, set);
}

/* What is wrong with a certificate, in GnuTLS's words. */
static void describe(unsigned status, char *reterr_text, size_t size)
{
    gnutls_datum_t text = {0};

    if (gnutls_certificate_verification_status_print(status, GNUTLS_CRT_X509, &text, 0))
        return;
    struct span trimmed = span_trim(span_of(text.data, text.size));
    (void)snprintf(reterr_text, size, "the client's certificate: %.*s", (int)trimmed.n,
                   (const char *)trimmed.data);
    gnutls_free(text.data);
}

int tls_check_client(const struct tls *t, struct MHD_Connection *c, char *reterr_text,
                     size_t size)
{
    static char purpose[] = GNUTLS_KP_TLS_WWW_CLIENT;
    gnutls_typed_vdata_st wanted = {.type = GNUTLS_DT_KEY_PURPOSE_OID,
                                    .data = (unsigned char *)purpose};
    gnutls_session_t session = session_of(c);
    unsigned status = 0;

    if (!t->conf.client_ca[0])
        return 0;
    (void)snprintf(reterr_text, size, "a client certificate is needed here");
    /* Fails where the client showed none. */
    if (!session || gnutls_certificate_verify_peers(session, &wanted, 1, &status))
        return E_DENIED;
    if (status == 0)
        return 0;
    describe(status, reterr_text, size);
    return E_DENIED;
}
