#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Batches that wait on disk: through outages, ends and kills of the agent."""

import json
import os
import sys
import time
from collections import Counter

import e2e
from e2e import Pcc, Pcd, free_port, wait_for

# They say something else at each tick, so that no measurement is there twice by itself.
FAST = {"FREQUENCY": "50ms", "BATCH_SIZE": 10, "SUBSYSTEMS": ("/proc/sys/kernel/random/uuid,"
                       "/proc/./sys/kernel/random/uuid"),
        "CATCHUP_SHARE": "1"}


def agent(pcd, spool, **options):
    tap = os.path.join(e2e.folder(), "tap")
    return Pcc(pcd, SPOOL_DIR=spool, COLLECTION=tap, **{**FAST, **options})


def files(spool, folder=""):
    path = os.path.join(spool, folder)
    return sorted(n for n in os.listdir(path) if n.endswith(".batch"))


def key_of(m):
    return m["timestamp"], m["subsystem"], m["measurement"]


def taken(*agents):
    return [key_of(m) for a in agents for m in a.taken()]


def stored(pcd, identifier="test-host"):
    """All that is in the store; ends the server, which files what it has acknowledged."""
    assert pcd.stop() == 0
    return [key_of(json.loads(line)) for line in pcd.stored(identifier).splitlines()]


def assert_all_once(pcd, *agents):
    """Everything that the agents took is in the store, once."""
    want, got = sorted(taken(*agents)), sorted(stored(pcd))
    assert got == want, (len(got), len(want))


def assert_none_twice(got, want):
    """Nothing that was taken is there more often than it was taken."""
    got, want = Counter(got), Counter(want)
    twice = {m: n for m, n in got.items() if n > max(want[m], 1)}
    assert not twice, twice


def nowhere():
    return f"http://127.0.0.1:{free_port()}"


def test_what_cannot_be_sent_before_the_end_is_sent_after_the_next_start():
    spool = e2e.folder()
    first = agent(nowhere(), spool, IDENTIFIER="test-host")
    wait_for("ticks", lambda: len(first.taken()) > 60)
    assert first.stop() == 0, first.log
    assert "spooled=0" not in first.log
    assert len(files(spool)) > 5
    pcd = Pcd()
    second = agent(pcd, spool)
    second.wait_line("event=spool_empty")
    assert second.stop() == 0
    assert files(spool) == []
    assert_all_once(pcd, first, second)


def test_with_always_a_kill_loses_nothing_that_was_noted():
    spool = e2e.folder()
    pcd = Pcd()
    agents = []
    for n in range(3):
        a = agent(pcd if n != 1 else nowhere(), spool, SPOOL="always")
        agents.append(a)
        wait_for("ticks", lambda: len(a.taken()) > 40)
        a.kill()
    last = agent(pcd, spool, SPOOL="always")
    agents.append(last)
    wait_for("ticks", lambda: len(last.taken()) > 40)
    assert last.stop() == 0
    assert files(spool) == []
    want = taken(*agents)
    got = stored(pcd)
    assert_none_twice(got, want)
    lost = Counter(want) - Counter(got)
    assert not lost, lost.total()


def test_half_of_the_memory_is_kept_and_the_rest_goes_to_disk():
    spool = e2e.folder()
    pcd = Pcd()
    port = pcd.port
    pcd.stop()
    a = agent(f"http://127.0.0.1:{port}", spool, QUEUE_MAX="32KiB", FREQUENCY="20ms")
    a.wait_line("event=spooling", 30)
    wait_for("more files", lambda: len(files(spool)) > 5)
    pcd = Pcd(home=pcd.home, port=port)
    a.wait_line("event=spool_empty", 70)
    assert a.stop() == 0
    assert "batches_dropped" not in a.log
    assert_all_once(pcd, a)


