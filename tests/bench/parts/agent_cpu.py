# SPDX-License-Identifier: MIT
"""CPU of the agent at 1 s, beside a program that does nothing but read, at the same time."""

import os
import time

import _agents
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
    builds = _agents.builds()
    agents = [e2e.Pcc(pcd, program=program, FREQUENCY="1s", BATCH_SIZE="100", IDENTIFIER=kind)
              for kind, program in builds]
    time.sleep(0.5)  # out of step, so that none finds the other's caches warm
    bare = e2e.Program([BARE], e2e.clean_environment())
    time.sleep(WARM_UP)
    pids = [program.process.pid for program in (*agents, bare)]
    before = [process.thread_seconds(pid) for pid in pids]
    rows = used(pids, slices, seconds)
    threads = [{name: now - before[i].get(name, 0)
                for name, now in process.thread_seconds(pid).items()}
               for i, pid in enumerate(pids)]
    for pcc in agents:
        assert pcc.stop() == 0, pcc.log
    bare.kill()
    ticks_sent = int(pcd.metrics()["pcd_measurements_total"]) / 5
    assert pcd.stop() == 0, pcd.log

    us = [[1e6 * cpu / seconds for cpu in row] for row in rows]
    report.text(f"""
pcc with its defaults, delta and gzip, batches of 100 measurements (20 ticks), to a pcd on
loopback; beside it, out of step, a program that does the bare reads each second. {_agents.which()}
{slices} × {seconds} s; all threads, as the scheduler counts. {ticks_sent:.0f} ticks arrived.""")
    table = []
    for i, (kind, _) in enumerate(builds):
        table.append([f"pcc, {kind}", spread(row[i] for row in us),
                      spread(row[i] / 1e4 for row in us),
                      spread(row[i] / row[-1] for row in us)])
        table += [[f"of that, its thread `{name}`", number(1e6 * cpu / slices / seconds), "", ""]
                  for name, cpu in sorted(threads[i].items())]
    table.append(["bare program", spread(row[-1] for row in us),
                  spread(row[-1] / 1e4 for row in us), ""])
    report.table(["", "us a tick", "% of a core", "beside the bare program"], table)
    for i, (kind, _) in enumerate(builds):
        mean = sum(row[i] for row in us) / sum(row[-1] for row in us)
        report.goal(f"CPU of the agent at 1 s, {kind}, delta, batches of 100, beside the bare"
                    " program", f"≤ {GOAL}",
                    f"{number(mean)}: {spread(row[i] / 1e4 for row in us)} % of a core",
                    mean <= GOAL, COMMAND)
