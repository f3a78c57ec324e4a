#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""As many connections as pcd may have, all kept: what they cost it, that a batch still gets
through, and what the one too many is told.

PC_CONNECTIONS says how many; 16000 is pcd's own default, 1000 the test's.
"""

import os
import resource
import socket
import sys

from e2e import KEY, PATIENCE, Pcc, Pcd, Skip, Wire, measurements, run, wait_for

WANTED = int(os.environ.get("PC_CONNECTIONS", "1000"))
# Of pcd besides connections: 1024, and its day files.
DESCRIPTORS_KEPT = 1024 + 16
# A port of the client's is one connection from one address.
SOURCES = [f"127.0.0.{i}" for i in range(2, 10)]
# Bytes each: the connection's memory (PCD_CONNECTION_MEMORY, 8 KiB) and as much again;
# the address sanitizer's share is larger.
ALLOWED = (16 if PATIENCE == 1 else 96) << 10


def raise_descriptors(n):
    """So many for this process and those it starts."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < n:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (n, n))
        except (ValueError, PermissionError, OSError):
            raise Skip(f"{n} descriptors are needed, {hard} may be had")
        return
    resource.setrlimit(resource.RLIMIT_NOFILE, (n, hard))


def resident(pcd):
    with open(f"/proc/{pcd.process.pid}/status") as f:
        for text in f:
            if text.startswith("VmRSS:"):
                return int(text.split()[1]) * 1024
    raise AssertionError("no VmRSS")


def open_all(pcd, n):
    crowd = []
    for i in range(n):
        s = socket.create_connection((pcd.host, pcd.port), 60 * PATIENCE,
                                     (SOURCES[i % len(SOURCES)], 0))
        crowd.append(s)
    return crowd


def ask_all(crowd, text):
    """One request each; all must be answered 200 and stay."""
    for s in crowd:
        s.sendall(text)
    for s in crowd:
        answer = b""
        while b"\r\n\r\n" not in answer or not answer.endswith(b"ok\n"):
            part = s.recv(4096)
            assert part, answer
            answer += part
        assert answer.startswith(b"HTTP/1.1 200 "), answer
        assert b"Connection: close" not in answer, answer


def test_every_connection_stays_and_a_batch_gets_through():
    raise_descriptors(WANTED + DESCRIPTORS_KEPT + 300)
    # One place is that of a client who posts.
    pcd = Pcd(CONNECTIONS_MAX=WANTED + 1, FILES_MAX="16", IDLE_TIMEOUT="1h",
              REQUEST_TIMEOUT="1h")
    assert "connections_limited" not in pcd.log, pcd.log
    good = pcd.connect()

    def open_now():
        status, _, body = pcd.request("GET", "/metrics", connection=good)
        assert status == 200
        return int(body.split(b"\npcd_connections ")[1].split(b"\n")[0])

    def figure(what):
        each = (resident(pcd) - before) / WANTED
        print(f"# {WANTED} connections {what}: {each / 1024:.1f} KiB each, "
              f"{resident(pcd) >> 20} MiB in all", flush=True)
        assert each < ALLOWED, each

    assert open_now() == 1
    before = resident(pcd)
    crowd = open_all(pcd, WANTED)
    wait_for("all of them", lambda: open_now() == WANTED + 1, 60)
    figure("that have said nothing")
    ask_all(crowd, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    figure("after a request")
    for s in crowd:
        s.sendall(b"POST /v1/trickle HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 3000)
    for i in range(20):
        status, _, answer = pcd.post({"identifier": f"h{i}", "measurements": measurements(5)},
                                     connection=good)
        assert status == 200, answer
    figure("in the middle of a head of 3 KB")

    # Who comes now is told.
    for _ in range(20):
        wire = Wire(pcd)
        wire.send(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        status, headers, answer = wire.answer()
        assert status == 503 and b"too many connections" in answer, (status, answer)
        assert headers["Connection"] == "close" and int(headers["Retry-After"]) > 0
        assert wire.ends()
        wire.close()
    pcc = Pcc(pcd, FREQUENCY="50ms")
    pcc.wait_line(r"event=delivery_failed status=503")
    assert open_now() == WANTED + 1

    # They all are still there, and finish what they began.
    for s in crowd:
        s.sendall(b"\r\napikey: %s\r\nContent-Length: 1\r\n\r\nx" % KEY.encode())
    for s in crowd:
        assert s.recv(4096).startswith(b"HTTP/1.1 400 ")
        s.close()
    wait_for("their end", lambda: open_now() <= 3, 60)
    wait_for("the agent", lambda: pcd.stored("test-host"), 60)
    pcc.stop()
    assert pcd.stop(seconds=120) == 0, pcd.log
    for i in range(20):
        assert pcd.stored(f"h{i}").count(b"\n") == 5


if __name__ == "__main__":
    run(sys.modules[__name__])
