/* SPDX-License-Identifier: MIT */
#include "pcc/ca_bundle.h"

#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

static const char *const places[] = {
    "/etc/ssl/certs/ca-certificates.crt",                /* Debian, Arch, Gentoo */
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", /* Fedora, RHEL 7 on */
    "/etc/pki/tls/certs/ca-bundle.crt",                  /* RHEL 6 */
    "/etc/ssl/ca-bundle.pem",                            /* SUSE */
    "/etc/ssl/cert.pem",                                 /* Alpine */
};

const char *ca_bundle_find(void)
{
    const char *named = getenv("SSL_CERT_FILE");

    if (named && *named)
        return named;
    for (size_t i = 0; i < sizeof places / sizeof *places; i++)
        if (access(places[i], R_OK) == 0)
            return places[i];
    return NULL;
}
