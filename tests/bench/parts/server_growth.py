# SPDX-License-Identifier: MIT
"""How what pcd needs grows with hosts, with the CPUs of a host, and with the batch."""

import math

from _servers import FORMS, Run, capture, median, whose
from report import number, spread

TITLE = "Server: how cost grows"

COMMAND = "tests/bench/run server_growth"

# Equal measurements a second in each row of a table.
HOSTS = {"name": "hosts", "values": (10, 100, 1000, 10_000), "ticks_a_second": 8000}
CPUS = {"name": "CPUs of a host", "values": (2, 64, 512), "ticks_a_second": 1000}
BATCH = {"name": "ticks a batch", "values": (1, 10, 100, 1000), "ticks_a_second": 4000}


def settings(series, value):
    """What a run of this row differs in."""
    hosts = value if series is HOSTS else 100
    ticks = value if series is BATCH else 20
    argv = ["--rate", max(1, series["ticks_a_second"] // ticks)]
    if series is CPUS:
        argv += ["--cpus", value, "--tape", 16, "--places", 4]
    if ticks > 100:
        argv += ["--tape", 8, "--places", 4]
    return {"hosts": hosts, "ticks": ticks, "argv": argv}


def slope(points):
    """Of the straight line through points in a plot of logarithms: 0: it doesn't grow; 1:
    twice as much for twice as much."""
    xs, ys = [[math.log(p[i]) for p in points] for i in (0, 1)]
    mean_x, mean_y = sum(xs) / len(xs), sum(ys) / len(ys)
    return (sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys))
            / sum((x - mean_x) ** 2 for x in xs))


def cost(run):
    """CPU of pcd, us a host-tick."""
    return 1e6 * run.cpu / run.ticks


def measure(series, values, argv, runs_each, seconds):
    found = {value: [] for value in values}
    for _ in range(runs_each):
        for value, runs in found.items():
            row = settings(series, value)
            runs.append(Run([*argv, *row["argv"]], hosts=row["hosts"], ticks=row["ticks"],
                            batches=0, seconds=seconds))
    return found


def tell(report, series, found):
    """A table and a plot of a series by form."""
    for form, rows in found.items():
        points = [(value, median(runs, cost)) for value, runs in rows.items()]
        stored = [(value, median(runs, lambda r: r.stored_bytes / r.ticks))
                  for value, runs in rows.items()]
        report.text(f"{form}, {series['ticks_a_second']:,} host-ticks a second; slope of the CPU"
                    f" a host-tick {slope(points):.2f}"
                    + (f", of the bytes stored {slope(stored):.2f}" if series is CPUS else "")
                    + ":")
        report.table(
            [series["name"], "CPU of pcd, us a host-tick", "CPU, us a KB stored",
             "bytes sent a host-tick", "p99 of the answer, ms", "RSS of pcd, MiB"],
            [[f"{value:,}", spread(map(cost, runs)),
              spread(1e9 * r.cpu / r.stored_bytes for r in runs),
              number(median(runs, lambda r: r.fleet["bytes_sent"] / r.ticks)),
              spread(r.fleet["p99_ms"] for r in runs),
              number(median(runs, lambda r: r.rss / 2**20))]
             for value, runs in rows.items()])
    name = series["name"].split()[0].lower()
    report.plot(f"server_growth_{name}", "CPU of pcd", series["name"], "us a host-tick",
                {form: [(value, median(runs, cost)) for value, runs in rows.items()]
                 for form, rows in found.items()}, logx=True, logy=True)


def run(report, quick):
    runs_each, seconds = (1, 1) if quick else (3, 5)
    forms = ("delta+gzip",) if quick else ("delta+gzip", "JSON")
    report.text(f"""
Hosts replay {whose(capture())}; batches are due at a rate, so that each row of a table takes the
same number of measurements a second, for {seconds} s. Where not said otherwise 100 hosts, 20 ticks
a batch. Hosts with more CPUs are made of the recorded one: as many lines in `/proc/stat`, each with
a beginning and a pace of its own. CPU until all stands in day files. Slopes are those of a line
through the logarithms. A batch of 1,000 ticks holds a recording several times, which gzip sees:
the bytes sent of it are too few.""")
    for series in (HOSTS, CPUS, BATCH):
        values = series["values"][:-1] if quick else series["values"]
        found = {form: measure(series, values, FORMS[form][1], runs_each, seconds)
                 for form in forms}
        tell(report, series, found)
        points = [(value, median(runs, cost)) for value, runs in found[forms[0]].items()]
        report.goal(f"how CPU a host-tick grows with {series['name']}, {forms[0]}: slope", "say",
                    f"{slope(points):.2f}", None, COMMAND)
