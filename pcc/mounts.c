/* SPDX-License-Identifier: MIT */
#include "pcc/mounts.h"

/* Up to @stop, which is taken too; all of @text where there is none. */
static struct span take_until(struct span *text, char stop)
{
    const uint8_t *at = text->n > 0 ? memchr(text->data, stop, text->n) : NULL;
    struct span taken = span_of(text->data, at ? (size_t)(at - text->data) : text->n);

    *text = span_from(*text, taken.n + (at != NULL));
    return taken;
}

/* proc_pid_mountinfo(5): id parent device root point options optional… - type source … */
static bool parse_line(struct span line, struct mount_line *ret)
{
    struct span fields[6];

    for (size_t i = 0; i < 6; i++)
        fields[i] = take_until(&line, ' ');
    while (line.n > 0 && !span_equal(take_until(&line, ' '), SPAN("-")))
        continue;
    *ret = (struct mount_line){fields[2], fields[4], take_until(&line, ' ')};
    return ret->device.n > 0 && ret->type.n > 0 && ret->point.n > 0 &&
           ret->point.data[0] == '/';
}

bool mounts_next(struct span *text, struct mount_line *ret)
{
    while (text->n > 0) {
        if (parse_line(take_until(text, '\n'), ret))
            return true;
    }
    return false;
}

static struct span main_type(struct span type)
{
    return take_until(&type, '.');
}

bool mounts_is_block(struct span filesystems, struct span type)
{
    struct span wanted = main_type(type);

    if (span_equal(wanted, SPAN("squashfs")))
        return false;
    while (filesystems.n > 0) {
        struct span line = take_until(&filesystems, '\n');
        struct span flag = take_until(&line, '\t');
        if (flag.n == 0 && span_equal(line, wanted))
            return true;
    }
    return false;
}

bool mounts_is_fuse(struct span type)
{
    struct span name = main_type(type);

    return span_equal(name, SPAN("fuse")) || span_equal(name, SPAN("fuseblk"));
}

static bool is_octal(struct span s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (s.data[i] < '0' || s.data[i] > '7')
            return false;
    }
    return true;
}

void mounts_decode(struct span point, char *ret_text)
{
    size_t n = 0;

    for (size_t i = 0; i < point.n; i++) {
        uint8_t c = point.data[i];
        if (c == '\\' && point.n - i > 3 && is_octal(span_of(point.data + i + 1, 3))) {
            c = (uint8_t)((point.data[i + 1] - '0') << 6 |
                          (point.data[i + 2] - '0') << 3 | (point.data[i + 3] - '0'));
            i += 3;
        }
        ret_text[n++] = (char)c;
    }
    ret_text[n] = '\0';
}
