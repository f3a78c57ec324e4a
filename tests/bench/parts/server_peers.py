# SPDX-License-Identifier: MIT
"""pcd beside servers that do likewise, one after the other: CPU, memory, bytes sent and
kept of what hosts say."""

import os
import re
import shutil
import time

import _peers
import _server_peers
import process
from _server_peers import CONNECTIONS, PEERS as PEERS_OF_PCD
from _servers import FORMS, TICKS, Run, capture, median, settle_disk, wait_quiet, whose
from report import number, spread

TITLE = "Server: programs that do likewise"
# Only where asked for: it installs them.
PEERS = True

OURS = ("delta+gzip", "JSON")
# How long a server must be at rest: longer than theirs wait before they flush.
REST = 2  # seconds


class Ours:
    """A load of pcd."""

    def __init__(self, form, hosts, batches):
        run = Run([*FORMS[form][1], "--connections", CONNECTIONS], hosts=hosts, batches=batches)
        self.ticks, self.cpu, self.sent, self.rss = (run.ticks, run.cpu,
                                                     run.fleet["bytes_sent"], run.rss)
        self.kept_a_tick = run.stored_bytes / run.ticks


class Theirs:
    """The same of a peer. The first batch of each host, which makes its series, isn't counted,
    as that of pcd isn't."""

    def __init__(self, kind, batches):
        ticks = len(batches[0]) * TICKS
        self.ticks = ticks * (len(batches) - 1)
        peer = kind()
        try:
            peer.send(batches[:1])
            settle_disk()
            wait_quiet(peer, REST, 0.02)
            before = process.cpu_seconds(peer.process.pid)
            self.sent = peer.send(batches[1:])
            wait_quiet(peer, REST, 0.02)
            self.cpu = process.cpu_seconds(peer.process.pid) - before
            self.rss = process.rss_bytes(peer.process.pid)
            self.kept_a_tick = disk_bytes(peer.home) / (self.ticks + ticks)
            took = peer.took()
            assert took == self.ticks + ticks, f"holds {took} ticks of {self.ticks + ticks}"
        finally:
            if peer.process.poll() is None:
                peer.stop()
            shutil.rmtree(peer.home, ignore_errors=True)


def disk_bytes(path):
    """What files take on disk: some are made larger than what is in them."""
    settle_disk()  # ext4 allocates late
    return sum(os.stat(os.path.join(folder, name)).st_blocks * 512
               for folder, _, names in os.walk(path) for name in names)


def rate(load):
    return load.ticks / load.cpu


def present():
    """Those that are installed, and of the others why they are not measured."""
    kinds, absent = [], []
    for kind in PEERS_OF_PCD:
        if _peers.missing(kind.PACKAGES):
            absent.append([kind.NAME, "not installed"])
        else:
            kinds.append(kind)
    return kinds, absent


def measure(runs_each, hosts, batches):
    """Loads by form of pcd or kind of peer, of those that were measured each time."""
    kinds, absent = present()
    ticks = _server_peers.ticks_of(capture(), TICKS * (1 + max(batches.values())),
                                   int(time.time()) - 900)
    cut = [ticks[i:i + TICKS] for i in range(0, len(ticks), TICKS)]
    made = {kind.FORM: _server_peers.bodies(kind.FORM, cut[:1 + batches[kind.FORM]], hosts)
            for kind in kinds}
    loads = {key: [] for key in (*OURS, *kinds)}
    for _ in range(runs_each):
        for form in OURS:
            loads[form].append(Ours(form, hosts, batches["JSON"]))
        for kind in [key for key in loads if key not in OURS]:
            print(kind.NAME, flush=True)
            try:
                loads[kind].append(Theirs(kind, made[kind.FORM]))
            except (AssertionError, OSError) as why:
                absent.append([kind.NAME, str(why).splitlines()[0]])
                del loads[kind]
    return loads, absent, ticks[0]


def row(name, got, beside, packages, promise):
    return [name, spread(map(rate, got)),
            spread(rate(ours) / rate(its) for ours, its in zip(beside, got)),
            number(median(got, lambda r: r.sent / r.ticks)),
            number(median(got, lambda r: r.kept_a_tick)),
            number(median(got, lambda r: r.rss / 1e6)), promise,
            ", ".join(_peers.version(package) for package in packages)]


def run(report, quick):
    _peers.install(_server_peers.PACKAGES)
    runs_each, hosts = (1, 50) if quick else (3, 300)
    # Of each host, after the first; a store of metrics takes far longer than the others.
    batches = {"lines": 1, "remote write": 1, "JSON": 2, "JSON+gzip": 2} if quick else {
        "lines": 2, "remote write": 2, "JSON": 8, "JSON+gzip": 8}
    loads, absent, tick = measure(runs_each, hosts, batches)
    samples = sum(len(fields) for _, _, fields in _server_peers.points(tick))
    numbers = sum(len(re.findall(r"(?<!\w)\d+", m["measurement"])) for m in tick)
    report.text(f"""
{hosts:,} hosts replay {whose(capture())} over {CONNECTIONS} connections, {TICKS} ticks (100
measurements) a batch, as fast as they are answered: one batch each that isn't counted, then
{batches["JSON"]} to pcd and NATS, {batches["lines"]} to the others. They take turns, {runs_each} of each. Bodies are made
before. CPU is the server's, user and system, until it is at rest: pcd until all stands in day
files, the others until they take less than 2 % of a core for {REST} s. pcd keeps the text of a
host-tick as it was, {numbers} numbers; stores of metrics are sent {samples} samples of it, as their own
agents would: each number but those of the single interrupts, which are nearly all 0. NATS is
sent what pcd is, and doesn't look into it. Bytes sent are those on TCP to the server, HTTP's
headers included; bytes kept are those that all files take on disk at rest, logs too. Peers are
those of Debian's packages with their defaults, run by hand; none was left running.""")
    ours = loads[OURS[0]]
    report.table(
        ["", "host-ticks a CPU-second", f"pcd with {OURS[0]}: times as many",
         "bytes sent a host-tick", "bytes kept", "RSS, MB", "what an answer promises", "version"],
        [*(row(f"**pcd**, {form}", loads[form], ours, (),
               "synced (`PCD_SYNC=always`)") for form in OURS),
         *(row(kind.NAME, got, ours, kind.PACKAGES[:1], kind.PROMISE)
           for kind, got in loads.items() if kind not in OURS)])
    report.text("What is left out, for it comes later than rest:")
    report.table(["", "later"], sorted({(kind.NAME.split(",")[0], kind.LEFT_OUT)
                                        for kind in loads if kind not in OURS}))
    if absent:
        report.table(["not measured", "why"], absent)
