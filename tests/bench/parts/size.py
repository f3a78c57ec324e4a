# SPDX-License-Identifier: MIT
"""How large the programs are on disk."""

import os
import shutil
import subprocess

import _agents
import e2e

TITLE = "Size of the programs"

COMMAND = "tests/bench/run size"
# What is looked at: its name, where it is, its goal in bytes or none, as in tests/release.
FILES = (("pcc, dynamic, built to be small", _agents.SMALL, 150_000),
         ("pcc, static with TLS", _agents.STATIC, 2_000_000),
         ("pcc, dynamic, built to be fast", os.path.join(e2e.BUILD, "pcc", "pcc"), None),
         ("pcd, dynamic", os.path.join(e2e.BUILD, "pcd", "pcd"), None))


def stripped_bytes(path):
    copy = os.path.join(e2e.folder(), "stripped")
    shutil.copy(path, copy)
    subprocess.run(["strip", copy], check=True)
    return os.path.getsize(copy)


def sections(path):
    """Text, data and bss, as size(1) tells them apart."""
    done = subprocess.run(["size", path], capture_output=True, text=True, check=True)
    return [int(field) for field in done.stdout.splitlines()[1].split()[:3]]


def objects(*folders):
    """Code and constants of each object file, the largest first."""
    found = []
    for folder in folders:
        path = os.path.join(e2e.BUILD, folder)
        found += [(sections(os.path.join(path, name))[0], name.removesuffix(".c.o"))
                  for name in os.listdir(path) if name.endswith(".o")]
    return sorted(found, reverse=True)


def run(report, _quick):
    rows = []
    for name, path, goal in FILES:
        if not os.path.exists(path):
            rows.append([name, "not built: tests/release does", "", "", ""])
            continue
        size = stripped_bytes(path)
        text, data, bss = sections(path)
        rows.append([name, *(f"{n / 1000:,.1f}" for n in (size, text, data, bss))])
        if goal:
            report.goal(f"size of {name}, stripped", f"{goal / 1000:,.0f} kB",
                        f"{size / 1000:,.0f} kB", size <= goal, COMMAND)
    report.table(["kB", "stripped file", "code and constants", "data", "zeroed"], rows)
    found = objects("pcc/libpcc.a.p", "common/libcommon.a.p")
    report.text(f"""
What makes pcc large: of the {len(found)} object files of `pcc/` and `common/`, together
{sum(size for size, _ in found) / 1024:.0f} KiB (of which pcc doesn't link all), the largest are
""" + ", ".join(f"`{name}` {size / 1024:.1f}" for size, name in found[:12]) + " KiB.")
