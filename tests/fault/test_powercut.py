#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The power goes, at any moment: what was answered 200 before is there, once; nothing is
there twice and nothing in part.

A pcd works under load, through checkpoints, rolls of its log, a kill and a recovery, while
the shim keeps a journal. For each of many moments of it a folder is made of what a disk may
hold then (journal.py), and another pcd starts on that. Some of these starts are cut too.

PC_POWERCUT_CUTS says how many moments (40; all: each boundary of a sync and each change of
a name, and as many others), PC_POWERCUT_SEED repeats a run's choices.
"""

import os
import random
import shutil
import sys
import tempfile
import time

import journal
from clients import Client, found
from e2e import KEY, Pcd, folder, free_port, run, wait_for
from faults import Shim

CUTS = os.environ.get("PC_POWERCUT_CUTS", "40")
SEED = int(os.environ.get("PC_POWERCUT_SEED") or random.SystemRandom().randrange(1 << 32))
CLIENTS = 3
# Where all moments are tried, there are not so many before the log has rolled.
SIZES, PAUSE = ((100, 20000), 0.05) if CUTS == "all" else ((0, 100, 1000), 0)
OPTIONS = {"LOG_MAX": "16MiB", "CHECKPOINT_INTERVAL": "1s"}
TMPFS = "/dev/shm"
ROOM = 1 << 29


def work_folder():
    """A place for disks that were cut: in memory where there is room, for what is synced
    there is the model's business."""
    where = None
    if os.path.isdir(TMPFS) and shutil.disk_usage(TMPFS).free > ROOM:
        where = TMPFS
    return tempfile.mkdtemp(prefix="pc-powercut-", dir=where)


def has_rolled_and_checkpointed(pcd):
    """Enough has happened for the test to be worth its while."""
    counters = pcd.metrics()
    return (max(os.listdir(os.path.join(pcd.home, "log"))) >= "000000000003.log" and
            counters["pcd_checkpoints_total"] >= 2)


def work(choices, **options):
    """Lets pcd work under load. Return: the clients, the disk before, and the records: a
    list for each of two processes, the first of which was killed."""
    home, port = folder(), free_port()
    with open(os.open(os.path.join(home, "apikeys"), os.O_WRONLY | os.O_CREAT, 0o600), "w") as f:
        f.write(KEY + "\n")
    disk = journal.Disk(home)
    clients = [Client(i, port, choices.random(), (1, 2, 20), SIZES, PAUSE)
               for i in range(CLIENTS)]
    for client in clients:
        client.start()
    runs = []
    for is_last in False, True:
        path = os.path.join(folder(), "journal")
        shim = Shim(home, journal=path)
        pcd = Pcd(home=home, port=port, environment=shim.environment, **options)
        if is_last:
            wait_for("rolls and checkpoints", lambda: has_rolled_and_checkpointed(pcd), 60)
            for client in clients:
                client.ended.set()
                client.join()
                assert client.failure is None, client.failure
                client.disconnect()
            assert pcd.stop() == 0, pcd.log
        else:
            time.sleep(choices.uniform(0.2, 1.5))
            shim.rules("any * kill after %d" % choices.randrange(100))
            assert pcd.wait() == -9, pcd.log
        runs.append(journal.read(path))
    return clients, disk, runs


def tells(r):
    """Does it change names, or is it of a file that all depends on?"""
    return (r.type not in (journal.WRITE, journal.SYNC_BEGIN, journal.SYNC_END) or
            r.path in (".", "log", "data", "keys.new", "sessions"))


class Expected:
    """What must be in the store after a cut at a moment."""

    def __init__(self, clients, when_ns):
        self.clients = clients
        self.answered = {c: [seq for seq, when in c.answered.items() if when < when_ns]
                         for c in clients}

    def check(self, home, choices):
        pcd = Pcd(home=home)
        started = next(text for text in pcd.lines if "event=store_open" in text)
        assert "damaged_bytes=0" in started, started
        count = {c: found(pcd, c) for c in self.clients}
        for client in self.clients:
            self._check_counts(client, count[client])
        sent = {c: self._send_again(c, pcd, count[c], choices) for c in self.clients}
        assert pcd.stop() == 0, pcd.log
        for client in self.clients:
            count = found(pcd, client)
            self._check_counts(client, count)
            assert all(count[seq] == 1 for seq in sent[client]), client.identifier

    def _check_counts(self, client, count):
        twice = [seq for seq, n in enumerate(count) if n > 1]
        assert not twice, (client.identifier, "twice", twice)
        lost = [seq for seq in self.answered[client] if count[seq] == 0]
        assert not lost, (client.identifier, "lost", lost)

    def _send_again(self, client, pcd, count, choices):
        """Sends some of what was answered, and what came next, again. Return: which."""
        answered = self.answered[client]
        last = max(answered, default=0)
        sent = set(choices.sample(answered, min(5, len(answered)))) | set(answered[-5:])
        sent |= {seq for seq in (last + 1, last + 2) if seq <= len(client.batches)}
        for seq in sorted(sent):
            headers = client.post(seq, pcd.port)
            assert headers is not None, client.unanswered
            replayed = "Idempotent-Replayed" in headers
            assert replayed == (count[seq] == 1), (client.identifier, seq, replayed)
        client.disconnect()
        return sent


