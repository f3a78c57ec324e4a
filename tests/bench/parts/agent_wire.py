# SPDX-License-Identifier: MIT
"""Bytes on the wire a tick, HTTP's headers and answers included, TCP/IP's apart."""

import json
import os
import re
import socket
import struct
import subprocess
import sys
import threading
import time

import _agents
import e2e
import relay as relays
from report import number

TITLE = "Agent: bytes on the wire"

COMMAND = "tests/bench/run agent_wire"
GOAL = 100
BATCH_TICKS = 20
SOURCES = {"/proc/stat", "/proc/meminfo", "/proc/net/dev", "/proc/diskstats", "statfs[*]"}
SNAPSHOT_TICKS = 1000  # PCC_SNAPSHOT_INTERVAL
# Of a segment: IPv4's header and TCP's with timestamps.
SEGMENT_BYTES = 20 + 32
SEGS_AT = 136  # in struct tcp_info: tcpi_segs_out, tcpi_segs_in


class Meter:
    """A pcd behind a relay that counts."""

    def __init__(self):
        self.pcd = e2e.Pcd()
        self.relay = relays.Network().relay(self.pcd.port)

    def stored(self):
        return int(self.pcd.metrics()["pcd_batches_total"])

    def read(self):
        """Bytes of requests, of answers, segments both ways, bytes of bodies in requests."""
        segments = 0
        for pair in list(self.relay.pairs):
            info = pair.writers[0].get_extra_info("socket").getsockopt(
                socket.IPPROTO_TCP, socket.TCP_INFO, SEGS_AT + 8)
            segments += sum(struct.unpack_from("=II", info, SEGS_AT))
        return (*self.relay.carried, segments,
                self.pcd.metrics()["pcd_received_bytes_total"])

    def wait_batch(self, n, seconds):
        e2e.wait_for(f"batch {n}", lambda: self.stored() >= n, seconds)
        time.sleep(0.05)  # the answer is on its way
        return self.read()

    def close(self):
        assert self.pcd.stop() == 0, self.pcd.log


class Replay:
    """A tree that stands for /, whose files are those of a recording, tick by tick."""

    def __init__(self, path, interval):
        self.ticks = {}
        with open(path, encoding="utf-8", errors="surrogateescape") as f:
            for text in f:
                m = json.loads(text)
                self.ticks.setdefault(m["timestamp"], {})[m["subsystem"]] = m["measurement"]
        times = sorted(self.ticks)
        self.ticks = [self.ticks[t] for t in times]
        self.taken_each = (times[-1] - times[0]) / max(1, len(times) - 1)  # seconds
        self.root = e2e.folder()
        self.interval = interval
        self._ended = threading.Event()
        self.show(self.ticks[0])
        self._thread = threading.Thread(target=self._run, daemon=True)

    def subsystems(self):
        return ",".join(sorted(set().union(*self.ticks)))

    def show(self, tick):
        for subsystem, text in tick.items():
            name = re.sub(r"\[.*", "", subsystem).lstrip("/")
            path = os.path.join(self.root, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path + ".new", "w", encoding="utf-8", errors="surrogateescape",
                      newline="") as f:
                f.write(text)
            os.rename(path + ".new", path)

    def _run(self):
        begin = time.monotonic()
        for i, tick in enumerate(self.ticks):
            if self._ended.wait(max(0, begin + i * self.interval - time.monotonic())):
                return
            self.show(tick)

    def start(self):
        self._thread.start()

    def stop(self):
        self._ended.set()
        self._thread.join()


def measure(meter, batches, tick_seconds):
    """What the first batch cost, and a mean one of those after it."""
    patience = 60 + BATCH_TICKS * tick_seconds
    first = meter.wait_batch(1, patience)
    last = meter.wait_batch(1 + batches, patience * batches)
    n = meter.stored() - 1
    assert len(meter.relay.pairs) == 1, "the connection was not kept"
    return first, [(b - a) / n for a, b in zip(first, last)]


# A host with something to do: one that computes, writes and sends by fits and starts.
WORK = """
import os, random, socket, tempfile, time
receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
receiver.bind(("127.0.0.1", 0))
sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
with tempfile.TemporaryFile(dir=".") as f:
    while True:
        end = time.monotonic() + random.expovariate(10)
        while time.monotonic() < end:
            sender.sendto(b"x" * random.randrange(1000), receiver.getsockname())
        f.seek(random.randrange(1 << 24))
        f.write(b"y" * random.randrange(1 << 18))
        os.fsync(f.fileno())
        time.sleep(random.expovariate(5))
"""


