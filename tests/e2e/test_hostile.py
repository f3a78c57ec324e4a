#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Nothing that a client sends crashes, hangs or grows pcd, or is noticed by others."""

import contextlib
import gzip
import json
import os
import random
import re
import socket
import ssl
import struct
import sys
import threading
import time
import zlib

import msgpack
from certs import Authority
from e2e import KEY, PATIENCE, Pcd, Wire, keyed, line, lines, measurements, run, \
    wait_for

MIB = 1 << 20
BATCH = {"identifier": "neighbour", "measurements": measurements(3)}
BODY = b'{"identifier":"%s","measurements":[{"timestamp":1767813011,"subsystem":"s",' \
       b'"measurement":"x"}]}'
LINE = line({"timestamp": 1767813011, "subsystem": "s", "measurement": "x"})
# How long a request may take here.
TIMEOUT = 2


class Neighbour:
    """A well-behaved client that posts over one connection all the time."""

    def __init__(self, pcd):
        self.pcd = pcd
        self.served = 0
        self._failure = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        try:
            connection = self.pcd.connect()
            while not self._ended.wait(0.005):
                self._post(connection)
            connection.close()
        except Exception as why:  # told to the test by finish()
            self._failure = why

    def _post(self, connection):
        status, _, answer = self.pcd.post(BATCH, connection=connection)
        assert status == 200, (status, answer)
        self.served += 1

    def serve_more(self, n):
        """Waits until it was served n times more."""
        goal = self.served + n
        while self.served < goal and self._thread.is_alive():
            time.sleep(0.005)

    def finish(self):
        self.serve_more(3)
        self._ended.set()
        self._thread.join()
        assert self._failure is None, (self._failure, self.pcd.log)
        # Who comes new is served as well.
        assert self.pcd.post(BATCH)[0] == 200
        self.served += 1


@contextlib.contextmanager
def under_attack(stored=None, tls=None, **options):
    """A pcd with a neighbour, who must be served while the body of the with statement does
    its worst, and after. In the end pcd stops by itself and holds the neighbour's batches
    and what `stored` says of others (bytes by folder), nothing else."""
    pcd = Pcd(**{"REQUEST_TIMEOUT": f"{TIMEOUT}s", **options})
    pcd.tls = tls
    neighbour = Neighbour(pcd)
    neighbour.serve_more(1)
    pcd.neighbour = neighbour
    yield pcd
    neighbour.finish()
    assert pcd.process.poll() is None, pcd.log
    assert pcd.stop() == 0, pcd.log
    expected = {"neighbour": lines(BATCH) * neighbour.served, **(stored or {})}
    assert sorted(os.listdir(pcd.data)) == sorted(expected)
    for name, wanted in expected.items():
        assert pcd.stored(name) == wanted, name
    assert sorted(os.listdir(pcd.home)) == ["apikeys", "data", "keys", "lock", "log"] or \
        "sessions" in os.listdir(pcd.home), os.listdir(pcd.home)


def head(*fields, first="POST /v1/trickle HTTP/1.1", host="Host: x"):
    """The head of a request, with its key; fields are str or bytes."""
    parts = [first, *([host] if host else []), f"apikey: {KEY}", *fields, "", ""]
    return b"\r\n".join(p if isinstance(p, bytes) else p.encode() for p in parts)


def refused(pcd, data, *statuses):
    """Sends bytes; they must be answered with one of these statuses and the end of the
    connection (None: the end alone)."""
    wire = Wire(pcd)
    wire.send(data)
    answer = wire.answer()
    assert (answer[0] if answer else None) in statuses, (data[:200], answer)
    wire.ends()
    wire.close()


def peak_memory(pcd):
    """The most that a pcd ever had in memory, in bytes."""
    with open(f"/proc/{pcd.process.pid}/status") as f:
        for text in f:
            if text.startswith("VmHWM:"):
                return int(text.split()[1]) * 1024
    raise AssertionError("no VmHWM")


def grew_little(pcd, before):
    # A body of 8 MiB, 64 MiB decoded, and what growing to that by doubling takes; freed
    # memory is kept a while by the address sanitizer.
    allowed = (256 if PATIENCE == 1 else 1024) * MIB
    grown = peak_memory(pcd) - before
    assert grown < allowed, f"grew by {grown >> 20} MiB"


# Clients that stop, drip, or go


