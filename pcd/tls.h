/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * TLS beneath libmicrohttpd: which versions and ciphers are spoken, which certificate a
 * connection shows and whether it must be shown one, and sessions that are resumed.
 *
 * libmicrohttpd itself takes one certificate at its start, only asks for those of
 * clients, and resumes nothing. But it hands out the GnuTLS session of a connection that
 * begins, before its handshake, and there all three are done: the session is given
 * credentials of ours, a *set*. A set is never changed. New files make a new set for the
 * connections to come; an old one lives until the last of its connections has ended.
 * Where a session can't be given a set, for want of memory, its handshake fails.
 *
 * The key of the tickets that resume sessions belongs to the set: a resumed session
 * shows no certificate, and so an old one isn't prolonged by it.
 */

#include "common/err.h"

#include <microhttpd.h>
#include <stddef.h>

/* Borrowed by tls_new() for the life of what it makes. */
struct tls_conf {
    const char *cert;
    const char *key;
    const char *client_ca; /* "": clients need no certificate */
};

struct tls;
struct tls_set;

/**
 * tls_new() - read the certificates and the key
 * @reterr_text: on anything but 0, which file, and what is wrong with it
 *
 * Says in the log what was read, and warns of a certificate that has expired.
 *
 * Return: 0, and gives *ret for tls_free(); E_MALFORMED: a file that isn't what it should
 *         be, or a key that isn't the certificate's; E_TOO_LARGE; E_UNSUPPORTED: pcd was
 *         built without TLS; -errno.
 */
PC_MUST_CHECK int tls_new(const struct tls_conf *conf, struct tls **ret,
                          char *reterr_text, size_t size);
/* No connection may have a set any more. Takes NULL. */
void tls_free(struct tls *t);

/* The options that libmicrohttpd needs beside MHD_USE_TLS; they end the list. */
struct MHD_OptionItem *tls_options(void);

/**
 * tls_reload() - read the certificate and its key again, not the clients' authority
 *
 * Return: as tls_new(); on anything but 0 the set stays what it was.
 */
PC_MUST_CHECK int tls_reload(struct tls *t, char *reterr_text, size_t size);

/**
 * tls_changed() - did one of the two files change since they were read?
 *
 * To be asked about once a second. Says so only when both have come to rest, for they
 * belong together and are replaced one by one.
 */
bool tls_changed(struct tls *t);

/* Gives a connection that begins the set of today. Thread: any. Return: the set, for
 * tls_end(); NULL: its handshake is going to fail. */
struct tls_set *tls_begin(struct tls *t, struct MHD_Connection *c);
/* The connection has ended, its session too. Takes NULL. */
void tls_end(struct tls *t, struct tls_set *set);

/**
 * tls_check_client() - may this client come in? After the handshake.
 * @reterr_text: on anything but 0, why not, for the client
 *
 * Return: 0, also where no certificate is asked for; E_DENIED: it showed none, or one
 *         that is not of our authority, expired, or not for clients.
 */
PC_MUST_CHECK int tls_check_client(const struct tls *t, struct MHD_Connection *c,
                                   char *reterr_text, size_t size);
