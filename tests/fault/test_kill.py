#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""An agent that is killed can't tell what was lost with it: the next one does."""

import json
import os
import signal
import sys
import time

from e2e import Pcc, Pcd, folder, free_port, run, wait_for

FAST = {"FREQUENCY": "50ms", "BATCH_SIZE": "10", "SUBSYSTEMS": "/proc/uptime",
        "FLUSH_INTERVAL": "500ms"}


class Host:
    """One agent after another, with one spool and one tap, which has every batch that was
    sealed."""

    def __init__(self):
        self.spool = folder()
        self.tap = os.path.join(folder(), "tap.jsonl")

    def start(self, server, **options):
        pcc = Pcc(server, **{**FAST, "SPOOL_DIR": self.spool, "COLLECTION": self.tap, **options})
        pcc.wait_line("event=started")
        return pcc

    def taken(self):
        if not os.path.exists(self.tap):
            return []
        with open(self.tap, "rb") as f:
            return ticks(map(json.loads, f.read().split(b"\n")[:-1]))

    def wait_taken(self, n):
        wait_for(f"{n} ticks", lambda: len(self.taken()) >= n, 30)


def ticks(measurements):
    return [(m["timestamp"] + m.get("nanoseconds", 0) / 1e9, m["measurement"])
            for m in measurements if m["subsystem"] == "/proc/uptime"]


def stored(pcd):
    lines = [json.loads(line) for line in pcd.stored("test-host").splitlines()]
    return ticks(lines), [json.loads(m["measurement"]) for m in lines
                          if m["subsystem"] == "pcc/gap"]


def nowhere():
    return f"http://127.0.0.1:{free_port()}"


def settle(host, pcd, pcc):
    """Ends the agent and the server. Return: what was taken but not stored, and what the
    agents said that they lost by being killed."""
    assert pcc.stop() == 0, pcc.log
    assert pcd.stop() == 0, pcd.log
    there, gaps = stored(pcd)
    assert len(set(there)) == len(there)
    return sorted(set(host.taken()) - set(there)), [g for g in gaps if g["kind"] == "killed"]


def assert_told(lost, gap):
    assert gap["ticks"] >= len(lost) and gap["measurements"] >= len(lost), (gap, len(lost))
    for when, _ in lost:
        assert gap["from"] <= when <= gap["to"], (when, gap)


def test_what_was_in_memory_only_is_told_by_the_next_agent():
    host, pcd = Host(), Pcd()
    pcc = host.start(nowhere())
    host.wait_taken(40)
    pcc.kill()
    pcc = host.start(pcd)
    pcc.wait_line("event=loss_before_start cause=killed")
    host.wait_taken(60)
    lost, killed = settle(host, pcd, pcc)
    assert len(lost) >= 40 and len(killed) == 1, (len(lost), killed)
    assert_told(lost, killed[0])
    # It ends before the ticks of the agent that tells it.
    after = [when for when, _ in stored(pcd)[0]]
    assert killed[0]["to"] <= min(after) + 0.1, (killed, min(after))


def test_of_what_was_delivered_nothing_is_told():
    host, pcd = Host(), Pcd()
    pcc = host.start(pcd)
    wait_for("stored ticks", lambda: len(stored(pcd)[0]) >= 40, 30)
    pcc.kill()
    told_from = len(host.taken())
    pcc = host.start(pcd)
    host.wait_taken(told_from + 20)
    lost, killed = settle(host, pcd, pcc)
    assert len(killed) <= 1  # killed and started again before the next tick was due: none
    for gap in killed:
        assert_told(lost, gap)
        safe = [when for when, _ in stored(pcd)[0] if gap["from"] < when < gap["to"]]
        # The last batch may have been stored in the moment before the kill.
        assert len(safe) <= 10, (gap, safe)
    assert killed or not lost


