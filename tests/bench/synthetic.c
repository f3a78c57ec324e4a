/* SPDX-License-Identifier: MIT */
#include "tests/bench/synthetic.h"

#include "common/units.h"

#include <assert.h>
#include <inttypes.h>

#define BEGIN_S UINT64_C(1767813011)
#define IRQS 400u
#define TEXT_MAX (64 * KIB)

/* A number that looks like chance, the same each time. */
static uint64_t chance(uint64_t tick, uint64_t which)
{
    uint64_t x = (tick * UINT64_C(0x9e3779b97f4a7c15)) ^ (which << 32 | which);

    x ^= x >> 31;
    x *= UINT64_C(0xbf58476d1ce4e5b9);
    return x ^ x >> 29;
}

/* A counter that grows by @pace a tick, give or take. */
static uint64_t counter(uint64_t tick, uint64_t which, uint64_t pace)
{
    return 1000 * which + tick * pace + chance(tick, which) % (pace / 2 + 1);
}

static int append_cpu(const char *name, uint64_t tick, uint64_t which, struct buf *to)
{
    return buf_printf(to,
                      "%s %" PRIu64 " 4860 %" PRIu64 " %" PRIu64 " %" PRIu64 " 0 %" PRIu64
                      " 0 0 0\n",
                      name, counter(tick, which, 12), counter(tick, which + 1, 5),
                      counter(tick, which + 2, 80), counter(tick, which + 3, 1),
                      counter(tick, which + 4, 1));
}

static int append_stat(uint64_t tick, struct buf *to)
{
    int r = append_cpu("cpu ", tick, 10, to);

    if (r == 0)
        r = append_cpu("cpu0", tick, 20, to);
    if (r == 0)
        r = append_cpu("cpu1", tick, 30, to);
    if (r == 0)
        r = buf_printf(to, "intr %" PRIu64, counter(tick, 40, 900));
    for (unsigned i = 0; i < IRQS && r == 0; i++)
        r = i % 40 ? buf_append(to, SPAN(" 0"))
                   : buf_printf(to, " %" PRIu64, counter(tick, 50 + i, 30));
    return r ? r
             : buf_printf(to,
                          "\nctxt %" PRIu64 "\nbtime 1767000000\nprocesses %" PRIu64
                          "\nprocs_running %" PRIu64 "\nprocs_blocked 0\nsoftirq %" PRIu64
                          " 0 %" PRIu64 " 17 %" PRIu64 " 9 0 1 %" PRIu64 " 0 %" PRIu64
                          "\n",
                          counter(tick, 41, 1500), counter(tick, 42, 1),
                          1 + chance(tick, 43) % 3, counter(tick, 44, 700),
                          counter(tick, 45, 300), counter(tick, 46, 40),
                          counter(tick, 47, 100), counter(tick, 48, 250));
}

static int append_meminfo(uint64_t tick, struct buf *to)
{
    static const struct {
        const char *name;
        uint64_t moves; /* how far, KiB; 0: it doesn't */
    } lines[] = {
        {"MemTotal", 0},       {"MemFree", 900},
        {"MemAvailable", 900}, {"Buffers", 40},
        {"Cached", 300},       {"SwapCached", 0},
        {"Active", 200},       {"Inactive", 200},
        {"Active(anon)", 90},  {"Inactive(anon)", 0},
        {"Active(file)", 150}, {"Inactive(file)", 150},
        {"Unevictable", 0},    {"Mlocked", 0},
        {"SwapTotal", 0},      {"SwapFree", 0},
        {"Zswap", 0},          {"Zswapped", 0},
        {"Dirty", 400},        {"Writeback", 0},
        {"AnonPages", 90},     {"Mapped", 10},
        {"Shmem", 0},          {"KReclaimable", 8},
        {"Slab", 8},           {"SReclaimable", 8},
        {"SUnreclaim", 3},     {"KernelStack", 0},
        {"PageTables", 4},     {"SecPageTables", 0},
        {"NFS_Unstable", 0},   {"Bounce", 0},
        {"WritebackTmp", 0},   {"CommitLimit", 0},
        {"Committed_AS", 60},  {"VmallocTotal", 0},
        {"VmallocUsed", 0},    {"VmallocChunk", 0},
        {"Percpu", 0},         {"HardwareCorrupted", 0},
        {"AnonHugePages", 0},  {"ShmemHugePages", 0},
        {"ShmemPmdMapped", 0}, {"FileHugePages", 0},
        {"FilePmdMapped", 0},  {"HugePages_Total", 0},
        {"HugePages_Free", 0}, {"HugePages_Rsvd", 0},
        {"HugePages_Surp", 0}, {"Hugepagesize", 0},
        {"Hugetlb", 0},        {"DirectMap4k", 0},
        {"DirectMap2M", 0},    {"DirectMap1G", 0},
    };
    int r = 0;

    for (unsigned i = 0; i < sizeof lines / sizeof *lines && r == 0; i++) {
        uint64_t moved = lines[i].moves ? chance(tick, i) % lines[i].moves : 0;
        r = buf_printf(to, "%s:%*s%8" PRIu64 " kB\n", lines[i].name,
                       (int)(18 - strlen(lines[i].name)), "",
                       UINT64_C(7654321) / (i + 1) + moved);
    }
    return r;
}

