/* SPDX-License-Identifier: MIT */

/* What pcd is without GnuTLS: no session is ever begun, for none can be asked for. */

#include "pcd/tls.h"

#include <stdio.h>

int tls_new(const struct tls_conf *conf, struct tls **ret, char *reterr_text, size_t size)
{
    (void)conf;
    (void)ret;
    (void)snprintf(reterr_text, size, "this pcd was built without TLS");
    return E_UNSUPPORTED;
}

void tls_free(struct tls *t)
{
    (void)t;
}

struct MHD_OptionItem *tls_options(void)
{
    static struct MHD_OptionItem none[] = {{MHD_OPTION_END, 0, NULL}};

    return none;
}

int tls_reload(struct tls *t, char *reterr_text, size_t size)
{
    (void)t;
    (void)reterr_text;
    (void)size;
    return E_UNSUPPORTED;
}

bool tls_changed(struct tls *t)
{
    (void)t;
    return false;
}

struct tls_set *tls_begin(struct tls *t, struct MHD_Connection *c)
{
    (void)t;
    (void)c;
    return NULL;
}

void tls_end(struct tls *t, struct tls_set *set)
{
    (void)t;
    (void)set;
}

int tls_check_client(const struct tls *t, struct MHD_Connection *c, char *reterr_text,
                     size_t size)
{
    (void)t;
    (void)c;
    (void)reterr_text;
    (void)size;
    return E_DENIED;
}