def test_bodies_that_stop_in_the_middle():
    with under_attack() as pcd:
        wires = [Wire(pcd) for _ in range(20)]
        for i, wire in enumerate(wires):
            coding = "Content-Length: 1000" if i % 2 else "Transfer-Encoding: chunked"
            wire.send(head(coding) + (b"14\r\n" if i % 2 == 0 else b"") + BODY[:20])
        for wire in wires:
            answer = wire.answer()
            assert answer and answer[0] == 408, answer
            assert answer[1]["Connection"] == "close"
            assert wire.ends()


def test_clients_that_go_in_the_middle_of_a_body_are_noticed():
    # Long before their time would be up.
    with under_attack(REQUEST_TIMEOUT="10m", IDLE_TIMEOUT="10m") as pcd:
        half = []
        for how in ("close", "reset", "half"):
            for _ in range(10):
                wire = Wire(pcd)
                wire.send(head("Content-Length: 100000") + BODY * 100)
                if how == "reset":
                    wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                           struct.pack("ii", 1, 0))
                if how == "half":
                    wire.socket.shutdown(socket.SHUT_WR)
                    half.append(wire)
                else:
                    wire.close()
        # The neighbour's and that of this question are left.
        wait_for("their end", lambda: pcd.metrics()["pcd_connections"] <= 2)
        for wire in half:
            assert wire.ends()


def test_bodies_that_are_announced_but_do_not_come_take_no_room():
    # Far more than may be in memory at once, if it came; the small ones fill what the
    # large ones leave.
    with under_attack(QUEUE_MAX="256MiB") as pcd:
        wires = []
        for size, n in ((8 * MIB, 40), (MIB, 10), (100000, 15), (10000, 15), (400, 60)):
            for _ in range(n):
                wires.append(Wire(pcd))
                wires[-1].send(head(f"Content-Length: {size}") + BODY[:20])
        pcd.neighbour.serve_more(20)
        for wire in wires:
            answer = wire.answer()
            assert answer and answer[0] in (408, 503), answer
            wire.close()


def test_answers_that_nobody_reads():
    with under_attack() as pcd:
        before = peak_memory(pcd)
        wires = [Wire(pcd) for _ in range(5)]
        for wire in wires:
            # Until nothing more fits on its way.
            wire.socket.settimeout(1 * PATIENCE)
            with contextlib.suppress(TimeoutError):
                while wire.send(head(first="GET /metrics HTTP/1.1") * 100):
                    pass
        pcd.neighbour.serve_more(20)
        grew_little(pcd, before)
        # They are let go after a while.
        wait_for("their end", lambda: pcd.metrics()["pcd_timeouts_answer_total"] >= 5)


def drip(wire, data, seconds):
    """Sends a byte every tenth of a second, far longer than a request may take. Returns how
    many were sent before the server had enough."""
    end = time.monotonic() + seconds
    for n, byte in enumerate(data):
        if time.monotonic() > end or not wire.send(bytes([byte])):
            return n
        time.sleep(0.1)
    return len(data)


def test_a_body_a_byte_at_a_time_ends_at_the_deadline():
    with under_attack() as pcd:
        wire = Wire(pcd)
        wire.send(head("Content-Length: 100000"))
        # Silence is not what ends it: each byte comes in good time.
        drip(wire, b" " * 100000, TIMEOUT * 4 * PATIENCE)
        answer = wire.answer()
        # A server that gave up while we sent may have reset the connection.
        assert answer is None or answer[0] == 408, answer
        assert wire.ends()


def test_a_head_a_byte_at_a_time_ends_at_the_deadline():
    with under_attack() as pcd:
        wire = Wire(pcd)
        text = head(*[f"X-{i}: y" for i in range(10000)])
        assert drip(wire, text, TIMEOUT * 10 * PATIENCE) < 1000
        answer = wire.answer()
        assert answer is None or answer[0] == 408, answer
        assert wire.ends()


def test_connections_that_say_nothing_do_not_keep_others_out():
    with under_attack() as pcd:
        idle = [Wire(pcd) for _ in range(300)]
        pcd.neighbour.serve_more(20)
        # A head that begins and never ends.
        for wire in idle[:150]:
            wire.send(b"POST /v1/trickle HTTP/1.1\r\nHost: x\r\n")
        pcd.neighbour.serve_more(20)
        # They are still open when pcd stops: it must not wait for them.
        pcd.idle = idle