static int append_net(uint64_t tick, struct buf *to)
{
    static const char *const names[] = {"lo", "eth0", "eth1", "docker0"};
    int r = buf_printf(
        to,
        "Inter-|   Receive                                                |  Transmit\n"
        " face |bytes    packets errs drop fifo frame compressed multicast|bytes    "
        "packets errs drop fifo colls carrier compressed\n");

    for (unsigned i = 0; i < sizeof names / sizeof *names && r == 0; i++)
        r = buf_printf(to,
                       "%6s: %" PRIu64 " %7" PRIu64
                       "    0    0    0     0          0         0 %" PRIu64 " %7" PRIu64
                       "    0    0    0     0       0          0\n",
                       names[i], counter(tick, 100 + i, 4000), counter(tick, 102 + i, 10),
                       counter(tick, 104 + i, 4000), counter(tick, 106 + i, 10));
    return r;
}

static int append_disks(uint64_t tick, struct buf *to)
{
    static const char *const names[] = {"vda",   "vda1",  "vda15", "vdb",
                                        "loop0", "loop1", "loop2", "dm-0"};
    int r = 0;

    for (unsigned i = 0; i < sizeof names / sizeof *names && r == 0; i++) {
        bool idle = i >= 2;
        uint64_t at = idle ? 0 : tick; /* of what is idle nothing moves */
        r = buf_printf(
            to,
            " 254 %7u %s %" PRIu64 " 12 %" PRIu64 " %" PRIu64 " %" PRIu64 " 34 %" PRIu64
            " %" PRIu64 " 0 %" PRIu64 " %" PRIu64 " 0 0 0 0 5 6\n",
            i, names[i], counter(at, 200 + i, 3), counter(at, 210 + i, 60),
            counter(at, 220 + i, 2), counter(at, 230 + i, 12), counter(at, 240 + i, 200),
            counter(at, 250 + i, 30), counter(at, 260 + i, 20), counter(at, 270 + i, 33));
    }
    return r;
}

static int append_statfs(uint64_t tick, struct buf *to)
{
    return buf_printf(to,
                      "{\"mount\":\"/\",\"device\":\"/dev/vda1\",\"type\":\"ext4\","
                      "\"block_size\":4096,\"blocks\":7654321,\"blocks_free\":%" PRIu64
                      ",\"blocks_available\":%" PRIu64
                      ",\"files\":1966080,\"files_free\":%" PRIu64 "}\n",
                      4567890 - counter(tick, 300, 30), 4234567 - counter(tick, 300, 30),
                      1800000 - counter(tick, 302, 1));
}

static const struct {
    const char *name;
    int (*append)(uint64_t tick, struct buf *to);
} sources[SYNTHETIC_SOURCES] = {
    {"/proc/stat", append_stat},   {"/proc/meminfo", append_meminfo},
    {"/proc/net/dev", append_net}, {"/proc/diskstats", append_disks},
    {"statfs[*]", append_statfs},
};

struct span synthetic_name(unsigned i)
{
    assert(i < SYNTHETIC_SOURCES);
    return span_of(sources[i].name, strlen(sources[i].name));
}

int synthetic_text(unsigned i, uint64_t tick, struct buf *to)
{
    assert(i < SYNTHETIC_SOURCES);
    return sources[i].append(tick, to);
}

int synthetic_batch(struct batch *b, uint64_t tick, unsigned n)
{
    CLEANUP(buf_done) struct buf text;
    int r = 0;

    buf_init(&text, TEXT_MAX);
    for (uint64_t t = tick; t < tick + n && r == 0; t++)
        for (unsigned i = 0; i < SYNTHETIC_SOURCES && r == 0; i++) {
            buf_reset(&text);
            r = synthetic_text(i, t, &text);
            const struct measurement m = {(BEGIN_S + t) * SEC, synthetic_name(i),
                                          buf_span(&text)};
            if (r == 0)
                r = batch_append(b, &m);
        }
    return r;
}
