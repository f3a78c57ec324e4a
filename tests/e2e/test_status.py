#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Every row of the protocol's tables of routes, types, codings, bodies and status codes,
each asked with a plain curl."""

import concurrent.futures
import gzip
import json
import os
import re
import subprocess
import sys
import zlib

import msgpack
from e2e import (KEY, PATIENCE, Pcd, clean_environment, folder, line, lines, measurements,
                 run, wait_for)

T = 1767813011
STORED = '{"error":null}'
JSON = "application/json"
MSGPACK = "application/msgpack"
DELTA = "application/vnd.perfcollector.delta+msgpack"
SESSION = "0123456789abcdef"


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def type(self):
        return self.headers.get("content-type")

    @property
    def error(self):
        """The error of a TrickleResponse in whichever of the two types."""
        if self.type == JSON:
            return json.loads(self.body)["error"]
        assert self.type == MSGPACK, self
        return msgpack.unpackb(self.body)["e"]

    def __repr__(self):
        return f"{self.status} {self.headers} {self.body[:300]!r}"


def curl_argv(out, *args):
    return ["curl", "-sS", "-D", os.path.join(out, "head"), "-o", os.path.join(out, "body"),
            *args]


def curl_answer(out):
    """What curl wrote; of several answers (100, then the final one) the last."""
    with open(os.path.join(out, "head"), "rb") as f:
        head = f.read().decode("latin-1").rstrip().split("\r\n\r\n")[-1].split("\r\n")
    body = b""
    if os.path.exists(os.path.join(out, "body")):
        with open(os.path.join(out, "body"), "rb") as f:
            body = f.read()
    fields = (h.split(":", 1) for h in head[1:])
    return Answer(int(head[0].split()[1]), {k.lower(): v.strip() for k, v in fields}, body)


def curl(*args, body=None):
    """One request by curl. Without a body it is what curl makes of the arguments."""
    out = folder()
    if body is not None:
        with open(os.path.join(out, "request"), "wb") as f:
            f.write(body if isinstance(body, bytes) else body.encode())
        args = ("--data-binary", "@" + os.path.join(out, "request"), *args)
    done = subprocess.run(curl_argv(out, "--max-time", str(60 * PATIENCE), *args),
                          env=clean_environment(), stderr=subprocess.PIPE, check=False)
    assert done.returncode == 0, (done.returncode, done.stderr, args)
    return curl_answer(out)


def h(*headers):
    """Headers as curl's arguments."""
    return [arg for header in headers for arg in ("-H", header)]


def trickle(pcd, body, *args, content_type=JSON, key=KEY):
    """Posts to /v1/trickle; None leaves a header out."""
    fields = ["Content-Type:" if content_type is None else f"Content-Type: {content_type}"]
    if key is not None:
        fields.append(f"apikey: {key}")
    return curl(*h(*fields), *args, pcd.url + "/v1/trickle", body=body)


def request(identifier="bad", *items):
    """A TrickleRequest as JSON text, its measurements given as JSON texts."""
    items = items or (item(),)
    return '{"identifier":%s,"measurements":[%s]}' % (json.dumps(identifier), ",".join(items))


def item(timestamp=T, subsystem="/proc/stat", text="cpu 1\n", more=""):
    return '{"timestamp":%s,"subsystem":%s,"measurement":%s%s}' % (
        timestamp, json.dumps(subsystem), json.dumps(text), more)


MEMBERS = ("timestamp", "subsystem", "measurement", "nanoseconds")


def packed(identifier, items, names=[name.capitalize() for name in MEMBERS]):
    """A TrickleRequest as MessagePack, members by their Go names unless told otherwise."""
    renamed = dict(zip(MEMBERS, names))
    return msgpack.packb({"i": identifier, "m": [
        {renamed[k]: v for k, v in m.items()} for m in items]})


def offers_what_it_takes(answer):
    """Every answer of ping and trickle says which types and codings are taken."""
    types = answer.headers.get("accept-post", "")
    codings = answer.headers.get("accept-encoding", "")
    for name in (JSON, MSGPACK, DELTA):
        assert name in types, answer
    for name in ("gzip", "deflate"):
        assert name in codings, answer


def ends_well(pcd, stored):
    """pcd stops by itself, and its day files hold exactly `stored`: bytes by identifier."""
    assert pcd.stop() == 0, pcd.log
    assert sorted(os.listdir(pcd.data)) == sorted(stored)
    for identifier, expected in stored.items():
        assert pcd.stored(identifier) == expected, (identifier, pcd.stored(identifier))


# What is taken