def test_connections_over_the_limit_are_turned_away():
    with under_attack(CONNECTIONS_MAX="50") as pcd:
        crowd = [Wire(pcd) for _ in range(100)]
        for wire in crowd:
            wire.send(head(first="GET /healthz HTTP/1.1"))
        answers = [wire.answer() for wire in crowd]
        good = [a for a in answers if a and a[0] == 200]
        # The neighbour has one of them.
        assert 40 <= len(good) <= 50, len(good)
        assert all(a is None or a[0] in (200, 503) for a in answers), answers
        pcd.neighbour.serve_more(5)
        for wire in crowd:
            wire.close()
        # Room again, once pcd has seen that they are gone.
        def one_more():
            try:
                stored = pcd.post(BATCH)[0] == 200
            except OSError:
                return False
            pcd.neighbour.served += stored
            return stored
        for _ in range(20):
            wait_for("a place", one_more)


def test_clients_that_go_while_their_batch_is_stored():
    # Each batch is gathered for so long that its client is gone before it is answered.
    with under_attack({"gone": LINE * 9}, GATHER="300ms") as pcd:
        for i in range(9):
            wire = Wire(pcd)
            body = BODY % b"gone"
            before = pcd.metrics()["pcd_received_bytes_total"]
            wire.send(head(f"Content-Length: {len(body)}") + body)
            # A body of which pcd knows that its client is gone need not be stored.
            wait_for("the body", lambda: pcd.metrics()["pcd_received_bytes_total"] > before)
            if i % 3 == 0:
                wire.socket.shutdown(socket.SHUT_WR)
            if i % 3 == 1:
                wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                       struct.pack("ii", 1, 0))
                time.sleep(0.02)
            wire.close()
        pcd.neighbour.serve_more(1)


def test_a_client_that_closes_its_half_gets_its_answer():
    with under_attack({"half": LINE}) as pcd:
        wire = Wire(pcd)
        body = BODY % b"half"
        wire.send(head(f"Content-Length: {len(body)}") + body)
        wire.socket.shutdown(socket.SHUT_WR)
        answer = wire.answer()
        assert answer and answer[0] == 200, answer
        assert wire.ends()


def test_pipelined_requests_are_answered_in_order():
    n = 20
    stored = {f"pipe-{i}": LINE for i in range(n) if i % 3 != 1}
    with under_attack(stored) as pcd:
        wire = Wire(pcd)
        everything = b""
        for i in range(n):
            if i % 3 == 1:
                everything += head(first="GET /healthz HTTP/1.1")
                continue
            body = BODY % f"pipe-{i}".encode()
            everything += head(f"Content-Length: {len(body)}") + body
        wire.send(everything)
        for i in range(n):
            answer = wire.answer()
            assert answer and answer[0] == 200, (i, answer)
            assert ("Measurements-Stored" in answer[1]) == (i % 3 != 1), (i, answer[1])
        wire.close()


def test_over_tls_too():
    authority = Authority()
    certificate, key = authority.issue("server")
    client = authority.client()
    # A client of 1.3 that goes has not read its tickets, so its kernel resets the connection
    # and what it sent last may never be seen.
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    with under_attack({"gone": LINE * 10}, client, GATHER="50ms",
                      IDLE_TIMEOUT="3s", TLS_CERT=certificate, TLS_KEY=key) as pcd:
        plain = [socket.create_connection((pcd.host, pcd.port)) for _ in range(40)]
        hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"
        for i, bare in enumerate(plain):
            # No handshake, one that stops, one of another protocol, one that is noise.
            bare.settimeout(30 * PATIENCE)
            bare.sendall((b"", hello, head(first="GET / HTTP/1.1"), b"\xff" * 600)[i % 4])
        wires = [Wire(pcd) for _ in range(20)]
        for i, wire in enumerate(wires):
            wire.send(head("Content-Length: 100000") + BODY * (i % 3))
        for i in range(10):
            wire = Wire(pcd)
            body = BODY % b"gone"
            wire.send(head(f"Content-Length: {len(body)}") + body)
            wire.close()
            pcd.neighbour.serve_more(1)
        for wire in wires:
            assert wire.ends()
        for bare in plain:
            with contextlib.suppress(ConnectionResetError):
                while bare.recv(1000):
                    pass
            bare.close()
        # These are in the middle of everything when it stops.
        pcd.left = [Wire(pcd) for _ in range(10)]
        pcd.left.append(socket.create_connection((pcd.host, pcd.port)))


