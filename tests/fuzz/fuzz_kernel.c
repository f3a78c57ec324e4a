/* SPDX-License-Identifier: MIT */
#include "common/utf8.h"
#include "pcc/cgroup.h"
#include "pcc/mounts.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/home.h"

#include <stdio.h>

/* Texts of the kernel that pcc takes apart. input = which:u8, then
 * 0: n:u16le filesystems[n] mountinfo
 * 1: six times n:u16le text[n]: the files of a container's cgroup, the last the rest */
#define ID "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define CGROUP "sys/fs/cgroup/system.slice/docker-" ID ".scope/"

static bool lies_in(struct span part, struct span text)
{
    return part.data >= text.data && part.n <= text.n &&
           part.data - text.data <= (ptrdiff_t)(text.n - part.n);
}

/* As the kernel writes a mount point: what would end the field as three octal digits. */
static size_t escape(const char *point, char *ret_text)
{
    static const char digits[] = "01234567";
    size_t n = 0;

    for (; *point; point++) {
        uint8_t c = (uint8_t)*point;
        if (c != ' ' && c != '\t' && c != '\n' && c != '\\') {
            ret_text[n++] = *point;
            continue;
        }
        ret_text[n++] = '\\';
        ret_text[n++] = digits[c >> 6];
        ret_text[n++] = digits[c >> 3 & 7];
        ret_text[n++] = digits[c & 7];
    }
    return n;
}

static void check_point(struct span point)
{
    char *text = malloc(point.n + 1);
    char *escaped = malloc(4 * point.n + 1);
    char *again = malloc(4 * point.n + 1);

    FUZZ_CHECK(text && escaped && again);
    mounts_decode(point, text);
    FUZZ_CHECK(strlen(text) <= point.n);
    mounts_decode(span_of(escaped, escape(text, escaped)), again);
    FUZZ_CHECK(strcmp(text, again) == 0);
    free(text);
    free(escaped);
    free(again);
}

static void check_mounts(struct fuzz_input *in)
{
    struct mount_line line;

    CLEANUP(fuzz_drop)
    struct span filesystems = fuzz_exact(fuzz_bytes(in, fuzz_number(in, 2)));
    CLEANUP(fuzz_drop) struct span table = fuzz_exact(in->left);
    struct span rest = table;
    while (mounts_next(&rest, &line)) {
        FUZZ_CHECK(lies_in(rest, table));
        FUZZ_CHECK(lies_in(line.device, table) && line.device.n > 0);
        FUZZ_CHECK(lies_in(line.type, table) && line.type.n > 0);
        FUZZ_CHECK(lies_in(line.point, table) && line.point.data[0] == '/');
        FUZZ_CHECK(!memchr(line.point.data, '\n', line.point.n));
        check_point(line.point);
        if (mounts_is_block(filesystems, line.type))
            FUZZ_CHECK(!span_equal(line.type, SPAN("squashfs")));
        (void)mounts_is_fuse(line.type);
    }
    FUZZ_CHECK(rest.n == 0);
}

/* One object of the members that the header names, whose numbers are numbers: their
 * order is known, so what stands between two commas is. */
static void check_container(struct span text)
{
    static const char end[] = ",\"runtime\":\"docker\"}";
    static const char start[] =
        "{\"container_id\":\"" ID "\",\"container_name\":\"\",\"cpu_period\":";
    size_t members = 0;

    FUZZ_CHECK(span_starts_with(text, span_of_str(start)));
    FUZZ_CHECK(text.n > sizeof end &&
               span_equal(span_from(text, text.n - (sizeof end - 1)), span_of_str(end)));
    for (size_t i = sizeof start - 2; i < text.n - (sizeof end - 1); i++) {
        uint8_t c = text.data[i];
        FUZZ_CHECK((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || c == '_' ||
                   c == '"' || c == ':' || c == ',');
        members += c == ':';
        if (c == ':')
            FUZZ_CHECK(text.data[i + 1] >= '0' && text.data[i + 1] <= '9');
    }
    FUZZ_CHECK(members == 20);
}

static void check_cgroup(struct fuzz_input *in)
{
    static const char *const names[] = {
        CGROUP "cpu.max",    CGROUP "memory.stat",    CGROUP "io.stat",
        CGROUP "memory.max", CGROUP "memory.current", CGROUP "cpu.stat",
    };
    const size_t n_names = sizeof names / sizeof *names;
    const struct fuzz_home *home = fuzz_home_empty();
    CLEANUP(batch_done) struct batch b;

    for (size_t i = 0; i < n_names; i++) {
        size_t n = i + 1 < n_names ? (size_t)fuzz_number(in, 2) : in->left.n;
        fuzz_home_put(home, names[i], fuzz_bytes(in, n));
    }
    batch_init(&b, &fuzz_limits);
    FUZZ_CHECK(cgroup_append(home->path, UINT64_C(1800000000000000000), &b) == 0);
    FUZZ_CHECK(b.n_items == 1);
    check_container(batch_get(&b, 0).text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct fuzz_input in = {span_of(data, n)};

    if (fuzz_byte(&in) & 1)
        check_cgroup(&in);
    else
        check_mounts(&in);
    return 0;
}
