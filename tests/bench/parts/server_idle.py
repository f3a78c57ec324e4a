# SPDX-License-Identifier: MIT
"""What connections cost pcd that are kept and on which nobody sends."""

import time

import e2e
import process
from _servers import FORMS, Fleet, wait_filed, wait_quiet
from report import spread

TITLE = "Server: idle connections"

COMMAND = "tests/bench/run server_idle"
GOAL_KIB = 9
CHECKPOINT = 5  # seconds between two, which are work of what came before
RATE = 400  # first batches a second
SHARED = 100  # connections of the pcd that it is compared with


def hold(hosts, connections, seconds, rate):
    """Each host sends a batch of one tick, so many a second, then nobody does anything.
    Returns what pcd holds: private bytes, connections, and the CPU seconds of the quiet
    time."""
    pcd = e2e.Pcd(SYNC="always", CHECKPOINT_INTERVAL=f"{CHECKPOINT}s")
    fleet = Fleet(pcd, *FORMS["MessagePack+gzip"][1], "--clients", hosts, "--connections",
                  connections, "--batches", 1, "--ticks", 1, "--rate", rate, "--seconds", 600,
                  "--hold", f"{seconds + 120}s", warmup=0)
    done = fleet.summary()
    assert done["stored"] == hosts, done
    wait_filed(pcd)
    time.sleep(CHECKPOINT + 1)
    wait_quiet(pcd)
    before = process.cpu_seconds(pcd.process.pid)
    time.sleep(seconds)
    used = process.cpu_seconds(pcd.process.pid) - before
    private = process.private_bytes(pcd.process.pid)
    kept = pcd.metrics()["pcd_connections"] - 1  # that which asks
    fleet.process.kill()
    fleet.process.communicate()
    assert pcd.stop(seconds=120) == 0, pcd.log
    return private, kept, used


def compare(n, seconds, runs_each, rate):
    """Rows of: connections kept, KiB each, CPU seconds, MiB of pcd in all."""
    rows = []
    for _ in range(runs_each):
        few, _, _ = hold(n - 1, SHARED, 0, rate)
        many, kept, used = hold(n - 1, n - 1, seconds, rate)
        rows.append((kept + 1, (many - few) / (n - 1 - SHARED) / 1024, used, many / 2**20))
    return rows


def run(report, quick):
    n, seconds = (2000, 3) if quick else (16000, 20)
    runs_each = 1 if quick else 3
    report.text(f"""
{n - 1:,} connections (with the one that asks: {n:,}), on each of which one host has sent one batch;
beside a pcd whose {n - 1:,} hosts have sent theirs over {SHARED} connections. What the first holds
more, for each connection more: memory of its own, without the kernel's. CPU in {seconds} s in which
nobody sends. The first batches come spread, as those of pcc do after a start, {RATE} a second; and
all in one moment, when the memory of connections lies between that of batches which wait for the
disk, and what those leave behind are holes of less than a page.""")
    spreads = compare(n, seconds, runs_each, RATE)
    bursts = compare(n, seconds, runs_each, 0)
    report.table(["", "connections kept", "KiB each", f"CPU in {seconds} s, ms",
                  "pcd in all, MiB"],
                 [[name, spread(kept), spread(each), spread(1000 * s for s in used),
                   spread(total)]
                  for name, rows in (("spread", spreads), ("in one moment", bursts))
                  for kept, each, used, total in [zip(*rows)]])
    kept, each, used, _ = zip(*spreads)
    report.goal("pcd: idle connections kept", "16,000", spread(kept), min(kept) >= 16000, COMMAND)
    report.goal("pcd: an idle connection", f"< {GOAL_KIB} KiB", spread(each) + " KiB",
                max(each) < GOAL_KIB, COMMAND)
    report.goal("pcd: CPU when nobody sends", "0", f"{spread(1000 * s for s in used)} ms in"
                f" {seconds} s", max(used) / seconds < 1e-4, COMMAND)