def test_200_in_every_type_and_coding():
    batch = measurements(3)
    js, mp = json.dumps, packed
    plain = lambda body: body if isinstance(body, bytes) else body.encode()
    parts = lambda body: gzip.compress(plain(body)[:40]) + gzip.compress(plain(body)[40:])
    deflated = lambda body: zlib.compress(plain(body))
    gzipped = lambda body: gzip.compress(plain(body))
    rows = (
        # type, encoding, coding, compressed how, Accept, type of the answer
        (None, js, None, plain, None, JSON),
        (JSON, js, None, plain, None, JSON),
        ("APPLICATION/Json ; charset=utf-8", js, None, plain, None, JSON),
        ("text/json", js, "identity", plain, None, JSON),
        (JSON, js, "gzip", gzipped, None, JSON),
        (JSON, js, "x-gzip", gzipped, None, JSON),
        (JSON, js, "GZIP", parts, None, JSON),
        (JSON, js, "deflate", deflated, None, JSON),
        (MSGPACK, mp, None, plain, None, MSGPACK),
        ("application/x-msgpack", mp, "gzip", gzipped, None, MSGPACK),
        ("application/vnd.msgpack", mp, "deflate", deflated, None, MSGPACK),
        (JSON, js, None, plain, MSGPACK, MSGPACK),
        (JSON, js, None, plain, "text/html", JSON),
        (MSGPACK, mp, None, plain, JSON, JSON),
        (MSGPACK, mp, None, plain, "application/json;q=0.2, application/msgpack;q=0.9", MSGPACK),
    )
    pcd = Pcd()
    stored = {}
    for number, (media, encode, coding, compress, accept, expected) in enumerate(rows):
        identifier = f"ok-{number}"
        if encode is js:
            body = encode({"identifier": identifier, "measurements": batch})
        else:
            body = encode(identifier, batch)
        args = h(*([f"Content-Encoding: {coding}"] if coding else []),
                 *([f"Accept: {accept}"] if accept else []))
        answer = trickle(pcd, compress(body), *args, content_type=media)
        assert answer.status == 200, (number, answer)
        assert answer.type == expected, (number, answer)
        wanted = STORED.encode() if expected == JSON else bytes.fromhex("81a165c0")
        assert answer.body == wanted, (number, answer)
        assert answer.headers["measurements-stored"] == "3", (number, answer)
        assert "idempotent-replayed" not in answer.headers
        offers_what_it_takes(answer)
        stored[identifier] = b"".join(line(m) for m in batch)
    ends_well(pcd, stored)


def test_200_for_what_the_formats_allow():
    one = line({"timestamp": T, "subsystem": "/proc/stat", "measurement": "cpu 1\n"})
    fraction = {"timestamp": T, "nanoseconds": 250000000, "subsystem": "s", "measurement": "x"}
    accents = {"timestamp": T, "subsystem": "s", "measurement": "äöü \U0001f600 \u2028"}
    binary = {"timestamp": T, "subsystem": "s", "measurement": "a\ufffdb", "bytes": "Yf9i"}
    quoted = b'{"timestamp":1767813011,"subsystem":"s","measurement":"\\"\\\\/\\u0001\\t\x7f"}\n'
    wide = msgpack.packb({"i": "wide", "m": [{"Timestamp": 0, "Subsystem": "/proc/stat",
                                              "Measurement": "cpu 1\n"}]})
    wide = wide.replace(b"Timestamp\x00", b"Timestamp\xcf" + T.to_bytes(8, "big"))
    rows = (
        # identifier, type, body, what is stored, how many
        ("go", MSGPACK, bytes.fromhex(
            "82a169a2676fa16d9183a954696d657374616d70d300000000695eaf93a953756273797374656daa2f"
            "70726f632f73746174ab4d6561737572656d656e74a663707520310a"), one, 1),
        ("wide", MSGPACK, wide, one, 1),
        ("lower", MSGPACK, packed("lower", [fraction], MEMBERS), line(fraction), 1),
        ("fraction", MSGPACK, packed("fraction", [fraction]), line(fraction), 1),
        ("fraction-json", JSON, json.dumps({"identifier": "fraction-json",
                                            "measurements": [fraction]}), line(fraction), 1),
        ("bin", MSGPACK, packed("bin", [{"timestamp": T, "subsystem": "s",
                                         "measurement": b"a\xffb"}]), line(binary), 1),
        ("bytes", JSON, json.dumps({"identifier": "bytes", "measurements": [binary]}),
         line(binary), 1),
        ("escaped", JSON, json.dumps({"identifier": "escaped", "measurements": [accents]}),
         line(accents), 1),
        ("accents", JSON, json.dumps({"identifier": "accents", "measurements": [accents]},
                                     ensure_ascii=False), line(accents), 1),
        ("quoted", JSON, b'{"identifier":"quoted","measurements":[%s]}' % (
            rb'{"timestamp":1767813011,"subsystem":"s","measurement":"\"\\\/\u0001\t\u007f"}'),
         quoted, 1),
        ("blanks", JSON, ' { "identifier" :\t"blanks",\r\n"measurements" : [ %s ] } \n' % item(),
         one, 1),
        ("unknown", JSON, request("unknown", item(more=',"colour":[{"x":[null,true,1e9]}]')),
         one, 1),
        ("twice", JSON, '{"identifier":"first","identifier":"twice","measurements":[%s]}' %
         item(more=',"subsystem":"/proc/stat"'), one, 1),
        ("order", JSON, '{"measurements":[{"measurement":"cpu 1\\n","subsystem":"/proc/stat",'
         '"timestamp":1767813011}],"identifier":"order"}', one, 1),
        ("edges", JSON, request("edges", item(946684800, text="x"), item(7289654399, text="y")),
         line({"timestamp": 946684800, "subsystem": "/proc/stat", "measurement": "x"}) +
         line({"timestamp": 7289654399, "subsystem": "/proc/stat", "measurement": "y"}), 2),
        ("empty-text", JSON, request("empty-text", item(text="")),
         line({"timestamp": T, "subsystem": "/proc/stat", "measurement": ""}), 1),
    )
    pcd = Pcd()
    for identifier, media, body, _, n in rows:
        answer = trickle(pcd, body, content_type=media)
        assert answer.status == 200, (identifier, answer)
        assert answer.headers["measurements-stored"] == str(n), (identifier, answer)
    ends_well(pcd, {row[0]: row[3] for row in rows})


