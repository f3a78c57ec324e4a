/* SPDX-License-Identifier: MIT */
#include "common/notify.h"

#include "common/clock.h"
#include "common/io.h"
#include "common/units.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define TEXT_MAX 1024u

/* A path, or `@` and a name that lies in no folder: unix(7), abstract. */
static int connect_to(const char *name, int *ret_fd)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    const struct timeval wait = {.tv_sec = 1};
    size_t n = strlen(name);

    if (name[0] != '/' && (name[0] != '@' || n < 2))
        return E_MALFORMED;
    if (n > sizeof to.sun_path)
        return E_TOO_LARGE;
    memcpy(to.sun_path, name, n);
    if (name[0] == '@')
        to.sun_path[0] = '\0';
    else if (n == sizeof to.sun_path) /* a path needs its terminator */
        return E_TOO_LARGE;
    /* An abstract name has exactly its length, whatever is in it. */
    size_t size = offsetof(struct sockaddr_un, sun_path) + n + (name[0] == '/');

    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait) != 0 ||
        connect(fd, (const struct sockaddr *)&to, (socklen_t)size) != 0) {
        int r = -errno;
        io_close(&fd);
        return r;
    }
    *ret_fd = fd;
    return 0;
}

static int parse_variable(const char *name, uint64_t *ret)
{
    const char *text = getenv(name);

    if (!text)
        return E_GONE;
    return units_parse_u64(span_of_str(text), ret);
}

/* sd_watchdog_enabled(3). */
static int read_watchdog(uint64_t *ret_ns)
{
    uint64_t usec;
    uint64_t pid;

    int r = parse_variable("WATCHDOG_USEC", &usec);
    if (r)
        return r == E_GONE ? 0 : r;
    r = parse_variable("WATCHDOG_PID", &pid);
    if (r == 0 && pid != (uint64_t)getpid())
        return 0; /* meant for another process, whose environment we have */
    if (r && r != E_GONE)
        return r;
    if (usec > UINT64_MAX / USEC)
        return E_TOO_LARGE;
    *ret_ns = usec * USEC;
    return 0;
}

int notify_init(struct notify *n)
{
    const char *name = getenv("NOTIFY_SOCKET");
    uint64_t watchdog_ns = 0;

    *n = (struct notify){.fd = -1};
    if (!name || !*name)
        return 0;
    int r = read_watchdog(&watchdog_ns);
    if (r == 0)
        r = connect_to(name, &n->fd);
    if (r == 0)
        n->watchdog_ns = watchdog_ns;
    return r;
}

void notify_done(struct notify *n)
{
    io_close(&n->fd);
}

int notify_send(const struct notify *n, const char *format, ...)
{
    char text[TEXT_MAX];
    va_list args;

    if (n->fd < 0)
        return 0;
    va_start(args, format);
    int size = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (size < 0)
        return -EINVAL;
    if ((size_t)size >= sizeof text)
        return E_TOO_LARGE;
    return send(n->fd, text, (size_t)size, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

int notify_reloading(const struct notify *n)
{
    return notify_send(n, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64,
                       clock_monotonic_ns() / USEC);
}

int notify_alive(const struct notify *n)
{
    return notify_send(n, "WATCHDOG=1");
}

uint64_t notify_pause_ns(const struct notify *n)
{
    return n->watchdog_ns ? n->watchdog_ns / 3 : UINT64_MAX;
}
