# SPDX-License-Identifier: MIT
"""Instructions of the hot paths, as callgrind counts them, beside those that are kept."""

import os
import re
import subprocess

import e2e

TITLE = "Instructions of the hot paths"

COUNTS = os.path.join(e2e.SOURCE, "tests", "bench", "counts")
# As tests/bench/micro.c names them.
TITLES = {
    "tick": "a tick, from files",
    "chained_encode": "delta, next of a chain: encode", "chained_gzip": "gzip",
    "chained_gunzip": "gunzip", "chained_decode": "decode",
    "snapshot_encode": "delta, snapshot: encode", "snapshot_gzip": "gzip",
    "snapshot_gunzip": "gunzip", "snapshot_decode": "decode",
    "msgpack_encode": "MessagePack: encode", "msgpack_gzip": "gzip",
    "msgpack_gunzip": "gunzip", "msgpack_decode": "decode",
    "json_encode": "JSON: encode", "json_gzip": "gzip", "json_gunzip": "gunzip",
    "json_decode": "decode",
    "lines": "lines of a collection", "log_append": "a record of the log",
    "request": "a request of one tick, JSON and gzip",
}


def run(report, _quick):
    done = subprocess.run([COUNTS], capture_output=True, text=True, check=False)
    rows = [[TITLES.get(name, name), now, kept, change] for name, now, kept, change in
            re.findall(r"^(\w+) +([\d,]+) +([\d,]+) +(\S+)", done.stdout, re.M)]
    if not rows:
        report.text(done.stdout.strip() or done.stderr.strip())
        return
    report.text("""
Counted by callgrind (`tests/bench/counts`) on measurements that are the same everywhere, a batch of
20 ticks where nothing else is said, a tick of 4.4 KB, gzip 6. The kernel's are not among them,
nor those of other threads. Steady where times are not: a test fails when one grows by more than
5 %.""")
    report.table(["", "instructions", "kept in `counts.txt`", "change"], rows)
