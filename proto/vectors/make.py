#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Makes the test vectors beside it: one JSON file each, with a body, good or bad, and what
must come of it. Written from ../README.md alone, not with the agent's encoder.

    make.py [--check]      writes them, or says which are not as it would write them

A vector: name, about, content_type, content_encoding (if any), before (bodies of the chain,
each good, hexadecimal), body (hexadecimal), and expect: status, and for 200 identifier,
measurements ([seconds, nanoseconds, subsystem, text], the text hexadecimal) and ticks (the
index of the first measurement of each), and for all others error. Of 409 that is the error,
by the protocol; of others it is words of what pcd says, so that a test can tell why a body is
refused: another server may say it otherwise, and no client may depend on it.
"""

import gzip
import json
import os
import sys
import zlib

import msgpack
from writer import T, bits, changes, delta, shape, varint, zigzag

HERE = os.path.dirname(os.path.abspath(__file__))
JSON, MSGPACK = "application/json", "application/msgpack"
DELTA = "application/vnd.perfcollector.delta+msgpack"
STAT, MEMINFO, GAP = "/proc/stat", "/proc/meminfo", "pcc/gap"
vectors = {}


def add(name, about, kind, body, status, rows=(), ticks=None, identifier="h1", before=(),
        coding=None, error=None):
    assert name not in vectors and (error is None) == (status == 200), name
    vector = {"name": name, "about": about, "content_type": kind}
    if coding:
        vector["content_encoding"] = coding
    vector.update(before=[b.hex() for b in before], body=body.hex(), expect={"status": status})
    if status == 200:
        measured = [[t // 10**9, t % 10**9, s, text.hex()] for t, s, text in rows]
        if ticks is None:
            ticks = [i for i in range(len(rows)) if i == 0 or rows[i][0] != rows[i - 1][0]]
        vector["expect"].update(identifier=identifier, measurements=measured, ticks=ticks)
    else:
        vector["expect"]["error"] = error
    vectors[name] = vector


def at(second, nanosecond=0):
    return (T + second) * 10**9 + nanosecond


def good(name, about, body, *rows, **more):
    add("delta-" + name, about, DELTA, body, 200,
        [(at(*t) if isinstance(t, tuple) else at(t), s, text) for t, s, text in rows], **more)


def refused(name, error, kind, body, status=400, about="", **more):
    """What is wrong is what error says; about says more, where that helps."""
    add(name, about, kind, body, status, error=error, **more)


def bad(name, error, body, status=400, about="", before=()):
    coding = "gzip" if len(body) > 10000 else None
    body = gzip.compress(body, mtime=0) if coding else body
    refused("delta-bad-" + name, error, DELTA, body, status, about, before=before, coding=coding)


def conflict(name, about, body, *before):
    bad(name, "snapshot required", body, 409, about, before)


def json_body(*measurements, identifier="h1"):
    return json.dumps({"identifier": identifier, "measurements": list(measurements)}).encode()


def measurement(text="cpu 1\n", timestamp=T, **more):
    return {"timestamp": timestamp, "subsystem": STAT, "measurement": text, **more}


def msgpack_body(*measurements, identifier="h1"):
    return msgpack.packb({"i": identifier, "m": list(measurements)})


def nested(levels):
    """So many lists, one in the other."""
    return json.loads("[" * levels + "]" * levels)


def go(text="cpu 1\n", timestamp=T, **more):
    return {"Timestamp": timestamp, "Subsystem": STAT, "Measurement": text, **more}


def json_vectors():
    row = (at(0), STAT, b"cpu 1\n")
    add("json", "one measurement", JSON, json_body(measurement()), 200, [row])
    add("json-type-absent", "no Content-Type is JSON", None, json_body(measurement()), 200, [row])
    add("json-empty", "no measurements", JSON, json_body(), 200)
    add("json-null", "null for the measurements", JSON, b'{"identifier":"h1","measurements":null}',
        200)
    add("json-nanoseconds", "", JSON, json_body(measurement(nanoseconds=5)), 200,
        [(at(0, 5), STAT, b"cpu 1\n")])
    add("json-bytes", "bytes win over the text beside them", JSON,
        json_body(measurement("\ufffd1", bytes="/zE=")), 200, [(at(0), STAT, b"\xff1")])
    add("json-unknown", "members that nobody knows are ignored", JSON,
        json_body(measurement(more=[1, {"a": None}])), 200, [row])
    add("json-twice", "of a member given twice the last counts", JSON,
        json_body(measurement())[:-1] + b',"identifier":"h2"}', 200, [row], identifier="h2")
    two = json_body(measurement())
    packed = gzip.compress(two, mtime=0)
    add("json-nesting", "16 levels", JSON, json_body(measurement(deep=nested(16 - 3))), 200, [row])
    add("json-gzip", "", JSON, packed, 200, [row], coding="gzip")
    add("json-gzip-members", "two members of gzip", JSON,
        gzip.compress(two[:20], mtime=0) + gzip.compress(two[20:], mtime=0), 200, [row],
        coding="gzip")
    add("json-deflate", "", JSON, zlib.compress(two), 200, [row], coding="deflate")
    for name, error, body in (
            ("cut", "the input ends too early at byte 117", two[:-1]),
            ("behind", "something behind the end at byte 118", two + b"x"),
            ("no-identifier", "identifier is missing", b'{"measurements":[]}'),
            ("no-measurements", "measurements is missing", b'{"identifier":"h1"}'),
            ("identifier", "identifier is not 1 to 128 bytes of UTF-8", json_body(identifier="")),
            ("identifier-control", "without control characters", json_body(identifier="a\nb")),
            ("identifier-long", "identifier is not 1 to 128 bytes", json_body(identifier="x" * 129)),
            ("utf8", "not valid UTF-8 at byte 16", b'{"identifier":"h\xff","measurements":[]}'),
            ("surrogate", "half a surrogate pair", b'{"identifier":"h\\ud800","measurements":[]}'),
            ("time-early", "measurement 0: timestamp is outside the years 2000 to 2200",
             json_body(measurement(timestamp=946684799))),
            ("time-late", "measurement 1: timestamp is outside the years 2000 to 2200",
             json_body(measurement(), measurement(timestamp=7289654400))),
            ("time-fraction", "measurement 0: timestamp has the wrong type",
             json_body(measurement(timestamp=1.5)))):
        refused("json-bad-" + name, error, JSON, body)
    refused("json-bad-nesting", "measurement 0: nested too deeply", JSON,
            json_body(measurement(deep=nested(17 - 3))), 413, about="17 levels")
    refused("json-bad-gzip", "not a gzip member at byte 114", JSON, packed + b"x",
            about="a byte behind the last member", coding="gzip")
    refused("json-bad-gzip-cut", "the compressed data ends too early", JSON, packed[:-9],
            coding="gzip")
    refused("json-bad-gzip-crc", "incorrect data check", JSON,
            packed[:-8] + bytes([packed[-8] ^ 1]) + packed[-7:], coding="gzip")
    refused("json-bad-deflate", "bytes behind the end of the compressed data", JSON,
            zlib.compress(two) + b"x", coding="deflate")
    refused("json-bad-bomb", "the data is larger than allowed once decompressed", JSON,
            gzip.compress(b" " * (65 << 20), mtime=0), 413, about="65 MiB in 65 KiB", coding="gzip")
    refused("type-unknown", "Content-Type: given text/plain; taken are", "text/plain", two, 415)
    refused("coding-unknown", "Content-Encoding: given br; taken are", JSON, two, 415, coding="br")
    refused("coding-two", "Content-Encoding: given gzip, gzip; taken are", JSON, two, 415,
            coding="gzip, gzip")


def msgpack_vectors():
    row = (at(0), STAT, b"cpu 1\n")
    add("msgpack", "as the Go encoder writes it", MSGPACK, bytes.fromhex(
        "82a169a26831a16d9183a954696d657374616d70d300000000695eaf93a953756273797374656daa2f70726f63"
        "2f73746174ab4d6561737572656d656e74a663707520310a"), 200, [row])
    add("msgpack-json-names", "", MSGPACK, msgpack_body(measurement()), 200, [row])
    add("msgpack-nil", "", MSGPACK, msgpack.packb({"i": "h1", "m": None}), 200)
    add("msgpack-bin", "a text that is not UTF-8", MSGPACK, msgpack_body(go(b"\xff1")), 200,
        [(at(0), STAT, b"\xff1")])
    add("msgpack-nanoseconds", "", MSGPACK, msgpack_body(go(Nanoseconds=7)), 200,
        [(at(0, 7), STAT, b"cpu 1\n")])
    add("msgpack-nesting", "16 levels", MSGPACK, msgpack_body(go(deep=nested(16 - 3))), 200, [row])
    for name, error, body in (
            ("cut", "the input ends too early at byte 59", msgpack_body(go())[:-1]),
            ("behind", "bytes behind the end of the message at byte 65", msgpack_body(go()) + b"\0"),
            ("no-list", "measurements is missing", b"\x81\xa1i\xa2h1"),
            ("array", "the message is not a map", b"\x90"),
            ("claims", "fewer bytes left than objects announced",
             b"\x82\xa1i\xa2h1\xa1m\xdd\xff\xff\xff\xff"),
            ("time", "measurement 1: timestamp is outside the years 2000 to 2200",
             msgpack_body(go(), go(timestamp=-1)))):
        refused("msgpack-bad-" + name, error, MSGPACK, body)
    refused("msgpack-bad-nesting", "nested too deeply", MSGPACK,
            msgpack_body(go(deep=nested(17 - 3))), 413, about="17 levels")


CPU = dict(m=[[0, 1]], sh=shape(b"cpu\1\3 \0\n"), bv=zigzag(9, 1))
CPU_SNAPSHOT = delta(**CPU)
NEXT = dict(q=1, k=1, to=zigzag(1))


def place_vectors():
    cpu = (0, STAT, b"cpu  9 1\n")
    good("snapshot", "", CPU_SNAPSHOT, cpu)
    good("alone", "without ss", delta(ss=None, **CPU), cpu)
    good("snapshot-any", "a snapshot is taken whatever came before", delta(ss=7, **CPU), cpu,
         before=[CPU_SNAPSHOT])
    grown = dict(m=[0], cb=bits(0, 1, n=2) + bits(0, n=1) * 2, ch=changes(1, -1))
    good("chained", "a right-aligned column outgrows a blank", delta(**NEXT, **grown),
         (1, STAT, b"cpu 10 0\n"), before=[CPU_SNAPSHOT])
    good("chained-twice", "", delta(q=2, k=2, to=zigzag(1), **grown), (2, STAT, b"cpu 11 -1\n"
         .replace(b"-1", b"18446744073709551615")), before=[CPU_SNAPSHOT, delta(**NEXT, **grown)])
    good("wrap", "numbers wrap at 2^64", delta(**NEXT, m=[0], cb=bits(1, n=2) + bits(0, n=1),
         ch=changes(-2)), (1, STAT, b"cpu  9 18446744073709551615\n"), before=[CPU_SNAPSHOT])
    good("empty", "no ticks", delta(to=b""))
    good("empty-chained", "a tick behind a batch without any", delta(q=2, k=1, to=zigzag(1), m=[0],
         cb=bits(n=2)), (1, STAT, b"cpu  9 1\n"), before=[CPU_SNAPSHOT, delta(q=1, k=1, to=b"")])
    good("alone-between", "a batch that stands alone leaves the state", delta(**NEXT, m=[0],
         cb=bits(n=2)), (1, STAT, b"cpu  9 1\n"), before=[CPU_SNAPSHOT, delta(ss=None, to=zigzag(9),
         m=[[0, 1]], sh=shape(b"x"))])
    good("unknown", "keys that nobody knows are ignored", delta(zz=[1], **CPU), cpu)


def text_vectors():
    def one(name, about, code, values, text):
        good(name, about, delta(m=[[0, 1]], sh=shape(code), bv=zigzag(*values)), (0, STAT, text))
    one("plain", "", b"a \0", [2**63 - 1], b"a 9223372036854775807")
    one("plain-max", "2^64-1 is -1, modulo 2^64", b"\0", [-1], b"18446744073709551615")
    one("right-min", "a width of 1 still has a blank", b"\1\1", [7], b" 7")
    one("right-outgrown", "one blank stays", b"\1\3", [12345], b" 12345")
    one("zero", "zeros in front", b"0.\2\2", [5], b"0.05")
    one("zero-outgrown", "", b"\2\2", [123], b"123")
    one("width-max", "", b"\1\xff", [1], b" " * 254 + b"1")
    one("literal", "literal bytes below 8", b"\3\0\3\7\x08\xff", [], b"\0\7\x08\xff")
    one("no-text", "an empty text", b"", [], b"")
    one("fragment", "MemTotal and MemFree", b"\4\0\2", [5, 6],
        b"MemTotal:              5 kB\nMemFree:               6 kB\n")
    good("raw", "", delta(m=[[5, 4]], rw=b"\3abc"), (0, GAP, b"abc"))
    good("raw-bytes", "not UTF-8", delta(m=[[0, 4]], rw=b"\2\xff\0"), (0, STAT, b"\xff\0"))
    good("raw-then-shape", "", delta(**NEXT, **CPU), (1, STAT, b"cpu  9 1\n"),
         before=[delta(m=[[0, 4]], rw=b"\1x")])
    good("name", "a new subsystem gets number 16", delta(**NEXT, m=[16], cb=bits(0, n=1) +
         bits(0, n=1), ch=changes(1)), (1, "my/own", b"6"),
         before=[delta(m=[["my/own", 1]], sh=shape(b"\0"), bv=zigzag(5))])
    good("reshape", "as many columns: base values add to those before", delta(**NEXT, m=[[0, 1]],
         sh=shape(b"CPU \0,\0"), bv=zigzag(1, 0)), (1, STAT, b"CPU 10,1"), before=[CPU_SNAPSHOT])
    good("reshape-other", "another number of columns: from 0", delta(**NEXT, m=[[0, 1]],
         sh=shape(b"\0"), bv=zigzag(1)), (1, STAT, b"1"), before=[CPU_SNAPSHOT])
    good("shapes-in-batch", "a new shape in mid-batch", delta(to=zigzag(0, 1, 0, 0), m=[
        [0, 1, bits(0, 1, n=4)], [0, 1, bits(2, 3, n=4)]], sh=shape(b"\0") + shape(b"x\0"),
        bv=zigzag(5, 1), cb=(bits(0, n=1) + bits(0, n=1)) * 2, ch=changes(1, 2)),
        (0, STAT, b"5"), (1, STAT, b"6"), (2, STAT, b"x7"), (3, STAT, b"x9"))


def tick_vectors():
    two = dict(m=[[0, 1], [1, 1]], sh=shape(b"\0") * 2, bv=zigzag(1, 2))
    same = bits(n=1)
    good("ticks", "20 ticks a second apart", delta(to=zigzag(0, 1, *[0] * 18), m=[[0, 1]],
         sh=shape(b"\0"), bv=zigzag(0), cb=bits(0, n=1) + bits(*range(19), n=19),
         ch=changes(*[1] * 19)), *[(t, STAT, b"%d" % t) for t in range(20)])
    good("ticks-bitmap", "a source at its own pace", delta(to=zigzag(0, 1, 0), m=[
        [0, 1], [1, 1, bits(0, 2, n=3)]], sh=shape(b"\0") * 2, bv=zigzag(1, 2), cb=same * 2),
        (0, STAT, b"1"), (0, MEMINFO, b"2"), (1, STAT, b"1"), (2, STAT, b"1"), (2, MEMINFO, b"2"))
    good("one-time", "three ticks of one time", delta(to=zigzag(0, 0, 0), **{**two, "cb": same * 2}),
         *[(0, s, n) for _ in range(3) for s, n in ((STAT, b"1"), (MEMINFO, b"2"))],
         ticks=[0, 2, 4])
    good("backwards", "", delta(to=zigzag(5, -3, 10), m=[[0, 1]], sh=shape(b"\0"), bv=zigzag(1),
         cb=same), (5, STAT, b"1"), (2, STAT, b"1"), (9, STAT, b"1"))
    good("nanoseconds", "", delta(to=None, tn=zigzag(5, 10**7, 0), m=[[0, 1]], sh=shape(b"\0"),
         bv=zigzag(1), cb=same), ((0, 5), STAT, b"1"), ((0, 10**7 + 5), STAT, b"1"),
         ((0, 2 * 10**7 + 5), STAT, b"1"))
    good("order", "written out: groups 1, 0, 0", delta(o=b"\3\1\0\0", m=[[0, 1], [1, 1]],
         sh=shape(b"\0") * 2, bv=zigzag(1, 2), cb=bits(0, n=1) * 2, ch=changes(4)),
         (0, MEMINFO, b"2"), (0, STAT, b"1"), (0, STAT, b"5"))


def predictor_vectors():
    def three(name, about, pr, cb, ch, *texts):
        good("predict-" + name, about, delta(to=zigzag(0, 1, 0), m=[[0, 3]], sh=shape(b"\0 \0 \0"),
             bv=zigzag(10, 20, 30), pr=pr, cb=cb, ch=ch),
             *[(t, STAT, text) for t, text in enumerate((b"10 20 30",) + texts)])
    all2 = bits(0, 1, n=2)
    three("term", "the second column is the first again", b"\1\1\2\1", bits(0, n=3) + all2,
          changes(5, 6), b"15 25 30", b"21 31 30")
    three("minus", "the third is the second less the first", b"\1\2\x14\1\2",
          bits(0, 1, n=3) + all2 * 2, changes(1, 1, 5, 6), b"11 25 34", b"12 31 39")
    three("pace", "a step as large as the one before, and one more", b"\1\0\1",
          bits(0, n=3) + all2, changes(5, 1), b"15 20 30", b"21 20 30")
    three("shift", "eights", b"\1\0\x60", bits(0, n=3) + all2, changes(1, -2), b"18 20 30",
          b"2 20 30")
    three("all", "a term, a pace and a shift", b"\1\1\x23\1", bits(0, 1, n=3) + all2 + bits(0, n=2),
          changes(5, 6, 2), b"15 29 30", b"21 39 30")
    base = delta(to=zigzag(0, 1), m=[[0, 3]], sh=shape(b"\0"), bv=zigzag(0), pr=b"\1\0\1",
                 cb=bits(0, n=1) * 2, ch=changes(3))
    good("predict-kept", "a pace goes on in the batch after", delta(q=1, k=2, to=zigzag(1), m=[0],
         cb=bits(n=1)), (2, STAT, b"6"), before=[base])
    good("predict-replaced", "an entry begins its pace at 0", delta(q=1, k=2, to=zigzag(1),
         m=[[0, 2]], pr=b"\1\0\1", cb=bits(n=1)), (2, STAT, b"3"), before=[base])
    good("predict-reshaped", "a shape with as many columns keeps them", delta(q=1, k=2,
         to=zigzag(1, 1), m=[[0, 1]], sh=shape(b"x\0"), bv=zigzag(1), cb=bits(n=1)),
         (2, STAT, b"x4"), (3, STAT, b"x7"), before=[base])
    good("predict-gone", "one with others does not", delta(q=1, k=2, to=zigzag(1, 1), m=[[0, 1]],
         sh=shape(b"\0 \0"), bv=zigzag(1, 1), cb=bits(n=2)), (2, STAT, b"1 1"), (3, STAT, b"1 1"),
         before=[base])


def head_vectors():
    for name, error, keys in (
            ("version-missing", "v is missing", dict(v=None)),
            ("identifier", "i is not 1 to 128 bytes of UTF-8", dict(i="")),
            ("identifier-type", "i has the wrong type", dict(i=5)),
            ("identifier-utf8", "i is not 1 to 128 bytes of UTF-8", dict(i="h\udcff")),
            ("tick-missing", "k is missing", dict(k=None)),
            ("tick-negative", "k is out of range", dict(k=-1)),
            ("header-missing", "h is missing", dict(h=None)),
            ("header-type", "h has the wrong type", dict(h=5)),
            ("header-time", "bt is missing", dict(h={})),
            ("header-negative", "bt is out of range", dict(h={"bt": -1})),
            ("header-late", "bt is out of range", dict(h={"bt": 7289654400}, to=zigzag(-1))),
            ("times-missing", "neither to nor tn", dict(to=None)),
            ("times-both", "both to and tn", dict(tn=b"\0")),
            ("times-type", "to has the wrong type", dict(to=[0])),
            ("times-cut", "to ends too early", dict(to=b"\x80")),
            ("groups-missing", "m is missing", dict(m=None)),
            ("groups-type", "m has the wrong type", dict(m={})),
            ("number-missing", "q is missing", dict(q=None)),
            ("stream-type", "bv has the wrong type", dict(bv="x"))):
        bad(name, error, delta(**{**CPU, **keys}))
    bad("version", "a version of delta other than 1", delta(**{**CPU, "v": 2}), 415)
    bad("number-alone", "q without ss",
        delta(ss=None, **{**CPU, "zz": 1}).replace(b"\xa2zz", b"\xa1q"))
    bad("header-chained", "h in a batch that builds on another", delta(**NEXT, h={"bt": T}),
        before=[CPU_SNAPSHOT])
    bad("array", "the message is not a map", b"\x90")
    bad("cut", "the input ends too early at byte 61", CPU_SNAPSHOT[:-1])
    bad("behind", "bytes behind the end of the message at byte 63", CPU_SNAPSHOT + b"\0")
    bad("time-early", "a time outside the years 2000 to 2200", delta(h={"bt": 946684799}, **CPU))
    bad("time-late", "a time outside the years 2000 to 2200", delta(to=zigzag(2**40), **CPU))
    same = dict(m=[0], cb=bits(n=2))
    bad("time-unit", "times in seconds behind one that is no whole second", delta(**NEXT, **same),
        before=[delta(to=None, tn=zigzag(5), **CPU)])
    conflict("no-state", "chained, and nothing came before", delta(**NEXT, **same))
    conflict("wrong-snapshot", "", delta(**{**NEXT, "ss": 2}, **same), CPU_SNAPSHOT)
    conflict("wrong-number", "", delta(**{**NEXT, "q": 2}, **same), CPU_SNAPSHOT)
    conflict("same-number", "a number that was there", delta(**NEXT, **same), CPU_SNAPSHOT,
             delta(**NEXT, **same))


def group_vectors():
    def group(name, error, status=400, about="", **keys):
        bad(name, error, delta(**{**CPU, **keys}), status, about=about)
    two = dict(m=[[0, 1], [1, 1]], sh=shape(b"\0") * 2, bv=zigzag(1, 1))
    group("subsystem", "group 0: no subsystem has that number", m=[[16, 1]])
    group("subsystem-type", "group 0: the subsystem is neither a number nor a name", m=[[1.5, 1]])
    group("subsystem-bin", "group 0: the subsystem is neither a number nor a name", m=[[b"x", 1]])
    group("subsystem-utf8", "group 0: the subsystem is not valid UTF-8", m=[["\udcff", 1]])
    group("subsystem-long", "group 0: the subsystem is longer than allowed", 413,
          m=[["x" * 256, 1]])
    group("no-shape", "group 0: the subsystem has no shape", m=[0], sh=b"", bv=b"", cb=bits(n=2))
    group("flags", "group 0: the flags are not a number from 0 to 4", m=[[0, 8]])
    group("flags-raw", "group 0: the flags are not a number from 0 to 4", about="raw and a shape",
          m=[[0, 5]])
    group("length", "group 0: not an array of two or three", m=[[0, 1, b"\1", 1]])
    group("ticks-type", "group 0: ticks are not a bin", m=[[0, 1, 1]])
    group("ticks-empty", "group 0: ticks are empty", m=[[0, 1, b""]])
    group("ticks-length", "group 0: ticks are of the wrong length", m=[[0, 1, b"\1\0"]])
    group("ticks-none", "group 0: no measurements", m=[[0, 1, b"\0"]])
    group("ticks-beyond", "group 0: bits beyond the end of a bitmap", about="the second of one",
          m=[[0, 1, b"\3"]])
    group("ticks-order", "group 0: ticks beside o", m=[[0, 1, b"\1"]], o=b"\1\0")
    group("tick-empty", "measurement 1: a tick without measurements", to=zigzag(0, 1),
          m=[[0, 1, b"\1"]])
    group("order-group", "o names a group that there is not", o=b"\1\1")
    group("order-empty", "a tick without measurements", to=zigzag(0, 1), o=b"\1\0\0")
    group("order-none", "group 1: no measurements", o=b"\1\0", **two)
    group("order-long", "o goes on behind the last tick", o=b"\1\0\1\0")
    group("order-cut", "o ends too early", o=b"\2\0")
    group("overlap", "measurement 1: a group begins before the one before it ends",
          to=zigzag(0, 1, 0), m=[[0, 1, bits(0, 2, n=3)], [0, 1, bits(1, n=3)]], sh=shape(b"x") * 2,
          bv=b"", cb=b"")
    bad("subsystems", "group 1008: more subsystems than allowed",
        delta(m=[[f"s{i}", 4] for i in range(1009)], rw=b"\0" * 1009), about="1025 of them")


def stream_vectors():
    def stream(name, error, **keys):
        bad(name, error, delta(**{**CPU, **keys}))
    for key, data in (("sh", CPU["sh"]), ("bv", CPU["bv"])):
        stream(f"{key}-cut", f"group 0: {key} ends too early", **{key: data[:-1]})
        stream(f"{key}-long", f"{key} is longer than what the groups read", **{key: data + b"\0"})
    stream("rw-cut", "group 0: rw ends too early", m=[[0, 4]], sh=b"", bv=b"", rw=b"\2x")
    stream("rw-long", "rw is longer than what the groups read", rw=b"\0")
    long = "group 0: a number of more than 64 bits"
    stream("varint", long, bv=b"\x80" * 10 + b"\1" + zigzag(1))
    stream("varint-65", long, bv=b"\xff" * 9 + b"\3" + zigzag(1))
    width, byte = "a column of a shape has no width", "a byte that has no meaning in a shape"
    none, end = "fragments of a shape that there are not", "a shape ends too early"
    for name, error, code in (
            ("width", width, b"\1\0"), ("width-zero", width, b"\2\0"), ("code-5", byte, b"\5"),
            ("code-6", byte, b"\6"), ("code-7", byte, b"\7"), ("fragment", none, b"\4\x7f\1"),
            ("fragments", none, b"\4\0\x7f"), ("fragments-none", none, b"\4\0\0"),
            ("cut", end, b"\1"), ("escape", end, b"\3")):
        stream("shape-" + name, "group 0: " + error, sh=shape(code), bv=zigzag(1))
    coded = dict(to=zigzag(0, 1), cb=bits(0, n=2) + bits(0, n=1), ch=changes(1))
    beyond = "group 0: bits beyond the end of a bitmap"
    for name, error, keys in (
            ("bitmap-cut", "group 0: cb ends too early", dict(cb=b"")),
            ("samples-cut", "group 0: cb ends too early", dict(cb=bits(0, n=2))),
            ("bitmap-beyond", beyond, dict(cb=b"\4" + bits(0, n=1))),
            ("samples-beyond", beyond, dict(cb=b"\1\2")),
            ("bitmap-long", "cb is longer than", dict(cb=coded["cb"] + b"\0")),
            ("changes-cut", "group 0: ch ends too early", dict(ch=b"")),
            ("changes-long", "ch is longer than", dict(ch=changes(1, 1))),
            ("change-varint", "measurement 1: a number of more than 64 bits",
             dict(ch=b"\xff" * 10 + b"\1")),
            ("change-last", "measurement 1: a residual that there is not",
             dict(ch=b"\xff" * 9 + b"\1"))):
        stream(name, error, **{**coded, **keys})
    column = "a predictor of a column that there is not"
    before = "a term of a predictor does not lie before it"
    minus = "a predictor subtracts a term that it does not have"
    for name, error, pr in (
            ("column", column, b"\1\2\1"), ("column-second", column, b"\2\0\1\1\1"),
            ("term-itself", before, b"\1\1\2\0"), ("term-before", before, b"\1\1\2\2"),
            ("terms-three", "a predictor of more than two terms", b"\1\1\6\1\1\1"),
            ("minus-none", minus, b"\1\1\x10\1"), ("minus-second", minus, b"\1\1\x12\1"),
            ("cut", "pr ends too early", b"\1")):
        stream("predictor-" + name, "group 0: " + error, m=[[0, 3]], pr=pr, **coded)
    stream("predictor-long", "pr is longer than", m=[[0, 3]], pr=b"\0\0", **coded)


def limit_vectors():
    big = b"x" * (1 << 20)
    bad("bomb", "measurement 63: more bytes of text in all than allowed",
        delta(to=zigzag(0, *[0] * 65), m=[[0, 1]], sh=shape(big), cb=b""), 413,
        about="a megabyte of text, 66 times")
    bad("bomb-fragments", "group 0: the text of a shape is longer than allowed",
        delta(m=[["s", 1]], sh=shape(b"\4\0\x4f" * 60000)), 413, about="shapes that unfold")
    columns = 300000
    bad("columns", "measurement 1: more columns at a time than a state holds", delta(
        to=zigzag(0, 1), m=[[0, 1, b"\1"], [0, 4, b"\2"], [1, 1, b"\3"]],
        sh=shape(b"\0" * columns) * 2, bv=b"\0" * 2 * columns, rw=b"\0",
        cb=b"\0" * (columns // 8)), about="though not in the end")
    bad("state", "more texts and columns than a state holds",
        delta(m=[[i, 1] for i in range(5)], sh=shape(big) * 5))


def text_of(vector):
    return json.dumps(vector, indent=1, ensure_ascii=False) + "\n"


def main(arguments):
    for make in (json_vectors, msgpack_vectors, place_vectors, text_vectors, tick_vectors,
                 predictor_vectors, head_vectors, group_vectors, stream_vectors, limit_vectors):
        make()
    wanted = {f"{name}.json": text_of(vector) for name, vector in vectors.items()}
    found = {name for name in os.listdir(HERE) if name.endswith(".json")}
    wrong = sorted(found - wanted.keys())
    for name, text in wanted.items():
        path = os.path.join(HERE, name)
        if "--check" not in arguments:
            with open(path, "w", encoding="utf-8") as f:
                f.write(text)
        elif name not in found or open(path, encoding="utf-8").read() != text:
            wrong.append(name)
    for name in wrong:
        print(f"{name} is not as make.py would have it")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