# Heads that lie


def test_framing_that_two_servers_could_read_differently_is_refused():
    body = BODY % b"bad"
    n = len(body)
    chunked = b"%x\r\n%s\r\n0\r\n\r\n" % (n, body)
    length = f"Content-Length: {n}"
    rows = (
        # Two lengths, the same or not; a length beside chunked.
        (head(length, length) + body, 400),
        (head(length, "Content-Length: 5") + body, 400),
        (head("Content-Length: 5", length) + body, 400),
        (head(f"Content-Length: {n}, {n}") + body, 400),
        (head(length, "Transfer-Encoding: chunked") + chunked, 400),
        (head("Transfer-Encoding: chunked", length) + chunked, 400),
        # Transfer codings other than chunked alone.
        (head("Transfer-Encoding: gzip, chunked") + chunked, 400, 501),
        (head("Transfer-Encoding: identity") + body, 400, 501),
        (head("Transfer-Encoding: xchunked") + chunked, 400, 501),
        (head("Transfer-Encoding: chunked, chunked") + chunked, 400, 501),
        (head("Transfer-Encoding: chunked", "Transfer-Encoding: chunked") + chunked, 400),
        (head("Transfer-Encoding: chunked", "Transfer-Encoding: identity") + chunked, 400),
        (head("Transfer-Encoding:") + body, 400),
        (head("Transfer-Encoding: chunked", first="POST /v1/trickle HTTP/1.0") + chunked, 400),
        # Lengths that are no lengths.
        *((head(f"Content-Length: {text}") + body, 400, 413) for text in (
            "-1", f"+{n}", hex(n), f"{n} {n}", f"{n}x", "", "1e2", "18446744073709551615",
            "18446744073709551616", "9" * 40)),
        # Chunks that are no chunks.
        *((head("Transfer-Encoding: chunked") + text + body, 400, 413) for text in (
            b"x\r\n", b"-5\r\n", b"ffffffffffffffffff\r\n", b"5 5\r\n", b"\r\n")),
        # Lines that fold, hide behind a NUL, or end in a bare LF.
        (head(length, "X-A: b", " Transfer-Encoding: chunked") + body, 400),
        (head(length, "X-A: b", "\tc") + body, 400),
        (head(length, b"X-A: b\0c") + body, 400),
        (head(length, b"\0X-A: b") + body, 400),
        (head(length, b"X\0A: b") + body, 400),
        (head(length, b"X-A: b\nX-C: d") + body, 400),
        (head(length, b"X-A: b\rX-C: d") + body, 400),
        (head(length).replace(b"\r\n", b"\n") + body, 400),
        (head(length, "X-A : b") + body, 400),
        (head(f"Content-Length : {n}") + body, 400),
        (head(length, " X-A: b") + body, 400),
        (head(length, "X-A") + body, 400),
        (head(length, ": b") + body, 400),
        # Whom it is for.
        (head(length, host=None) + body, 400),
        (head(length, "Host: y") + body, 400),
    )
    with under_attack() as pcd:
        for data, *statuses in rows:
            refused(pcd, data, *statuses)


def test_lengths_longer_and_shorter_than_the_body():
    with under_attack() as pcd:
        body = BODY % b"bad"
        # Longer: the rest never comes.
        refused(pcd, head(f"Content-Length: {len(body) + 5}") + body, 408)
        # Shorter: the body is cut, and what follows is no request.
        wire = Wire(pcd)
        wire.send(head(f"Content-Length: {len(body) - 5}") + body + b"\r\n\r\n")
        answer = wire.answer()
        assert answer and answer[0] == 400, answer
        answer = wire.answer()
        assert answer is None or answer[0] == 400, answer
        wire.close()


def test_a_body_hidden_in_a_body_is_not_taken_for_a_request():
    with under_attack() as pcd:
        hidden = BODY % b"smuggled"
        inner = head(f"Content-Length: {len(hidden)}") + hidden
        for fields in (("Content-Length: 0", "Transfer-Encoding: chunked"),
                       (f"Content-Length: {len(inner)}", "Content-Length: 0"),
                       ("Content-Length: 0", f"Content-Length: {len(inner)}"),
                       ("Content-Length : 5",), ("X: a\r\n Content-Length: 5",)):
            wire = Wire(pcd)
            wire.send(head(*fields) + inner)
            answer = wire.answer()
            assert answer and answer[0] == 400, answer
            assert wire.ends()
            wire.close()


