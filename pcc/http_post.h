/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * POSTs over one connection that stays open: one request at a time, driven without
 * blocking, so that its thread can go on with other work while it waits. One libcurl
 * handle, thrown away after any failure of the transport; TLS sessions outlive it, so
 * that a server that resumes them has less to do. Redirects are not followed; answers are
 * read up to a limit.
 *
 * Thread: sender.
 */

#include "pcc/answer.h"
#include "pcc/form.h"

struct http;

/* Borrowed for the life of the handle. Texts may be empty. */
struct http_conf {
    const char *url; /* at most 2 KiB, without a slash at its end */
    const char *user_agent;
    const char *tls_ca;
    const char *tls_cert;
    const char *tls_key;
    bool tls_skip_verify;
    uint64_t timeout_ns; /* of a whole request */
    uint64_t connect_timeout_ns;
};

/* @conf is copied, its texts are not. Return: 0, and gives *ret for http_free();
 * -ENOMEM. */
PC_MUST_CHECK int http_new(const struct http_conf *conf, struct http **ret);
/* Breaks off what is in flight. */
void http_free(struct http *h);

struct http_request {
    const char *path;
    const char *key;  /* "" for none; else one that apikey_check() takes; copied */
    struct span body; /* borrows until the answer is there or the request broken off */
    struct form form;
    uint64_t session; /* with seq 0 the request carries no identity */
    uint64_t seq;
    uint64_t floor;
};

/* Begins a request; none may be in flight. Return: 0; -ENOMEM. */
PC_MUST_CHECK int http_start(struct http *h, const struct http_request *request);

/**
 * http_wait() - go on with what is in flight, until something is to be done
 * @fd:         return when this becomes readable
 * @timeout_ns: at most so long
 */
void http_wait(struct http *h, int fd, uint64_t timeout_ns);

/**
 * http_finished() - has the request in flight ended?
 * @ret: its spans live until the next request
 */
bool http_finished(struct http *h, struct http_answer *ret);

/* Would the next request need a new connection? A guess: the server may have closed it.
 */
bool http_connected(const struct http *h);

/* How many connections were made in all. */
uint64_t http_connections(const struct http *h);
