/* SPDX-License-Identifier: MIT */

/*
 * A library to preload (LD_PRELOAD) into a program whose clocks a test sets. The file
 * that PC_CLOCK_FILE names holds two int64_t: how many nanoseconds the wall clock and the
 * boot clock are ahead of the kernel's. The test writes there while the program runs.
 * Timers of the boot clock (timerfd) follow; one that is armed already goes off at its
 * old time, as if the jump had come just after.
 */

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define SEC INT64_C(1000000000)

struct ahead {
    _Atomic int64_t wall_ns;
    _Atomic int64_t boot_ns;
};

static struct ahead *ahead;

__attribute__((constructor)) static void open_file(void)
{
    const char *path = getenv("PC_CLOCK_FILE");
    if (!path)
        return;
    int fd = open(path, O_RDWR | O_CLOEXEC);
    void *at = mmap(NULL, sizeof *ahead, PROT_READ, MAP_SHARED, fd, 0);

    if (fd < 0 || at == MAP_FAILED) {
        perror(path);
        abort();
    }
    (void)close(fd);
    ahead = at;
}

static int64_t ahead_ns(clockid_t id)
{
    if (!ahead)
        return 0;
    if (id == CLOCK_REALTIME)
        return atomic_load(&ahead->wall_ns);
    return id == CLOCK_BOOTTIME ? atomic_load(&ahead->boot_ns) : 0;
}

static struct timespec add(struct timespec at, int64_t ns)
{
    int64_t sum = at.tv_sec * SEC + at.tv_nsec + ns;

    return (struct timespec){.tv_sec = sum / SEC, .tv_nsec = sum % SEC};
}

int clock_gettime(clockid_t id, struct timespec *ret)
{
    static _Atomic(int (*)(clockid_t, struct timespec *)) real;
    if (!real)
        real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int r = real(id, ret);

    if (r == 0)
        *ret = add(*ret, ahead_ns(id));
    return r;
}

/* pcc's timers are all of the boot clock. */
int timerfd_settime(int fd, int flags, const struct itimerspec *at,
                    struct itimerspec *ret_old)
{
    static _Atomic(int (*)(int, int, const struct itimerspec *,
                           struct itimerspec *)) real;
    if (!real)
        real = (int (*)(int, int, const struct itimerspec *, struct itimerspec *))dlsym(
            RTLD_NEXT, "timerfd_settime");
    struct itimerspec moved = *at;

    if ((flags & TFD_TIMER_ABSTIME) && (at->it_value.tv_sec || at->it_value.tv_nsec)) {
        moved.it_value = add(at->it_value, -ahead_ns(CLOCK_BOOTTIME));
        if (moved.it_value.tv_sec < 0) /* long past; zero would disarm it */
            moved.it_value = (struct timespec){.tv_nsec = 1};
    }
    return real(fd, flags, &moved, ret_old);
}
