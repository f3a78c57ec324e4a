#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""However the network cuts a request or an answer into segments, it is the same one.

A segment counts only once pcd has read it by itself: so after each the kernel is asked
whether anything is left unread. All connections of a test go in step, so that this is
waited for once a step, not once a connection.

PC_SPLITS=long sends in every size of segment up to that of the whole request.
"""

import gzip
import os
import socket
import sys
import threading
import time

import msgpack
from certs import Authority
from e2e import KEY, Pcc, Pcd, Wire, folder, keyed, line, run, wait_for

LONG = os.environ.get("PC_SPLITS") == "long"
SESSION = 0xfeed
# A request in a thousand segments takes long where the machine is busy.
PATIENT = {"REQUEST_TIMEOUT": "10m"}


def batch(identifier):
    """A small one, and what is stored of it."""
    m = {"timestamp": 1767813011, "subsystem": "s", "measurement": f"of {identifier}\n"}
    return {"identifier": identifier, "measurements": [m]}, line(m)


def json_body(b):
    return (b'{"identifier":"%s","measurements":[{"timestamp":1767813011,"subsystem":"s",'
            b'"measurement":"of %s\\n"}]}' % ((b["identifier"].encode(),) * 2))


def whole(b):
    return b"Content-Type: application/json", json_body(b)


def compressed(b):
    body = msgpack.packb({"i": b["identifier"], "m": b["measurements"]})
    return b"Content-Type: application/msgpack\r\nContent-Encoding: gzip", \
        gzip.compress(body, mtime=0)


def chunked(b):
    body = json_body(b)
    pieces = [body[:1], body[1:20], body[20:]]
    return b"Transfer-Encoding: chunked", b"".join(
        b"%x\r\n%s\r\n" % (len(p), p) for p in pieces) + b"0\r\n\r\n"


def request(form, identifier, seq):
    """The bytes of a request."""
    fields, body = form(batch(identifier)[0])
    if b"Transfer-Encoding" not in fields:
        fields += b"\r\nContent-Length: %d" % len(body)
    return (b"POST /v1/trickle HTTP/1.1\r\nHost: x\r\napikey: %s\r\nIdempotency-Key: %s\r\n"
            b"%s\r\n\r\n%s" % (KEY.encode(), keyed(SESSION, seq)["Idempotency-Key"].encode(),
                               fields, body))


def unread(pcd):
    """Bytes that pcd's kernel has received and pcd has not read: proc(5), net/tcp."""
    with open("/proc/net/tcp") as f:
        rows = [text.split() for text in f.readlines()[1:]]
    return sum(int(row[4].split(":")[1], 16) for row in rows
               if int(row[1].split(":")[1], 16) == pcd.port and row[3] == "01")


def wait_read(pcd):
    time.sleep(0.002)  # mostly enough, and much shorter than what wait_for() sleeps
    wait_for("pcd to read", lambda: unread(pcd) == 0)


def send_in_step(pcd, messages):
    """Sends, each over a connection of its own, lists of segments; returns the answers."""
    wires = [Wire(pcd) for _ in messages]
    for step in range(max(map(len, messages))):
        for wire, segments in zip(wires, messages):
            if step < len(segments):
                assert wire.send(segments[step])
        wait_read(pcd)
    answers = [wire.answer() for wire in wires]
    for wire in wires:
        wire.close()
    return answers


def assert_stored_once(pcd, answers, identifiers):
    for answer, identifier in zip(answers, identifiers, strict=True):
        assert answer and answer[0] == 200, (identifier, answer)
        assert answer[1]["Measurements-Stored"] == "1", (identifier, answer[1])
    for identifier in identifiers:
        wanted = batch(identifier)[1]
        assert pcd.wait_stored(identifier, 1) == wanted, identifier
    assert pcd.stop() == 0, pcd.log
    assert sorted(os.listdir(pcd.data)) == sorted(identifiers)


