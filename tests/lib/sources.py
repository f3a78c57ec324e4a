# SPDX-License-Identifier: MIT
"""What an agent sees of a machine, for comparing one that is confined with one that isn't."""

import json

SOURCES = "/proc/stat,/proc/meminfo,/proc/net/dev,/proc/diskstats,statfs[*],/proc/loadavg," \
    "/proc/vmstat,/proc/cpuinfo,/proc/interrupts,/proc/net/snmp,/proc/1/stat,statfs[/home]," \
    "statfs[/tmp]"
N_SOURCES = SOURCES.count(",") + 1


def _shape(measurement):
    name, text = measurement["subsystem"], measurement["measurement"]
    if name.startswith("statfs["):
        mounts = [json.loads(t) for t in text.splitlines()]
        return {(m["mount_point"], m["block_size"], m["blocks_total"]) for m in mounts}
    if name == "/proc/diskstats":
        return {t.split()[2] for t in text.splitlines()}
    if name == "/proc/loadavg":
        return len(text.split())
    return {t.split()[0] for t in text.splitlines() if t.strip()}


def shapes(collected):
    """Of each source in a collection, bytes, what does not change from one tick to the next
    unless something is hidden; and the times of ticks."""
    whole = [json.loads(t) for t in collected.rsplit(b"\n", 1)[0].split(b"\n") if t]
    return ({m["subsystem"]: _shape(m) for m in whole}, {m["timestamp"] for m in whole})
