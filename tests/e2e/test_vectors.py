#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""pcd answers each vector of proto/vectors as it says and stores what it says; and bad
bodies, those of the fuzzers too, leave the store and the states of others as they were."""

import copy
import glob
import gzip
import json
import os
import sys

import msgpack
from delta_writer import TYPE, Writer
from e2e import SOURCE, Pcd, keyed, line, lines, run
from proto_vectors import decode_delta, vectors

CORPUS = os.path.join(SOURCE, "tests", "fuzz", "corpus")
T = 1767813011
SHAPES = {"/proc/stat": b"cpu  \0 \0 \0\nbtime \0\n", "/proc/meminfo": b"MemFree: \0 kB\n"}
REFUSED = (400, 409, 413, 415)


def headers_of(vector):
    return {"Content-Type": vector["content_type"],
            "Content-Encoding": vector.get("content_encoding")}


class Sender:
    """Posts bodies over one connection, each in a session of its own unless told so."""

    def __init__(self, pcd):
        self.pcd, self.connection, self.sessions = pcd, pcd.connect(), 0

    def session(self):
        self.sessions += 1
        return self.sessions

    def post(self, body, headers, session=None, seq=1):
        """Returns (status, headers, error)."""
        fields = {**headers, **keyed(session or self.session(), seq)}
        status, headers, answer = self.pcd.request("POST", "/v1/trickle", body, fields,
                                                   self.connection)
        if headers["Content-Type"] == "application/json":
            return status, headers, json.loads(answer)["error"]
        return status, headers, msgpack.unpackb(answer)["e"]


def stored_line(seconds, nanoseconds, subsystem, text):
    fraction = {"nanoseconds": nanoseconds} if nanoseconds else {}
    return line({"timestamp": seconds, **fraction, "subsystem": subsystem,
                 "measurement": text.decode()})


def is_utf8(text):
    return text.decode("utf-8", "ignore").encode() == text


def decoded_rows(body, state):
    return [(t // 10**9, t % 10**9, name, text) for t, rows in decode_delta.decode(body, state)[1]
            for name, text in rows]


def test_each_vector_gets_its_answer_and_nothing_else_is_stored():
    pcd = Pcd()
    sender = Sender(pcd)
    expected, n_vectors = {}, 0

    def expect(identifier, rows):
        # How a text that is not UTF-8 is stored, test_store.py knows.
        expected.setdefault(identifier, []).extend(
            stored_line(*row) for row in rows if is_utf8(row[3]))

    for n_vectors, vector in enumerate(vectors(), 1):
        session, state = sender.session(), decode_delta.State()
        bodies = [bytes.fromhex(b) for b in vector["before"]]
        for seq, body in enumerate(bodies, 1):
            status, _, error = sender.post(body, headers_of(vector), session, seq)
            assert (status, error) == (200, None), (vector["name"], seq, error)
            expect("h1", decoded_rows(body, state))
        status, headers, error = sender.post(bytes.fromhex(vector["body"]), headers_of(vector),
                                             session, len(bodies) + 1)
        wanted = vector["expect"]
        assert status == wanted["status"], (vector["name"], status, error)
        if status == 200:
            rows = wanted["measurements"]
            assert headers["Measurements-Stored"] == str(len(rows)), vector["name"]
            expect(wanted["identifier"], [(s, n, name, bytes.fromhex(text))
                                          for s, n, name, text in rows])
        else:
            assert error and wanted.get("error", "") in error, (vector["name"], error)
            assert "Measurements-Stored" not in headers, vector["name"]
    assert n_vectors > 40, n_vectors
    assert pcd.stop() == 0, pcd.log
    for identifier, wanted in expected.items():
        stored = [l for l in pcd.stored(identifier).splitlines(True) if b',"bytes":"' not in l]
        for got, want in zip(stored, wanted):
            assert got == want, (identifier, got, want)
        assert len(stored) == len(wanted), (identifier, len(stored), len(wanted))


class Live:
    """A chain that goes on, whatever comes between its batches."""

    def __init__(self, sender):
        self.sender, self.session, self.seq, self.time = sender, sender.session(), 1, T
        self.writer, self.state, self.stored = Writer("live", SHAPES), decode_delta.State(), []
        self.conflicts = 0
        self.go_on()

    def go_on(self):
        ticks = [(self.time + i, [self.time % 1000 + i, i * i, 0, 17], [2**40 - i])
                 for i in range(2)]
        self.time += 2
        body = self.writer.next(ticks) if self.seq > 1 else self.writer.snapshot(ticks)
        status, _, error = self.sender.post(body, {"Content-Type": TYPE}, self.session, self.seq)
        if status == 409 and self.seq > 1:
            self.conflicts += 1
            body = self.writer.snapshot(ticks)
            status, _, error = self.sender.post(body, {"Content-Type": TYPE}, self.session,
                                                self.seq)
        assert (status, error) == (200, None), (status, error)
        decode_delta.decode(body, self.state)
        self.stored += self.writer.measurements(ticks)
        self.seq += 1

    def rewritten(self, body):
        """The body as if it were the next of this chain, where that leaves it bad."""
        try:
            message = msgpack.unpackb(body, strict_map_key=False)
            message["i"] = "live"
            message["ss"] = self.writer.snapshots + (not message["q"])
            message["q"] = message["q"] and self.writer.number + 1
            body = msgpack.packb(message)
        except Exception: # it has no such places
            return None
        try:
            decode_delta.decode(body, copy.deepcopy(self.state))
        except Exception:
            return body
        return None


def bad_vectors():
    """(name, headers, body) of those that are refused for themselves."""
    for v in vectors():
        if v["expect"]["status"] != 200:
            yield v["name"], headers_of(v), bytes.fromhex(v["body"])


def corpus(name):
    for path in sorted(glob.glob(os.path.join(CORPUS, name, "*"))):
        with open(path, "rb") as f:
            yield f"{name}/{os.path.basename(path)}", f.read()


def corpus_bodies():
    for name, data in corpus("delta"):
        n = int.from_bytes(data[:2], "little")
        for body in (data[2:2 + n], data[2 + n:]):
            yield name, {"Content-Type": TYPE}, body
    for kind in ("json", "msgpack"):
        for name, data in corpus(kind):
            yield name, {"Content-Type": "application/" + kind}, data
    for name, data in corpus("gzip"):
        yield name, {"Content-Type": "application/json",
                     "Content-Encoding": "gzip" if data[:1] != b"\0" else "deflate"}, data[1:]


def test_bad_bodies_leave_the_store_and_the_states_as_they_were():
    pcd = Pcd()
    sender = Sender(pcd)
    live, n_refused = Live(sender), 0
    for name, headers, body in list(bad_vectors()) + list(corpus_bodies()):
        plain = body
        if headers.get("Content-Encoding") == "gzip" and headers["Content-Type"] == TYPE:
            plain = gzip.decompress(body)
        is_small_delta = headers["Content-Type"] == TYPE and len(plain) < 100000
        rewritten = live.rewritten(plain) if is_small_delta else None
        before = pcd.metrics()["pcd_measurements_total"]
        # In the chain's own session and under its next key: nothing is to come of it there.
        status, _, error = sender.post(body, headers, live.session, live.seq)
        if status == 200:  # of the corpus, and good: of another host
            assert "/" in name, name
            before = pcd.metrics()["pcd_measurements_total"]
        else:
            assert status in REFUSED and error, (name, status, error)
            assert pcd.metrics()["pcd_measurements_total"] == before, name
            n_refused += 1
        if rewritten:
            status, _, error = sender.post(rewritten, {"Content-Type": TYPE}, live.session,
                                           live.seq)
            assert status in REFUSED and error, (name, status, error)
            assert pcd.metrics()["pcd_measurements_total"] == before, name
            n_refused += 1
        live.go_on()
    assert n_refused > 200, n_refused
    assert 0 < live.conflicts < n_refused / 2, (live.conflicts, n_refused)
    assert pcd.stop() == 0, pcd.log
    assert pcd.stored("live") == lines({"measurements": live.stored}), live.conflicts


if __name__ == "__main__":
    run(sys.modules[__name__])
