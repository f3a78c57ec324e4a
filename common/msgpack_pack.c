/* SPDX-License-Identifier: MIT */
#include "common/msgpack_pack.h"

static int append(void *packing, const char *bytes, size_t n)
{
    struct packing *p = packing;

    if (p->r == 0)
        p->r = buf_append(p->to, span_of(bytes, n));
    return p->r;
}

void packing_begin(struct packing *p, struct buf *to)
{
    *p = (struct packing){.to = to, .len_before = to->len};
    msgpack_packer_init(&p->packer, p, append);
}

int packing_end(struct packing *p)
{
    if (p->r)
        buf_truncate(p->to, p->len_before);
    return p->r;
}

bool packing_fits(struct packing *p, size_t n)
{
    if (n > UINT32_MAX && p->r == 0)
        p->r = E_TOO_LARGE;
    return p->r == 0;
}

void packing_str(struct packing *p, struct span s)
{
    if (packing_fits(p, s.n))
        msgpack_pack_str_with_body(&p->packer, s.data, s.n);
}

void packing_bin(struct packing *p, struct span s)
{
    if (packing_fits(p, s.n))
        msgpack_pack_bin_with_body(&p->packer, s.data, s.n);
}

void packing_key(struct packing *p, const char *name)
{
    packing_str(p, span_of_str(name));
}
