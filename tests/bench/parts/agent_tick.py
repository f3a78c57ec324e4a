# SPDX-License-Identifier: MIT
"""CPU of a tick in a hot loop, beside that of the bare reads in the same process."""

import os
import subprocess

import e2e
from report import spread

TITLE = "Agent: CPU of a tick in a hot loop"

COMMAND = "tests/bench/run agent_tick"
TICK = os.path.join(e2e.BUILD, "tests", "bench", "tick")
GOAL = 1.3


def run(report, quick):
    blocks, ticks = (9, 300) if quick else (31, 3000)
    done = subprocess.run([TICK, "hot", str(blocks), str(ticks)], capture_output=True, text=True,
                          check=True)
    pairs = [[int(field) for field in line.split()] for line in done.stdout.splitlines()]
    ratios = [ours / bare for ours, bare in pairs]
    report.text(f"""
All five sources appended to a batch, as the sampler does it, beside `pread` of the four files,
kept open, and one `statfs`. Blocks of {ticks} of each take turns, {blocks} times, in one thread;
its CPU clock.""")
    report.table(["", "us"], [
        ["a tick of pcc", spread(ours / 1000 for ours, _ in pairs)],
        ["bare reads", spread(bare / 1000 for _, bare in pairs)],
        ["ratio of neighbouring blocks", spread(ratios)],
    ])
    median = sorted(ratios)[len(ratios) // 2]
    report.goal("CPU of a tick in a hot loop, beside the bare reads", f"≤ {GOAL}",
                spread(ratios), median <= GOAL, COMMAND)
