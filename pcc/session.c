/* SPDX-License-Identifier: MIT */
#include "pcc/session.h"

#include "common/clock.h"
#include "common/io.h"

#include <fcntl.h>
#include <string.h>

void session_boot_id(char ret[40])
{
    size_t n = 0;
    CLEANUP(io_close)
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);

    memset(ret, 0, 40);
    if (fd < 0 || io_pread(fd, ret, 36, 0, &n) != 0)
        memset(ret, 0, 40);
}

static void begin(struct session *s)
{
    s->id = clock_random_u64();
    s->next_seq = 1;
    s->next_tick = 0;
}

void session_init(struct session *s)
{
    begin(s);
    session_boot_id(s->boot_id);
}

bool session_renew(struct session *s)
{
    char boot_id[40];

    session_boot_id(boot_id);
    if (strcmp(boot_id, s->boot_id) == 0)
        return false;
    memcpy(s->boot_id, boot_id, sizeof boot_id);
    begin(s);
    return true;
}

void session_number(struct session *s, struct label *label)
{
    label->session = s->id;
    label->seq = s->next_seq++;
    label->first_tick = s->next_tick;
    s->next_tick += label->range.ticks;
}

void session_number_halves(struct session *s, const struct label *whole,
                           struct label halves[2])
{
    session_number(s, &halves[0]);
    session_number(s, &halves[1]);
    halves[0].is_half = halves[1].is_half = true;
    if (whole->session != s->id)
        return;
    s->next_tick -= halves[0].range.ticks + halves[1].range.ticks;
    halves[0].first_tick = whole->first_tick;
    halves[1].first_tick = whole->first_tick + halves[0].range.ticks;
}
