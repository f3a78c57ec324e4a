/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * libmicrohttpd without a network: stands in for its functions in a program that links
 * with this, and calls pcd's callbacks (pcd/route.h) as 0.9.75 does, for one connection
 * at a time, in the caller's thread. Heads are laid out in memory as there, for pcd looks
 * at that; what the library refuses by itself never gets to pcd here either.
 * Folded lines are refused too, and bodies come without the framing of chunks.
 */

#include "common/buf.h"
#include "pcd/upload.h"

struct mhd_request {
    struct span head; /* request line and headers, each line with its end, without the
                         empty one behind them */
    struct span body;
    size_t piece; /* bytes of the body a call, at least 1 */
    bool leaves;  /* the client goes away in the middle of the body */
};

struct mhd_answer {
    unsigned code;      /* 0: none */
    struct buf headers; /* lines `Name: value\n` */
    struct buf body;
};

struct MHD_Connection;

/* A new connection; NULL without a socket or memory. */
struct MHD_Connection *mhd_connect(struct worker *w);
/* Ends it; takes NULL. */
void mhd_disconnect(struct MHD_Connection *c);

/**
 * mhd_serve() - one request, to its end
 * @ret: initialised buffers, emptied first
 *
 * Return: may another request follow on the connection?
 */
bool mhd_serve(struct MHD_Connection *c, const struct mhd_request *request,
               struct mhd_answer *ret);

void mhd_answer_init(struct mhd_answer *a);
void mhd_answer_done(struct mhd_answer *a);
/* The value of a header of the answer; {NULL, 0} where there is none. */
struct span mhd_answer_header(const struct mhd_answer *a, const char *name);
