# SPDX-License-Identifier: MIT
"""pcc beside programs that do likewise, all at the same time: CPU, memory, bytes sent."""

import os
import time

import _agents
import _peers
import e2e
import process
from report import number

TITLE = "The agent beside its peers"
# Only where asked for: it installs them.
PEERS = True

BARE = os.path.join(e2e.BUILD, "tests", "bench", "bare_agent")
WARM_UP = 15  # seconds


class Running:
    """A peer while it is measured."""

    def __init__(self, name, programs, sink):
        self.name, self.programs, self.sink = name, programs, sink
        self.cpu = self.sent = 0

    def pids(self):
        """Of its programs and of what they started."""
        found = []
        for program in self.programs:
            found += _descendants(program.process.pid)
        return found

    def begin(self):
        self.cpu, self.sent = self._now()

    def row(self, seconds, versions):
        cpu, sent = self._now()
        pids = self.pids()
        sizes = [sum(f(pid) for pid in pids) / 1e6 for f in
                 (process.rss_bytes, process.pss_bytes)]
        return [self.name, f"{100 * (cpu - self.cpu) / seconds:.3f}",
                f"{1e6 * (cpu - self.cpu) / seconds:,.0f}", *(f"{size:.1f}" for size in sizes),
                number((sent - self.sent) / seconds) if self.sink else "–", versions]

    def _now(self):
        return (sum(process.cpu_seconds(pid) for pid in self.pids()),
                self.sink.carried() if self.sink else 0)

    def ended(self):
        return any(program.process.poll() is not None for program in self.programs)

    def stop(self):
        children = [pid for pid in self.pids()
                    if pid not in [program.process.pid for program in self.programs]]
        for program in self.programs:
            if program.process.poll() is None:
                program.process.terminate()
        for program in self.programs:
            try:
                program.process.wait(20)
            except Exception:  # it wouldn't
                program.process.kill()
                program.process.wait()
        for pid in children:
            if os.path.exists(f"/proc/{pid}"):
                os.kill(pid, 9)


def _descendants(pid):
    found = [pid]
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children", encoding="ascii") as f:
                for child in f.read().split():
                    found += _descendants(int(child))
    except FileNotFoundError:
        return []
    return found


class Carried:
    """What a relay of ours carried."""

    def __init__(self, relay):
        self.relay = relay

    def carried(self):
        return sum(self.relay.carried)


def ours(pcd, network, kind, program):
    relay = network.relay(pcd.port)
    return Running(f"**pcc**, {kind}",
                   [e2e.Pcc(relay, program=program, FREQUENCY="1s", BATCH_SIZE="100",
                            IDENTIFIER=kind)],
                   Carried(relay))


def start_all(pcd, network):
    running = [Running("bare reads", [e2e.Program([BARE], e2e.clean_environment())], None),
               *(ours(pcd, network, kind, program) for kind, program in _agents.builds())]
    versions, absent = [""] * len(running), []
    for name, start, packages in _peers.PEERS:
        found = [_peers.version(package) for package in packages]
        if not all(found):
            absent.append([name, "not installed"])
            continue
        try:
            running.append(Running(name, *start(network)))
            versions.append(", ".join(found))
        except (AssertionError, OSError) as why:
            absent.append([name, f"did not start: {str(why).splitlines()[0]}"])
        time.sleep(0.13)  # out of step with each other
    return running, versions, absent


def run(report, quick):
    _peers.install(_peers.PACKAGES)
    seconds = 20 if quick else 300
    pcd = e2e.Pcd()
    running, versions, absent = start_all(pcd, _peers.network())
    rows = []
    try:
        time.sleep(WARM_UP)
        for peer in running:
            peer.begin()
        time.sleep(seconds)
        for peer, which in zip(running, versions):
            if peer.ended():
                said = next((p.log for p in peer.programs if p.process.poll() is not None), "")
                absent.append([peer.name, "ended: " + said.strip()[-200:]])
            else:
                rows.append(peer.row(seconds, which))
    finally:
        for peer in running:
            peer.stop()
        assert pcd.stop() == 0, pcd.log
    report.text(f"""
All at the same time, at 1 s, {seconds} s after {WARM_UP} s to warm up: processors, memory, network,
disks, filesystems, each as the program has them, from Debian's packages. CPU of all threads that
live, children too. Bytes are those on TCP or UDP, both ways, HTTP's headers included; a program
that keeps what it measured has none. None of them was left running.""")
    report.table(["", "% of a core", "us a second", "RSS, MB", "PSS, MB", "bytes sent a second",
                  "version"], rows)
    if absent:
        report.table(["not measured", "why"], absent)
