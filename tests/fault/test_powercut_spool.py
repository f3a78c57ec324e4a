#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The power of an agent goes, at any moment: what was in its spool by then reaches the
server after the next start, once, and nothing that is half there stands in the way.

An agent that spools everything works through an outage of its server, while the shim keeps
a journal of its spool. For each of some moments of it another agent starts on what a disk
may hold then, and sends to a server of its own.

PC_POWERCUT_SPOOL_CUTS says how many moments (all: each boundary of a sync and each change
of a name, and as many others), PC_POWERCUT_SEED repeats a run's choices.
"""

import json
import os
import random
import struct
import sys
from collections import Counter

import journal
from e2e import PCC, Pcc, Pcd, folder, free_port, run, wait_for
from faults import Shim

CUTS = os.environ.get("PC_POWERCUT_SPOOL_CUTS", "all")
SEED = int(os.environ.get("PC_POWERCUT_SEED") or random.SystemRandom().randrange(1 << 32))
FAST = {"FREQUENCY": "10ms", "BATCH_SIZE": "20", "SUBSYSTEMS": "/proc/uptime,/proc/loadavg",
        "FLUSH_INTERVAL": "500ms", "CATCHUP_SHARE": "1"}
PART = struct.Struct("<QQQQQQQ")  # session, SEQ, first tick, from, to, ticks, measurements


def time_of(m):
    return m["timestamp"] * 10**9 + m.get("nanoseconds", 0)


def count(measurements):
    return Counter((time_of(m), m["subsystem"]) for m in measurements
                   if m["subsystem"] != "pcc/gap")


def work():
    """Return: the journal of a spool, and what its agent took."""
    spool, home, port = folder(), folder(), free_port()
    path = os.path.join(folder(), "journal")
    tap = os.path.join(folder(), "tap")
    shim = Shim(spool, journal=path, program=PCC)
    pcd = Pcd(home=home, port=port)
    pcc = Pcc(pcd, environment=shim.environment, SPOOL="always", SPOOL_DIR=spool,
              COLLECTION=tap, **FAST)
    wait_for("something stored", lambda: pcd.stored("test-host"), 30)
    assert pcd.stop() == 0, pcd.log
    n = len(pcc.taken())
    wait_for("an outage", lambda: len(pcc.taken()) >= n + 200, 30)
    pcd = Pcd(home=home, port=port)
    wait_for("files to go", lambda: any(r.type == journal.UNLINK and r.path.endswith(".batch")
                                        for r in journal.read(path)), 30)
    pcc.kill()
    assert pcd.stop() == 0, pcd.log
    return journal.read(path), pcc.taken()


class Promises:
    """Which files must be there: renamed to their name, and the folder synced since; before
    the agent makes the next one at the latest, so that a sync that it leaves out is seen."""

    def __init__(self):
        self.content = {}  # of files in the making and of those that are there
        self.renamed = []
        self.syncing = []
        self.kept = {}  # name: content

    def apply(self, r):
        if r.type == journal.CREATE:
            self.content[r.path] = b""
            if r.path.endswith(".batch.new"):
                self._keep(self.renamed)
        elif r.type == journal.WRITE:
            self.content[r.path] = self.content.get(r.path, b"")[:r.offset] + r.data
        elif r.type == journal.RENAME:
            self.content[r.other] = self.content.pop(r.path)
            if r.other.endswith(".batch"):
                self.renamed.append(r.other)
        elif r.type == journal.UNLINK:
            self.kept.pop(r.path, None)
            self.renamed = [name for name in self.renamed if name != r.path]
        elif r.path == "." and r.type == journal.SYNC_BEGIN:
            self.syncing = list(self.renamed)
        elif r.path == "." and r.type == journal.SYNC_END:
            self._keep(n for n in self.syncing if n in self.renamed)

    def _keep(self, names):
        self.kept.update((n, self.content[n]) for n in names)

    def spans(self):
        """From when to when each kept file's measurements are, and how many."""
        for content in self.kept.values():
            assert struct.unpack_from("<H", content, 12)[0] == 1, "one part"
            _, _, _, first, last, _, n = PART.unpack_from(content, 24)
            yield first, last, n


def check(home, promises, taken):
    """Starts an agent on a spool after a cut, and looks at what arrives."""
    pcd = Pcd()
    pcc = Pcc(pcd, SPOOL_DIR=home, COLLECTION=os.path.join(folder(), "tap"), **FAST)
    pcc.wait_line("event=started")
    wait_for("an empty spool", lambda: not [n for n in os.listdir(home)
                                            if n.endswith(".batch")], 60)
    assert pcc.stop() == 0, pcc.log
    assert pcd.stop() == 0, pcd.log
    arrived = count(map(json.loads, pcd.stored("test-host").splitlines()))
    # A late tick and the next may have the same millisecond.
    took = count(taken + pcc.taken())
    twice = [m for m, n in arrived.items() if n > took[m]]
    assert not twice, twice[:5]
    for first, last, n in promises.spans():
        due = [(time_of(m), m["subsystem"]) for m in taken
               if first <= time_of(m) <= last and m["subsystem"] != "pcc/gap"]
        assert due and len(due) <= n, (first, last, n, len(due))
        lost = [m for m in due if m not in arrived]
        assert not lost, (first, last, n, len(due), len(lost))


def tells(r):
    """Does it change names?"""
    return r.type in (journal.RENAME, journal.UNLINK) or r.path == "."


def test_the_power_of_an_agent_goes_at_any_moment():
    choices = random.Random(SEED)
    records, taken = work()
    chosen = journal.moments(records, CUTS, tells, choices)
    disk, promises, at, kept = journal.Disk(), Promises(), 0, 0
    for number in chosen:
        for record in records[at:number]:
            disk.apply(record, choices)
            promises.apply(record)
        at = number
        home = os.path.join(folder(), "spool")
        disk.write(home, choices, lose_all=choices.random() < 0.3)
        kept += len(promises.kept)
        try:
            check(home, promises, taken)
        except AssertionError as why:
            raise AssertionError(f"seed {SEED}, cut {number} of {len(records)}: "
                                 f"{why}") from why
    print(f"# seed {SEED}: {len(chosen)} cuts in {len(records)} operations, {kept} files kept")
    assert kept > 0


if __name__ == "__main__":
    run(sys.modules[__name__])