def test_200_for_a_chunked_body_and_for_one_that_waits_for_100():
    pcd = Pcd()
    big = {"identifier": "big", "measurements": measurements(2000, text="x" * 1000)}
    answer = trickle(pcd, json.dumps(big), *h("Expect: 100-continue"))
    assert answer.status == 200, answer
    answer = trickle(pcd, request("chunked"), *h("Transfer-Encoding: chunked"))
    assert answer.status == 200, answer
    ends_well(pcd, {"big": lines(big), "chunked": line(json.loads(item()))})


def test_200_for_http_1_0():
    pcd = Pcd()
    answer = trickle(pcd, request("old"), "--http1.0")
    assert answer.status == 200, answer
    ends_well(pcd, {"old": line(json.loads(item()))})


def test_200_for_a_batch_of_nothing():
    pcd = Pcd()
    for media, body in ((JSON, '{"identifier":"none","measurements":[]}'),
                        (MSGPACK, msgpack.packb({"i": "none", "m": []})),
                        # What Go's encoders make of no measurements.
                        (JSON, '{"identifier":"none","measurements":null}'),
                        (MSGPACK, msgpack.packb({"i": "none", "m": None}))):
        answer = trickle(pcd, body, content_type=media)
        assert (answer.status, answer.headers.get("measurements-stored")) == (200, "0"), answer
    ends_well(pcd, {})


def test_200_replayed():
    pcd = Pcd()
    first = trickle(pcd, request("host"), *h(f"Idempotency-Key: {SESSION}-1"))
    assert first.status == 200 and first.headers["measurements-stored"] == "1", first
    for _ in range(2):
        again = trickle(pcd, request("host"), *h(f"Idempotency-Key: {SESSION}-1"))
        assert again.status == 200 and again.body == STORED.encode(), again
        assert again.headers["idempotent-replayed"] == "true", again
        assert "measurements-stored" not in again.headers, again
        offers_what_it_takes(again)
    # The key is the identifier's own.
    other = trickle(pcd, request("other"), *h(f"Idempotency-Key: {SESSION}-1"))
    assert "idempotent-replayed" not in other.headers, other
    one = line(json.loads(item()))
    ends_well(pcd, {"host": one, "other": one})


def test_ping_in_every_type():
    pcd = Pcd()
    url = pcd.url + "/v1/ping"
    rows = (
        (JSON, '{"timestamp":1700000000}', [], JSON),
        (None, '{"timestamp":1700000000}', [], JSON),
        (MSGPACK, msgpack.packb({"timestamp": 1700000000}), [], MSGPACK),
        (DELTA, msgpack.packb({"timestamp": 1700000000}), [], MSGPACK),
        (JSON, '{"timestamp":1700000000}', [f"Accept: {MSGPACK}"], MSGPACK),
        (MSGPACK, msgpack.packb({"timestamp": 1700000000}), [f"Accept: {JSON}"], JSON),
    )
    for media, body, headers, expected in rows:
        fields = [f"Content-Type: {media}" if media else "Content-Type:", *headers]
        answer = curl(*h(*fields), url, body=body)
        assert (answer.status, answer.type) == (200, expected), answer
        decode = json.loads if expected == JSON else msgpack.unpackb
        pong = decode(answer.body)
        assert sorted(pong) == ["origintimestamp", "timestamp"], pong
        assert pong["origintimestamp"] == 1700000000
        assert pong["timestamp"] > 1700000000
        offers_what_it_takes(answer)
    for media, body, status in ((JSON, "{", 400), (JSON, "{}", 400), (MSGPACK, b"\x81", 400),
                                ("text/plain", "x", 415), (DELTA, b"\x80", 400)):
        answer = curl(*h(f"Content-Type: {media}"), url, body=body)
        assert answer.status == status and answer.error, answer
        offers_what_it_takes(answer)
    ends_well(pcd, {})


