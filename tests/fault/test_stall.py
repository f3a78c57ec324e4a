#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""A server that stalls in the middle of everything costs nothing: the sender goes on
sealing, spooling and watching for a stop while a transfer waits.

PC_STALL_SECONDS says for how long (default 5; the whole promise is 30)."""

import json
import os
import re
import signal
import sys
import time

from e2e import Pcc, Pcd, folder, run, wait_for

SECONDS = float(os.environ.get("PC_STALL_SECONDS", "5"))
PER_TICK = 5  # the usual sources


def start(pcd):
    return Pcc(pcd, FREQUENCY="10ms", QUEUE_MAX="1MiB", SPOOL_DIR=folder(),
               CATCHUP_SHARE="1", COLLECTION=os.path.join(folder(), "tap.jsonl"))


def counted(pcc, name):
    return int(re.search(rf"event=stopped .*\b{name}=(\d+)", pcc.log).group(1))


def sent(pcd):
    return pcd.stored("test-host").count(b"\n")


def test_a_server_that_stalls_costs_no_tick():
    pcd = Pcd()
    pcc = start(pcd)
    wait_for("batches", lambda: sent(pcd) > 500, 30)
    pcd.process.send_signal(signal.SIGSTOP)
    time.sleep(SECONDS)
    pcd.process.send_signal(signal.SIGCONT)
    before = sent(pcd)
    wait_for("batches after it", lambda: sent(pcd) > before + SECONDS * 100 * PER_TICK, 120)
    wait_for("the spool", lambda: not any(name.endswith(".batch") for name in
                                          os.listdir(pcc.options["SPOOL_DIR"])), 120)
    assert pcc.stop() == 0, pcc.log
    assert pcd.stop() == 0, pcd.log
    print(f"# {SECONDS:g} s: {counted(pcc, 'ticks')} ticks, {counted(pcc, 'missed')} missed,"
          f" {counted(pcc, 'dropped')} measurements dropped")
    assert counted(pcc, "dropped") == 0, pcc.log
    # All that was taken is there, once, and nothing is told of but what a busy machine
    # came too late for.
    stored = pcd.stored("test-host").splitlines(True)
    with open(pcc.options["COLLECTION"], "rb") as f:
        assert sorted(stored) == sorted(f.readlines())
    gaps = [json.loads(json.loads(line)["measurement"]) for line in stored
            if b'"pcc/gap"' in line]
    assert {gap["kind"] for gap in gaps} <= {"missed", "mount"}, gaps
    assert sum(gap["ticks"] for gap in gaps if gap["kind"] == "missed") == counted(pcc, "missed")
    assert counted(pcc, "missed") < counted(pcc, "ticks") / 10, pcc.log


def test_a_stop_does_not_wait_for_a_server_that_stalls():
    pcd = Pcd()
    pcc = start(pcd)
    wait_for("batches", lambda: sent(pcd) > 500, 30)
    pcd.process.send_signal(signal.SIGSTOP)
    time.sleep(1)
    assert pcc.stop() == 0, pcc.log  # what it has left lies in the spool
    pcd.process.send_signal(signal.SIGCONT)
    n = counted(pcc, "measurements")
    again = Pcc(pcd, **pcc.options)
    wait_for("the rest", lambda: sent(pcd) >= n, 60)
    assert again.stop() == 0, again.log
    assert pcd.stop() == 0, pcd.log
    with open(pcc.options["COLLECTION"], "rb") as f:
        assert sorted(pcd.stored("test-host").splitlines(True)) == sorted(f.readlines())


run(sys.modules[__name__])