def test_heads_of_every_unreasonable_size():
    with under_attack() as pcd:
        body = BODY % b"bad"
        length = f"Content-Length: {len(body)}"
        for fields in ((f"X-A: {'x' * 8000}",), (f"X-A: {'x' * 100000}",),
                       [f"X-{i}: y" for i in range(3000)], (f"{'x' * 9000}: y",),
                       (f"Cookie: {'a=b;' * 2000}",)):
            refused(pcd, head(length, *fields) + body, 431, 413, None)
        for path in ("/" + "x" * 9000, "/v1/trickle?" + "a&" * 3500, "/" * 100000,
                     "/healthz?" + "a=b&" * 900):
            wire = Wire(pcd)
            wire.send(head(length, first=f"POST {path} HTTP/1.1") + body)
            answer = wire.answer()
            assert answer is None or answer[0] in (404, 405, 414, 431), (path[:20], answer)
            wire.close()
        # Many arguments fit in the head, and are nothing to a route.
        wire = Wire(pcd)
        wire.send(head(first=f"GET /healthz?{'a&' * 300} HTTP/1.1"))
        assert wire.answer()[0] == 200
        wire.close()


def test_noise_is_no_request():
    with under_attack(IDLE_TIMEOUT="2s") as pcd:
        for data in (b"\0" * 100, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"x" * 500,
                     b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\r\n" * 1000,
                     b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\xff" * 20000,
                     b"GET http://x/ HTTP/1.1 extra\r\nHost: x\r\n\r\n"):
            wire = Wire(pcd)
            wire.send(data)
            answer = wire.answer()
            assert answer is None or 400 <= answer[0] < 600, (data[:30], answer)
            wire.close()


def damaged(choices, data):
    """The bytes with some damage: flipped, cut out, doubled, or cut off."""
    data = bytearray(data)
    for _ in range(choices.choice((1, 1, 1, 2, 5))):
        at = choices.randrange(len(data))
        n = choices.choice((1, 1, 2, 10))
        how = choices.randrange(5)
        if how == 0:
            data[at] ^= 1 << choices.randrange(8)
        elif how == 1:
            data[at:at + n] = choices.randbytes(n)
        elif how == 2:
            del data[at:at + n]
        elif how == 3:
            data[at:at] = data[at:at + n]
        else:
            data[at:at] = choices.choice((b"\r\n", b"\0", b":", b"  ", b"99999", b"%00", b"?"))
    return bytes(data or b"\r\n")


def send_damaged(pcd, seed, until, failures):
    """Sends requests with damage, one a connection, and reads what comes of it at once."""
    choices = random.Random(seed)
    forms = (("json", BODY % b"bad"), ("msgpack", msgpack.packb({"i": "bad", "m": [
        {"Timestamp": 1767813011, "Subsystem": "s", "Measurement": "x"}]})))
    while time.monotonic() < until:
        form, body = choices.choice(forms)
        fields = [f"Content-Type: application/{form}", "Idempotency-Key: 0123456789abcdef-1"]
        if choices.random() < 0.4:
            body = damaged(choices, body)
        if choices.random() < 0.4:
            body = gzip.compress(body)
            fields.append("Content-Encoding: gzip")
        if choices.random() < 0.3:
            body = damaged(choices, body)
        if choices.random() < 0.3:
            body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
            fields.append("Transfer-Encoding: chunked")
        else:
            fields.append(f"Content-Length: {len(body)}")
        data = head(*fields) + body
        if choices.random() < 0.6:
            data = damaged(choices, data)
        wire = Wire(pcd)
        # What is still expected of us then won't come.
        wire.socket.settimeout(0.1)
        wire.send(data)
        with contextlib.suppress(TimeoutError):
            answer = wire.answer()
            if answer and answer[0] >= 500 and answer[0] != 505:  # an HTTP version
                failures.append((data, answer))
        wire.close()


