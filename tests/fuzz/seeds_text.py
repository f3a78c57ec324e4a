# SPDX-License-Identifier: MIT
"""Seeds of texts: files of options and of keys, answers that pcc gets, tables of the kernel."""

import struct

import msgpack

OPTIONS = {
    "empty": "", "all": "F_NAME=web-1\nF_SECRET=0123456789abcdef0123\nF_WAIT=1h30m\nF_BYTES=1.5MiB\nF_COUNT=7\n"
                        "F_SHARE=25%\nF_YES=on\nF_CHOICE=MsgPack\n",
    "comments": "# one\n;two \\\nF_COUNT=1\n\n  F_COUNT = 2 \n", "old-name": "F_KEY=a\nF_NUMBER=9\n",
    "quotes": "F_NAME='it''s' \"a \\\"b\\\" \\$c \\x\" bare \\\n  more\\ \nF_YES=\"no\"",
    "open-single": "F_NAME='abc\n", "open-double": 'F_NAME="abc\\', "no-equals": "F_NAME\n", "unknown": "F_NAMES=x\n",
    "other": "OTHER=x\n", "nul": "F_NAME=a\0b\n", "not-utf8": b"F_NAME=\xff\n", "crlf": "F_COUNT=5\r\nF_YES=1\r\n",
    "bounds": "F_WAIT=1ms\nF_BYTES=0\nF_SHARE=1\nF_COUNT=18446744073709551615\n", "too-small": "F_BYTES=99\n",
    "too-large": "F_SHARE=1.1\n", "overflow": "F_WAIT=99999999999999999999h\n", "fraction": "F_WAIT=0.1us\n",
    "no-unit": "F_WAIT=5\n", "empty-values": "F_NAME=\nF_SECRET=''\nF_COUNT=\n", "control": "F_YES=\x1b[31m\n",
    "long": "F_CHOICE=" + "x" * 300 + "\n",
}


def options_seeds():
    for name, text in OPTIONS.items():
        yield name, text if isinstance(text, bytes) else text.encode()


NO_STORED, NO_POST, NO_ENCODING, FAILED, NAMED = 1, 2, 4, 8, 16
POST = b"application/vnd.perfcollector.delta+msgpack, application/msgpack, application/json"


def answer(status=200, body=b'{"error":null}', bits=NAMED, sent=3, stored=b"3", post=POST, coding=b"gzip, deflate"):
    out = struct.pack("<BHB", bits, status, sent)
    return out + b"".join(bytes([len(t)]) + t for t in (stored, post, coding)) + body


ANSWERS = {
    "stored": answer(), "stored-msgpack": answer(body=msgpack.packb({"e": None})),
    "no-count": answer(bits=NO_STORED, stored=b""), "other-count": answer(stored=b"2"), "no-number": answer(stored=b"3x"),
    "zeros": answer(stored=b"003"), "error": answer(body=b'{"error":"no"}'), "html": answer(body=b"<html>"),
    "empty": answer(body=b""), "cut": answer(bits=FAILED), "named-nothing": answer(400, bits=NO_POST | NO_ENCODING),
    "json-only": answer(post=b"application/json;q=0.5 , text/html", coding=b""), "wild": answer(post=b"*/*", coding=b"*;q=0"),
    "delta-wanted": answer(bits=NAMED | 2 << 5), "long-error": answer(503, b'{"error":"' + b"x" * 600 + b'"}'),
    **{f"status-{s}": answer(s) for s in (0, 100, 204, 301, 400, 401, 403, 408, 409, 413, 415, 429, 500, 503, 507)},
}

MOUNTS = (b"22 27 0:20 / /proc rw,nosuid shared:5 - proc proc rw\n"
          b"27 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw\n"
          b"40 27 254:2 / /mnt/a\\040b\\134c rw master:3 propagate_from:2 - xfs /dev/vdb rw\n"
          b"41 27 0:44 / /mnt/f rw - fuse.sshfs u@h: rw\n42 27 7:0 / /snap/x ro - squashfs /dev/loop0 ro\n")
FILESYSTEMS = b"nodev\tsysfs\nnodev\tproc\n\text4\n\tsquashfs\n\txfs\nnodev\tfuse\n\tfuseblk\n"
CGROUP = (b"max 100000\n", b"anon 4096\nfile 8192\nkernel 5\nslab 3\nanon_thp 0\n",
          b"254:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0\n8:0 rbytes=10 wbytes=20\n", b"max\n", b"12345\n",
          b"usage_usec 9\nuser_usec 5\nsystem_usec 4\nnr_periods 0\nnr_throttled 0\nthrottled_usec 0\n")


def mounts(filesystems, table):
    return b"\0" + struct.pack("<H", len(filesystems)) + filesystems + table


def cgroup(*files):
    return b"\1" + b"".join(struct.pack("<H", len(f)) + f for f in files[:-1]) + files[-1]


KERNEL = {
    "mounts": mounts(FILESYSTEMS, MOUNTS), "mounts-empty": mounts(b"", b""),
    "mounts-no-newline": mounts(FILESYSTEMS[:-1], MOUNTS[:-1]), "mounts-no-dash": mounts(FILESYSTEMS, MOUNTS.replace(b" - ", b" ")),
    "mounts-bare": mounts(b"\n\t\n", b"1 2 3 4 /\n- - - - /- - -\n1 2 3:4 / /\\04 o - t\n1 2 3:4 / /\\400\\000 o - t.u s\n"),
    "mounts-relative": mounts(FILESYSTEMS, b"1 2 3:4 / point o - ext4 s o\n"),
    "cgroup": cgroup(*CGROUP), "cgroup-empty": cgroup(*[b""] * 6),
    "cgroup-odd": cgroup(b"\0\xff 1", b"anon\nanon max\nanon =5", b"=rbytes==7", b"99999999999999999999", b"-1", b"usage_usec"),
    "cgroup-largest": cgroup(*[f.replace(b"9", b"18446744073709551615") for f in CGROUP]),
}

DIGEST = "sha256:" + "0123456789abcdef" * 4
APIKEYS = {
    "empty": "", "one": "0123456789abcdef\n", "comments": "# a\n\n \t\nkey # b\n", "patterns": "k1 web-* db-?\nk2 *\nk3 web-1",
    "no-match": "k1 web web-11 ?\n", "twice": "k1 db-*\nk1 web-*\n", "digest": DIGEST + " web-*\n", "digest-upper": DIGEST.upper() + "\n",
    "digest-short": DIGEST[:-1], "digest-letter": DIGEST[:-1] + "g", "crlf": "k1\r\nk2 a*b\r\n", "mark": "\ufeffk1\n",
    "not-ascii": "k\u00e9\n", "control": "k\x01 a\n", "nul": "k\0\n", "long": "k" * 513, "long-pattern": "k " + "p" * 129,
    "comment-pattern": "k #a", "blanks": " \t k1 \t web-1 \t  db \n", "stars": "k1 **-*1\nk2 *?*\nk3 ????? \n", "utf8": "k1 \u20ac? ?\u00e9*\n",
    "just-comments": "# a\n#b",
}


def apikeys_seeds():
    for name, text in APIKEYS.items():
        yield name, b"\5web-1" + text.encode()
    yield "utf8-identifier", b"\7\xe2\x82\xac\xc3\xa9x1" + APIKEYS["utf8"].encode()
    yield "not-utf8", b"\1\xff" + b"k1 \xff\n"


SEEDS = {"apikeys": apikeys_seeds, "options": options_seeds, "answer": ANSWERS.items, "kernel": KERNEL.items}
