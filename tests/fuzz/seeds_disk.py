# SPDX-License-Identifier: MIT
"""Seeds of what stands on disks: pcd's log (pcd/log.h), keys and the sorted file of sessions
(pcd/keys_file.h, keys_sorted.h); pcc's spool (pcc/spool_file.h). Written without our code."""

import struct

TIME_NS = 1800000000 * 10 ** 9
DAY = 1800000000 // 86400
REPAIRED = b"\x01"
RAW = b"\x00"


def crc32c(data, crc=0):
    crc ^= 0xffffffff
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82f63b78 if crc & 1 else 0)
    return crc ^ 0xffffffff


# The log

BATCH, BEGIN, PADDING = 1, 2, 3


def record(kind, *, group=0, flags=0, identifier=b"", lines=b"", at=0, length=None, key=(0, 0, 0), number=1):
    length = len(lines) if length is None else length
    rest = struct.pack("<4sQQBBHIQQQQQQII", b"PCL1", number, group, kind, flags, len(identifier), DAY,
                       TIME_NS, at, length, *key, lines.count(b"\n"), crc32c(lines)) + identifier
    return struct.pack("<I", crc32c(rest)) + rest + lines


def batch(identifier, text, **more):
    line = b'{"timestamp":1800000000,"subsystem":"a","measurement":"%s"}\n' % text
    return record(BATCH, identifier=identifier, lines=line, **more)


FIRST = record(BEGIN)
ONE = batch(b"web-1", b"one")
TWO = batch(b"web-2", b"two", flags=1, key=(7, 1, 1), group=len(FIRST))
LOGS = {
    "empty": b"", "begin": FIRST, "two": FIRST + ONE + TWO, "no-begin": ONE + TWO,
    "names-before": record(BEGIN, at=9, length=1000) + ONE,
    "nothing-in-it": record(BATCH), "no-lines": FIRST + record(BATCH, identifier=b"h"), "no-identifier": FIRST + record(BATCH, lines=b"x\n"),
    "cut-head": FIRST + ONE[:50], "cut-lines": FIRST + ONE[:-4],
    "flipped": FIRST + ONE[:100] + b"#" + ONE[101:] + TWO,
    "byte-between": FIRST + b"#" + TWO, "hole": FIRST + bytes(200) + TWO, "magic-inside": FIRST + batch(b"PCL1", b"PCL1PCL1")[:-1] + TWO,
    "other-log": FIRST + batch(b"a", b"x", number=2) + ONE, "later-group": FIRST + batch(b"a", b"x", group=10 ** 6),
    "unknown-type": FIRST + record(9), "padded": FIRST + ONE + record(PADDING, lines=bytes(300)) + TWO, "huge": FIRST + record(BATCH, identifier=b"h", length=2 ** 64 - 1),
}


def log_seeds():
    for name, data in LOGS.items():
        yield name, RAW + data
    for name in ("two", "flipped", "hole"):
        yield "repaired-" + name, REPAIRED + LOGS[name]


# Keys

def session(identifier, number, floor, *ranges, used=TIME_NS):
    return struct.pack("<QQQHB", number, used, floor, len(ranges), len(identifier)) + identifier + b"".join(
        struct.pack("<QQ", *r) for r in ranges)


def checkpoint(*sessions, of_sorted=0, n=None, k0=1, k1=2):
    records = b"".join(sessions)
    rest = struct.pack("<4sQQQQQQQI", b"PCK1", 3, 88, of_sorted, k0, k1, TIME_NS,
                       len(sessions) if n is None else n, crc32c(records))
    return struct.pack("<I", crc32c(rest)) + rest + records


def sorted_file(*blocks):
    """Of (hash, session, bytes) each; in which order is the reader's to find out."""
    body, index, n = b"", b"", 0
    for order, number, sessions in blocks:
        index += struct.pack("<QQQ", order, number, len(body))
        data = b"".join(sessions)
        body += struct.pack("<I", crc32c(data)) + data
        n += len(sessions)
    rest = struct.pack("<4sQQQ", b"PCS1", 1, n, len(body))
    return body + index + struct.pack("<I", crc32c(index + rest)) + rest


