# SPDX-License-Identifier: MIT
"""Allocations of the agent after warm-up, by thread and by who asks for them."""

import os
import struct
import time

import e2e
from report import number

TITLE = "Agent: allocations"

COMMAND = "tests/bench/run agent_allocations"
PRELOADED = os.path.join(e2e.BUILD, "tests", "bench", "libpcallocations.so")
THREADS = 64  # as in tests/bench/allocations.c
ROW = struct.Struct("=QQQ")
TICK_MS = 10
SNAPSHOT_TICKS = 1000


def read(path):
    """Allocations by thread: (its own code's, libraries')."""
    with open(path, "rb") as f:
        rows = list(ROW.iter_unpack(f.read()))
    return {thread: (own, others) for thread, own, others in rows if thread}


def name_of(pid, thread):
    with open(f"/proc/{pid}/task/{thread}/comm", encoding="utf-8") as f:
        return f.read().strip()


def run(report, quick):
    # Warm is who has sent a few snapshots.
    warm, counted = (12, 12) if quick else (120, 60)
    path = os.path.join(e2e.folder(), "allocations")
    with open(path, "wb") as f:
        f.write(bytes(ROW.size * THREADS))
    pcd = e2e.Pcd()
    pcc = e2e.Pcc(pcd, FREQUENCY=f"{TICK_MS}ms", BATCH_SIZE="100",
                  environment={"LD_PRELOAD": PRELOADED, "PC_ALLOCATIONS": path})
    pcc.wait_line("event=started")
    time.sleep(warm)
    before, batches = read(path), pcd.metrics()["pcd_batches_total"]
    time.sleep(counted)
    after, batches = read(path), pcd.metrics()["pcd_batches_total"] - batches
    names = {thread: name_of(pcc.process.pid, thread) for thread in after
             if os.path.exists(f"/proc/{pcc.process.pid}/task/{thread}")}
    assert pcc.stop() == 0, pcc.log
    assert pcd.stop() == 0, pcd.log
    assert batches > 0 and sum(sum(row) for row in before.values()) > 0, "nothing was counted"

    ticks = counted * 1000 / TICK_MS
    rows, ours = [], {}
    for thread, name in sorted(names.items(), key=lambda item: item[1]):
        begin = before.get(thread, (0, 0))
        own, others = (b - a for a, b in zip(begin, after[thread]))
        ours[name] = (own, others)
        rows.append([f"`{name}`", own, others, number(others / batches)])
    report.text(f"""
{counted} s at {TICK_MS} ms, {ticks:.0f} ticks and {batches:.0f} requests with {ticks / SNAPSHOT_TICKS:.0f}
snapshots among them, after {warm} s of the same; counted by a preloaded library, which sees who asks.
A thread that isn't named allocated nothing, ever.""")
    report.table(["thread", "by pcc's own code", "by libraries", "of those a request"], rows)
    tick = sum(ours.get("pcc-sampler", (0, 0)))
    send = sum(own for own, _ in ours.values())
    report.goal("allocations after warm-up: a tick; a send in our code", "0; 0",
                f"{number(tick / ticks)}; {number(send / batches)}", tick + send == 0, COMMAND)
