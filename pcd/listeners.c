/* SPDX-License-Identifier: MIT */
#include "pcd/listeners.h"

#include "common/io.h"
#include "common/log.h"
#include "common/span.h"
#include "common/units.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#define BACKLOG 4096
#define PORT_TEXT 8u

struct address {
    char host[NI_MAXHOST]; /* empty: all addresses */
    char port[PORT_TEXT];
};

static int copy_text(char *to, size_t size, struct span text)
{
    if (text.n >= size)
        return E_MALFORMED;
    if (text.n > 0)
        memcpy(to, text.data, text.n);
    to[text.n] = '\0';
    return 0;
}

/* Return: 0; E_MALFORMED. */
static int split(const char *text, struct address *ret)
{
    const char *colon = strrchr(text, ':');

    if (!colon || colon[1] == '\0')
        return E_MALFORMED;
    struct span host = span_of(text, (size_t)(colon - text));
    if (host.n >= 2 && host.data[0] == '[' && host.data[host.n - 1] == ']')
        host = span_of(host.data + 1, host.n - 2);
    else if (host.n > 0 && memchr(host.data, ':', host.n))
        return E_MALFORMED;
    struct span port = span_of_str(colon + 1);
    uint64_t number;
    /* getaddrinfo(3) takes any number, and its remainder for the port. */
    if (units_parse_u64(port, &number) || number > UINT16_MAX)
        return E_MALFORMED;
    int r = copy_text(ret->host, sizeof ret->host, host);
    return r ? r : copy_text(ret->port, sizeof ret->port, port);
}

static int set_on(int fd, int level, int option)
{
    const int on = 1;

    return setsockopt(fd, level, option, &on, sizeof on) ? -errno : 0;
}

/* Return: 0, and gives *ret_fd; -errno with *reterr_what. */
static int open_one(const struct addrinfo *at, int *ret_fd, const char **reterr_what)
{
    int fd = socket(at->ai_family, at->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK,
                    at->ai_protocol);
    int r = fd < 0 ? -errno : 0;

    *reterr_what = "socket";
    if (r == 0)
        r = set_on(fd, SOL_SOCKET, SO_REUSEADDR);
    if (r == 0 && at->ai_family == AF_INET6)
        r = set_on(fd, IPPROTO_IPV6, IPV6_V6ONLY);
    if (r == 0) {
        *reterr_what = "bind";
        r = bind(fd, at->ai_addr, at->ai_addrlen) ? -errno : 0;
    }
    if (r == 0) {
        *reterr_what = "listen";
        r = listen(fd, BACKLOG) ? -errno : 0;
    }
    if (r) {
        io_close(&fd);
        return r;
    }
    *ret_fd = fd;
    return 0;
}

static void log_listening(int fd)
{
    struct sockaddr_storage at = {0};
    socklen_t at_n = sizeof at;
    char host[NI_MAXHOST];
    char port[NI_MAXSERV];
    char text[NI_MAXHOST + NI_MAXSERV + 4];

    if (getsockname(fd, (struct sockaddr *)&at, &at_n) ||
        getnameinfo((struct sockaddr *)&at, at_n, host, sizeof host, port, sizeof port,
                    NI_NUMERICHOST | NI_NUMERICSERV))
        return;
    (void)snprintf(text, sizeof text, at.ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s",
                   host, port);
    log_event(LOG_INFO, "listening", LOG_STR("address", text));
}

/* Is that an address which the machine, or its kernel, doesn't have? */
static bool is_absent(int r)
{
    return r == -EADDRNOTAVAIL || r == -EAFNOSUPPORT;
}

static int open_all(const struct addrinfo *list, struct listeners *l,
                    const char **reterr_what)
{
    int absent = 0;

    for (const struct addrinfo *at = list; at; at = at->ai_next) {
        int *fds = reallocarray(l->fds, l->n + 1, sizeof *fds);

        if (!fds)
            return -ENOMEM;
        l->fds = fds;
        int r = open_one(at, &l->fds[l->n], reterr_what);
        if (r && !is_absent(r))
            return r;
        if (r)
            absent = r;
        else
            l->n++;
    }
    return l->n > 0 ? 0 : absent;
}

int listeners_check(const char *address)
{
    struct address ignored;

    return split(address, &ignored);
}

int listeners_open(const char *address, struct listeners *ret, const char **reterr_what)
{
    const struct addrinfo hints = {.ai_flags = AI_PASSIVE, .ai_socktype = SOCK_STREAM};
    struct listeners l = {0};
    struct addrinfo *list;
    struct address a;

    *reterr_what = "expected host:port, [v6]:port or :port";
    if (split(address, &a))
        return E_MALFORMED;
    int r = getaddrinfo(a.host[0] ? a.host : NULL, a.port, &hints, &list);
    if (r) {
        *reterr_what = gai_strerror(r);
        return E_MALFORMED;
    }
    r = open_all(list, &l, reterr_what);
    freeaddrinfo(list);
    if (r) {
        listeners_close(&l);
        return r;
    }
    for (size_t i = 0; i < l.n; i++)
        log_listening(l.fds[i]);
    *ret = l;
    return 0;
}

static bool is_loopback(const struct sockaddr_storage *at)
{
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;

    if (at->ss_family == AF_INET6) {
        memcpy(&v6, at, sizeof v6);
        return IN6_IS_ADDR_LOOPBACK(&v6.sin6_addr);
    }
    memcpy(&v4, at, sizeof v4);
    return ntohl(v4.sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
}

bool listeners_beyond_loopback(const struct listeners *l)
{
    for (size_t i = 0; i < l->n; i++) {
        struct sockaddr_storage at = {0};
        socklen_t at_n = sizeof at;

        if (getsockname(l->fds[i], (struct sockaddr *)&at, &at_n) || !is_loopback(&at))
            return true;
    }
    return false;
}

void listeners_close(struct listeners *l)
{
    for (size_t i = 0; i < l->n; i++)
        io_close(&l->fds[i]);
    free(l->fds);
    *l = (struct listeners){0};
}