def split_everywhere(form):
    pcd = Pcd(**PATIENT)
    n = len(request(form, "at-0000", 1))
    identifiers = [f"at-{i:04}" for i in range(1, n)]
    messages = []
    for i, identifier in enumerate(identifiers, 1):
        data = request(form, identifier, 1)
        messages.append([data[:i], data[i:]])
    assert_stored_once(pcd, send_in_step(pcd, messages), identifiers)


def test_a_request_split_at_every_byte():
    split_everywhere(whole)


def test_a_compressed_one():
    split_everywhere(compressed)


def test_a_chunked_one():
    split_everywhere(chunked)


def in_segments(data, size):
    return [data[i:i + size] for i in range(0, len(data), size)]


def test_segments_of_every_small_size():
    pcd = Pcd(**PATIENT)
    forms = (whole, compressed, chunked)
    sizes = range(1, len(request(whole, "x-0-0000", 1)) + 1 if LONG else 20)
    identifiers, messages = [], []
    for number, form in enumerate(forms):
        for size in sizes:
            identifiers.append(f"x-{number}-{size:04}")
            messages.append(in_segments(request(form, identifiers[-1], 1), size))
    assert_stored_once(pcd, send_in_step(pcd, messages), identifiers)


def test_pipelined_requests_split_at_every_byte():
    pcd = Pcd(**PATIENT)
    # They are the same each time: stored once, then known.
    both = request(whole, "first", 1) + request(chunked, "next", 1)
    answers = []
    wires = [Wire(pcd) for _ in range(1, len(both))]
    for i, wire in enumerate(wires, 1):
        wire.send(both[:i])
    wait_read(pcd)
    for i, wire in enumerate(wires, 1):
        wire.send(both[i:])
    for wire in wires:
        answers += [wire.answer(), wire.answer()]
        wire.close()
    assert all(a and a[0] == 200 for a in answers), [a for a in answers if not a]
    stored = [a for a in answers if "Measurements-Stored" in a[1]]
    assert len(stored) == 2 and all(a[1]["Measurements-Stored"] == "1" for a in stored)
    assert sum("Idempotent-Replayed" in a[1] for a in answers) == len(answers) - 2
    assert pcd.stop() == 0, pcd.log
    for identifier in ("first", "next"):
        assert pcd.stored(identifier) == batch(identifier)[1]


def test_tls_records_of_every_small_size():
    authority = Authority()
    certificate, key = authority.issue("server")
    pcd = Pcd(TLS_CERT=certificate, TLS_KEY=key, **PATIENT)
    pcd.tls = authority.client()
    identifiers = [f"tls-{size:04}" for size in (1, 2, 3, 7, 64)]
    messages = [in_segments(request(whole, identifier, 1), int(identifier[4:]))
                for identifier in identifiers]
    assert_stored_once(pcd, send_in_step(pcd, messages), identifiers)


class Crumbler:
    """Passes on between an agent and a pcd so many bytes a segment, both ways."""

    def __init__(self, pcd, size):
        self.pcd, self.size = pcd, size
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            client, _ = self._listener.accept()
            server = socket.create_connection((self.pcd.host, self.pcd.port))
            for source, sink in ((client, server), (server, client)):
                sink.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                threading.Thread(target=self._pass_on, args=(source, sink),
                                 daemon=True).start()

    def _pass_on(self, source, sink):
        try:
            while data := source.recv(65536):
                for piece in in_segments(data, self.size):
                    sink.sendall(piece)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # the other side has gone


def test_an_agent_behind_a_network_of_crumbs():
    for size in (1, 2, 3):
        pcd = Pcd()
        collection = os.path.join(folder(), "tap.jsonl")
        pcc = Pcc(Crumbler(pcd, size), FREQUENCY="50ms", DURATION="1s", BATCH_SIZE="20",
                  SUBSYSTEMS="/proc/stat,/proc/meminfo", COLLECTION=collection)
        assert pcc.wait() == 0, pcc.log
        assert "WARNING" not in pcc.log, pcc.log
        with open(collection, "rb") as f:
            taken = f.read()
        assert pcd.wait_stored("test-host", taken.count(b"\n")) == taken
        assert pcd.stop() == 0, pcd.log


if __name__ == "__main__":
    run(sys.modules[__name__])