# What is refused


class Refusals:
    """Rows that must be refused: each is posted, and once more with Accept naming the other
    type, and must say the same in both. Afterwards nothing may be stored."""

    def __init__(self, **options):
        self.pcd = Pcd(**options)
        self.counts = {}

    def row(self, status, what, body, *headers, content_type=JSON, key=KEY):
        """what: a pattern the error must match."""
        answers = []
        own = JSON if content_type in (None, JSON) or "msgpack" not in content_type else MSGPACK
        for accept, expected in ((None, own), (MSGPACK, MSGPACK), (JSON, JSON)):
            fields = h(*headers, *([f"Accept: {accept}"] if accept else []))
            answer = trickle(self.pcd, body, *fields, content_type=content_type, key=key)
            about = (what, body[:200], headers, answer)
            assert answer.status == status, about
            assert answer.type == expected, about
            assert re.search(what, answer.error), about
            assert "measurements-stored" not in answer.headers, about
            assert "idempotent-replayed" not in answer.headers, about
            offers_what_it_takes(answer)
            answers.append(answer)
        assert len({answer.error for answer in answers}) == 1, answers
        self.counts[status] = self.counts.get(status, 0) + len(answers)
        return answers[0]

    def end(self, stored=None):
        """Every refusal was counted, and nothing is stored of any."""
        metrics = self.pcd.metrics()
        for status, n in self.counts.items():
            name = f'pcd_requests_total{{route="trickle",code="{status}"}}'
            assert metrics.get(name) == n, (name, n, metrics)
        assert metrics["pcd_batches_total"] == len(stored or {})
        ends_well(self.pcd, stored or {})


def test_400_for_bad_json_names_the_byte():
    r = Refusals()
    good = request()
    for body, offset in (
            ("", 0),
            ("x", 0),
            ("[]", 0),
            (good[:-1], len(good) - 1),
            (good[:30], 30),
            (good + "x", len(good)),
            (good.replace(":[", "[", 1), good.index(":[")),
            (good.replace(str(T), "0" + str(T)), None),
            (good.replace(str(T), "1.5"), None),
            (good.replace(str(T), '"1767813011"'), None),
            (good.replace(str(T), "99999999999999999999"), None),
            (good.replace('"/proc/stat"', "7"), good.index('"/proc/stat"')),
            (good.replace('"/proc/stat"', "'/proc/stat'"), good.index('"/proc/stat"')),
            (good.replace("cpu 1", "cpu\t1"), good.index("cpu") + 3),
            (good.replace("cpu 1", r"cpu\x"), None),
            (good.replace("cpu 1", r"\ud800"), None),
            (good.replace("cpu 1", r"\udc00\ud800"), None),
            (good.encode().replace(b"cpu 1", b"cpu \xff"), good.index("cpu") + 4),
            (good.encode().replace(b"cpu 1", b"\xed\xa0\x80"), good.index("cpu")),
            (b"\xef\xbb\xbf" + good.encode(), 0)):
        where = r"at byte \d+" if offset is None else rf"at byte {offset}\b"
        r.row(400, where, body)
    r.end()


def test_400_for_bad_msgpack_names_the_byte():
    r = Refusals()
    good = packed("bad", [{"timestamp": T, "subsystem": "/proc/stat", "measurement": "cpu 1\n"}])
    for body in (b"", b"\xc1", b"\x90", good[:-1], good[:20], good + b"\xc0",
                 good.replace(b"\xce" + T.to_bytes(4, "big"), b"\xc3"),
                 good.replace(b"\xaa/proc/stat", b"\x07"),
                 good.replace(b"\xaa/proc/stat", b"\xaa/proc\xffstat"),
                 # More elements announced than bytes follow.
                 b"\x82\xa1i\xa3bad\xa1m\xdd\xff\xff\xff\xff",
                 b"\xdf\xff\xff\xff\xff"):
        r.row(400, r"at byte \d+|measurement 0: \w+|message is not a map", body,
              content_type=MSGPACK)
    r.end()