def test_an_agent_that_came_to_its_end_left_nothing_to_tell():
    host, pcd = Host(), Pcd()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGTERM):
        pcc = host.start(pcd)
        host.wait_taken(len(host.taken()) + 10)
        assert pcc.stop(number) == 0, pcc.log
    pcc = host.start(nowhere(), TIMEOUT="1s")  # this one's go to the spool
    host.wait_taken(len(host.taken()) + 10)
    assert pcc.stop() == 0, pcc.log
    pcc = host.start(pcd)
    assert "loss_before_start" not in pcc.log
    wait_for("the spool", lambda: not [n for n in os.listdir(host.spool) if ".batch" in n], 60)
    lost, killed = settle(host, pcd, pcc)
    assert not lost and not killed, (lost, killed)


def test_ticks_missed_right_before_the_end_are_told():
    for _ in range(4):
        host, pcd = Host(), Pcd()
        pcc = host.start(pcd)
        host.wait_taken(10)
        pcc.process.send_signal(signal.SIGSTOP)
        last = host.taken()[-1][0]
        wait_for("a second", lambda: time.time() > last + 1, 10)
        pcc.process.send_signal(signal.SIGTERM)
        pcc.process.send_signal(signal.SIGCONT)
        lost, _ = settle(host, pcd, pcc)
        there, gaps = stored(pcd)
        missed = [gap for gap in gaps if gap["kind"] == "missed"]
        assert not lost and missed, (lost, gaps, pcc.log)
        # Of a second from the last tick on, but for the place of one tick and its neighbour.
        told = max(gap["to"] for gap in missed)
        assert max(told, there[-1][0]) > last + 0.8, (there[-1], missed)


def test_a_loss_that_could_not_be_told_is_told_by_the_one_after():
    host, pcd = Host(), Pcd()
    for n in (20, 40, 60):
        pcc = host.start(nowhere())
        host.wait_taken(n)
        pcc.kill()
    pcc = host.start(pcd)
    host.wait_taken(80)
    lost, killed = settle(host, pcd, pcc)
    assert len(lost) >= 60 and len(killed) == 1, (len(lost), killed)
    assert_told(lost, killed[0])


def test_what_an_end_had_no_place_for_is_told_by_the_next_agent():
    host, pcd = Host(), Pcd()
    pcc = host.start(nowhere(), BATCH_SIZE="1", SPOOL_MAX="64KiB", FLUSH_INTERVAL="10ms")
    host.wait_taken(60)
    assert pcc.stop() == 1, pcc.log
    pcc = host.start(pcd, CATCHUP_SHARE="1")
    pcc.wait_line("event=loss_before_start cause=unsent")
    host.wait_taken(len(host.taken()) + 20)
    wait_for("the spool", lambda: not [n for n in os.listdir(host.spool) if ".batch" in n], 60)
    lost, killed = settle(host, pcd, pcc)
    gaps = [gap for gap in stored(pcd)[1] if gap["kind"] == "dropped"]
    unsent = [gap for gap in gaps if "ended before" in gap["reason"]]
    assert len(lost) > 20 and len(unsent) == 1 and not killed, (len(lost), gaps, killed)
    # What a full spool dropped earlier, batches that made it there tell of.
    for when, _ in lost:
        assert any(gap["from"] <= when <= gap["to"] for gap in gaps), (when, gaps)
    assert sum(gap["measurements"] for gap in gaps) >= len(lost), (gaps, len(lost))


def test_with_every_batch_on_disk_only_the_open_one_is_lost():
    host, pcd = Host(), Pcd()
    pcc = host.start(nowhere(), SPOOL="always")
    host.wait_taken(40)
    pcc.kill()
    pcc = host.start(pcd, SPOOL="always", CATCHUP_SHARE="1")
    host.wait_taken(60)
    wait_for("the spool", lambda: len(stored(pcd)[0]) >= 50, 60)
    lost, killed = settle(host, pcd, pcc)
    assert not lost, lost  # the tap has what was sealed
    for gap in killed:
        safe = [when for when, _ in stored(pcd)[0] if gap["from"] < when < gap["to"]]
        assert len(safe) <= 10, (gap, safe)


run(sys.modules[__name__])