def live(seconds, works):
    worker = subprocess.Popen([sys.executable, "-c", WORK], cwd=e2e.folder()) if works else None
    try:
        return live_as_it_is(seconds)
    finally:
        if worker:
            worker.kill()
            worker.wait()


def live_as_it_is(seconds):
    meter = Meter()
    pcc = e2e.Pcc(meter.relay, program=_agents.DYNAMIC, FREQUENCY="1s", BATCH_SIZE="100")
    found = measure(meter, seconds // BATCH_TICKS - 1, 1)
    assert pcc.stop() == 0, pcc.log
    meter.close()
    return found


def replayed(path, tick_ms, most_batches):
    replay = Replay(path, tick_ms / 1000)
    meter = Meter()
    pcc = e2e.Pcc(meter.relay, program=_agents.DYNAMIC, FREQUENCY=f"{tick_ms}ms",
                  BATCH_SIZE="100", ROOT=replay.root, SUBSYSTEMS=replay.subsystems())
    replay.start()
    batches = min(len(replay.ticks) // BATCH_TICKS - 2, most_batches)
    found = measure(meter, batches, tick_ms / 1000)
    replay.stop()
    assert pcc.stop() == 0, pcc.log
    meter.close()
    return found, replay.taken_each


def row(name, found):
    """One of the table, and what a tick costs in all."""
    first, mean = found
    requests, answers, segments, bodies = mean
    steady = (requests + answers) / BATCH_TICKS
    batches = SNAPSHOT_TICKS / BATCH_TICKS
    all_in = (sum(first[:2]) + (batches - 1) * (requests + answers)) / SNAPSHOT_TICKS
    return [name, f"{requests:,.0f}", f"{bodies:,.0f}", f"{answers:,.0f}", number(steady),
            number(all_in), number(segments * SEGMENT_BYTES / BATCH_TICKS)], all_in


def recordings():
    """Those of pcc's five sources that have a few batches."""
    try:
        folder = e2e.captures()
    except e2e.Skip:
        return []
    found = []
    for name in sorted(os.listdir(folder)):
        path = os.path.join(folder, name)
        if name.endswith(".jsonl"):
            replay = Replay(path, 1)
            if len(replay.ticks) > 4 * BATCH_TICKS and set(replay.ticks[0]) == SOURCES:
                found.append(path)
    return found


def run(report, quick):
    seconds, tick_ms, most = (60, 50, 4) if quick else (300, 100, 100)
    rows, live_worst, recorded_worst = [], 0, 0
    for works, beside in ((False, "with what else ran on it"),
                          (True, "and one process that computes, writes, sends")):
        cells, all_in = row(f"this machine, live at 1 s, {beside}", live(seconds, works))
        rows.append(cells)
        live_worst = max(live_worst, all_in)
    for path in recordings():
        name = os.path.basename(path).removesuffix(".jsonl")
        found, taken_each = replayed(path, tick_ms, most)
        cells, all_in = row(f"recorded each {taken_each:.0f} s: {name}", found)
        rows.append(cells)
        recorded_worst = max(recorded_worst, all_in)
    report.text(f"""
Counted by a relay between pcc and pcd, both ways: request lines, headers, bodies and answers, of
batches of {BATCH_TICKS} ticks, delta and gzip, on one connection. Recordings are shown to pcc as
files below `PCC_ROOT`, a tick each {tick_ms} ms. In the mean of all:
the first batch of a chain, a snapshot that comes each {SNAPSHOT_TICKS} ticks, and the ping before
it included. TCP/IP: segments that the kernel counted, times {SEGMENT_BYTES} bytes of headers.""")
    report.table(["bytes", "request of a batch", "its body", "answer", "a tick", "a tick, mean of all",
                  "TCP/IP's a tick, apart"], rows)
    reached = f"{number(live_worst)} live, the worse of two"
    if recorded_worst:
        reached += f"; {number(recorded_worst)} the worst recording"
    report.goal("bytes on the wire a tick at 1 s, batches of 100, HTTP headers included", str(GOAL),
                reached, live_worst <= GOAL, COMMAND)