def test_400_for_a_missing_or_bad_member_names_it():
    r = Refusals()
    for what, body in (
            ("identifier", '{"measurements":[%s]}' % item()),
            ("measurements", '{"identifier":"bad"}'),
            ("measurements", '{"identifier":"bad","measurements":{}}'),
            ("identifier", '{"identifier":null,"measurements":[%s]}' % item()),
            ("measurement 0: .*timestamp", request(
                "bad", '{"subsystem":"s","measurement":"x"}')),
            ("measurement 1: .*subsystem", request(
                "bad", item(), '{"timestamp":%d,"measurement":"x"}' % T)),
            (r"measurement 2: .*measurement\b", request(
                "bad", item(), item(), '{"timestamp":%d,"subsystem":"s"}' % T)),
            ("measurement 1: .*nanoseconds", request(
                "bad", item(), item(more=',"nanoseconds":1000000000'))),
            ("measurement 0: .*bytes", request("bad", item(more=',"bytes":"*"')))):
        r.row(400, what, body)
    for what, body in (
            ("identifier", msgpack.packb({"m": []})),
            ("measurements", msgpack.packb({"i": "bad"})),
            ("measurement 1: .*timestamp", msgpack.packb({"i": "bad", "m": [
                {"Timestamp": T, "Subsystem": "s", "Measurement": "x"},
                {"Subsystem": "s", "Measurement": "x"}]}))):
        r.row(400, what, body, content_type=MSGPACK)
    r.end()


def test_400_for_a_bad_identifier():
    r = Refusals()
    for identifier in ("", "a\nb", "a\x00b", "\x7f", "\x1b[31m", "x" * 129, "ä" * 65,
                       "x" * 10000):
        r.row(400, "identifier", request(identifier))
        r.row(400, "identifier", msgpack.packb({"i": identifier, "m": []}),
              content_type=MSGPACK)
    r.row(400, "identifier", b"\x82\xa1i\xa2\xff\xfe\xa1m\x90", content_type=MSGPACK)
    r.row(400, "identifier", msgpack.packb({"i": 7, "m": []}), content_type=MSGPACK)
    r.end()


def test_400_for_a_timestamp_outside_2000_to_2200():
    r = Refusals()
    for timestamp in (0, -1, 946684799, 7289654400, T * 1000, -2**63, 2**63 - 1):
        r.row(400, "measurement 1: .*timestamp", request("bad", item(), item(timestamp)))
        r.row(400, "measurement 0: .*timestamp",
              packed("bad", [{"timestamp": timestamp, "subsystem": "s", "measurement": "x"}]),
              content_type=MSGPACK)
    r.end()


def test_400_for_a_bad_compressed_body():
    r = Refusals()
    body = request().encode()
    good = gzip.compress(body)
    for wrong in (body, b"", good[:-1], good[:12], good + b"\0", good + b"x" * 100,
                  good + good[:10], good[:-5] + bytes([good[-5] ^ 1]) + good[-4:],
                  good[:-1] + bytes([good[-1] ^ 1]), zlib.compress(body)):
        r.row(400, ".", wrong, "Content-Encoding: gzip")
    for wrong in (body, good, zlib.compress(body)[:-1], zlib.compress(body) + b"\0",
                  zlib.compress(body)[2:-4]):
        r.row(400, ".", wrong, "Content-Encoding: deflate")
    r.end()


def test_400_for_a_bad_idempotency_key():
    r = Refusals()
    for key in ("x", SESSION, f"{SESSION}-", f"{SESSION}-0", f"{SESSION}-01", f"{SESSION}--1",
                f"{SESSION}-+1", f"{SESSION}-1x", f"{SESSION}-1 2", f"{SESSION}-0x1",
                f"{SESSION}_1", f"{SESSION.upper()}-1", f"{SESSION[:-1]}-1", f"{SESSION}0-1",
                f"g{SESSION[1:]}-1", f"{SESSION}-9223372036854775808",
                f"{SESSION}-18446744073709551617", f"{SESSION}-1, {SESSION}-2"):
        r.row(400, "Idempotency-Key", request(), f"Idempotency-Key: {key}")
    r.row(400, "Idempotency-Key", request(), "Idempotency-Key;")
    r.row(400, "Idempotency-Key", request(), f"Idempotency-Key: {SESSION}-1",
          f"Idempotency-Key: {SESSION}-2")
    for floor in ("x", "-1", "01", "1.5", "9223372036854775808"):
        r.row(400, "Idempotency-Floor", request(), f"Idempotency-Key: {SESSION}-7",
              f"Idempotency-Floor: {floor}")
    # The largest there is.
    answer = trickle(r.pcd, request("good"), *h(f"Idempotency-Key: {SESSION}-9223372036854775807"))
    assert answer.status == 200, answer
    r.end({"good": line(json.loads(item()))})