def test_requests_with_random_damage():
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"# seed {seed}")
    pcd = Pcd(REQUEST_TIMEOUT=f"{TIMEOUT}s")
    failures = []
    threads = [threading.Thread(target=send_damaged, args=(
        pcd, seed + i, time.monotonic() + 4, failures)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures[:3]
    assert pcd.post(BATCH)[0] == 200
    assert pcd.stop() == 0, pcd.log
    # Some damage is none, or makes another identifier; lines are whole in any case.
    for name in os.listdir(pcd.data):
        for text in pcd.stored(name).splitlines():
            json.loads(text)


# Bodies that are worse than they look


def zeros(n_mib, level_of_gzip=1):
    """A gzip member of so many MiB of zeros, made from one piece repeated."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    piece = packer.compress(b"\0" * MIB) + packer.flush(zlib.Z_FULL_FLUSH)
    data = piece * n_mib + b"\x03\x00"
    for _ in range(level_of_gzip - 1):
        data = gzip.compress(b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + data, 9)[10:-8]
    # No checksum fits, but nobody should come as far as that.
    return b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + data + b"\0" * 8


def post_gzipped(pcd, body, content_type="application/json"):
    return pcd.request("POST", "/v1/trickle", body,
                       {"Content-Type": content_type, "Content-Encoding": "gzip"})


def test_four_gigabytes_of_zeros_cost_little():
    bomb = zeros(4096)
    assert len(bomb) < 8 * MIB
    with under_attack(REQUEST_TIMEOUT="30s") as pcd:  # it is not about time
        before = peak_memory(pcd)
        for content_type in ("application/json", "application/msgpack"):
            for _ in range(3):
                status, _, answer = post_gzipped(pcd, bomb, content_type)
                assert status == 413, (status, answer)
        # Several at once, over the limits of what may be in flight.
        threads = [threading.Thread(target=post_gzipped, args=(pcd, bomb)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        grew_little(pcd, before)


def test_gzip_in_gzip_is_no_batch():
    with under_attack() as pcd:
        before = peak_memory(pcd)
        status, _, answer = post_gzipped(pcd, zeros(4096, 2))
        assert status == 400, (status, answer)
        status, _, answer = post_gzipped(pcd, gzip.compress(gzip.compress(BODY % b"bad")))
        assert status == 400, (status, answer)
        # A million empty members.
        status, _, answer = post_gzipped(pcd, gzip.compress(b"") * 300000)
        assert status == 400, (status, answer)
        grew_little(pcd, before)


def test_announced_sizes_are_not_believed():
    with under_attack() as pcd:
        before = peak_memory(pcd)
        start = b"\x82\xa1i\xa3bad\xa1m"
        for body in (start + b"\xdd\xff\xff\xff\xff", start + b"\xdf\xff\xff\xff\xff",
                     start + b"\xdb\xff\xff\xff\xff", start + b"\xc6\xff\xff\xff\xff",
                     start + b"\xc9\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff",
                     b"\xdd\xff\xff\xff\xff", b"\xdb\xff\xff\xff\xff" + b"x" * 1000,
                     start + b"\xdd\x10\x00\x00\x00" + b"\xc0" * MIB,
                     start + b"\xdd\x10\x00\x00\x00" * 20000,
                     start + b"\x91" * 100000 + b"\xc0", b"\x91" * (7 * MIB)):
            status, _, answer = pcd.request("POST", "/v1/trickle", body,
                                            {"Content-Type": "application/msgpack"})
            assert status in (400, 413), (status, answer, body[:20])
        grew_little(pcd, before)


def test_nesting_without_end():
    with under_attack() as pcd:
        before = peak_memory(pcd)
        for opening in (b"[", b'{"a":', b'{"measurements":[', b'{"identifier":"bad","x":[[{"y":'):
            status, _, answer = pcd.post(opening * 100000)
            assert status in (400, 413), (status, answer)
            status, _, answer = pcd.post(b'{"x":' + opening * 100000)
            assert status in (400, 413), (status, answer)
        grew_little(pcd, before)


def test_many_small_things_cost_no_more_than_their_bytes():
    with under_attack() as pcd:
        before = peak_memory(pcd)
        for body in (b'{"identifier":"bad","measurements":[' + b"{}," * 2000000 + b"{}]}",
                     b'{"identifier":"bad","measurements":[' + b"0," * 3000000 + b"0]}",
                     b"{" + b'"a":0,' * 1000000 + b'"a":0}',
                     b'{"identifier":"bad","x":[' + b"[]," * 2000000 + b"[]]}"):
            status, _, answer = pcd.post(body)
            assert status in (400, 413), (status, answer)
        many = {"i": "bad", "m": [{}] * 5000000}
        status, _, answer = pcd.request("POST", "/v1/trickle", msgpack.packb(many),
                                        {"Content-Type": "application/msgpack"})
        assert status in (400, 413), (status, answer)
        grew_little(pcd, before)


def test_identifiers_stay_below_the_data_folder():
    rows = (
        ("..", "%2E."),
        (".", "%2E"),
        (".hidden", "%2Ehidden"),
        ("../../etc/passwd", "%2E.%2F..%2Fetc%2Fpasswd"),
        ("/etc/passwd", "%2Fetc%2Fpasswd"),
        ("a/../b", "a%2F..%2Fb"),
        ("%2E.", "%252E."),
        ("a b", "a%20b"),
        ("~", "%7E"),
        ("-rf *", "-rf%20%2A"),
        ("$(reboot)", "%24%28reboot%29"),
        ("héllo \U0001f600", "h%C3%A9llo%20%F0%9F%98%80"),
        ("a.jsonl", "a.jsonl"),
        ("\u202egnp", "%E2%80%AEgnp"),
        ("x" * 128, "x" * 128),
    )
    with under_attack({name: LINE for _, name in rows}) as pcd:
        for identifier, _ in rows:
            status, _, answer = pcd.post(
                {"identifier": identifier, "measurements": [
                    {"timestamp": 1767813011, "subsystem": "s", "measurement": "x"}]})
            assert status == 200, (identifier, answer)
        for identifier in ("", "a\0b", "..\0", "x" * 129, "x" * 10000, "a\nb", "\x7f", "\u0085"):
            status, _, answer = pcd.post({"identifier": identifier, "measurements": []})
            assert status == 400, (identifier, answer)


def test_long_identifiers_that_differ_at_the_end_are_different_hosts():
    pcd = Pcd()
    for n, identifier in enumerate(("/" * 127 + "a", "/" * 127 + "b", "ä" * 64, "ä" * 63), 1):
        status, _, answer = pcd.post({"identifier": identifier,
                                      "measurements": measurements(n)})
        assert status == 200, answer
    assert pcd.stop() == 0, pcd.log
    names = os.listdir(pcd.data)
    assert all(len(name) <= 200 for name in names), names
    assert sorted(pcd.stored(name).count(b"\n") for name in names) == [1, 2, 3, 4], names


def test_what_clients_send_cannot_forge_lines_of_the_log():
    evil = 'x" event=forged \\ \u2028\ufeffy="'
    folder_name = "x%22%20event%3Dforged%20%5C%20%E2%80%A8%EF%BB%BFy%3D%22"
    sent = measurements(3)
    with under_attack({folder_name: b"".join(map(line, sent))}, LOGLEVEL="DEBUG") as pcd:
        # Two live sessions are worth a line that names the identifier.
        for m, session, seq in zip(sent, (1, 2, 1), (1, 1, 2)):
            status, _, answer = pcd.post({"identifier": evil, "measurements": [m]},
                                         keyed(session, seq))
            assert status == 200, answer
        pcd.post({"identifier": "x\nevent=forged\x1b[2J", "measurements": []})
        pcd.request("POST", "/v1/trickle", BODY % b"x", {"apikey": "x event=forged"})
        for field, first in (("X: y", "GET /\x1b[2Jevent=forged HTTP/1.1"),
                             (b"Content-Type: \xff\xfe event=forged",
                              "POST /v1/trickle HTTP/1.1")):
            wire = Wire(pcd)
            wire.send(head(field, "Content-Length: 1", first=first) + b"x")
            answer = wire.answer()
            assert answer and answer[0] in (400, 415), answer
            # The answer is JSON whatever it quotes.
            assert json.loads(answer[2])["error"], answer
            wire.close()
        pcd.neighbour.serve_more(3)
        pcd.wait_line("event=two_sessions")
        pcd.wait_line("event=request .*415")
        for text in pcd.lines:
            assert "\x1b" not in text, text
            # A name and its value stand outside of quotation marks.
            outside = re.sub(r'"(\\.|[^"\\])*"', "", text)
            assert "forged" not in outside, text


if __name__ == "__main__":
    run(sys.modules[__name__])
