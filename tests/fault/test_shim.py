#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The shim does to a program what its rules say, and the journal of it tells what a disk
may hold after a power cut: without this no other test here proves anything."""

import os
import random
import subprocess
import sys

import journal
from e2e import clean_environment, folder, run
from faults import Shim


def act(shim, script):
    """Runs a few lines of Python below the shim, in its folder. Return: the result."""
    done = subprocess.run(
        [sys.executable, "-c", "import os, time\n" + script], cwd=shim.root,
        capture_output=True, text=True, timeout=60,
        env=clean_environment(**shim.environment))
    return done.returncode, done.stdout.strip(), done.stderr.strip().split("\n")[-1]


def new_shim(**more):
    # This Python is no program of ours: no sanitizer comes before the shim.
    return Shim(folder(), program=sys.executable, **more)


def test_calls_fail_as_the_rules_say():
    shim = new_shim()
    shim.rules("write log/* EIO after 1 times 1", "sync log/* ENOSPC", "create data/* EROFS",
               "rename keys EDQUOT", "write short short:3", "read secret EACCES")
    script = """
def told(f, *args):
    try:
        print(f(*args), end=" ")
    except OSError as e:
        print(os.strerror(e.errno).replace(" ", "_"), end=" ")
os.mkdir("log"); os.mkdir("data")
fd = os.open("log/1", os.O_RDWR | os.O_CREAT)
told(os.write, fd, b"abc"); told(os.write, fd, b"abc"); told(os.pwritev, fd, [b"d", b"ef"], 3)
told(os.fsync, fd); told(os.fdatasync, fd)
told(os.open, "data/x", os.O_WRONLY | os.O_CREAT); told(os.rename, "log/1", "keys")
told(os.write, os.open("short", os.O_WRONLY | os.O_CREAT), b"abcdef")
told(os.read, os.open("secret", os.O_RDWR | os.O_CREAT), 1)
"""
    _, told, _ = act(shim, script)
    assert told == ("3 Input/output_error 3 No_space_left_on_device No_space_left_on_device "
                    "Read-only_file_system Disk_quota_exceeded 3 Permission_denied"), told
    assert shim.hits("^write log/1 EIO$") and len(shim.hits("^sync log/1 ENOSPC$")) == 2


def test_a_disk_fills_and_gives_room_again():
    shim = new_shim()
    shim.rules("disk 100000")
    _, told, _ = act(shim, """
fd = os.open("a", os.O_WRONLY | os.O_CREAT)
print(os.write(fd, bytes(60000)), os.write(fd, bytes(60000)), end=" ")
print(os.pwrite(fd, bytes(10), 0), os.statvfs(".").f_bavail, end=" ")
try:
    os.write(fd, b"x")
except OSError as e:
    print(e.errno, end=" ")
os.unlink("a")
print(os.write(os.open("b", os.O_WRONLY | os.O_CREAT), bytes(70000)))
""")
    assert told == "60000 40000 10 0 28 70000", told


def test_a_process_dies_where_a_rule_says():
    for rule, left in ("kill", b""), ("tear", b"ab"), ("kill-after", b"abcd"):
        shim = new_shim()
        shim.rules(f"write x {rule}")
        status, _, _ = act(shim, 'os.write(os.open("x", os.O_WRONLY | os.O_CREAT), b"abcd")')
        assert status == -9, (rule, status)
        with open(os.path.join(shim.root, "x"), "rb") as f:
            assert f.read() == left, rule


def test_rules_may_change_while_a_program_runs_and_the_clock_too():
    shim = new_shim()
    shim.rules("clock -86400")
    rules = shim.environment["PC_SHIM_RULES"]
    _, told, _ = act(shim, f"""
before = time.time()
with open({rules + ".new"!r}, "w") as f:
    f.write("clock 86400")
os.rename({rules + ".new"!r}, {rules!r})
print(round((time.time() - before) / 3600))
""")
    assert told == "48", told


def states(shim, path, n=60):
    """What may be there after a power cut at the end, by many seeds."""
    seen = set()
    for seed in range(n):
        disk = journal.Disk()
        for record in journal.read(path):
            disk.apply(record)
        at = folder()
        disk.write(at, random.Random(seed))
        state = []
        for base, _, names in os.walk(at):
            for name in names:
                with open(os.path.join(base, name), "rb") as f:
                    state.append((os.path.relpath(os.path.join(base, name), at), f.read()))
        seen.add(tuple(sorted(state)))
    return seen


def states_of(script):
    path = os.path.join(folder(), "journal")
    shim = new_shim(journal=path)
    status, _, error = act(shim, script)
    assert status == 0, error
    return states(shim, path)


SYNC_DIR = 'd = os.open(".", os.O_RDONLY); os.fsync(d)\n'
WRITE = 'fd = os.open("x", os.O_WRONLY | os.O_CREAT); os.write(fd, b"a" * 5000)\n'


def test_what_was_synced_with_its_folder_is_there():
    assert states_of(WRITE + "os.fsync(fd)\n" + SYNC_DIR) == {(("x", b"a" * 5000),)}


def test_a_name_is_lost_unless_its_folder_was_synced():
    seen = states_of(WRITE + "os.fsync(fd)\n")
    assert seen == {(), (("x", b"a" * 5000),)}, len(seen)


def test_bytes_are_lost_or_torn_unless_the_file_was_synced():
    seen = states_of(WRITE + SYNC_DIR)
    contents = {state[0][1] for state in seen}
    assert b"" in contents and b"a" * 5000 in contents
    assert any(0 < c.count(b"a") < 5000 for c in contents)


def test_later_writes_may_arrive_without_earlier_ones():
    contents = {state[0][1] for state in states_of(
        WRITE + "os.fsync(fd)\n" + SYNC_DIR +
        'os.pwrite(fd, b"b", 0); os.pwrite(fd, b"c", 4999)')}
    assert {(c[:1], c[-1:]) for c in contents} == {
        (b"a", b"a"), (b"b", b"a"), (b"a", b"c"), (b"b", b"c")}


def test_a_rename_is_one_change():
    seen = states_of(WRITE + "os.fsync(fd)\n" + SYNC_DIR +
                     'os.close(fd); fd = os.open("y", os.O_WRONLY | os.O_CREAT)\n'
                     'os.write(fd, b"new"); os.fsync(fd); os.rename("y", "x")')
    assert {dict(state)["x"] for state in seen} == {b"a" * 5000, b"new"}


def test_a_failed_sync_promises_nothing_and_neither_does_the_next():
    path = os.path.join(folder(), "journal")
    shim = new_shim(journal=path)
    shim.rules("sync x EIO times 1")
    status, _, error = act(shim, WRITE + SYNC_DIR +
                           "try:\n    os.fsync(fd)\nexcept OSError:\n    os.fsync(fd)")
    assert status == 0, error
    disk, lost = None, 0
    for seed in range(20):
        disk = journal.Disk()
        for record in journal.read(path):
            disk.apply(record, random.Random(seed))
        lost += disk.root.durable["x"].durable != b"a" * 5000
    assert lost > 0


if __name__ == "__main__":
    run(sys.modules[__name__])