def test_401_without_the_right_key():
    r = Refusals()
    for key in (None, "wrong", KEY + "x", KEY[:-1], KEY.upper()):
        answer = r.row(401, "key", request(), key=key)
        assert answer.headers.get("www-authenticate", "").startswith("Bearer"), answer
    r.row(401, "key", request(), "Authorization: Bearer wrong", key=None)
    r.row(401, "key", request(), f"Authorization: Basic {KEY}", key=None)
    # Decided from the headers: the key comes first, whatever else is wrong.
    r.row(401, "key", "x", "Content-Encoding: br", content_type="text/plain", key=None)

    taken = (f"Authorization: Bearer {KEY}", f"authorization: bearer {KEY}", f"APIKEY: {KEY}")
    for i, header in enumerate(taken):
        answer = trickle(r.pcd, request(f"good-{i}"), *h(header), key=None)
        assert answer.status == 200, answer
    r.end({f"good-{i}": line(json.loads(item())) for i in range(len(taken))})


def test_401_keeps_the_connection_after_a_small_body():
    pcd = Pcd()
    small = os.path.join(folder(), "small")
    with open(small, "w") as f:
        f.write(request())
    url = pcd.url + "/v1/trickle"
    one = ["-sS", "-o", "/dev/null", "-w", "%{http_code} %{num_connects}\n", *h(
        "Content-Type: application/json", "apikey: wrong"), "--data-binary", "@" + small, url]
    done = subprocess.run(["curl", *one, "--next", *one, "--next", *one], check=True,
                          env=clean_environment(), stdout=subprocess.PIPE)
    assert done.stdout.split() == [b"401", b"1", b"401", b"0", b"401", b"0"], done.stdout
    # A large one costs the connection, but the answer arrives.
    answer = trickle(pcd, b" " * (6 << 20), key="wrong")
    assert answer.status == 401 and answer.headers["connection"] == "close", answer
    ends_well(pcd, {})


def test_404_and_405():
    pcd = Pcd()
    key = h(f"apikey: {KEY}")
    for path in ("/", "/v1", "/v1/trickle/", "/v1/hosts", "/v2/trickle", "/metrics/x",
                 "/%2e%2e/apikeys", "/v1/Trickle"):
        for args in ([], ["-X", "POST", "-d", "{}"], ["-X", "DELETE"]):
            answer = curl(*key, *args, "--path-as-is", pcd.url + path)
            assert answer.status == 404, (path, args, answer)
    # The query is no part of the route.
    assert curl(pcd.url + "/healthz?a=b&c").status == 200
    for method, path, allowed in (
            ("GET", "/v1/trickle", {"POST"}), ("PUT", "/v1/trickle", {"POST"}),
            ("DELETE", "/v1/trickle", {"POST"}), ("GET", "/v1/ping", {"POST"}),
            ("OPTIONS", "/v1/ping", {"POST"}),
            ("POST", "/healthz", {"GET", "HEAD"}), ("DELETE", "/readyz", {"GET", "HEAD"}),
            ("POST", "/metrics", {"GET", "HEAD"}), ("BREW", "/metrics", {"GET", "HEAD"})):
        body = ["-d", "{}"] if method in ("POST", "PUT") else []
        answer = curl(*key, *body, "-X", method, pcd.url + path)
        assert answer.status == 405, (method, path, answer)
        assert set(answer.headers["allow"].split(", ")) == allowed, (method, path, answer)
    ends_well(pcd, {})


def test_408_when_the_body_does_not_arrive_in_time():
    pcd = Pcd(REQUEST_TIMEOUT="1s")
    # A chunked body that stops, read by curl from a pipe.
    out = folder()
    argv = curl_argv(out, *h("Transfer-Encoding: chunked", "Content-Type: application/json",
                             f"apikey: {KEY}", "Expect:"), "-X", "POST", "-T", ".",
                     pcd.url + "/v1/trickle")
    # No --max-time: with it curl 7.88 is deaf while the pipe has nothing for it.
    process = subprocess.Popen(argv, env=clean_environment(), stdin=subprocess.PIPE,
                               stderr=subprocess.DEVNULL)
    process.stdin.write(request()[:30].encode())
    process.stdin.flush()
    process.wait(60 * PATIENCE)
    process.stdin.close()
    # One with a length that comes, but slowly.
    slow = trickle(pcd, b" " * (1 << 20), "--limit-rate", "30k", *h("Expect:"))
    for answer in (curl_answer(out), slow):
        assert answer.status == 408 and answer.error, answer
        assert answer.headers["connection"] == "close", answer
        offers_what_it_takes(answer)
    ends_well(pcd, {})


