# SPDX-License-Identifier: MIT
"""How long a tick takes by the clock on the wall, at 1 s, beside a busy core."""

import os
import subprocess
import sys

import e2e

TITLE = "Agent: wall time of a tick beside a busy core"

COMMAND = "tests/bench/run agent_wall"
TICK = os.path.join(e2e.BUILD, "tests", "bench", "tick")
GOAL_MS = 1.0
BUSY = "import os\nos.sched_setaffinity(0, {0})\nwhile True: pass"


def percentile(values, p):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * p / 100))]


def measure(ticks, busy):
    """Rows of (late, taken) of ticks and of bare reads, in ms."""
    burner = subprocess.Popen([sys.executable, "-c", BUSY]) if busy else None
    try:
        done = subprocess.run([TICK, "wall", str(ticks)], capture_output=True, text=True,
                              check=True)
    finally:
        if burner:
            burner.kill()
            burner.wait()
    return [[int(field) / 1e6 for field in line.split()] for line in done.stdout.splitlines()]


def run(report, quick):
    ticks = 20 if quick else 300
    report.text(f"""
{ticks} ticks at 1 s, in a thread of its own that sleeps until each is due, without and with another
process that keeps CPU 0 busy; half a second after each, the bare reads in the same thread. Late:
how long after it was due it began, which is the scheduler's doing. With {ticks} ticks p99 is the
{'greatest' if ticks < 200 else f'{ticks // 100}th from the top'}.""")
    rows, reached, curves = [], None, {}
    for busy in (False, True):
        found = measure(ticks, busy)
        for name, at in (("tick", 1), ("bare reads", 3), ("late", 0)):
            values = [row[at] for row in found]
            rows.append([f"{name}, {'a core busy' if busy else 'nothing else'}",
                         *(f"{percentile(values, p):.3f}" for p in (50, 90, 99)),
                         f"{max(values):.3f}"])
            curves[rows[-1][0]] = [(p, percentile(values, p)) for p in (*range(0, 100, 2), 99)]
            if busy and name == "tick":
                reached = percentile(values, 99)
    report.table(["ms", "p50", "p90", "p99", "greatest"], rows)
    report.plot("agent_wall", "Wall time of a tick at 1 s", "percent of ticks", "ms at most", curves,
                logy=True)
    report.goal("wall time of a tick, p99 at 1 s, beside a busy core", f"{GOAL_MS:g} ms",
                f"{reached:.3f} ms", reached <= GOAL_MS, COMMAND)
