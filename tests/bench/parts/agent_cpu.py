# SPDX-License-Identifier: MIT
"""CPU of the agent at 1 s, beside a program that does nothing but read, at the same time."""

import os
import time

import e2e
import process
from report import number, spread

TITLE = "Agent: CPU at 1 s"

COMMAND = "tests/bench/run agent_cpu"
BARE = os.path.join(e2e.BUILD, "tests", "bench", "bare_agent")
GOAL = 1.3
WARM_UP = 3  # seconds


def used(pids, slices, seconds):
    """CPU seconds of each, slice by slice."""
    rows = []
    before = [process.cpu_seconds(pid) for pid in pids]
    for _ in range(slices):
        time.sleep(seconds)
        now = [process.cpu_seconds(pid) for pid in pids]
        rows.append([b - a for a, b in zip(before, now)])
        before = now
    return rows


def run(report, quick):
    # Slices of whole batches of 20 ticks: the cost of sending is in each of them.
    slices, seconds = (1, 20) if quick else (10, 60)
    pcd = e2e.Pcd()
    pcc = e2e.Pcc(pcd, FREQUENCY="1s", BATCH_SIZE="100")
    time.sleep(0.5)  # out of step, so that neither finds the other's caches warm
    bare = e2e.Program([BARE], e2e.clean_environment())
    time.sleep(WARM_UP)
    before = process.thread_seconds(pcc.process.pid)
    rows = used([pcc.process.pid, bare.process.pid], slices, seconds)
    threads = {name: now - before.get(name, 0) for name, now in
               process.thread_seconds(pcc.process.pid).items()}
    assert pcc.stop() == 0, pcc.log
    bare.kill()
    ticks_sent = int(pcd.metrics()["pcd_measurements_total"]) / 5
    assert pcd.stop() == 0, pcd.log

    us = [[1e6 * cpu / seconds for cpu in row] for row in rows]
    ratios = [ours / theirs for ours, theirs in us]
    report.text(f"""
pcc with its defaults, delta and gzip, batches of 100 measurements (20 ticks), to a pcd on
loopback; beside it, half a second out of step, a program that does the bare reads each second.
{slices} × {seconds} s; all threads, as the scheduler counts. {ticks_sent:.0f} ticks arrived.""")
    report.table(["", "us a tick", "% of a core"], [
        ["pcc", spread(ours for ours, _ in us), spread(ours / 1e4 for ours, _ in us)],
        *([f"of that, its thread `{name}`", number(1e6 * cpu / slices / seconds), ""]
          for name, cpu in sorted(threads.items())),
        ["bare program", spread(bare for _, bare in us), spread(bare / 1e4 for _, bare in us)],
        ["ratio", spread(ratios), ""],
    ])
    mean = sum(ours for ours, _ in us) / sum(bare for _, bare in us)
    report.goal("CPU of the agent at 1 s, delta, batches of 100, beside the bare program",
                f"≤ {GOAL}", f"{number(mean)}: {spread(ours / 1e4 for ours, _ in us)} % of a core",
                mean <= GOAL, COMMAND)
