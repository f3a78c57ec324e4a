# SPDX-License-Identifier: MIT
"""Seeds of requests: heads and bodies as fuzz_request.c takes them."""

import struct

import msgpack

LENGTH, GZIP, LEAVES, CONNECTION, KEY = 8, 16, 32, 64, 128
BYTEWISE, SMALL = 1, 5
ALL = LENGTH | KEY
TIME = 1800000000
DELTA = "application/vnd.perfcollector.delta+msgpack"
SESSION = "0123456789abcdef"


def request(*lines, body=b"", how=ALL):
    head = "".join(line + "\r\n" for line in lines).encode("latin-1")
    return bytes([how]) + struct.pack("<H", len(head)) + head + struct.pack("<H", len(body)) + body


def post(body, *lines, path="/v1/trickle", how=ALL):
    return request(f"POST {path} HTTP/1.1", "Host: h", *lines, body=body, how=how)


def keyed(body, seq, *lines, how=ALL):
    return post(body, f"Idempotency-Key: {SESSION}-{seq}", *lines, how=how)


ONE = b'{"identifier":"h","measurements":[{"timestamp":1800000000,"subsystem":"a","measurement":"x 1\\n"}]}'
NONE = b'{"identifier":"h","measurements":[]}'
GO = msgpack.packb({"i": "h", "m": [{"Timestamp": TIME, "Subsystem": "a", "Measurement": b"x \xff\n"}]})
TYPE_GO = "Content-Type: application/msgpack"
TYPE_DELTA = "Content-Type: " + DELTA


def delta(**members):
    usual = {"v": 1, "i": "h", "k": 0, "h": {"bt": TIME}, "to": b"\0\2", "m": [["x", 4]], "rw": b"\1a\1b"}
    usual.update(members)
    return msgpack.packb({k: v for k, v in usual.items() if v is not None})


CHAIN = delta(ss=3, q=0, to=b"\0\2\0", m=[[8, 1]], sh=b"\x08a \0 b\1\4\n", bv=b"\x0e\xc8\1", cb=b"\3\3\1",
              ch=b"\x08\x0d\4", rw=None)
NEXT = delta(ss=3, q=1, h=None, to=b"\2\0", m=[8], k=3, cb=b"\2\2", ch=b"\5", rw=None)
REQUESTS = {
    "batch": post(ONE), "msgpack": post(GO, TYPE_GO), "delta": post(delta(), TYPE_DELTA), "empty-batch": post(NONE),
    "gzip": post(ONE, how=ALL | GZIP), "gzip-twice": post(ONE, "Content-Encoding: gzip", how=ALL | GZIP),
    "bytewise": post(ONE, how=ALL | BYTEWISE), "leaves": post(ONE, how=ALL | LEAVES) + post(ONE),
    "keyed": keyed(ONE, 1) + keyed(ONE, 1) + keyed(NONE, 2, "Idempotency-Floor: 2") + keyed(ONE, 1),
    "keyed-other-body": keyed(ONE, 5) + keyed(GO, 5, TYPE_GO) + keyed(b"{", 6) + keyed(ONE, 6),
    "chain": keyed(CHAIN, 1, TYPE_DELTA) + keyed(NEXT, 2, TYPE_DELTA) + keyed(NEXT, 2, TYPE_DELTA),
    "chain-conflict": keyed(NEXT, 2, TYPE_DELTA) + keyed(CHAIN, 3, TYPE_DELTA) + keyed(CHAIN, 4, TYPE_DELTA),
    "chain-no-key": post(CHAIN, TYPE_DELTA), "chain-gzip": keyed(CHAIN, 1, TYPE_DELTA, how=ALL | GZIP | SMALL),
    "bad-key": post(ONE, "Idempotency-Key: 1"), "floor-alone": post(ONE, "Idempotency-Floor: 1"),
    "no-apikey": post(ONE, how=LENGTH), "bearer": post(ONE, "Authorization: bearer  0123456789abcdef ", how=LENGTH),
    "bound": b"".join(post(ONE.replace(b'"h"', b'"%s"' % i), "APIKey: fedcba9876543210", how=LENGTH) for i in (b"web-1", b"h")),
    "two-apikeys": post(ONE, "APIKey: x"), "wrong-apikey": post(ONE, "APIKey: x", how=LENGTH),
    "chunked": post(ONE, "Transfer-Encoding: chunked", how=KEY), "both-framings": post(ONE, "Transfer-Encoding: chunked"),
    "other-coding": post(ONE, "Transfer-Encoding: gzip, chunked", how=KEY), "two-lengths": post(ONE, "Content-Length: 5"),
    "length-word": post(ONE, "Content-Length: x", how=KEY), "too-long": post(b"x" * 2100),
    "far-too-long": post(b"", "Content-Length: 1000000", how=KEY), "grows": post(b"x" * 5000, "Transfer-Encoding: chunked", how=KEY | 7),
    "bomb": post(b"[" * 60000, how=ALL | GZIP), "unknown-type": post(ONE, "Content-Type: text/html"),
    "unknown-coding": post(ONE, "Content-Encoding: br"), "two-types": post(ONE, "Content-Type: a/b", "Content-Type: c/d"),
    "accept-msgpack": post(b"", "Accept: application/msgpack;q=1, */*;q=0.1"), "no-host": request("POST /v1/trickle HTTP/1.1"),
    "old": request("POST /v1/trickle HTTP/1.0", body=ONE), "old-chunked": request("POST /v1/trickle HTTP/1.0", "Transfer-Encoding: chunked", how=KEY),
    "ping": post(b'{"timestamp":1800000000}', path="/v1/ping") * 2, "ping-msgpack": post(msgpack.packb({"timestamp": 1}), TYPE_GO, path="/v1/ping"),
    "ping-bad": post(b"{}", path="/v1/ping", how=LENGTH), "ping-gzip": post(b'{"timestamp":1}', path="/v1/ping?a=b", how=LENGTH | GZIP),
    "pages": b"".join(request(f"GET {p} HTTP/1.1", "Host: h", how=KEY) for p in ("/healthz", "/readyz", "/metrics", "/metrics?x=1")),
    "metrics-no-key": request("GET /metrics HTTP/1.1", "Host: h", how=0), "head": request("HEAD /healthz HTTP/1.1", "Host: h", how=0),
    "page-with-body": request("GET /healthz HTTP/1.1", "Host: h", body=b"x" * 10, how=LENGTH),
    "no-route": post(ONE, path="/x") + request("GET /v1/trickle HTTP/1.1", "Host: h", body=b"", how=LENGTH),
    "folded": post(ONE, "X: a", " b"), "bare-cr": post(ONE, "X: a\rY: b"), "bare-lf": post(ONE, "X: a\nY: b"), "nul": post(ONE, "X: a\0b"),
    "bad-name": post(ONE, "X y: a"), "blank-before-colon": post(ONE, "X : a"), "control": post(ONE, "X: \x01"),
    "no-colon": post(ONE, "X"), "bad-path": request("GET /\xff HTTP/1.1", "Host: h", how=0), "no-line": request("", how=0),
    "huge-head": post(ONE, "X: " + "y" * 1100), "close": post(ONE, "Connection: close") + post(ONE, how=ALL | CONNECTION),
    "odd-identifiers": b"".join(post(b'{"identifier":"%s","measurements":[{"timestamp":1800000000,"subsystem":"a","measurement":""}]}' % i)
                                for i in (b"..", b"a/b", b"\\u0000", b"\\ud83d\\ude00", b"%" * 255, b"e" * 256)),
}

SEEDS = {"request": REQUESTS.items}