def test_413_for_each_limit_and_200_right_at_it():
    r = Refusals(BODY_MAX="64KiB", DECODED_MAX="128KiB", MEASUREMENTS_MAX="10",
                 TEXT_MAX="1KiB")

    def padded(identifier, n):
        """A body of exactly n bytes."""
        text = request(identifier)
        return text + " " * (n - len(text))

    large = measurements(11)
    r.row(413, "bod", padded("bad", 65537))
    r.row(413, "bod", padded("bad", 65537), "Transfer-Encoding: chunked")
    r.row(413, "bod", b" " * (1 << 20))
    r.row(413, "bod", b" " * (1 << 20), "Transfer-Encoding: chunked")
    r.row(413, ".", gzip.compress(padded("bad", 131073).encode()), "Content-Encoding: gzip")
    r.row(413, ".", zlib.compress(padded("bad", 1 << 20).encode()), "Content-Encoding: deflate")
    r.row(413, "measurement", json.dumps({"identifier": "bad", "measurements": large}))
    r.row(413, "measurement", packed("bad", large), content_type=MSGPACK)
    r.row(413, "measurement 1: ", request("bad", item(), item(text="x" * 1025)))
    r.row(413, "measurement 0: ", packed("bad", measurements(1, text="x" * 1025)),
          content_type=MSGPACK)

    stored = {}
    for identifier, body, *headers in (
            ("body", padded("body", 65536)),
            ("chunked", padded("chunked", 65536), "Transfer-Encoding: chunked"),
            ("decoded", gzip.compress(padded("decoded", 131072).encode()),
             "Content-Encoding: gzip"),
            ("ten", json.dumps({"identifier": "ten", "measurements": large[:10]})),
            ("text", request("text", item(text="x" * 1024)))):
        answer = trickle(r.pcd, body, *h(*headers))
        assert answer.status == 200, (identifier, answer)
        stored[identifier] = line(json.loads(item()))
    stored["ten"] = b"".join(line(m) for m in large[:10])
    stored["text"] = line(json.loads(item(text="x" * 1024)))
    r.end(stored)


def test_the_names_of_subsystems_and_the_nesting_are_bounded():
    r = Refusals()
    for name in ("x" * 256, "x" * 10000):
        r.row(413, "measurement 0: .*subsystem", request("bad", item(subsystem=name)))
    for opening, closing in (("[", "]"), ('{"a":', "}")):
        inner = opening * 20 + "1" + closing * 20
        r.row(413, "nest", request("bad", item(more=f',"x":{inner}')))
    longest = item(subsystem="x" * 255)
    assert trickle(r.pcd, request("longest", longest)).status == 200
    r.end({"longest": line(json.loads(longest))})


def test_415_for_types_and_codings_not_taken():
    r = Refusals()
    for media in ("text/plain", "application/x-www-form-urlencoded", "application/jsonx",
                  "application/xml", "multipart/form-data; boundary=x", "json",
                  "application/vnd.other+msgpack"):
        r.row(415, "Content-Type", request(), content_type=media)
    for coding in ("br", "zstd", "compress", "gzip, gzip", "gzip,identity", "gzipx", "*"):
        r.row(415, "Content-Encoding", gzip.compress(request().encode()),
              f"Content-Encoding: {coding}")
    r.row(415, "Content-Encoding", gzip.compress(request().encode()),
          "Content-Encoding: gzip", "Content-Encoding: gzip")
    r.row(415, "Content-Type", request(), "Content-Type: application/json")
    r.end()


def test_431_for_headers_that_are_too_large():
    pcd = Pcd()
    for fields in ([f"X-Filler: {'x' * 7000}"], [f"X-{i}: {'x' * 100}" for i in range(70)]):
        answer = trickle(pcd, request(), *h(*fields))
        assert answer.status == 431, answer
    answer = trickle(pcd, request("most"), *h(f"X-Filler: {'x' * 5000}"))
    assert answer.status == 200, answer
    ends_well(pcd, {"most": line(json.loads(item()))})


def test_503_when_the_log_is_full():
    # The day file of the host can't be made, so nothing leaves the log.
    pcd = Pcd(LOG_MAX="16MiB")
    os.mkdir(os.path.join(pcd.data, "stuck"))
    os.symlink(os.path.join(pcd.home, "elsewhere", "file"),
               os.path.join(pcd.data, "stuck", "2026-01-07.jsonl"))
    body = request("stuck", *[item(text="x" * 10000)] * 100)
    stored = 0
    while True:
        answer = trickle(pcd, body)
        if answer.status != 200:
            break
        stored += 1
        assert stored < 50
    assert stored > 0
    assert answer.status == 503 and answer.error, answer
    assert 1 <= int(answer.headers["retry-after"]) <= 600, answer
    offers_what_it_takes(answer)
    ready = curl(pcd.url + "/readyz")
    assert ready.status == 503, ready
    assert curl(pcd.url + "/healthz").status == 200

    # As soon as it can be filed it is, and there is room again.
    elsewhere = os.path.join(pcd.home, "elsewhere")
    os.mkdir(elsewhere)
    wait_for("the day file", lambda: os.path.exists(os.path.join(elsewhere, "file")))
    pcd.wait_stored("stuck", stored * 100)
    wait_for("readyz", lambda: curl(pcd.url + "/readyz").status == 200)
    wait_for("room", lambda: trickle(pcd, body).status == 200)
    ends_well(pcd, {"stuck": line(json.loads(item(text="x" * 10000))) * 100 * (stored + 1)})