A = session(b"web-1", 7, 12)
B = session(b"web-1", 8, 1, (5, 9), (11, 11))
C = session(b"db", 2 ** 64 - 1, 2 ** 63)
KEYS = {
    "none": (checkpoint(), b""), "three": (checkpoint(A, B, C), b""),
    "twice": (checkpoint(A, A), b""), "too-few": (checkpoint(A, B, n=3), b""),
    "behind": (checkpoint(A, B, n=1), b""), "cut": (checkpoint(A, B)[:-3], b""),
    "floor-0": (checkpoint(session(b"a", 1, 0)), b""), "no-identifier": (checkpoint(session(b"", 1, 1)), b""),
    "ranges-touch": (checkpoint(session(b"a", 1, 1, (5, 9), (10, 11))), b""),
    "at-floor": (checkpoint(session(b"a", 1, 5, (5, 9))), b""),
    "no-sorted": (checkpoint(A, of_sorted=5), b""),
    "sorted": (checkpoint(C, of_sorted=1), sorted_file((1, 7, [A, B]))),
    "sorted-same": (checkpoint(A, of_sorted=1), sorted_file((1, 7, [A]), (2, 8, [B]))),
    "sorted-empty": (checkpoint(of_sorted=1), sorted_file()),
    "sorted-cut": (checkpoint(of_sorted=1), sorted_file((1, 7, [A]))[:-1]),
    "sorted-bad-block": (checkpoint(of_sorted=1), b"x" + sorted_file((1, 7, [A]))[1:]),
}


def keys_seeds():
    for name, (keys, file) in KEYS.items():
        data = struct.pack("<H", len(keys)) + keys + file
        yield name, RAW + data
        if name in ("three", "sorted", "sorted-same"):
            yield "repaired-" + name, REPAIRED + data


# The spool

def part(body, *, seq=1, form=(0, 0), half=0, gaps=(), n=None, crc=None, measurements=2):
    out = struct.pack("<QQQQQQQBBBBIQ", 7, seq, 100, TIME_NS, TIME_NS + 10 ** 9, 2, measurements, *form, half,
                      len(gaps), crc32c(body) if crc is None else crc, len(body) if n is None else n)
    return out + b"".join(struct.pack("<QQQQQ", kind, 1, 2, 3, 4) for kind in gaps), body


def spooled(*parts, identifier=b"web-1", size=None, n=None):
    labels = b"".join(p[0] for p in parts) + identifier
    bodies = b"".join(p[1] for p in parts)
    rest = struct.pack("<4sIHHQ", b"PCS1", 24 + len(labels), len(parts) if n is None else n, len(identifier),
                       24 + len(labels) + len(bodies) if size is None else size) + labels
    return struct.pack("<I", crc32c(rest)) + rest + bodies


ONE_PART = spooled(part(b'{"identifier":"web-1"}'))
SPOOL = {
    "empty": b"", "one": ONE_PART, "parts": spooled(part(b"a" * 20), part(b"bc", seq=2, form=(2, 1), half=1)),
    "gaps": spooled(part(b"a", gaps=(0, 3, 6))), "unknown-gap": spooled(part(b"a", gaps=(99, 3, 3))),
    "no-body": spooled(part(b"")), "no-parts": spooled(), "unknown-form": spooled(part(b"a", form=(3, 0))),
    "unknown-coding": spooled(part(b"a", form=(0, 9))), "seq-0": spooled(part(b"a", seq=0)),
    "nothing-measured": spooled(part(b"a", measurements=0)), "wrong-crc": spooled(part(b"a", crc=5), part(b"b")),
    "body-too-long": spooled(part(b"a", n=2 ** 64 - 1)), "cut-header": ONE_PART[:60], "cut-body": ONE_PART[:-3],
    "behind": ONE_PART + b"x", "other-size": spooled(part(b"a"), size=5), "no-identifier": spooled(part(b"a"), identifier=b""),
    "bad-identifier": spooled(part(b"a"), identifier=b"\n"), "too-many": spooled(part(b"a"), n=65), "flipped": ONE_PART[:30] + b"#" + ONE_PART[31:],
}


def spool_seeds():
    for name, data in SPOOL.items():
        yield name, RAW + data
    for name in ("one", "parts", "gaps"):
        yield "repaired-" + name, b"\x03" + SPOOL[name]


SEEDS = {"log": log_seeds, "keys": keys_seeds, "spool": spool_seeds}
