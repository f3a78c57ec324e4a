/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Packing MessagePack into a buffer. The first failure sticks in r and what comes after
 * it is dropped, so the results of the msgpack_pack_ functions need no look.
 */

#include "common/buf.h"

#include <msgpack.h>

struct packing {
    msgpack_packer packer;
    struct buf *to;
    size_t len_before;
    int r;
};

void packing_begin(struct packing *p, struct buf *to);
/* Return: 0; E_TOO_LARGE; -ENOMEM, and the buffer is as it was. */
PC_MUST_CHECK int packing_end(struct packing *p);

/* Is a count or a length one that MessagePack can write? It fails for good if not. */
bool packing_fits(struct packing *p, size_t n);
void packing_str(struct packing *p, struct span s);
void packing_bin(struct packing *p, struct span s);
void packing_key(struct packing *p, const char *name);