def test_503_when_too_much_is_in_memory():
    pcd = Pcd(QUEUE_MAX="1MiB", DECODED_MAX="256KiB", BODY_MAX="256KiB", GATHER="1s")
    # Together far more than may wait for the disk, which is made slow by gathering.
    bodies = [request(f"host-{i}", item(text="x" * 100000)) for i in range(40)]
    with concurrent.futures.ThreadPoolExecutor(len(bodies)) as pool:
        answers = list(pool.map(lambda body: trickle(pcd, body), bodies))
    refused = [answer for answer in answers if answer.status != 200]
    assert 0 < len(refused) < len(bodies), [answer.status for answer in answers]
    waits = set()
    for answer in refused:
        assert answer.status == 503 and answer.error, answer
        waits.add(int(answer.headers["retry-after"]))
    # Spread, so that not all come back at once.
    assert len(waits) > 1 and 1 <= min(waits) and max(waits) <= 600, waits
    one = line(json.loads(item(text="x" * 100000)))
    ends_well(pcd, {f"host-{i}": one for i, answer in enumerate(answers)
                    if answer.status == 200})


def test_507_when_the_disk_is_below_its_reserve():
    r = Refusals(DISK_RESERVE="1000TiB")
    answer = r.row(507, ".", request())
    assert 1 <= int(answer.headers["retry-after"]) <= 600, answer
    ready = curl(r.pcd.url + "/readyz")
    assert ready.status == 503, ready
    assert curl(r.pcd.url + "/healthz").status == 200
    r.end()


# The other routes


def test_health_readiness_and_metrics():
    pcd = Pcd()
    for path in ("/healthz", "/readyz"):
        answer = curl(pcd.url + path)
        assert answer.status == 200, answer
    trickle(pcd, request("host"))
    trickle(pcd, request("host"), key="wrong")
    answer = curl(pcd.url + "/metrics")
    assert answer.status == 200, answer
    assert answer.type.startswith("text/plain; version=0.0.4"), answer
    text = answer.body.decode()
    assert 'pcd_requests_total{route="trickle",code="200"} 1\n' in text, text
    assert 'pcd_requests_total{route="trickle",code="401"} 1\n' in text, text
    sample = re.compile(r'[a-z_]+(\{[a-z_]+="[^"]*"(,[a-z_]+="[^"]*")*\})? \S+')
    typed = set()
    for text_line in text.splitlines():
        if text_line.startswith("# TYPE "):
            typed.add(text_line.split()[2])
        elif not text_line.startswith("#"):
            assert sample.fullmatch(text_line), text_line
            name = re.sub(r"_(bucket|sum|count)$", "", text_line.split("{")[0].split()[0])
            assert name in typed or text_line.split("{")[0].split()[0] in typed, text_line
            float(text_line.rsplit(" ", 1)[1])
    ends_well(pcd, {"host": line(json.loads(item()))})


def test_metrics_with_a_key():
    pcd = Pcd(METRICS_AUTH="true")
    assert curl(pcd.url + "/metrics").status == 401
    assert curl(*h("apikey: wrong"), pcd.url + "/metrics").status == 401
    assert curl(*h(f"apikey: {KEY}"), pcd.url + "/metrics").status == 200
    assert curl(*h(f"Authorization: Bearer {KEY}"), pcd.url + "/metrics").status == 200
    # The others stay open.
    assert curl(pcd.url + "/healthz").status == 200
    assert curl(pcd.url + "/readyz").status == 200
    ends_well(pcd, {})


def test_head_is_get_without_the_body():
    pcd = Pcd()
    for path in ("/healthz", "/readyz", "/metrics"):
        answer = curl("--head", pcd.url + path)
        assert answer.status == 200 and int(answer.headers["content-length"]) > 0, answer
        # What curl writes for --head is the header once more, and then would come a body.
        assert answer.body.endswith(b"\r\n\r\n"), answer
    ends_well(pcd, {})


if __name__ == "__main__":
    run(sys.modules[__name__])
