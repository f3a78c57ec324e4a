/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * One request, from its request line to its answer. What is wrong with the head is
 * answered from the head: a small body is then dropped, so that the connection lives on;
 * a large one isn't waited for.
 *
 *   NEW -> RECEIVING -> SETTLING -> ANSWERED      a batch
 *   NEW -> RECEIVING -> ANSWERED                  a ping; a batch that doesn't decode
 *   NEW -> RECEIVING -> DROPPING -> ANSWERED      a body that grew over a limit
 *   NEW -> DROPPING -> ANSWERED                   refused with a small body, or a GET
 *   NEW -> ANSWERED                               refused at once; the connection ends
 *
 * What can go wrong, and what then:
 *   the client goes away while SETTLING   libmicrohttpd finds out after the resume; the
 *                                         batch is stored, and its client asks again
 *   the request is late                   connection.c ends it; connection_enter() then
 *                                         refuses, so nothing late is stored
 *   no memory, in any state               the answer is 503, or the connection closes
 *
 * Thread: the worker that owns the connection; only the end of SETTLING comes from
 * another (ingest.h), which writes the result, resumes, and touches nothing after.
 */

#include "pcd/connection.h"
#include "pcd/head.h"
#include "pcd/ingest.h"
#include "pcd/lingerer.h"
#include "pcd/reply.h"

/* A refused body up to this size is read and dropped. */
#define UPLOAD_DROP_BYTES (64 * KIB)
#define UPLOAD_PING_BYTES (64 * KIB)

/* What the callbacks of one daemon share; its thread's alone. */
struct worker {
    struct service *service;
    struct connections *connections;
    struct lingerer *linger;
    struct tls *tls; /* NULL: plain HTTP */
    struct scratch scratch;
};

enum upload_state {
    UPLOAD_NEW,
    UPLOAD_RECEIVING,
    UPLOAD_DROPPING,
    UPLOAD_SETTLING,
    UPLOAD_ANSWERED,
};

struct upload {
    struct worker *worker;
    struct connection *connection;
    struct MHD_Connection *mhd;
    enum upload_state state;
    bool bad_uri;
    enum stats_route route;
    uint64_t start_ns;
    struct head head;
    struct buf body;  /* what came; or a page on its way out */
    uint64_t charged; /* bytes of it charged to admit */
    uint64_t dropped; /* bytes */
    struct auth_grant grant;
    struct ingest ingest;
    struct reply reply; /* its code is 0 until known */
    char error[LIMIT_ERROR_BYTES];
};

/* A request whose request line has come; NULL without memory. */
struct upload *upload_new(struct worker *w, struct connection *e,
                          struct MHD_Connection *mhd);
/* Frees it and what is charged for it; takes NULL. */
void upload_free(struct upload *u);

/* Settles on an error as the answer. @error: copied, cut at LIMIT_ERROR_BYTES. */
void upload_refuse(struct upload *u, unsigned code, const char *error);

/**
 * upload_accept() - get ready for the body of a ping or a batch
 *
 * Checks type, coding, length, idempotency key and budgets from the head; refuses where
 * one fails.
 */
void upload_accept(struct upload *u);

/* Takes a part of the body. Return: what the access handler is to return. */
enum MHD_Result upload_part(struct upload *u, struct span part);
/* The whole request is there, or it was resumed. Return: likewise. */
enum MHD_Result upload_finish(struct upload *u);
/* Queues the answer that is settled on. Return: likewise. */
enum MHD_Result upload_answer(struct upload *u);
