# SPDX-License-Identifier: MIT
"""How long an answer takes at shares of the highest rate, synced before it is given."""

from _servers import FORMS, HOSTS, TICKS, Run, capture, whose
from report import number, spread

TITLE = "Server: how long an answer takes"

COMMAND = "tests/bench/run server_latency"
GOAL_MS = 30


def run(report, quick):
    runs_each, seconds, shares = (1, 3, (0.5,)) if quick else (3, 10, (0.1, 0.25, 0.5, 0.75, 0.9))
    forms = ("delta+gzip",) if quick else ("delta+gzip", "JSON")
    report.text(f"""
{HOSTS:,} hosts replay {whose(capture())}, {TICKS} ticks a batch, `PCD_SYNC=always`. The highest rate
is what they reach when each sends as soon as it is answered, until all stands in day files, for
faster nothing can go on for long; then batches are due at shares of
it, each host's at its own time and late by up to a tenth of its interval. A latency runs from
when a batch was due to the whole answer, so nothing is left out where pcd stalls. The fleet and
pcd share the machine's CPUs.""")
    plots = {}
    for form in forms:
        argv = FORMS[form][1]
        rows, highest = [], []
        at = {share: [] for share in shares}
        for _ in range(runs_each):
            top = Run(argv, batches=3 if quick else 8)
            highest.append(top.fleet["stored"] / top.filed_seconds)
            for share in shares:
                at[share].append(Run([*argv, "--rate", int(highest[-1] * share)], batches=0,
                                     seconds=seconds, may_fail=True))
        for share, runs in at.items():
            rows.append([f"{100 * share:.0f} %",
                         spread(r.fleet["stored"] / r.fleet["seconds"] for r in runs),
                         *(spread(r.fleet[name] for r in runs)
                           for name in ("p50_ms", "p99_ms", "p999_ms", "max_ms")),
                         number(sum(r.fleet["unsent"] for r in runs)),
                         number(sum(r.fleet["failures"] for r in runs))])
        report.text(f"{form}; the highest rate was {spread(highest)} batches a second.")
        report.table(["of the highest rate", "batches a second", "p50, ms", "p99, ms",
                      "p99.9, ms", "longest, ms", "due and not sent", "refused at first"], rows)
        plots[form] = [(100 * share, sorted(r.fleet["p99_ms"] for r in runs)[len(runs) // 2])
                       for share, runs in at.items()]
        p99 = [r.fleet["p99_ms"] for r in at[0.5]]
        report.goal(f"pcd: p99 of the answer at half of the highest rate, {form}",
                    f"≤ {GOAL_MS} ms", spread(p99) + " ms",
                    sorted(p99)[len(p99) // 2] <= GOAL_MS, COMMAND)
    if not quick:
        report.plot("server_latency", "p99 of the answer", "% of the highest rate", "ms", plots,
                    logy=True)
