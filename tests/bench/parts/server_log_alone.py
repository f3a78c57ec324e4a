# SPDX-License-Identifier: MIT
"""Host-ticks that are decompressed, decoded, checked and put into the log in a CPU-second,
without HTTP and without day files; and decompressed alone."""

import json
import os
import shutil
import subprocess
import tempfile

from _servers import BENCH, FORMS, HOSTS, TICKS, capture, settle_disk, whose
from report import number, spread

TITLE = "Server: decoded, checked and put into the log alone"

COMMAND = "tests/bench/run server_log_alone"
GOALS = {"delta+gzip": 150_000, "delta": 150_000}
ALL = {**{form: argv for form, (_, argv) in FORMS.items()},
       "delta": ["--form", "delta", "--gzip=no"]}


def ingest(argv, *more):
    """Runs pcd's modules without a network; returns what they did."""
    home = tempfile.mkdtemp(prefix="pc-bench-")
    settle_disk()
    try:
        done = subprocess.run(
            [os.path.join(BENCH, "ingest"), "--home", os.path.join(home, "pcd"), "--replay",
             capture(), "--hosts", str(HOSTS), "--ticks", str(TICKS), *argv, *more],
            stdout=subprocess.PIPE, text=True, check=True)
    finally:
        shutil.rmtree(home, ignore_errors=True)
    return json.loads(done.stdout)


def rate(got):
    return got["ticks"] / got["cpu_seconds"]


def run(report, quick):
    runs_each, batches = (1, "2") if quick else (5, "8")
    report.text(f"""
pcd's own modules in a program without HTTP (`tests/bench/ingest`): bodies of {HOSTS:,} hosts that
replay {whose(capture())}, {TICKS} ticks each, as they would have come; CPU user and system of
all its threads. In turn: to the log, synced in groups, and no day files; with day files; and only
decompressed, by zlib.""")
    kinds = {"log": [], "files": ["--file"], "inflate": ["--inflate"]}
    got = {form: {kind: [] for kind in kinds} for form in ALL}
    for _ in range(runs_each):
        for form, argv in ALL.items():
            for kind, more in kinds.items():
                if kind != "inflate" or "+gzip" in form:
                    got[form][kind].append(ingest(argv, *more, "--batches", batches))
    report.table(
        ["", "host-ticks a CPU-second: log alone", "batches a sync", "with day files",
         "zlib alone", "zlib, MB/s of bodies decompressed", "log alone is so near to zlib alone"],
        [[form, spread(map(rate, kind["log"])),
          spread(r["ticks"] / TICKS / max(1, r["groups"]) for r in kind["log"]),
          spread(map(rate, kind["files"])),
          *_zlib_columns(kind)] for form, kind in got.items()])
    for form, goal in GOALS.items():
        rates = [rate(r) for r in got[form]["log"]]
        report.goal(f"pcd: host-ticks a CPU-second into the log alone, {form}", f"{goal:,}",
                    spread(rates), sorted(rates)[len(rates) // 2] >= goal, COMMAND)
    for form, kind in got.items():
        if kind["inflate"]:
            report.goal(f"how near that is to zlib alone, {form}", "say",
                        spread(_near(kind), _percent), None, COMMAND)


def _percent(share):
    return f"{100 * share:.0f} %"


def _near(kind):
    return [rate(log) / rate(alone) for log, alone in zip(kind["log"], kind["inflate"])]


def _zlib_columns(kind):
    alone = kind["inflate"]
    if not alone:
        return ["", "", ""]
    return [spread(map(rate, alone)),
            spread((r["ticks"] / TICKS * r["plain_bytes"] / r["cpu_seconds"] / 1e6 for r in alone),
                   number),
            spread(_near(kind), _percent)]
