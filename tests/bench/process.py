# SPDX-License-Identifier: MIT
"""What the kernel says of a process while it runs."""

import os


def cpu_seconds(pid):
    """User and system time of all its threads that live, as the scheduler counts it."""
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/schedstat", encoding="ascii") as f:
            total += int(f.read().split()[0])
    return total / 1e9


def thread_seconds(pid):
    """The same by the names of its threads."""
    found = {}
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/comm", encoding="utf-8") as f:
            name = f.read().strip()
        with open(f"/proc/{pid}/task/{task}/schedstat", encoding="ascii") as f:
            found[name] = found.get(name, 0) + int(f.read().split()[0]) / 1e9
    return found


def rss_bytes(pid):
    """What is in memory of it, pages that others use too included."""
    return _rollup(pid, "Rss")


def pss_bytes(pid):
    """The same, each page divided by the number of those who use it."""
    return _rollup(pid, "Pss")


def private_bytes(pid):
    """What would be free if it ended."""
    return _rollup(pid, "Private_Clean") + _rollup(pid, "Private_Dirty")


def peak_bytes(pid):
    """The highest RSS so far."""
    with open(f"/proc/{pid}/status", encoding="utf-8") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmHWM:")) * 1024


def _rollup(pid, name):
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as f:
        return next(int(line.split()[1]) for line in f if line.startswith(name + ":")) * 1024
