#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""What tests/quickstart shows of a pcd that took batches: its counters and its day files.

    arrived.py URL FOLDER        the pcd's address; the folder that its home `pcd` is in
"""

import glob
import json
import os
import shutil
import sys
import textwrap
import time
import urllib.request


def fetch_metrics(url):
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url + "/metrics", timeout=10) as answer:
        text = answer.read().decode()
    values = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            name, value = line.rsplit(" ", 1)
            values[name] = float(value)
    return values


def read_lines(folder, n):
    """The day files and their lines, once there are n: a moment after the answer."""
    deadline = time.monotonic() + 10
    while True:
        paths = sorted(glob.glob(os.path.join(folder, "pcd", "data", "*", "*.jsonl")))
        lines = []
        for path in paths:
            with open(path, "rb") as f:
                lines += f.readlines()
        if len(lines) >= n or time.monotonic() > deadline:
            return paths, lines
        time.sleep(0.1)


def size(n):
    return f"{n} bytes" if n < 1000 else f"{n / 1e3:.1f} kB"


def amount(n, noun, plural=None):
    return f"{n:.0f} {noun if n == 1 else plural or noun + 's'}"


def show(name, text, width):
    """A row: its text wrapped between words; one long word stays whole, to be copied."""
    indent = " " * 17
    print(textwrap.fill(text, width, initial_indent=f"   {name:13} ", break_long_words=False,
                        subsequent_indent=indent, break_on_hyphens=False))


def main(url, folder):
    metrics = fetch_metrics(url)
    n = int(metrics["pcd_measurements_total"])
    paths, lines = read_lines(folder, n)
    if not n or len(lines) != n:
        sys.exit(f"pcd says that it stored {n} measurements; its day files have {len(lines)}")
    measurements = [json.loads(line) for line in lines]
    sources = list(dict.fromkeys(m["subsystem"] for m in measurements))
    ticks = len({(m["timestamp"], m.get("nanoseconds", 0)) for m in measurements})
    wire = metrics["pcd_received_bytes_total"]
    as_json = sum(map(len, lines))
    batches = metrics["pcd_batches_total"]
    # Asking for the metrics took a connection of its own.
    connections = metrics["pcd_connections_accepted_total"] - 1
    syncs = metrics["pcd_syncs_total"]

    paths = "\n".join(paths)
    host = os.path.basename(os.path.dirname(paths))
    width = shutil.get_terminal_size((100, 24)).columns

    print()
    show("host", host, width)
    show("measurements", f"{n}, in {amount(ticks, 'tick')} of {', '.join(sources)}", width)
    show("on the wire", f"{size(wire)} in {amount(batches, 'batch', 'batches')} over "
                        f"{amount(connections, 'connection')}", width)
    show("as JSON", f"{size(as_json)}, {as_json / wire:.1f} times as much", width)
    show("durable", f"each batch, before pcd answered: {amount(syncs, 'sync')} of its log",
         width)
    show("in the file", paths, width)
    line = lines[0].decode().rstrip("\n")
    room = max(width - 17, 20)
    print("   a line of it  " + (line if len(line) <= room else line[:room - 1] + "…"))


if __name__ == "__main__":
    main(*sys.argv[1:])
