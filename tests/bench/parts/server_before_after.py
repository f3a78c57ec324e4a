# SPDX-License-Identifier: MIT
"""From JSON over a new connection a request, as the design before ours had it, to what we
do, one step after the other."""

from _servers import Run, capture, whose
from report import number, spread

TITLE = "Before and after"

COMMAND = "tests/bench/run server_before_after"
INTERVAL = 1  # seconds between two ticks of a host

# Each step, what the fleet is told, and ticks a batch.
STEPS = (
    ("JSON over a new connection", ["--form", "json", "--gzip=no", "--new-connections"], 1),
    ("the connection kept", ["--form", "json", "--gzip=no"], 1),
    ("gzip", ["--form", "json", "--gzip=yes"], 1),
    ("MessagePack", ["--form", "msgpack", "--gzip=yes"], 1),
    ("batches of 20 ticks", ["--form", "msgpack", "--gzip=yes"], 20),
    ("delta", ["--form", "delta", "--gzip=yes"], 20),
    ("delta, batches of 100 ticks", ["--form", "delta", "--gzip=yes"], 100),
)


def sender_cpu(run):
    """CPU of a sender, us a host-tick: encode and compress, and send."""
    making = run.fleet["making_us"] / (run.ticks / run.fleet["stored"])
    return making + 1e6 * run.fleet["cpu_seconds"] / run.ticks


def server_cpu(run):
    return 1e6 * run.cpu / run.ticks


def run(report, quick):
    runs_each, seconds, hosts = (1, 1, 300) if quick else (3, 10, 1000)
    report.text(f"""
{hosts:,} hosts, a tick every {INTERVAL} s each, replay {whose(capture())} for {seconds} s, batches due
at their time. Each step keeps those before it. CPU of the sender is that of encoding and
compressing, measured when the bodies were made, and of the fleet's sending. Bytes are those of
HTTP, headers and answers included, without TCP/IP's: a new connection has some 500 more of
these. CPU of pcd is until all stands in day files, which are the same in each row.""")
    found = {step: [] for step, _, _ in STEPS}
    for _ in range(runs_each):
        for step, argv, ticks in STEPS:
            rate = hosts / INTERVAL / ticks
            # A batch of many ticks is due seldom: enough of them for a p99.
            found[step].append(Run([*argv, "--rate", max(1, int(rate))], hosts=hosts, ticks=ticks,
                                   batches=0, seconds=seconds))
    first = found[STEPS[0][0]]
    rows = []
    for step, runs in found.items():
        rows.append([
            step,
            number(1000 * runs[0].fleet["stored"] / runs[0].ticks),
            number(1000 * runs[0].fleet["connections"] / runs[0].ticks),
            spread((r.fleet["bytes_sent"] + r.fleet["bytes_received"]) / r.ticks for r in runs),
            spread(map(sender_cpu, runs)), spread(map(server_cpu, runs)),
            spread(server_cpu(a) / server_cpu(b) for a, b in zip(first, runs)),
            spread(r.fleet["p50_ms"] for r in runs), spread(r.fleet["p99_ms"] for r in runs)])
    report.table(["", "requests for 1,000 host-ticks", "new connections", "bytes a host-tick",
                  "CPU of the sender, us a host-tick", "CPU of pcd, us a host-tick",
                  "CPU of pcd: the first row has so many times this", "p50, ms", "p99, ms"], rows)
    last = found[STEPS[-1][0]]
    ratio = [(a.fleet["bytes_sent"] / a.ticks) / (b.fleet["bytes_sent"] / b.ticks)
             for a, b in zip(first, last)]
    report.goal("before and after: bytes sent a host-tick", "say",
                f"{spread(ratio)} times less", None, COMMAND)
    report.goal("before and after: CPU of pcd a host-tick", "say",
                f"{spread(server_cpu(a) / server_cpu(b) for a, b in zip(first, last))} times less",
                None, COMMAND)
