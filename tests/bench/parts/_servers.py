# SPDX-License-Identifier: MIT
"""What parts about the server share: a pcd and a fleet that loads it."""

import glob
import json
import os
import shutil
import statistics
import subprocess
import tempfile
import time

import e2e
import process

BENCH = os.path.join(e2e.BUILD, "tests", "bench")
HOSTS = 1000
TICKS = 20

# How bodies come, the goal for each in host-ticks a CPU-second of pcd, and what the
# fleet is told for it.
FORMS = {
    "delta+gzip": (80_000, ["--form", "delta", "--gzip=yes"]),
    "MessagePack+gzip": (60_000, ["--form", "msgpack", "--gzip=yes"]),
    "JSON+gzip": (40_000, ["--form", "json", "--gzip=yes"]),
    "JSON": (50_000, ["--form", "json", "--gzip=no"]),
}

_recorded = []


def capture():
    """A collection of a real host: a recorded one, else what this host says for a while."""
    if not _recorded:
        try:
            _recorded.append(os.path.join(e2e.captures(), "oci-2cpu.jsonl"))
        except e2e.Skip:
            path = os.path.join(e2e.folder(), "pcc.jsonl")
            pcc = e2e.Pcc(COLLECTION=path)
            time.sleep(30)
            assert pcc.stop() == 0, pcc.log
            _recorded.append(path)
    return _recorded[0]


def whose(path):
    """What to say of it in a report."""
    if os.path.dirname(path).endswith("captures"):
        return f"a recorded host (`{os.path.basename(path)}`)"
    return "this host, recorded for half a minute"


class Fleet:
    """The generator, warmed up: each host's first batches are stored when this returns."""

    def __init__(self, pcd, *argv, warmup=1, replay=None):
        self.process = subprocess.Popen(
            [e2e.LOAD, "--server", pcd.url, "--key", e2e.KEY, "--json", "--replay",
             replay or capture(), "--warmup", str(warmup), *map(str, argv)],
            env={k: v for k, v in e2e.clean_environment().items()
                 if not k.startswith("PC_LOAD_")},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if warmup:
            assert self.process.stdout.readline() == "warm\n", pcd.log

    def go(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def summary(self):
        """What was done; while a fleet that holds its connections goes on doing so."""
        return json.loads(self.process.stdout.readline())

    def end(self, may_fail=False):
        """may_fail: pcd may have refused some at first."""
        out, _ = self.process.communicate()
        assert may_fail or self.process.returncode == 0, out


def wait_filed(pcd):
    """Until day files have all that was answered."""
    e2e.wait_for("day files", lambda: pcd.metrics()["pcd_unfiled_bytes"] == 0, 120)


def wait_quiet(server, seconds=0.3, share=0.01):
    """Until it has nothing left to do: checkpoints of pcd go on after all is filed. It takes
    less than that share of a core for so long then."""
    def is_quiet():
        before = process.cpu_seconds(server.process.pid)
        time.sleep(seconds)
        return process.cpu_seconds(server.process.pid) - before < seconds * share
    e2e.wait_for("the server to have done all", is_quiet, 120)


def settle_disk():
    """What others wrote is on disk before something is timed."""
    os.sync()


def folder_bytes(path):
    return sum(os.path.getsize(name) for name in
               glob.glob(os.path.join(path, "**"), recursive=True) if os.path.isfile(name))


class Run:
    """One load: what the fleet says in `fleet`, and of pcd what is below."""

    def __init__(self, argv, hosts=HOSTS, ticks=TICKS, batches=8, warmup=1, seconds=600,
                 replay=None, with_disk=False, may_fail=False, **options):
        self.ticks = 0
        pcd = e2e.Pcd(**{"SYNC": "always", **options})
        try:
            fleet = Fleet(pcd, "--clients", hosts, "--ticks", ticks, "--batches", batches,
                          "--seconds", seconds, *argv, warmup=warmup, replay=replay)
            wait_filed(pcd)
            settle_disk()
            wait_quiet(pcd)
            before, metrics = process.cpu_seconds(pcd.process.pid), pcd.metrics()
            threads = process.thread_seconds(pcd.process.pid)
            begin = time.monotonic()
            fleet.go()
            self.fleet = fleet.summary()
            answered = time.monotonic()
            fleet.end(may_fail)
            wait_filed(pcd)
            self.filed_seconds = time.monotonic() - begin
            self.answered_seconds = answered - begin
            self.cpu = process.cpu_seconds(pcd.process.pid) - before
            self.threads = {name: seconds - threads.get(name, 0) for name, seconds in
                            process.thread_seconds(pcd.process.pid).items()}
            after = pcd.metrics()
            self.counts = {name: after[name] - metrics.get(name, 0) for name in after}
            self.rss = process.rss_bytes(pcd.process.pid)
            assert pcd.stop(seconds=300) == 0, pcd.log
            stored = folder_bytes(pcd.data)
            share = self.fleet["stored"] / after["pcd_batches_total"]
            self.stored_bytes = stored * share
            if with_disk:
                self.disk_log, self.disk_all = self._disk(pcd, hosts)
        finally:
            if pcd.process.poll() is None:
                pcd.kill()
            shutil.rmtree(pcd.home, ignore_errors=True)
        self.ticks = self.fleet["stored"] * ticks

    def _disk(self, pcd, hosts):
        """Seconds that the disk alone takes for the log, and with the day files."""
        shutil.rmtree(pcd.home)
        folder = tempfile.mkdtemp(prefix="pc-bench-", dir=os.path.dirname(pcd.home))
        settle_disk()
        try:
            done = subprocess.run(
                [os.path.join(BENCH, "disk"), "--folder", folder,
                 "--bytes", str(int(self.stored_bytes)),
                 "--groups", str(int(self.counts["pcd_groups_total"])),
                 "--files", str(hosts),
                 "--piece", str(int(self.stored_bytes / self.fleet["stored"]))],
                stdout=subprocess.PIPE, text=True, check=True)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        return [float(word) for word in done.stdout.split()]

    @property
    def ticks_a_cpu_second(self):
        return self.ticks / self.cpu

    @property
    def ticks_a_second(self):
        """By the wall, until all was answered."""
        return self.ticks / self.fleet["seconds"]

    @property
    def cpus_used(self):
        """Of the machine, until all is filed."""
        return (self.cpu + self.fleet["cpu_seconds"]) / self.filed_seconds

    @property
    def fleet_share(self):
        """The fleet's CPU beside pcd's."""
        return self.fleet["cpu_seconds"] / self.cpu


def median(runs, of):
    return statistics.median(of(run) for run in runs)