def test_spool_that_is_full_drops_the_oldest_and_says_so():
    spool = e2e.folder()
    a = agent(nowhere(), spool, QUEUE_MAX="16KiB", SPOOL_MAX="64KiB", FREQUENCY="20ms")
    a.wait_line('event=batches_dropped .*reason="the spool is full"', 30)
    used = sum(-(-os.path.getsize(os.path.join(spool, f)) // 4096) for f in files(spool))
    assert used <= 16, used
    assert a.stop() == 1, "what its last batches pushed out is lost"
    pcd = Pcd()
    b = agent(pcd, spool)
    b.wait_line("event=spool_empty", 30)
    assert b.stop() == 0
    want, got = sorted(taken(a, b)), stored(pcd)
    assert_none_twice(got, want)
    # What it told of last is lost too, where the note didn't get out before the end.
    gaps = [json.loads(m) for _, s, m in got if s == "pcc/gap"]
    assert any(g["reason"] == "the spool was full" for g in gaps), gaps
    assert set(m for m in got if m[1] != "pcc/gap") <= set(want)


def test_sampling_stops_instead_where_that_is_wanted():
    spool = e2e.folder()
    pcd = Pcd()
    port = pcd.port
    pcd.stop()
    a = agent(f"http://127.0.0.1:{port}", spool, QUEUE_MAX="32KiB", SPOOL_MAX="64KiB",
              FREQUENCY="20ms", SPOOL_FULL="stop")
    a.wait_line("event=sampling_stopped", 30)
    n = len(a.taken())
    time.sleep(0.5)
    assert len(a.taken()) <= n + 40, "sampling goes on"
    pcd = Pcd(home=pcd.home, port=port)
    a.wait_line("event=sampling_resumed", 70)
    a.wait_line("event=spool_empty", 30)
    assert a.stop() == 0
    assert "batches_dropped" not in a.log
    assert any(s == "pcc/gap" and "sampling was stopped" in m for _, s, m in taken(a))
    assert_all_once(pcd, a)


def damage(path, offset):
    with open(path, "r+b") as f:
        f.seek(offset, os.SEEK_END if offset < 0 else os.SEEK_SET)
        byte = f.read(1)
        f.seek(-1, os.SEEK_CUR)
        f.write(bytes([byte[0] ^ 1]))


def test_damaged_files_are_set_aside_and_never_stop_the_rest():
    spool = e2e.folder()
    first = agent(nowhere(), spool)
    wait_for("ticks", lambda: len(first.taken()) > 80)
    assert first.stop() == 0
    names = files(spool)
    paths = [os.path.join(spool, n) for n in names]
    damage(paths[0], 30)  # in the header
    damage(paths[2], -5)  # in the body
    os.truncate(paths[4], os.path.getsize(paths[4]) - 1)
    os.truncate(paths[5], 0)
    with open(os.path.join(spool, "0000000000000001.batch.new"), "wb") as f:
        f.write(b"half")
    pcd = Pcd()
    second = agent(pcd, spool)
    second.wait_line("event=spool_empty")
    assert second.stop() == 0
    assert files(spool) == [] and os.listdir(spool).count("0000000000000001.batch.new") == 0
    bad = sorted([names[0], names[2], names[4], names[5]])
    assert files(spool, "rejected") == bad
    for name in bad:
        assert f"file={name}" in second.log
    got = stored(pcd)
    want = taken(first, second)
    lost = set(want) - set(got)
    assert 0 < len(lost) <= 4 * 12, len(lost)
    assert set(got) <= set(want)
    assert_none_twice(got, want)


def test_spool_is_one_agents_alone():
    spool = e2e.folder()
    pcd = Pcd()
    a = agent(pcd, spool)
    a.wait_line("event=started")
    b = agent(pcd, spool)
    b.wait_line('event=spool_unavailable .*"another pcc has it"')
    b.wait_line("event=started")
    c = agent(pcd, spool, SPOOL="always")
    assert c.wait() == 1
    assert a.stop() == 0 and b.stop() == 0


def test_without_a_place_for_it_the_agent_runs_on_memory_unless_it_must():
    pcd = Pcd()
    a = agent(pcd, "/proc/no/such/place")
    a.wait_line("event=spool_unavailable")
    a.wait_line("event=started")
    assert a.stop() == 0
    assert agent(pcd, "/proc/no/such/place", SPOOL="always").wait() == 1


if __name__ == "__main__":
    e2e.run(sys.modules[__name__])
