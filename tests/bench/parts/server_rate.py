# SPDX-License-Identifier: MIT
"""Host-ticks that pcd takes in a CPU-second, durable, with day files; the wall rate beside
it, and what the disk alone takes."""

from _servers import FORMS, HOSTS, TICKS, Run, capture, median, whose
from report import number, spread

TITLE = "Server: host-ticks a CPU-second"

COMMAND = "tests/bench/run server_rate"
DISK_GOAL = 1.2


def run(report, quick):
    runs_each, batches = (1, 2) if quick else (5, 8)
    report.text(f"""
{HOSTS:,} hosts over a connection each replay {whose(capture())}, {TICKS} ticks (100 measurements)
a batch, {batches} batches each after one to warm up, as fast as they are answered; `PCD_SYNC=always`,
day files on. CPU is pcd's, user and system, until all stands in day files. The forms take turns,
{runs_each} times. The disk alone: a program that writes the same bytes of log with as many syncs,
and beside that the same bytes to {HOSTS:,} files, right after each run. Where pcd and the fleet use
all CPUs of the machine until all is filed, it is these that a faster disk waits for.""")
    runs = {form: [] for form in FORMS}
    for _ in range(runs_each):
        for form, (_, argv) in FORMS.items():
            runs[form].append(Run(argv, batches=batches, with_disk=True))
    report.table(
        ["", "host-ticks a CPU-second", "a second", "bytes sent a tick", "batches a sync",
         "CPU of the fleet beside pcd's"],
        [[form, spread(r.ticks_a_cpu_second for r in got),
          spread(r.ticks_a_second for r in got),
          number(median(got, lambda r: r.fleet["bytes_sent"] / r.ticks)),
          number(median(got, lambda r: r.fleet["stored"] / r.counts["pcd_groups_total"])),
          f"{median(got, lambda r: 100 * r.fleet_share):.0f} %"]
         for form, got in runs.items()])
    report.table(
        ["", "answered after, s", "filed after, s", "disk alone: log, s", "log and files, s",
         "answered / disk", "filed / disk", "CPUs that pcd and the fleet used"],
        [[form, spread(r.answered_seconds for r in got), spread(r.filed_seconds for r in got),
          spread(r.disk_log for r in got), spread(r.disk_all for r in got),
          spread(r.answered_seconds / r.disk_log for r in got),
          spread(r.filed_seconds / r.disk_all for r in got),
          spread(r.cpus_used for r in got)]
         for form, got in runs.items()])
    names = sorted({name for got in runs.values() for r in got for name in r.threads},
                   key=lambda name: -median(runs["JSON"], lambda r: r.threads.get(name, 0)))
    report.text("CPU by thread, us a tick:")
    report.table(["", *names],
                 [[form, *(number(median(got, lambda r, name=name: 1e6 * r.threads.get(name, 0)
                                         / r.ticks)) for name in names)]
                  for form, got in runs.items()])
    for form, (goal, _) in FORMS.items():
        reached = [r.ticks_a_cpu_second for r in runs[form]]
        report.goal(f"pcd: host-ticks a CPU-second, durable, {form}", f"{goal:,}",
                    spread(reached), median(runs[form], lambda r: r.ticks_a_cpu_second) >= goal,
                    COMMAND)
    for form in FORMS:
        ratios = [r.filed_seconds / r.disk_all for r in runs[form]]
        report.goal(f"pcd: wall time beside that of the disk alone, {form}", f"≤ {DISK_GOAL}",
                    spread(ratios), sorted(ratios)[len(ratios) // 2] <= DISK_GOAL, COMMAND)
