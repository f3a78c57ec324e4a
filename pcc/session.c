/* SPDX-License-Identifier: MIT */
#include "pcc/session.h"

#include "common/clock.h"
#include "common/io.h"

#include <fcntl.h>
#include <string.h>

static void read_boot_id(char ret[40])
{
    size_t n = 0;
    CLEANUP(io_close)
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);

    memset(ret, 0, 40);
    if (fd < 0 || io_pread(fd, ret, 39, 0, &n) != 0)
        memset(ret, 0, 40);
}

void session_init(struct session *s)
{
    s->id = clock_random_u64();
    read_boot_id(s->boot_id);
}

bool session_renew(struct session *s)
{
    char boot_id[40];

    read_boot_id(boot_id);
    if (strcmp(boot_id, s->boot_id) == 0)
        return false;
    memcpy(s->boot_id, boot_id, sizeof boot_id);
    s->id = clock_random_u64();
    return true;
}