def cut_recovery(home, path, choices):
    """Lets a pcd start on a disk and cuts the power during that. Return: did it start?"""
    disk = journal.Disk(home)
    shim = Shim(home, journal=path)
    pcd = Pcd(home=home, environment=shim.environment)
    pcd.kill()
    records = journal.read(path)
    for record in records[:choices.randrange(len(records) + 1)]:
        disk.apply(record, choices)
    shutil.rmtree(home)
    disk.write(home, choices)


def powercut(**options):
    choices = random.Random(SEED)
    clients, disk, runs = work(choices, **options)
    records = [record for records in runs for record in records]
    chosen = journal.moments(records, CUTS, tells, choices)
    print(f"# seed {SEED}: {len(chosen)} cuts in {len(records)} operations, "
          f"{sum(len(c.answered) for c in clients)} batches answered", flush=True)
    assert len(chosen) > 0
    again = 0
    place = work_folder()
    try:
        at = 0
        for number in chosen:
            for at in range(at, number):
                if at == len(runs[0]):
                    disk.process_ended()
                disk.apply(records[at], choices)
            at = number
            home = os.path.join(place, str(number))
            seed = choices.getrandbits(32)
            one = random.Random(seed)
            disk.write(home, one, lose_all=one.random() < 0.2)
            # What was answered before the next thing happened was answered before the cut.
            when = records[number].when_ns if number < len(records) else time.monotonic_ns()
            expected = Expected(clients, when)
            try:
                if one.random() < 0.2:
                    cut_recovery(home, os.path.join(place, "journal"), one)
                    os.unlink(os.path.join(place, "journal"))
                    again += 1
                expected.check(home, one)
            except AssertionError as why:
                raise AssertionError(f"seed {SEED}, cut {number} of {len(records)} before "
                                     f"{records[number][:5] if number < len(records) else 'the end'}"
                                     f": {why}") from why
            shutil.rmtree(home)
    finally:
        if not os.environ.get("PC_KEEP"):
            shutil.rmtree(place, ignore_errors=True)
    print(f"# nothing lost, nothing twice; {again} of the starts were cut too", flush=True)


def test_the_power_goes_at_any_moment():
    powercut(**OPTIONS)


def test_a_start_that_is_cut_leaves_no_line_that_no_key_knows():
    """What a killed process wrote may be in the page cache only. A start finds it there and
    files it; the power goes at each moment of that, and all that was not synced with it."""
    choices = random.Random(1)
    home = folder()
    with open(os.open(os.path.join(home, "apikeys"), os.O_WRONLY | os.O_CREAT, 0o600), "w") as f:
        f.write(KEY + "\n")
    disk = journal.Disk(home)
    path, again = os.path.join(folder(), "journal"), os.path.join(folder(), "journal")
    shim = Shim(home, journal=path)
    pcd = Pcd(home=home, environment=shim.environment)
    client = Client(0, pcd.port, 0, (20,), (0,))
    shim.rules("sync log/* kill")  # written, not synced, and not answered
    client.next_batch()
    assert client.post(1, pcd.port) is None
    assert pcd.wait() == -9, pcd.log
    for record in journal.read(path):
        disk.apply(record, choices)
    disk.process_ended()
    pcd = Pcd(home=home, environment=Shim(home, journal=again).environment)
    assert found(pcd, client)[1] == 1, pcd.log
    assert pcd.stop() == 0, pcd.log
    cuts = journal.read(again)
    assert cuts
    for record in cuts:
        cut = os.path.join(folder(), "disk")
        disk.write(cut, choices, lose_all=True)
        one = Pcd(home=cut)
        client.post(1, one.port)
        client.disconnect()
        assert one.stop() == 0, one.log
        assert found(one, client)[1] == 1, (record[:4], one.log)
        disk.apply(record, choices)


if __name__ == "__main__":
    run(sys.modules[__name__])
